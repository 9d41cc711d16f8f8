//! `const`: a tensor that the graph carries.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::attr::{Attr, AttrValue, F32};
use crate::diag::Reason;
use crate::ops::{Eval, Infer, OpDef, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Storage, Type};
use crate::{attrs, operands};

/// Constants of at most this many elements are printed in full, larger ones as `blob("hash")`.
pub const INLINE_LIMIT: usize = 16;

/// The contents of a constant. Generated contents keep tests readable; models hold tensors.
#[derive(Clone, Debug)]
pub enum ConstData {
    /// `rand(seed)`: uniform in [−1, 1) for floats, uniform over the range for integers.
    Rand(u64),
    /// `splat(v)`: the same real number everywhere.
    Splat(F32),
    /// `seq`: 0, 1, 2, …
    Seq,
    /// A tensor and its content hash.
    Tensor(Arc<(Tensor, String)>),
    /// As parsed (`[1,2]` or `blob("hash")`), before the parser resolves it with the declared type.
    Pending(AttrValue),
}

impl From<Tensor> for ConstData {
    fn from(t: Tensor) -> ConstData {
        let hash = t.hash();
        ConstData::Tensor(Arc::new((t, hash)))
    }
}

impl PartialEq for ConstData {
    fn eq(&self, other: &ConstData) -> bool {
        match (self, other) {
            (ConstData::Rand(a), ConstData::Rand(b)) => a == b,
            (ConstData::Splat(a), ConstData::Splat(b)) => a == b,
            (ConstData::Seq, ConstData::Seq) => true,
            (ConstData::Tensor(a), ConstData::Tensor(b)) => {
                Arc::ptr_eq(a, b) || (a.1 == b.1 && a.0.bytes() == b.0.bytes() && a.0.shape == b.0.shape)
            }
            (ConstData::Pending(a), ConstData::Pending(b)) => a == b,
            _ => false,
        }
    }
}
impl Eq for ConstData {}
impl Hash for ConstData {
    fn hash<H: Hasher>(&self, h: &mut H) {
        match self {
            ConstData::Rand(s) => s.hash(h),
            ConstData::Splat(x) => x.hash(h),
            ConstData::Seq => 0.hash(h),
            ConstData::Tensor(t) => t.1.hash(h),
            ConstData::Pending(_) => 1.hash(h),
        }
    }
}

/// One step of splitmix64, the generator behind `rand(seed)`.
pub fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl ConstData {
    /// The tensor of type `ty`, which must have no symbols. Fails also for contents that are still pending.
    pub fn tensor(&self, ty: &Type) -> Result<Tensor, Reason> {
        let shape =
            ty.shape.concrete().ok_or_else(|| Reason::new("a constant cannot have symbolic dimensions"))?;
        let n =
            crate::tensor::checked_numel(&shape).ok_or_else(|| Reason::new("the constant is too large"))?;
        match self {
            ConstData::Tensor(t) => t.0.reshape(&shape)?.retype(ty.elem.clone()),
            ConstData::Pending(v) => Err(Reason::new(format!("contents `{v}` are not loaded"))),
            ConstData::Splat(x) => match &ty.elem {
                Elem::Plain(s) if s.is_float() => float(*s, &shape, vec![x.0; n]),
                Elem::Plain(_) => Tensor::from_ints(ty.elem.clone(), &shape, &vec![x.0 as i64; n]),
                Elem::Quant(q) => Tensor::f32(&shape, vec![x.0; n]).quantize(q),
            },
            ConstData::Rand(seed) => {
                let mut state = *seed;
                match ty.elem.storage() {
                    s if s.is_float() => {
                        let unit = |r: u64| ((r >> 40) as f32 / (1u64 << 24) as f32) * 2.0 - 1.0;
                        float(s, &shape, (0..n).map(|_| unit(splitmix64(&mut state))).collect())
                    }
                    s => {
                        let (lo, hi) = match (&ty.elem, s) {
                            (Elem::Quant(q), _) => q.range,
                            (_, Storage::Bool) => (0, 1),
                            // Plain integers stay small, so that sums and products of them do not overflow.
                            _ => s.int_range().map_or((0, 1), |(lo, hi)| (lo.max(-100), hi.min(100))),
                        };
                        let width = (hi - lo) as u64 + 1;
                        let data: Vec<i64> =
                            (0..n).map(|_| lo + (splitmix64(&mut state) % width) as i64).collect();
                        Tensor::from_ints(ty.elem.clone(), &shape, &data)
                    }
                }
            }
            ConstData::Seq => match ty.elem.storage() {
                s if s.is_float() => float(s, &shape, (0..n).map(|i| i as f32).collect()),
                _ => Tensor::from_ints(ty.elem.clone(), &shape, &(0..n as i64).collect::<Vec<_>>()),
            },
        }
    }

    /// Whether the contents are a `blob("hash")` that was not looked up.
    pub fn is_blob(&self) -> bool {
        matches!(self, ConstData::Pending(AttrValue::Call(..)))
    }

    /// Resolves pending contents: a list by the declared type, a blob by its hash.
    pub fn resolve(&mut self, ty: &Type, blob: &dyn Fn(&str) -> Option<Tensor>) -> Result<(), Reason> {
        let ConstData::Pending(v) = self else {
            return Ok(());
        };
        let shape =
            ty.shape.concrete().ok_or_else(|| Reason::new("a constant cannot have symbolic dimensions"))?;
        let tensor = match v {
            AttrValue::Call(_, args) => {
                let [AttrValue::Str(hash)] = args.as_slice() else {
                    return Err(Reason::new("`blob` takes one hash in quotes"));
                };
                let Some(t) = blob(hash) else {
                    return Err(Reason::new(format!("constant \"{hash}\" is not in the model file")));
                };
                t.reshape(&shape)?.retype(ty.elem.clone())?
            }
            AttrValue::List(items) => literal(&ty.elem, &shape, items)?,
            other => return Err(Reason::new(format!("`{other}` are no contents of a constant"))),
        };
        *self = ConstData::from(tensor);
        Ok(())
    }
}

fn float(s: Storage, shape: &[usize], data: Vec<f32>) -> Result<Tensor, Reason> {
    match s {
        Storage::F16 => Tensor::new(shape, data.into_iter().map(half::f16::from_f32).collect()),
        Storage::BF16 => Tensor::new(shape, data.into_iter().map(half::bf16::from_f32).collect()),
        _ => Tensor::new(shape, data),
    }
}

fn literal(elem: &Elem, shape: &[usize], items: &[AttrValue]) -> Result<Tensor, Reason> {
    if elem.storage().is_float() {
        let data: Result<Vec<f32>, String> = items.iter().map(|v| F32::from_value(v).map(|x| x.0)).collect();
        return float(elem.storage(), shape, data?);
    }
    let data: Result<Vec<i64>, String> = items
        .iter()
        .map(|v| match v {
            AttrValue::Bool(b) => Ok(i64::from(*b)),
            _ => i64::from_value(v),
        })
        .collect();
    Tensor::from_ints(elem.clone(), shape, &data?)
}

impl Attr for ConstData {
    fn to_value(&self) -> AttrValue {
        match self {
            ConstData::Rand(s) => AttrValue::Call("rand".into(), vec![AttrValue::Int(*s as i64)]),
            ConstData::Splat(x) => AttrValue::Call("splat".into(), vec![whole(x.0)]),
            ConstData::Seq => AttrValue::Word("seq".into()),
            ConstData::Pending(v) => v.clone(),
            ConstData::Tensor(t) => inline(&t.0)
                .unwrap_or_else(|| AttrValue::Call("blob".into(), vec![AttrValue::Str(t.1.clone())])),
        }
    }
    fn from_value(v: &AttrValue) -> Result<Self, String> {
        match v {
            AttrValue::Word(w) if w == "seq" => Ok(ConstData::Seq),
            AttrValue::Call(f, args) if f == "rand" && args.len() == 1 => {
                // Large seeds are written as negative numbers.
                Ok(ConstData::Rand(i64::from_value(&args[0])? as u64))
            }
            AttrValue::Call(f, args) if f == "splat" && args.len() == 1 => {
                Ok(ConstData::Splat(F32::from_value(&args[0])?))
            }
            AttrValue::Call(f, _) if f == "blob" => Ok(ConstData::Pending(v.clone())),
            AttrValue::List(_) => Ok(ConstData::Pending(v.clone())),
            _ => Err("expected `rand(seed)`, `splat(value)`, `seq`, `blob(\"hash\")` or a list".into()),
        }
    }
}

/// A number that may stand for integers too, so a whole one is written without a point.
fn whole(x: f32) -> AttrValue {
    let exact = x.fract() == 0.0 && x.abs() < 16_777_216.0 && !(x == 0.0 && x.is_sign_negative());
    if exact { AttrValue::Int(x as i64) } else { AttrValue::Float(x) }
}

/// The elements as a list, if they are few and a list says them without loss.
fn inline(t: &Tensor) -> Option<AttrValue> {
    if t.numel() > INLINE_LIMIT || matches!(t.storage(), Storage::F16 | Storage::BF16) {
        return None;
    }
    let items = match t.storage() {
        // A NaN's payload would be lost in text.
        Storage::F32 if t.floats().ok()?.iter().any(|x| x.is_nan()) => return None,
        Storage::F32 => t.floats().ok()?.iter().map(|&x| AttrValue::Float(x)).collect(),
        _ => t.ints().ok()?.into_iter().map(AttrValue::Int).collect(),
    };
    Some(AttrValue::List(items))
}

attrs! {
    /// A tensor that the graph carries; the declared type says its elements and shape.
    pub struct Const {
        /// The contents.
        data: ConstData,
    }
}
operands! { Const as ConstView { } }
impl OpDef for Const {
    const NAMES: &'static [&'static str] = &["const"];
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
        match &self.data {
            ConstData::Tensor(t) if x.declared.is_empty() => one(t.0.ty()),
            _ => one(x.declared(0)?.clone()),
        }
    }
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
        one(self.data.tensor(x.out(0)?)?)
    }
}
