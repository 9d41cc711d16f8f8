//! The interpreter's `eval` as a step: slow, always there, the definition of the result.

use quantir_ir::ops::Eval;
use quantir_ir::tensor::Scalar;
use quantir_ir::{Elem, Op, Reason, Shape, Storage, Tensor, Type};
use smallvec::SmallVec;

use super::{Built, Io, Kernel, Site};
use crate::plan::Shaped;

/// An op by its `eval` on row-major tensors.
struct Fallback {
    op: Op,
    ins: Vec<Source>,
    outs: Vec<Type>,
}

enum Source {
    Absent,
    Constant(Tensor),
    /// The next operand of the step.
    Value(Shaped),
}

/// The step for any node.
pub(crate) fn build(site: &Site) -> Built {
    let mut uses = SmallVec::new();
    let ins = site.ins.iter().enumerate().map(|(i, operand)| match operand {
        None => Source::Absent,
        Some(operand) => match &operand.constant {
            Some(t) => Source::Constant(t.clone()),
            None => {
                uses.push(i);
                Source::Value(operand.shaped.clone())
            }
        },
    });
    let ins = ins.collect();
    let outs = site.outs.iter().map(|o| ty(&o.shaped)).collect();
    Built::Kernel(Box::new(Fallback { op: site.op.clone(), ins, outs }), uses)
}

/// The type without symbols.
pub(crate) fn ty(shaped: &Shaped) -> Type {
    Type::new(shaped.elem.clone(), Shape::of(&shaped.dims))
}

impl Kernel for Fallback {
    fn run(&self, io: Io<'_>) -> Result<(), Reason> {
        let mut values = io.ins.iter();
        let mut tensors: SmallVec<[Option<Tensor>; 4]> = SmallVec::new();
        for source in &self.ins {
            tensors.push(match source {
                Source::Absent => None,
                Source::Constant(t) => Some(t.clone()),
                Source::Value(shaped) => {
                    let bytes = values.next().ok_or("a step has too few operands")?;
                    Some(tensor(&shaped.elem, &shaped.dims, bytes)?)
                }
            });
        }
        let refs: SmallVec<[Option<&Tensor>; 4]> = tensors.iter().map(Option::as_ref).collect();
        let results = self.op.eval(&Eval { ins: &refs, outs: &self.outs })?;
        if results.len() != io.outs.len() {
            return Err(Reason::new(format!("{} results, expected {}", results.len(), io.outs.len())));
        }
        for ((result, ty), out) in results.iter().zip(&self.outs).zip(io.outs) {
            if result.elem != ty.elem || result.bytes().len() != out.len() {
                return Err(Reason::new(format!("the result is {}, expected {ty}", result.ty())));
            }
            out.copy_from_slice(result.bytes());
        }
        Ok(())
    }
}

/// A tensor with a copy of `bytes`, aligned for its elements.
pub(crate) fn tensor(elem: &Elem, dims: &[usize], bytes: &[u8]) -> Result<Tensor, Reason> {
    tensor_with(elem, dims, |out| out.copy_from_slice(bytes))
}

/// A tensor whose bytes `fill` writes, aligned for its elements.
pub(crate) fn tensor_with(
    elem: &Elem,
    dims: &[usize],
    fill: impl FnOnce(&mut [u8]),
) -> Result<Tensor, Reason> {
    fn with<T: Scalar>(elem: &Elem, dims: &[usize], fill: impl FnOnce(&mut [u8])) -> Result<Tensor, Reason> {
        let mut data = vec![T::zeroed(); dims.iter().product()];
        fill(bytemuck::cast_slice_mut(&mut data));
        Tensor::with_elem(elem.clone(), dims, data)
    }
    match elem.storage() {
        Storage::F32 => with::<f32>(elem, dims, fill),
        Storage::F16 => with::<half::f16>(elem, dims, fill),
        Storage::BF16 => with::<half::bf16>(elem, dims, fill),
        Storage::I4 | Storage::I8 => with::<i8>(elem, dims, fill),
        Storage::U4 | Storage::U8 | Storage::Bool => with::<u8>(elem, dims, fill),
        Storage::I16 => with::<i16>(elem, dims, fill),
        Storage::U16 => with::<u16>(elem, dims, fill),
        Storage::I32 => with::<i32>(elem, dims, fill),
        Storage::I64 => with::<i64>(elem, dims, fill),
    }
}
