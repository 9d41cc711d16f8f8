//! A walk over the wire format before anything is decoded.
//!
//! A protobuf of two bytes for each empty node grows a hundredfold when it is decoded, and a length field may claim
//! more than the file holds. This walk reads tags and lengths only, without recursion, and charges the memory that
//! decoding will take against [`Limits`], so the decoder runs on files that are well formed and affordable.

use super::schema::{Field, Kind, Number};
use crate::{Error, Limits};

/// What a scan has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Nodes, those of subgraphs and functions included.
    pub nodes: u64,
    /// Initializers and attribute tensors.
    pub tensors: u64,
    /// Estimated memory of the decoded messages, in bytes; views of the file count nothing.
    pub structure_bytes: u64,
    /// Bytes of raw tensor data and other views of the file.
    pub view_bytes: u64,
    /// Deepest nesting of messages.
    pub depth: usize,
}

/// Memory that any file may use, whatever its size.
const FREE_BYTES: u64 = 64 << 20;
/// What an allocation costs beyond its content.
const ALLOCATION: u64 = 16;
/// One more than the highest field number that [`Kind::field`] knows.
const TAGS: usize = 26;

/// Walks `bytes` as a `ModelProto`.
pub fn scan(bytes: &[u8], limits: &Limits) -> Result<Scan, Error> {
    scan_as(bytes, Kind::Model, limits)
}

/// Walks `bytes` as a message of the given kind.
pub fn scan_as(bytes: &[u8], kind: Kind, limits: &Limits) -> Result<Scan, Error> {
    let mut walk = Walk {
        bytes,
        at: 0,
        frames: vec![Frame::new(kind, bytes.len(), "")],
        found: Scan { structure_bytes: kind.size(), ..Scan::default() },
        limits,
    };
    walk.run()?;
    if kind == Kind::Model && !walk.graph_seen() {
        return Err(Error::NotOnnx { offset: 0, reason: "the file holds no graph".into() });
    }
    Ok(walk.found)
}

struct Frame {
    kind: Kind,
    end: usize,
    field: &'static str,
    /// Elements so far of each list, by field number.
    counts: [u32; TAGS],
}

impl Frame {
    fn new(kind: Kind, end: usize, field: &'static str) -> Frame {
        Frame { kind, end, field, counts: [0; TAGS] }
    }
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    frames: Vec<Frame>,
    found: Scan,
    limits: &'a Limits,
}

/// Field number of the graph in a model.
const GRAPH: usize = 7;

impl Walk<'_> {
    fn run(&mut self) -> Result<(), Error> {
        loop {
            let Some(frame) = self.frames.last() else {
                return Ok(());
            };
            if self.at < frame.end {
                self.field()?;
            } else if self.frames.len() == 1 {
                return Ok(());
            } else {
                self.frames.pop();
            }
        }
    }

    fn graph_seen(&self) -> bool {
        self.frames.first().is_some_and(|f| f.counts[GRAPH] > 0)
    }

    /// Reads one tag and what follows it; a known message is entered, anything else is passed over.
    fn field(&mut self) -> Result<(), Error> {
        let start = self.at;
        let key = self.varint()?;
        let (tag, wire) = ((key >> 3) as usize, (key & 7) as u8);
        if tag == 0 || key > u32::MAX as u64 {
            return Err(self.broken(start, format!("{} is no field tag", describe(key))));
        }
        let (name, field) = self.top().kind.field(tag as u32);
        match (field, wire) {
            (Field::Unknown, 0) | (Field::Number, 0) => self.varint().map(drop),
            (Field::Unknown, 1) => self.take(8, start, name).map(drop),
            (Field::Unknown | Field::Float, 5) => self.take(4, start, name).map(drop),
            (Field::Unknown, 2) => self.delimited(name).map(drop),
            (Field::Numbers(n), wire) => self.numbers(n, wire, tag, name, start),
            (Field::Str | Field::Strs, 2) => {
                let text = self.delimited(name)?;
                if std::str::from_utf8(text).is_err() {
                    return Err(self.broken(start, format!("`{name}` is not valid UTF-8")));
                }
                let len = text.len() as u64;
                if field == Field::Strs {
                    self.grow(tag, 24, start, name)?;
                }
                self.charge(if len == 0 { 0 } else { len.next_multiple_of(16) + ALLOCATION })
            }
            (Field::Bytes | Field::ByteViews, 2) => {
                let len = self.delimited(name)?.len() as u64;
                self.found.view_bytes += len;
                if field == Field::ByteViews { self.grow(tag, 32, start, name) } else { Ok(()) }
            }
            (Field::One(kind) | Field::Boxed(kind) | Field::Many(kind), 2) => {
                let len = self.delimited(name)?.len();
                match field {
                    Field::Many(_) => self.grow(tag, kind.size(), start, name)?,
                    Field::Boxed(_) => self.charge(kind.size() + ALLOCATION)?,
                    _ => {}
                }
                if field == Field::One(Kind::Graph) {
                    self.top_mut().counts[GRAPH] = 1;
                }
                self.enter(kind, name, len, start)
            }
            _ => Err(self.broken(start, format!("`{name}` has wire type {wire}"))),
        }
    }

    /// Goes into the message of `len` bytes that was just passed over.
    fn enter(&mut self, kind: Kind, name: &'static str, len: usize, start: usize) -> Result<(), Error> {
        if self.frames.len() >= self.limits.depth {
            return Err(Error::Limit {
                what: format!("nesting of messages at byte {start}, in {}", self.place()),
                limit: self.limits.depth as u64,
                found: self.frames.len() as u64 + 1,
                cure: "flatten nested subgraphs before export, or raise `Limits::depth` (at most 96)".into(),
            });
        }
        match kind {
            Kind::Node => self.found.nodes += 1,
            Kind::Tensor => self.found.tensors += 1,
            _ => {}
        }
        if self.found.nodes > self.limits.nodes {
            return Err(Error::Limit {
                what: format!("nodes of the model, counted up to byte {start}"),
                limit: self.limits.nodes,
                found: self.found.nodes,
                cure: "split the model, or raise `Limits::nodes`".into(),
            });
        }
        let end = self.at;
        self.at -= len;
        self.frames.push(Frame::new(kind, end, name));
        self.found.depth = self.found.depth.max(self.frames.len());
        Ok(())
    }

    fn numbers(
        &mut self,
        n: Number,
        wire: u8,
        tag: usize,
        name: &'static str,
        start: usize,
    ) -> Result<(), Error> {
        let size = match n {
            Number::Varint(size) => size,
            Number::Fixed32 => 4,
            Number::Fixed64 => 8,
        };
        match (n, wire) {
            (Number::Varint(_), 0) => self.varint().map(drop)?,
            (Number::Fixed32, 5) => self.take(4, start, name).map(drop)?,
            (Number::Fixed64, 1) => self.take(8, start, name).map(drop)?,
            (_, 2) => {
                let data = self.delimited(name)?;
                let many = match n {
                    Number::Varint(_) => {
                        if data.last().is_some_and(|b| b & 0x80 != 0) {
                            return Err(self.broken(start, format!("the last number of `{name}` is cut off")));
                        }
                        data.iter().filter(|b| **b & 0x80 == 0).count() as u64
                    }
                    _ if !(data.len() as u64).is_multiple_of(size) => {
                        let reason = format!("`{name}` has {} bytes, not a multiple of {size}", data.len());
                        return Err(self.broken(start, reason));
                    }
                    _ => data.len() as u64 / size,
                };
                return self.charge(many.next_power_of_two() * size);
            }
            _ => return Err(self.broken(start, format!("`{name}` has wire type {wire}"))),
        }
        self.grow(tag, size, start, name)
    }

    /// Counts one more element of a list; a full vector reserves twice its length.
    fn grow(&mut self, tag: usize, size: u64, start: usize, name: &'static str) -> Result<(), Error> {
        const FIRST: u32 = 4;
        let before = self.top().counts[tag];
        let Some(after) = before.checked_add(1) else {
            return Err(self.broken(start, format!("`{name}` has more than {} elements", u32::MAX)));
        };
        self.top_mut().counts[tag] = after;
        if before == 0 {
            self.charge(FIRST as u64 * size + ALLOCATION)
        } else if before >= FIRST && before.is_power_of_two() {
            self.charge(before as u64 * size)
        } else {
            Ok(())
        }
    }

    fn charge(&mut self, bytes: u64) -> Result<(), Error> {
        self.found.structure_bytes = self.found.structure_bytes.saturating_add(bytes);
        let structural = (self.bytes.len() as u64).saturating_sub(self.found.view_bytes);
        let allowed = structural.saturating_mul(self.limits.structure_ratio).saturating_add(FREE_BYTES);
        let limit = self.limits.structure_bytes.min(allowed);
        if self.found.structure_bytes <= limit {
            return Ok(());
        }
        Err(Error::Limit {
            what: format!("bytes of memory for the model's structure, counted up to byte {}", self.at),
            limit,
            found: self.found.structure_bytes,
            cure: "check where the file comes from, or raise `Limits::structure_bytes` and `Limits::structure_ratio`"
                .into(),
        })
    }

    fn varint(&mut self) -> Result<u64, Error> {
        let start = self.at;
        let end = self.top().end;
        let mut value = 0u64;
        for i in 0..10 {
            if self.at >= end {
                return Err(self.broken(start, "a number is cut off".into()));
            }
            let byte = self.bytes[self.at];
            self.at += 1;
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                if i == 9 && byte > 1 {
                    break;
                }
                return Ok(value);
            }
        }
        Err(self.broken(start, "a number is longer than 64 bits".into()))
    }

    /// The bytes after a length field; they lie within the enclosing message.
    fn delimited(&mut self, name: &str) -> Result<&[u8], Error> {
        let start = self.at;
        let len = self.varint()?;
        self.take(len, start, name)
    }

    fn take(&mut self, len: u64, start: usize, name: &str) -> Result<&[u8], Error> {
        let left = (self.top().end - self.at) as u64;
        if len > left {
            let what = if name.is_empty() { "an unknown field".to_owned() } else { format!("`{name}`") };
            return Err(self.broken(start, format!("{what} claims {len} bytes where {left} are left")));
        }
        let from = self.at;
        self.at += len as usize;
        Ok(&self.bytes[from..self.at])
    }

    fn top(&self) -> &Frame {
        &self.frames[self.frames.len() - 1]
    }

    fn top_mut(&mut self) -> &mut Frame {
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    /// Where the walk stands, as field names with the position of the current element.
    fn place(&self) -> String {
        let mut out = String::from("the model");
        for frame in self.frames.iter().skip(1) {
            out.push('.');
            out.push_str(frame.field);
        }
        if let Some(n) = self.frames.get(2).and(self.frames.get(1)).map(|f| f.counts[1]).filter(|n| *n > 0) {
            out.push_str(&format!(" (node {})", n - 1));
        }
        out
    }

    fn broken(&self, offset: usize, reason: String) -> Error {
        Error::NotOnnx { offset: offset as u64, reason: format!("{reason}, in {}", self.place()) }
    }
}

fn describe(key: u64) -> String {
    if key <= 0xff { format!("byte {key:#04x}") } else { format!("number {key:#x}") }
}

#[cfg(test)]
mod tests {
    use super::super::proto::*;
    use super::*;
    use prost::Message;

    fn model(nodes: Vec<NodeProto>) -> Vec<u8> {
        let graph = GraphProto { node: nodes, ..GraphProto::default() };
        ModelProto { ir_version: Some(8), graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
    }

    fn conv(i: usize) -> NodeProto {
        let ints = |name: &str, v: Vec<i64>| AttributeProto {
            name: Some(name.into()),
            r#type: Some(attribute_proto::AttributeType::Ints as i32),
            ints: v,
            ..AttributeProto::default()
        };
        NodeProto {
            input: vec![format!("x{i}"), format!("w{i}"), format!("b{i}")],
            output: vec![format!("x{}", i + 1)],
            name: Some(format!("/features/features.{i}/Conv")),
            op_type: Some("Conv".into()),
            attribute: vec![
                ints("pads", vec![1; 4]),
                ints("strides", vec![1; 2]),
                ints("kernel_shape", vec![3; 2]),
            ],
            ..NodeProto::default()
        }
    }

    #[test]
    fn a_million_ordinary_nodes_are_within_the_default_limits() {
        let bytes = model((0..10_000).map(conv).collect());
        let found = scan(&bytes, &Limits::default()).unwrap();
        assert_eq!(found.nodes, 10_000);
        assert!(found.structure_bytes * 100 < Limits::default().structure_bytes, "{found:?}");
        assert!(
            found.structure_bytes / (bytes.len() as u64) < Limits::default().structure_ratio,
            "{found:?}"
        );
    }

    #[test]
    fn twenty_megabytes_of_empty_nodes_are_refused() {
        let mut graph = Vec::with_capacity(20 << 20);
        while graph.len() < 20 << 20 {
            graph.extend([0x0a, 0]);
        }
        let mut bytes = vec![0x3a];
        prost::encoding::encode_varint(graph.len() as u64, &mut bytes);
        bytes.extend(graph);
        let text = scan(&bytes, &Limits::default()).unwrap_err().to_string();
        assert!(text.contains("nodes of the model"), "{text}");
        let many = Limits { nodes: u64::MAX, ..Limits::default() };
        let text = scan(&bytes, &many).unwrap_err().to_string();
        assert!(text.contains("bytes of memory for the model's structure"), "{text}");
    }

    #[test]
    fn the_estimate_covers_what_the_decoder_allocates() {
        let node = NodeProto { input: vec![String::from("a"); 5], ..NodeProto::default() };
        let bytes = model(vec![node; 9]);
        let found = scan(&bytes, &Limits::default()).unwrap();
        let decoded = ModelProto::decode(bytes.as_slice()).unwrap();
        let graph = decoded.graph.unwrap();
        let real: usize = graph.node.capacity() * size_of::<NodeProto>()
            + graph
                .node
                .iter()
                .map(|n| n.input.capacity() * size_of::<String>() + n.input.len())
                .sum::<usize>();
        assert!(found.structure_bytes >= real as u64, "{found:?} against {real}");
    }

    #[test]
    fn nesting_is_limited() {
        let mut graph = GraphProto::default();
        for _ in 0..30 {
            let body = AttributeProto { g: Some(Box::new(graph)), ..AttributeProto::default() };
            let node = NodeProto { attribute: vec![body], ..NodeProto::default() };
            graph = GraphProto { node: vec![node], ..GraphProto::default() };
        }
        let bytes = ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec();
        let text = scan(&bytes, &Limits::default()).unwrap_err().to_string();
        assert!(text.contains("nesting of messages at byte"), "{text}");
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = model(vec![conv(0), conv(1)]);
        assert!(scan(&bytes, &Limits::default()).is_ok());
        for len in 0..bytes.len() {
            let text = scan(&bytes[..len], &Limits::default()).unwrap_err().to_string();
            assert!(text.starts_with("not an ONNX model: "), "{len}: {text}");
        }
    }

    #[test]
    fn lengths_beyond_the_file_are_refused_before_anything_is_reserved() {
        let bytes = [0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0];
        let text = scan(&bytes, &Limits::default()).unwrap_err().to_string();
        assert!(text.contains("`graph` claims 4611686018427387903 bytes where 1 are left"), "{text}");
        assert!(text.contains("at byte 1"), "{text}");
    }

    #[test]
    fn random_bytes_never_panic_and_what_passes_decodes() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let seed = model(vec![conv(0), conv(1), conv(2)]);
        for _ in 0..20_000 {
            let mut bytes = seed.clone();
            for _ in 0..1 + next() % 4 {
                let at = (next() % bytes.len() as u64) as usize;
                bytes[at] = next() as u8;
            }
            if scan(&bytes, &Limits::default()).is_ok() {
                ModelProto::decode(bytes.as_slice()).unwrap();
            }
            let noise: Vec<u8> = (0..next() % 64).map(|_| next() as u8).collect();
            let _ = scan(&noise, &Limits::default());
        }
    }
}
