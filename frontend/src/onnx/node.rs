//! A node of the file, with its attributes by name and type.

use std::sync::Arc;

use super::proto::attribute_proto::AttributeType;
use super::proto::{AttributeProto, NodeProto, TensorProto};
use crate::error::printable;

/// Why one node cannot become part of the graph.
#[derive(Debug)]
pub enum Fail {
    /// It asks for something that has no counterpart here; the import goes on to find all of these.
    Unsupported(String),
    /// It contradicts the standard; the import ends.
    Invalid {
        /// What is wrong.
        reason: String,
        /// What to do.
        help: String,
    },
    /// The import ends for a reason that is no fault of the node.
    Fatal(crate::Error),
}

impl Fail {
    /// A [`Fail::Unsupported`].
    pub fn unsupported(why: impl Into<String>) -> Fail {
        Fail::Unsupported(why.into())
    }
    /// A [`Fail::Invalid`] that a new export should cure.
    pub fn invalid(reason: impl Into<String>) -> Fail {
        Fail::Invalid {
            reason: reason.into(),
            help: "export the model again, and run `onnx.checker` on it".into(),
        }
    }
}

impl From<crate::Error> for Fail {
    fn from(e: crate::Error) -> Fail {
        Fail::Fatal(e)
    }
}

/// One node of the model.
#[derive(Clone, Debug)]
pub struct Node<'m> {
    /// The message.
    pub proto: &'m NodeProto,
    /// Its position in the file.
    pub index: usize,
    /// Version of the operator set of its domain.
    pub opset: i64,
    /// The module it belongs to.
    pub path: Option<Arc<str>>,
}

impl<'m> Node<'m> {
    /// The op's name.
    pub fn op(&self) -> &'m str {
        self.proto.op_type()
    }

    /// Whether the op belongs to standard ONNX.
    pub fn is_standard(&self) -> bool {
        matches!(self.proto.domain(), "" | "ai.onnx")
    }

    /// How messages call it: by its name, else by its position and first result.
    pub fn label(&self) -> String {
        match self.proto.name() {
            "" => match self.proto.output.iter().find(|o| !o.is_empty()) {
                Some(out) => format!("#{} → {out}", self.index),
                None => format!("#{}", self.index),
            },
            name => name.to_owned(),
        }
    }

    /// Where messages locate it.
    pub fn place(&self) -> String {
        format!("node {} (`{}`)", printable(&self.label()), self.op().escape_default())
    }

    /// The name of operand `i`; `None` if it is absent.
    pub fn input(&self, i: usize) -> Option<&'m str> {
        self.proto.input.get(i).map(String::as_str).filter(|s| !s.is_empty())
    }

    /// Number of operand slots.
    pub fn inputs(&self) -> usize {
        self.proto.input.len()
    }

    /// The name of result `i`; `None` if it is not asked for.
    pub fn output(&self, i: usize) -> Option<&'m str> {
        self.proto.output.get(i).map(String::as_str).filter(|s| !s.is_empty())
    }

    /// The attribute `name`, if it is there.
    pub fn attr(&self, name: &str) -> Option<&'m AttributeProto> {
        self.proto.attribute.iter().find(|a| a.name() == name)
    }

    fn typed(&self, name: &str, kind: AttributeType) -> Result<Option<&'m AttributeProto>, Fail> {
        let Some(a) = self.attr(name) else { return Ok(None) };
        if !a.ref_attr_name().is_empty() {
            return Err(Fail::unsupported(format!(
                "attribute `{name}` refers to an attribute of a function"
            )));
        }
        // Files of IR version 1 have no types.
        match a.r#type() {
            AttributeType::Undefined => Ok(Some(a)),
            t if t == kind => Ok(Some(a)),
            t => Err(Fail::invalid(format!(
                "attribute `{name}` is of type {}, not {}",
                t.as_str_name(),
                kind.as_str_name()
            ))),
        }
    }

    /// An integer attribute.
    pub fn int(&self, name: &str) -> Result<Option<i64>, Fail> {
        Ok(self.typed(name, AttributeType::Int)?.map(|a| a.i()))
    }

    /// An integer attribute with its default.
    pub fn int_or(&self, name: &str, default: i64) -> Result<i64, Fail> {
        Ok(self.int(name)?.unwrap_or(default))
    }

    /// An integer attribute that stands for a truth value.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, Fail> {
        Ok(self.int_or(name, default.into())? != 0)
    }

    /// A float attribute with its default.
    pub fn float_or(&self, name: &str, default: f32) -> Result<f32, Fail> {
        Ok(self.float(name)?.unwrap_or(default))
    }

    /// A float attribute.
    pub fn float(&self, name: &str) -> Result<Option<f32>, Fail> {
        Ok(self.typed(name, AttributeType::Float)?.map(|a| a.f()))
    }

    /// A list of integers.
    pub fn ints(&self, name: &str) -> Result<Option<&'m [i64]>, Fail> {
        Ok(self.typed(name, AttributeType::Ints)?.map(|a| a.ints.as_slice()))
    }

    /// A list of floats.
    pub fn floats(&self, name: &str) -> Result<Option<&'m [f32]>, Fail> {
        Ok(self.typed(name, AttributeType::Floats)?.map(|a| a.floats.as_slice()))
    }

    /// A string attribute with its default.
    pub fn str_or(&self, name: &str, default: &'m str) -> Result<&'m str, Fail> {
        let Some(a) = self.typed(name, AttributeType::String)? else {
            return Ok(default);
        };
        let bytes = a.s.as_deref().unwrap_or_default();
        std::str::from_utf8(bytes)
            .map_err(|_| Fail::invalid(format!("attribute `{name}` is not valid UTF-8")))
    }

    /// A list of strings.
    pub fn strings(&self, name: &str) -> Result<Option<Vec<&'m str>>, Fail> {
        let Some(a) = self.typed(name, AttributeType::Strings)? else {
            return Ok(None);
        };
        let text = |b: &'m bytes::Bytes| std::str::from_utf8(b);
        let all = a.strings.iter().map(text).collect::<Result<_, _>>();
        all.map(Some).map_err(|_| Fail::invalid(format!("attribute `{name}` is not valid UTF-8")))
    }

    /// A tensor attribute.
    pub fn tensor(&self, name: &str) -> Result<Option<&'m TensorProto>, Fail> {
        Ok(self.typed(name, AttributeType::Tensor)?.and_then(|a| a.t.as_deref()))
    }
}
