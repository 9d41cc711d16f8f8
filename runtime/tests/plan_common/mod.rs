//! Graphs of one op, and plans compared with the interpreter.

#![allow(dead_code, missing_docs)]

use std::sync::Arc;

use quantir_ir::ops::constant::splitmix64;
use quantir_ir::{
    Elem, Graph, Loc, Op, Phase, QParams, Quant, Shape, Storage, Tensor, Type, ValueId, Zeros, interp,
};
use quantir_runtime::{Executor, Isa, PlanOptions};

/// Seeded data.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: usize) -> usize {
        (splitmix64(&mut self.0) % n as u64) as usize
    }
    pub fn float(&mut self) -> f32 {
        (splitmix64(&mut self.0) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
    pub fn floats(&mut self, dims: &[usize]) -> Tensor {
        let n = dims.iter().product();
        Tensor::f32(dims, (0..n).map(|_| self.float() * 3.0).collect())
    }
    pub fn ints(&mut self, q: &Arc<Quant>, dims: &[usize]) -> Tensor {
        let n = dims.iter().product();
        let (lo, hi) = q.range;
        let data: Vec<i64> = (0..n).map(|_| lo + self.below((hi - lo + 1) as usize) as i64).collect();
        Tensor::from_ints(Elem::Quant(q.clone()), dims, &data).unwrap()
    }
    /// Any tensor of this type.
    pub fn tensor(&mut self, ty: &Type) -> Tensor {
        let dims = ty.shape.concrete().unwrap();
        match &ty.elem {
            Elem::Quant(q) => self.ints(q, &dims),
            Elem::Plain(Storage::F32) => self.floats(&dims),
            Elem::Plain(s) if s.is_float() => {
                quantir_ir::ops::ConstData::Rand(self.below(1 << 20) as u64).tensor(ty).unwrap()
            }
            Elem::Plain(s) => {
                let n: usize = dims.iter().product();
                let data: Vec<i64> = (0..n).map(|_| self.below(2) as i64).collect();
                Tensor::from_ints(Elem::Plain(*s), &dims, &data).unwrap()
            }
        }
    }
}

pub fn u8q(scale: f32, zero: i32) -> Arc<Quant> {
    Arc::new(Quant::tensor(Storage::U8, scale, zero))
}
pub fn i8q(scale: f32, zero: i32) -> Arc<Quant> {
    Arc::new(Quant::tensor(Storage::I8, scale, zero))
}
/// Per output channel.
pub fn wq(channels: usize, zero: i32) -> Arc<Quant> {
    let scale = (0..channels).map(|c| 0.01 + 0.001 * c as f32).collect();
    let params = QParams::Axis { axis: 0, scale, zero: Zeros::All(zero) };
    Arc::new(Quant { storage: Storage::I8, range: (-128, 127), params })
}
pub fn quantized(q: &Arc<Quant>, dims: &[usize]) -> Type {
    Type::new(Elem::Quant(q.clone()), Shape::of(dims))
}

/// A graph under construction.
pub struct Build {
    pub g: Graph,
    pub random: Random,
    count: usize,
}

impl Build {
    pub fn new(phase: Phase, seed: u64) -> Build {
        Build { g: Graph::new("t", phase), random: Random(seed), count: 0 }
    }
    pub fn name(&mut self) -> String {
        self.count += 1;
        format!("v{}", self.count)
    }
    pub fn input(&mut self, ty: Type) -> ValueId {
        let name = self.name();
        self.g.input(&name, ty)
    }
    pub fn constant(&mut self, ty: &Type) -> ValueId {
        let t = self.random.tensor(ty);
        self.fixed(t)
    }
    pub fn fixed(&mut self, t: Tensor) -> ValueId {
        let name = self.name();
        self.g.push_const(t, &name, Loc::default())
    }
    pub fn op(&mut self, op: impl Into<Op>, ins: &[Option<ValueId>]) -> ValueId {
        self.op_as(op, ins, &[])
    }
    pub fn op_as(&mut self, op: impl Into<Op>, ins: &[Option<ValueId>], declared: &[Type]) -> ValueId {
        let name = self.name();
        let op = op.into();
        let text = format!("{op:?}");
        let result = self.g.push_as(op, ins.iter().copied(), declared, &name, Loc::default());
        result.unwrap_or_else(|d| panic!("{text}: {d}"))[0]
    }
    pub fn finish(mut self, outputs: &[ValueId]) -> (Graph, Vec<Tensor>) {
        for (i, &v) in outputs.iter().enumerate() {
            self.g.output(&format!("out{i}"), v);
        }
        let types: Vec<Type> = self.g.inputs().iter().map(|&v| self.g.ty(v).clone()).collect();
        let inputs = types.iter().map(|t| self.random.tensor(t)).collect();
        (self.g, inputs)
    }
}

/// How much a result may differ.
#[derive(Clone, Copy, PartialEq)]
pub enum Within {
    Exact,
    Relative(f32),
}

/// Runs on all tiers and with one and two threads, and compares with the interpreter. Unless `fallback`, every
/// step must be a kernel.
pub fn check(g: Graph, inputs: &[Tensor], strict: bool, within: Within, fallback: bool) {
    let want = interp::run(&g, inputs, &mut ()).unwrap_or_else(|e| panic!("{e}"));
    let g = Arc::new(g);
    for isa in Isa::available() {
        for threads in [1, 2] {
            let options = PlanOptions { isa, threads, strict: Some(strict), interpret: false };
            let e = Executor::new(g.clone(), options).unwrap();
            let shapes: Vec<Vec<usize>> = inputs.iter().map(|t| t.shape.clone()).collect();
            let plan = e.plan(&shapes).unwrap();
            for step in plan.steps() {
                assert!(fallback || step.kernel != "eval", "{plan}");
            }
            for _ in 0..2 {
                let got = e.run(inputs).unwrap_or_else(|e| panic!("{e}\n{plan}"));
                for (got, want) in got.iter().zip(&want) {
                    compare(got, want, within, &plan.to_string());
                }
            }
        }
    }
}

pub fn compare(got: &Tensor, want: &Tensor, within: Within, context: &str) {
    assert_eq!((&got.elem, &got.shape), (&want.elem, &want.shape), "{context}");
    if got.bytes() == want.bytes() {
        return;
    }
    let (a, b) = (got.floats().unwrap(), want.floats().unwrap());
    for (i, (a, b)) in a.iter().zip(b.iter()).enumerate() {
        let fine = match within {
            Within::Exact => a == b || a.is_nan() && b.is_nan(),
            Within::Relative(r) => (a - b).abs() <= r * (1.0 + b.abs()),
        };
        assert!(fine, "element {i}: {a}, expected {b}\n{context}");
    }
}

/// Checks a float graph in both roundings.
pub fn check_float(g: Graph, inputs: &[Tensor], exact_kernel: bool) {
    check(g.clone(), inputs, true, Within::Exact, !exact_kernel);
    check(g, inputs, false, Within::Relative(1e-4), false);
}
