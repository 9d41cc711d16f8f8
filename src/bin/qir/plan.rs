//! `qir plan-quantization`: what a recipe does to each op and tensor, before any data is seen.

use quantir::quant::{BackendConfig, defaults};
use quantir::quantization_plan::{PlannedOp, QuantizationPlan, Rules, plan};
use quantir::{Error, Float, Model, QConfigMapping, backend};

use crate::args::{Backend, Plan};
use crate::table::table;

pub fn main(a: Plan) -> Result<(), Error> {
    let model = Model::<Float>::load(&a.model)?;
    let plan = match &a.fx {
        None => {
            let base = match a.backend {
                Backend::Native => QConfigMapping::native(),
                Backend::X86 => QConfigMapping::x86(),
            };
            let mapping = mapping(&a, base)?;
            plan(model.fuse()?.graph(), &mapping, Rules::Native(&backend::native()))?
        }
        Some(name) => {
            let backend = BackendConfig::named(name)?;
            // Back ends without defaults of their own take those of x86, as PyTorch's guides do.
            let base = defaults::get_default_qconfig_mapping(name)
                .or_else(|_| defaults::get_default_qconfig_mapping("x86"))?;
            plan(model.graph(), &mapping(&a, base)?, Rules::Fx(&backend))?
        }
    };
    for w in &plan.warnings {
        crate::warn(w);
    }
    if a.json {
        say!("{}", serde_json::to_string_pretty(&plan).expect("plain data"));
        return Ok(());
    }
    show(&plan, a.float_only);
    Ok(())
}

fn mapping(a: &Plan, base: QConfigMapping) -> Result<QConfigMapping, Error> {
    let Some(path) = &a.config else { return Ok(base) };
    let text = std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.clone(), source })?;
    QConfigMapping::from_toml_over(&text, base).map_err(|e| match e {
        quantir::quant::Error::Text(diags) => {
            let name = path.display().to_string();
            Error::of_text(diags, &name, &text)
        }
        other => other.into(),
    })
}

fn show(plan: &QuantizationPlan, float_only: bool) {
    let mut t =
        table(&["op", "value", "module", "becomes", "reads", "gives", "rule", "qconfig, or why float"]);
    let list = |names: &[Option<String>]| {
        let shown = names.iter().map(|n| n.as_ref().map_or("-".into(), |n| format!("${n}")));
        shown.collect::<Vec<String>>().join(" ")
    };
    let rows: Vec<&PlannedOp> = plan.ops.iter().filter(|o| !(float_only && o.quantized)).collect();
    for o in &rows {
        let why = o.reason.as_deref().or(o.qconfig.as_deref()).unwrap_or("");
        t.add_row([
            o.call.as_deref().unwrap_or(&o.op),
            &format!("%{}", o.value),
            &o.module,
            if o.quantized { "quantized" } else { "float" },
            &list(&o.inputs),
            &list(&o.outputs),
            o.rule.as_deref().unwrap_or("none").trim_start_matches("the "),
            why,
        ]);
    }
    if !rows.is_empty() {
        say!("{t}");
    }
    if !float_only && !plan.tensors.is_empty() {
        let mut t = table(&["tensor", "observer", "shared with", "declaration"]);
        for x in &plan.tensors {
            let shared = match x.shared_with {
                0 => String::new(),
                n => format!("{n} more"),
            };
            let value = format!("%{}{}", x.value, if x.constant { " (constant)" } else { "" });
            t.add_row([value, format!("${}", x.observer), shared, x.declaration.clone()]);
        }
        say!("{t}");
    }
    let quantized = plan.ops.iter().filter(|o| o.quantized).count();
    say!("{quantized} ops will be quantized, {} stay float", plan.ops.len() - quantized);
}
