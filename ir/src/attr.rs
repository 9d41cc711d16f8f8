//! Attributes and operands of ops: the values, and the macros that declare them.

use std::fmt;
use std::hash::{Hash, Hasher};

use smallvec::{SmallVec, smallvec};

use crate::diag::{Reason, did_you_mean};
use crate::dim::Dim;

/// An attribute's value as the text shows it.
#[derive(Clone, PartialEq, Debug)]
pub enum AttrValue {
    /// `3`
    Int(i64),
    /// `0.5`; also `inf`, `-inf`, `nan`
    Float(f32),
    /// `true`
    Bool(bool),
    /// A bare word: `relu`
    Word(String),
    /// `"text"`
    Str(String),
    /// `$act0`: the name of an observer
    Observer(String),
    /// `[1,2]`
    List(Vec<AttrValue>),
    /// A symbolic dimension: `2*N`
    Dim(Dim),
    /// `rand(1)`, `blob("5ac3")`
    Call(String, Vec<AttrValue>),
}

/// Named attributes in the order in which they are printed.
pub type AttrList = Vec<(String, AttrValue)>;

/// A Rust type that an attribute can have.
pub trait Attr: Sized {
    /// As text value.
    fn to_value(&self) -> AttrValue;
    /// From a text value; the error says what was expected.
    fn from_value(v: &AttrValue) -> Result<Self, String>;
}

/// A float attribute: compared and hashed by its bits.
#[derive(Clone, Copy, Debug)]
pub struct F32(pub f32);
impl PartialEq for F32 {
    fn eq(&self, o: &F32) -> bool {
        self.0.to_bits() == o.0.to_bits()
    }
}
impl Eq for F32 {}
impl Hash for F32 {
    fn hash<H: Hasher>(&self, h: &mut H) {
        self.0.to_bits().hash(h)
    }
}
impl From<f32> for F32 {
    fn from(x: f32) -> F32 {
        F32(x)
    }
}

impl Attr for F32 {
    fn to_value(&self) -> AttrValue {
        AttrValue::Float(self.0)
    }
    fn from_value(v: &AttrValue) -> Result<Self, String> {
        match v {
            AttrValue::Float(x) => Ok(F32(*x)),
            AttrValue::Int(n) => Ok(F32(*n as f32)),
            _ => Err("expected a number".into()),
        }
    }
}
macro_rules! int_attr {
    ($($t:ty),*) => {$(
        impl Attr for $t {
            fn to_value(&self) -> AttrValue {
                AttrValue::Int(*self as i64)
            }
            fn from_value(v: &AttrValue) -> Result<Self, String> {
                match v {
                    AttrValue::Int(n) => <$t>::try_from(*n).map_err(|_| format!("{n} is out of range")),
                    _ => Err("expected an integer".into()),
                }
            }
        }
    )*};
}
int_attr!(u8, u32, i32, i64, u64);

impl Attr for bool {
    fn to_value(&self) -> AttrValue {
        AttrValue::Bool(*self)
    }
    fn from_value(v: &AttrValue) -> Result<Self, String> {
        match v {
            AttrValue::Bool(b) => Ok(*b),
            _ => Err("expected `true` or `false`".into()),
        }
    }
}
impl Attr for String {
    fn to_value(&self) -> AttrValue {
        AttrValue::Str(self.clone())
    }
    fn from_value(v: &AttrValue) -> Result<Self, String> {
        match v {
            AttrValue::Str(s) => Ok(s.clone()),
            _ => Err("expected a string in quotes".into()),
        }
    }
}
impl Attr for Dim {
    fn to_value(&self) -> AttrValue {
        match self.as_lit() {
            Some(n) => AttrValue::Int(n),
            None => AttrValue::Dim(self.clone()),
        }
    }
    fn from_value(v: &AttrValue) -> Result<Self, String> {
        match v {
            AttrValue::Int(n) => Ok(Dim::lit(*n)),
            AttrValue::Dim(d) => Ok(d.clone()),
            AttrValue::Word(w) => Ok(Dim::sym(w)),
            _ => Err("expected a dimension".into()),
        }
    }
}
impl<T: Attr> Attr for Vec<T> {
    fn to_value(&self) -> AttrValue {
        AttrValue::List(self.iter().map(T::to_value).collect())
    }
    fn from_value(v: &AttrValue) -> Result<Self, String> {
        match v {
            AttrValue::List(l) => l.iter().map(T::from_value).collect(),
            _ => Err("expected a list in brackets".into()),
        }
    }
}
impl Attr for crate::types::Storage {
    fn to_value(&self) -> AttrValue {
        AttrValue::Word(self.word().into())
    }
    fn from_value(v: &AttrValue) -> Result<Self, String> {
        match v {
            AttrValue::Word(w) => Self::from_word(w).ok_or_else(|| format!("`{w}` is no element type")),
            _ => Err("expected an element type such as `f32`".into()),
        }
    }
}

/// One number for each spatial axis; prints as one number if all are equal (`stride=2`).
///
/// Kept in canonical form (equal entries collapse to one), so equal meaning has equal content.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PerAxis(SmallVec<[u32; 3]>);

impl PerAxis {
    /// The same number on every axis.
    pub fn all(n: u32) -> PerAxis {
        PerAxis(smallvec![n])
    }
    /// One number for each axis, which must not be empty.
    pub fn of(v: &[u32]) -> PerAxis {
        match v {
            [] => PerAxis::all(1),
            [first, rest @ ..] if rest.iter().all(|x| x == first) => PerAxis::all(*first),
            _ => PerAxis(v.into()),
        }
    }
    /// The number of axis `i`.
    pub fn at(&self, i: usize) -> usize {
        (if self.0.len() == 1 { self.0[0] } else { self.0.get(i).copied().unwrap_or(1) }) as usize
    }
    /// The numbers of `rank` axes.
    pub fn get(&self, rank: usize) -> Vec<usize> {
        (0..rank).map(|i| self.at(i)).collect()
    }
    /// Whether it is `n` on every axis.
    pub fn is(&self, n: u32) -> bool {
        self.0.as_slice() == [n]
    }
    /// Why it cannot serve `rank` axes, if it cannot.
    pub fn check(&self, what: &str, rank: usize) -> Result<(), Reason> {
        if self.0.len() == 1 || self.0.len() == rank {
            Ok(())
        } else {
            Err(Reason::new(format!("`{what}` has {} entries for {rank} spatial axes", self.0.len())))
        }
    }
}
impl Attr for PerAxis {
    fn to_value(&self) -> AttrValue {
        match self.0.as_slice() {
            [n] => n.to_value(),
            many => AttrValue::List(many.iter().map(u32::to_value).collect()),
        }
    }
    fn from_value(v: &AttrValue) -> Result<Self, String> {
        match v {
            AttrValue::List(l) if !l.is_empty() => {
                Ok(PerAxis::of(&l.iter().map(u32::from_value).collect::<Result<Vec<_>, _>>()?))
            }
            _ => u32::from_value(v).map(PerAxis::all),
        }
    }
}

/// Padding before and after each spatial axis: `pad=1`, `pad=[1,2]`, or pairs `pad=[[0,1],[0,1]]`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Pads(SmallVec<[(u32, u32); 3]>);

impl Pads {
    /// No padding.
    pub fn none() -> Pads {
        Pads(smallvec![(0, 0)])
    }
    /// `(before, after)` for each axis.
    pub fn of(v: &[(u32, u32)]) -> Pads {
        match v {
            [] => Pads::none(),
            [first, rest @ ..] if rest.iter().all(|x| x == first) => Pads(smallvec![*first]),
            _ => Pads(v.into()),
        }
    }
    /// `(before, after)` of axis `i`.
    pub fn at(&self, i: usize) -> (usize, usize) {
        let (b, e) = if self.0.len() == 1 { self.0[0] } else { self.0.get(i).copied().unwrap_or((0, 0)) };
        (b as usize, e as usize)
    }
    /// `(before, after)` of `rank` axes.
    pub fn get(&self, rank: usize) -> Vec<(usize, usize)> {
        (0..rank).map(|i| self.at(i)).collect()
    }
    /// Whether nothing is padded.
    pub fn is_none(&self) -> bool {
        self.0.as_slice() == [(0, 0)]
    }
    /// Why it cannot serve `rank` axes, if it cannot.
    pub fn check(&self, rank: usize) -> Result<(), Reason> {
        if self.0.len() == 1 || self.0.len() == rank {
            Ok(())
        } else {
            Err(Reason::new(format!("`pad` has {} entries for {rank} spatial axes", self.0.len())))
        }
    }
}
impl Attr for Pads {
    fn to_value(&self) -> AttrValue {
        let pair = |&(b, e): &(u32, u32)| AttrValue::List(vec![b.to_value(), e.to_value()]);
        match self.0.as_slice() {
            [(b, e)] if b == e => b.to_value(),
            all if all.iter().all(|(b, e)| b == e) => {
                AttrValue::List(all.iter().map(|(b, _)| b.to_value()).collect())
            }
            all => AttrValue::List(all.iter().map(pair).collect()),
        }
    }
    fn from_value(v: &AttrValue) -> Result<Self, String> {
        let AttrValue::List(l) = v else {
            return u32::from_value(v).map(|n| Pads(smallvec![(n, n)]));
        };
        let mut all = Vec::new();
        for x in l {
            all.push(match x {
                AttrValue::List(p) if p.len() == 2 => (u32::from_value(&p[0])?, u32::from_value(&p[1])?),
                _ => u32::from_value(x).map(|n| (n, n))?,
            });
        }
        if all.is_empty() { Err("expected one entry for each axis".into()) } else { Ok(Pads::of(&all)) }
    }
}

impl fmt::Display for AttrValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn join(f: &mut fmt::Formatter<'_>, l: &[AttrValue]) -> fmt::Result {
            for (i, x) in l.iter().enumerate() {
                if i > 0 {
                    f.write_str(",")?;
                }
                write!(f, "{x}")?;
            }
            Ok(())
        }
        match self {
            AttrValue::Int(n) => write!(f, "{n}"),
            AttrValue::Float(x) if x.is_nan() => f.write_str("nan"),
            // `Debug` keeps the point of whole numbers (`6.0`), so a float never reads back as an integer.
            AttrValue::Float(x) => write!(f, "{x:?}"),
            AttrValue::Bool(b) => write!(f, "{b}"),
            AttrValue::Word(w) => f.write_str(w),
            AttrValue::Str(s) => write!(f, "{}", crate::text::quoted(s)),
            AttrValue::Observer(s) => write!(f, "{}", crate::text::sigil('$', s)),
            AttrValue::List(l) => {
                f.write_str("[")?;
                join(f, l)?;
                f.write_str("]")
            }
            AttrValue::Dim(d) => write!(f, "{d}"),
            AttrValue::Call(name, args) => {
                write!(f, "{name}(")?;
                join(f, args)?;
                f.write_str(")")
            }
        }
    }
}

/// Takes the attribute `name` out of `list`.
pub fn take<T: Attr>(list: &mut AttrList, name: &str) -> Result<Option<T>, Reason> {
    match list.iter().position(|(n, _)| n == name) {
        None => Ok(None),
        Some(i) => {
            let (_, v) = list.remove(i);
            T::from_value(&v).map(Some).map_err(|e| Reason::new(format!("attribute `{name}={v}`: {e}")))
        }
    }
}

/// Refuses attributes that are not among the known ones.
pub fn refuse_unknown(list: &AttrList, known: &[&str]) -> Result<(), Reason> {
    let Some((name, _)) = list.iter().find(|(n, _)| !known.contains(&n.as_str())) else {
        return Ok(());
    };
    let reason = Reason::new(format!("unknown attribute `{name}`"));
    Err(match did_you_mean(name, known.iter().copied()) {
        Some(k) => reason.help(format!("did you mean `{k}`?")),
        None if known.is_empty() => reason.help("this op has no attributes"),
        None => reason.help(format!("known are: {}", known.join(", "))),
    })
}

/// Declares an enum whose variants are bare words in the text.
#[macro_export]
macro_rules! keyword_enum {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name { $($(#[$vdoc])* $variant),* }
        impl $crate::attr::Attr for $name {
            fn to_value(&self) -> $crate::attr::AttrValue {
                $crate::attr::AttrValue::Word(match self { $($name::$variant => $word),* }.into())
            }
            fn from_value(v: &$crate::attr::AttrValue) -> Result<Self, String> {
                match v {
                    $($crate::attr::AttrValue::Word(w) if w == $word => Ok($name::$variant),)*
                    _ => Err(format!("expected one of {}", [$($word),*].join(", "))),
                }
            }
        }
    };
}

/// Declares an op's attributes: a struct whose fields are printed when they differ from their default.
///
/// A field without a default must be given. `hidden` fields are no attributes; the op's name decides them.
#[macro_export]
macro_rules! attrs {
    ($(#[$doc:meta])* pub struct $name:ident {
        $(@hidden $(#[$hdoc:meta])* $hfield:ident : $hty:ty = $hdefault:expr;)?
        $($(#[$fdoc:meta])* $field:ident : $ty:ty $(= $default:expr)?),* $(,)?
    }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, Debug)]
        pub struct $name { $($(#[$hdoc])* pub $hfield: $hty,)? $($(#[$fdoc])* pub $field: $ty),* }
        impl $crate::ops::Attrs for $name {
            const ATTRS: &'static [&'static str] = &[$(stringify!($field)),*];
            fn defaults() -> Vec<Option<$crate::attr::AttrValue>> {
                vec![$({
                    let default: Option<$ty> = None;
                    $(let default: Option<$ty> = default.or(Some($default));)?
                    default.as_ref().map($crate::attr::Attr::to_value)
                }),*]
            }
            #[allow(unused_mut)]
            fn attrs(&self) -> $crate::attr::AttrList {
                let mut list = $crate::attr::AttrList::new();
                $(
                    let shown = true $(&& self.$field != $default)?;
                    if shown {
                        list.push((stringify!($field).into(), $crate::attr::Attr::to_value(&self.$field)));
                    }
                )*
                list
            }
            #[allow(unused_mut, unused_variables)]
            fn from_attrs(mut list: $crate::attr::AttrList) -> Result<Self, $crate::diag::Reason> {
                // Before a missing one is complained of, which may be an attribute with a typing error.
                $crate::attr::refuse_unknown(&list, Self::ATTRS)?;
                Ok($name {
                    $($hfield: $hdefault,)?
                    $($field: {
                        let given = $crate::attr::take::<$ty>(&mut list, stringify!($field))?;
                        $(let given = Some(given.unwrap_or_else(|| $default));)?
                        given.ok_or_else(|| $crate::diag::Reason::new(
                            concat!("attribute `", stringify!($field), "` is missing")))?
                    }),*
                })
            }
        }
    };
}

/// Declares an op's operands and the view that names them.
///
/// `ValueId` operands must be present, `Option<ValueId>` ones may be absent (`_`), and a last one of
/// `SmallVec<[ValueId; 4]>` takes the rest.
#[macro_export]
macro_rules! operands {
    ($op:ident as $view:ident { $($(#[$fdoc:meta])* $field:ident : $kind:ident),* $(,)? }) => {
        #[doc = concat!("A node that is a [`", stringify!($op), "`], with its operands by name.")]
        #[derive(Clone, Debug)]
        #[allow(missing_docs)]
        pub struct $view<'g> {
            /// The node.
            pub id: $crate::NodeId,
            /// Its attributes.
            pub op: &'g $op,
            /// Its first result.
            pub out: $crate::ValueId,
            $($(#[$fdoc])* pub $field: $crate::operands!(@type $kind)),*
        }
        impl $crate::ops::HasView for $op {
            const OPERANDS: &'static [$crate::ops::OperandSpec] = &[
                $($crate::ops::OperandSpec { name: stringify!($field), kind: $crate::ops::OperandKind::$kind }),*
            ];
            type View<'g> = $view<'g>;
            #[allow(unused_variables, unused_assignments, unused_mut)]
            fn view<'g>(op: &'g Self, id: $crate::NodeId, node: &'g $crate::graph::Node) -> Option<$view<'g>> {
                let mut at = 0;
                Some($view {
                    id,
                    op,
                    out: *node.outs.first()?,
                    $($field: $crate::operands!(@take $kind, node, at)),*
                })
            }
        }
    };
    (@type One) => { $crate::ValueId };
    (@type Maybe) => { Option<$crate::ValueId> };
    (@type Many) => { smallvec::SmallVec<[$crate::ValueId; 4]> };
    (@take One, $node:ident, $at:ident) => {{ $at += 1; $node.ins.get($at - 1).copied().flatten()? }};
    (@take Maybe, $node:ident, $at:ident) => {{ $at += 1; $node.ins.get($at - 1).copied().flatten() }};
    (@take Many, $node:ident, $at:ident) => { $node.ins.iter().skip($at).flatten().copied().collect() };
}
