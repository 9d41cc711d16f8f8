//! Plans against the interpreter's `eval`, and the shape of plans.

use std::sync::Arc;

use quantir_ir::interp::Hook;
use quantir_ir::ops::{Act, Add, ConstData, Relu};
use quantir_ir::{Dim, Elem, Graph, Loc, Phase, Shape, Tensor, Type, ValueId};
use quantir_runtime::{Executor, Plan, PlanOptions};

fn relu_chain(n: usize) -> Graph {
    let mut g = Graph::new("chain", Phase::Float);
    g.declare_dim("N", (1, None));
    let ty = Type::new(Elem::F32, Shape(vec![Dim::sym("N"), Dim::lit(3), Dim::lit(4), Dim::lit(5)]));
    let x = g.input("x", ty);
    let mut v = x;
    for i in 0..n {
        v = g.push(Relu {}, [v], &format!("r{i}"), Loc::default()).unwrap();
    }
    let y = g.push(Add { act: Act::None }, [v, x], "y", Loc::default()).unwrap();
    g.output("y", y);
    g
}

fn ramp(dims: &[usize]) -> Tensor {
    let n: usize = dims.iter().product();
    Tensor::f32(dims, (0..n).map(|i| (i as f32 * 0.37).sin()).collect())
}

#[test]
fn a_chain_runs_for_several_shapes_and_threads() {
    for threads in [1, 2] {
        let options = PlanOptions { threads, ..PlanOptions::default() };
        let e = Executor::new(Arc::new(relu_chain(3)), options).unwrap();
        for n in [1, 2, 1] {
            let x = ramp(&[n, 3, 4, 5]);
            let y = e.run(std::slice::from_ref(&x)).unwrap();
            let want: Vec<f32> = x.floats().unwrap().iter().map(|x| x.max(0.0) + x).collect();
            assert_eq!(*y[0].floats().unwrap(), want);
        }
        assert!(e.run(&[ramp(&[1, 3, 4, 4])]).unwrap_err().to_string().contains("expected 5"));
    }
}

#[test]
fn every_wanted_value_is_seen_in_order() {
    let g = Arc::new(relu_chain(2));
    let e = Executor::new(g.clone(), PlanOptions::default()).unwrap();
    struct Names(Vec<String>);
    impl Hook for Names {
        fn wants(&mut self, g: &Graph, v: ValueId) -> bool {
            &**g.name_of(v) != "r0"
        }
        fn value(&mut self, g: &Graph, v: ValueId, t: &Tensor) {
            assert_eq!(t.shape, [1, 3, 4, 5]);
            self.0.push(g.name_of(v).to_string());
        }
    }
    let mut names = Names(Vec::new());
    e.run_with_hook(&[ramp(&[1, 3, 4, 5])], &mut names).unwrap();
    assert_eq!(names.0, ["x", "r1", "y"]);
}

#[test]
fn constants_are_folded() {
    let mut g = Graph::new("fold", Phase::Float);
    let x = g.input("x", Type::f32(&[2, 2]));
    let data = ConstData::Splat(3.0.into());
    let c = g.push_as(quantir_ir::ops::Const { data }, [None], &[Type::f32(&[2, 2])], "c", Loc::default());
    let c = match c {
        Ok(c) => c[0],
        Err(_) => g.push_const(Tensor::f32(&[2, 2], vec![3.0; 4]), "c", Loc::default()),
    };
    let d = g.push(Add { act: Act::None }, [c, c], "d", Loc::default()).unwrap();
    let y = g.push(Add { act: Act::None }, [x, d], "y", Loc::default()).unwrap();
    g.output("y", y);
    g.output("d", d);
    let plan = Plan::build(&g, &[vec![2, 2]], &PlanOptions::default()).unwrap();
    assert_eq!(plan.steps().count(), 1, "{plan}");
    let e = Executor::new(Arc::new(g), PlanOptions::default()).unwrap();
    let out = e.run(&[Tensor::f32(&[2, 2], vec![1.0; 4])]).unwrap();
    assert_eq!(*out[0].floats().unwrap(), [7.0; 4]);
    assert_eq!(*out[1].floats().unwrap(), [6.0; 4]);
}

#[test]
fn a_long_chain_is_planned_at_once() {
    let g = relu_chain(200_000);
    let plan = Plan::build(&g, &[vec![1, 3, 4, 5]], &PlanOptions::default()).unwrap();
    assert!(plan.arena_bytes() <= 2 * 256, "{}", plan.arena_bytes());
}
