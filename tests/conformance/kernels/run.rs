//! Runs one op of a case by the interpreter and by the runtime on every tier of this machine.

use std::sync::Arc;

use quantir::Isa;
use quantir::ir::{
    Elem, Graph, Loc, Op, Phase, QParams, Quant, Shape, Storage, Tensor, Type, ValueId, interp,
};
use quantir::runtime::{Executor, PlanOptions};

use crate::reader::Item;

/// A graph of phase `integer` under construction.
pub struct Build {
    graph: Graph,
    inputs: Vec<Tensor>,
    count: usize,
}

impl Build {
    pub fn new() -> Build {
        Build { graph: Graph::new("case", Phase::Integer), inputs: Vec::new(), count: 0 }
    }

    fn name(&mut self) -> String {
        self.count += 1;
        format!("v{}", self.count)
    }

    /// A value that the run is given.
    pub fn input(&mut self, t: Tensor) -> ValueId {
        let name = self.name();
        let v = self.graph.input(&name, t.ty());
        self.inputs.push(t);
        v
    }

    /// A constant.
    pub fn constant(&mut self, t: Tensor) -> ValueId {
        let name = self.name();
        self.graph.push_const(t, &name, Loc::default())
    }

    /// One op; `declared` is the element type of its result where the op does not decide it.
    pub fn op(
        &mut self,
        op: impl Into<Op>,
        ins: &[Option<ValueId>],
        declared: Option<&Quant>,
    ) -> Result<ValueId, String> {
        let name = self.name();
        let declared: Vec<Type> = declared.into_iter().map(declare).collect();
        let result = self.graph.push_as(op, ins.iter().copied(), &declared, &name, Loc::default());
        Ok(result.map_err(|d| d.to_string())?[0])
    }

    /// The value of `v` by the interpreter, after the runtime gave the same bits on every tier. `kernel` asks for kernels
    /// other than the interpreter's `eval` in every step.
    pub fn finish(mut self, v: ValueId, kernel: bool) -> Result<Tensor, String> {
        self.graph.output("y", v);
        let want = interp::run(&self.graph, &self.inputs, &mut ()).map_err(|e| e.to_string())?.remove(0);
        let graph = Arc::new(self.graph);
        let shapes: Vec<Vec<usize>> = self.inputs.iter().map(|t| t.shape.clone()).collect();
        for isa in Isa::available() {
            let options = PlanOptions { isa, threads: 1, strict: Some(true), interpret: false };
            let e = Executor::new(graph.clone(), options).map_err(|e| e.to_string())?;
            let plan = e.plan(&shapes).map_err(|e| e.to_string())?;
            if kernel && plan.steps().any(|s| s.kernel == "eval") {
                return Err(format!("no kernel on {isa}\n{plan}"));
            }
            let got = e.run(&self.inputs).map_err(|e| e.to_string())?.remove(0);
            if (&got.elem, &got.shape, got.bytes()) != (&want.elem, &want.shape, want.bytes()) {
                return Err(format!("the runtime differs from the interpreter on {isa}"));
            }
        }
        Ok(want)
    }
}

/// A result type of which the shape is inferred.
fn declare(q: &Quant) -> Type {
    Type::new(Elem::Quant(q.clone().into()), Shape::default())
}

/// The quantization that `scale` and `zero_point` of a case's attributes give to its result.
pub fn result_quant(case: Item, storage: Storage) -> Quant {
    let attrs = case.at("attrs");
    Quant::tensor(storage, attrs.at("scale").number() as f32, attrs.at("zero_point").int() as i32)
}

/// The outcome of the engine in the first group that has one.
pub fn engine_out<'a>(case: Item<'a>) -> Option<Item<'a>> {
    case.at("results").list().into_iter().map(|g| g.at("out")).find(|out| !out.is_null())
}

/// Whether every engine refuses the case.
pub fn refused(case: Item) -> bool {
    engine_out(case).is_none() && case.at("reference").is_null()
}

/// Holds an outcome to the case: refused cases must be refused, others compared by `f`.
pub fn judge(
    case: Item,
    outcome: Result<Tensor, String>,
    f: impl FnOnce(&Tensor) -> Result<(), String>,
) -> Result<(), String> {
    match (refused(case), outcome) {
        (true, Err(_)) => Ok(()),
        (true, Ok(_)) => Err("PyTorch refuses it".into()),
        (false, Err(why)) => Err(why),
        (false, Ok(y)) => f(&y),
    }
}

/// Codes of `y` against those of a quantized tensor: at most `within` apart, parameters equal up to one unit in the last
/// place of the scale.
pub fn codes(y: &Tensor, want: Item, within: i64) -> Result<(), String> {
    let q = want.quantized();
    let (ints, want) = (y.ints().map_err(|r| r.message)?, q.ints.ints());
    let Some(QParams::Tensor { scale, zero }) = y.quant().map(|q| &q.params) else {
        return Err("the result has not one scale".into());
    };
    let expected = q.scales[0] as f32;
    if scale.to_bits().abs_diff(expected.to_bits()) > 1 || i64::from(*zero) != q.zero_points[0] {
        return Err(format!("scale {scale} zero point {zero}, expected {expected} and {}", q.zero_points[0]));
    }
    if y.shape != q.ints.shape {
        return Err(format!("shape {:?}, expected {:?}", y.shape, q.ints.shape));
    }
    let apart = ints.iter().zip(&want).map(|(a, b)| (a - b).abs()).max().unwrap_or(0);
    let differ = ints.iter().zip(&want).filter(|(a, b)| a != b).count();
    if apart > within {
        return Err(format!("{differ} of {} codes differ, by up to {apart}", want.len()));
    }
    Ok(())
}

/// Floats against recorded ones: at most 1e-5 apart, relative to `max(1, |x|)`.
pub fn floats(y: &Tensor, want: Item) -> Result<(), String> {
    let (have, array) = (y.floats().map_err(|r| r.message)?, want.array());
    if y.shape != array.shape {
        return Err(format!("shape {:?}, expected {:?}", y.shape, array.shape));
    }
    let worst = have
        .iter()
        .zip(array.f64s())
        .map(|(&a, b)| (f64::from(a) - b).abs() / b.abs().max(1.0))
        .fold(0.0, f64::max);
    if worst <= 1e-5 { Ok(()) } else { Err(format!("floats differ by {worst:e}")) }
}
