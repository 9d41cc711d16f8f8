//! Area `backend_config`: all fields of all patterns of PyTorch's back ends, in order.

use quantir::quant::backend::{
    BackendConfig, BackendPatternConfig, DTypeConfig, DTypeWithConstraints, Operand, Pattern,
};
use quantir::quant::call_type::canonical;
use serde_json::Value;

use crate::deviations::Area;
use crate::reader::{Golden, Item};

#[test]
fn every_pattern_of_every_back_end() {
    let mut area = Area::new("backend_config");
    for &name in BackendConfig::NAMES.iter().filter(|n| **n != "runtime") {
        let Some(golden) = Golden::open_file("backend_config", &format!("{name}.json")) else { return };
        let ours = BackendConfig::named(name).unwrap();
        let theirs = golden.root().at("configs").list();
        let table = golden.root().at("dtype_configs").list();
        area.case(name, |_| {
            same("name", ours.name.as_str(), golden.root().at("backend").text())?;
            same("number of patterns", ours.configs().len(), theirs.len())
        });
        for (i, theirs) in theirs.iter().enumerate() {
            area.case(&format!("{name}.{i}"), |_| {
                let ours = ours.configs().nth(i).ok_or("missing")?;
                entry(ours, *theirs, &table).map_err(|e| format!("{}: {e}", ours.pattern))
            });
        }
    }
    area.finish();
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, ours: T, theirs: T) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: ours {ours:?}, PyTorch's {theirs:?}")) }
}

fn entry(ours: &BackendPatternConfig, theirs: Item, table: &[Item]) -> Result<(), String> {
    same("pattern", ours.pattern.key(), pattern(theirs).key())?;
    same("observation_type", ours.observation_type.word(), theirs.at("observation_type").text())?;
    let dtypes = theirs.at("dtype_configs").ints();
    let dtypes: Vec<DTypeConfig> = dtypes.into_iter().map(|i| dtype_config(table[i as usize])).collect();
    same("dtype_configs", &ours.dtype_configs, &dtypes)?;
    for (field, have) in [
        ("root_module", &ours.root_module),
        ("qat_module", &ours.qat_module),
        ("reference_quantized_module", &ours.reference_quantized_module),
        ("fused_module", &ours.fused_module),
    ] {
        same(field, have.clone(), theirs.at(field).value.as_str().map(canonical))?;
    }
    // PyTorch's private fusers of sums exist for the left and the right side, which here the pattern tells.
    let fuser = theirs.at("fuser_method").value.as_str().map(|f| {
        let f = f.trim_start_matches('_').trim_end_matches("_left").trim_end_matches("_right");
        if f == "fuser_method" { "fuse_sequential" } else { f }.to_string()
    });
    same("fuser_method", ours.fuser_method.map(|m| m.to_string()), fuser)?;
    let root = theirs.at("root_node_getter").value.as_str();
    same("root_node_getter", ours.root_node.is_some(), root.is_some())?;
    same("root", ours.root(), if root.is_some() { 0 } else { ours.pattern.default_root() })?;
    let extra = theirs.at("extra_inputs_getter").value.as_str();
    let want: Vec<String> = extra.iter().map(|_| "y".to_string()).collect();
    same("extra_inputs", &ours.extra_inputs, &want)?;
    if let Some(extra) = extra {
        let sum = ours.pattern.lines().iter().find(|l| l.op.ends_with(".add")).ok_or("no sum")?;
        let at = sum.operands.iter().position(|o| *o == Operand::Free("y".into()));
        same("side", at, Some(if extra.ends_with("left") { 1 } else { 0 }))?;
    }
    let counts: Vec<(String, &str)> =
        ours.num_tensor_args_to_observation_type.iter().map(|(n, o)| (n.to_string(), o.word())).collect();
    let theirs_counts: Vec<(String, &str)> = theirs
        .at("num_tensor_args_to_observation_type")
        .members()
        .into_iter()
        .map(|(n, o)| (n.to_string(), o.text()))
        .collect();
    same("num_tensor_args_to_observation_type", counts, theirs_counts)?;
    let mut index: Vec<(&str, i64)> =
        ours.input_type_to_index.iter().map(|(k, &i)| (k.as_str(), i as i64)).collect();
    index.sort();
    let mut theirs_index: Vec<(&str, i64)> =
        theirs.at("input_type_to_index").members().into_iter().map(|(k, i)| (k, i.int())).collect();
    theirs_index.sort();
    same("input_type_to_index", index, theirs_index)
}

/// PyTorch's pattern: a type, a list in forward order, or nested lists with the last op first.
fn pattern(theirs: Item) -> Pattern {
    let simple = theirs.at("pattern").value;
    match simple {
        Value::String(one) => Pattern::single(one),
        Value::Array(all) => {
            let ops: Vec<&str> = all.iter().map(|v| v.as_str().unwrap()).collect();
            Pattern::chain(&ops)
        }
        _ => {
            let mut lines = String::new();
            nested(theirs.at("pattern_complex_format").value, &mut lines, &mut 0);
            lines.parse().unwrap()
        }
    }
}

/// Writes the lines of a nested pattern; gives the operand that stands for it.
fn nested(p: &Value, lines: &mut String, count: &mut usize) -> String {
    let (op, operands) = match p {
        Value::String(s) if s.ends_with("MatchAllNode") => return "_".into(),
        // A literal 0, as the recorder wrote what is no type.
        Value::String(s) if s == "?.0" => return "0".into(),
        Value::String(s) => (s.as_str(), vec!["%x".to_string()]),
        Value::Array(all) => {
            let operands = all[1..].iter().map(|a| nested(a, lines, count)).collect();
            (all[0].as_str().expect("an op"), operands)
        }
        other => panic!("no pattern: {other}"),
    };
    let name = format!("%v{count}");
    *count += 1;
    lines.push_str(&format!("{name} = {op} {};", operands.join(", ")));
    name
}

fn dtype_config(theirs: Item) -> DTypeConfig {
    DTypeConfig {
        input_dtype: with_constraints(theirs.at("input_dtype")),
        output_dtype: with_constraints(theirs.at("output_dtype")),
        weight_dtype: with_constraints(theirs.at("weight_dtype")),
        bias_dtype: theirs.at("bias_dtype").value.as_str().map(|d| d.parse().unwrap()),
        is_dynamic: theirs.at("is_dynamic").value.as_bool(),
    }
}

fn with_constraints(theirs: Item) -> DTypeWithConstraints {
    let int = |key| theirs.at(key).value.as_i64();
    let float = |key| theirs.at(key).value.as_f64();
    DTypeWithConstraints {
        dtype: theirs.at("dtype").value.as_str().map(|d| d.parse().unwrap()),
        quant_min_lower_bound: int("quant_min_lower_bound"),
        quant_max_upper_bound: int("quant_max_upper_bound"),
        scale_min_lower_bound: float("scale_min_lower_bound"),
        scale_max_upper_bound: float("scale_max_upper_bound"),
        scale_exact_match: float("scale_exact_match"),
        zero_point_exact_match: int("zero_point_exact_match"),
    }
}
