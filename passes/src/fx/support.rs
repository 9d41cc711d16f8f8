//! Whether a back end computes with the dtypes that a qconfig asks for.

use quantir_quant::{
    BackendPatternConfig, DType, DTypeConfig, DTypeWithConstraints, ObserverTemplate, QConfig,
};

use crate::fx::target::Target;
use crate::fx::view::{Arg, ArgRole, FxNode};
use crate::prelude::*;

/// The dtype of a template, and whether it is dynamic; `None` stands for what is not observed.
pub(crate) fn dtype(t: Option<&ObserverTemplate>) -> (Option<DType>, bool) {
    t.map_or((None, false), |t| (DType::of_storage(t.storage), t.dynamic))
}

/// Why `qconfig` is not supported for a pattern whose root and last nodes have these targets; the first reason of the last
/// combination tried, which is what comes nearest.
pub(crate) fn check(
    config: &BackendPatternConfig,
    (root, root_target): (&FxNode, &Target),
    last_target: &Target,
    qconfig: &QConfig,
) -> Result<(), String> {
    let mut why = format!("the back end has no combination of dtypes for `{}`", config.pattern);
    for d in &config.dtype_configs {
        let args = root.args.iter().try_for_each(|a| input(a, root_target, d, qconfig));
        match args.and_then(|()| output(last_target, d, qconfig)) {
            Ok(()) => return Ok(()),
            Err(e) => why = e,
        }
    }
    Err(why)
}

fn input(arg: &Arg, t: &Target, d: &DTypeConfig, q: &QConfig) -> Result<(), String> {
    if arg.from.is_none() {
        return Ok(());
    }
    match arg.role {
        ArgRole::Literal => Ok(()),
        ArgRole::Activation => {
            let Some(wanted) = d.input_dtype.dtype else { return Ok(()) };
            let (got, dynamic) = dtype(t.input.as_ref());
            same("activations", got, wanted)?;
            if d.dynamic_input() != dynamic {
                return Err(match dynamic {
                    true => "the back end quantizes its activations statically only".into(),
                    false => "the back end quantizes its activations dynamically only".into(),
                });
            }
            constraints("activation", &q.activation, &d.input_dtype)
        }
        ArgRole::Weight | ArgRole::NormWeight => {
            let Some(wanted) = d.weight_dtype.dtype else { return Ok(()) };
            same("the weight", dtype(t.weight.as_ref()).0, wanted)?;
            constraints("weight", &q.weight, &d.weight_dtype)
        }
        ArgRole::Bias => {
            let Some(wanted) = d.bias_dtype else { return Ok(()) };
            same("the bias", dtype(t.bias.as_ref()).0, wanted)
        }
    }
}

fn output(t: &Target, d: &DTypeConfig, q: &QConfig) -> Result<(), String> {
    let Some(wanted) = d.output_dtype.dtype else { return Ok(()) };
    let got = match dtype(t.output.as_ref()) {
        (_, true) => Some(DType::Float32),
        (d, false) => d,
    };
    same("the result", got, wanted)?;
    constraints("activation", &q.activation, &d.output_dtype)
}

fn same(what: &str, got: Option<DType>, wanted: DType) -> Result<(), String> {
    if got == Some(wanted) {
        return Ok(());
    }
    let got = got.map_or("no dtype", DType::word);
    Err(format!("the qconfig has {got} for {what}, the back end takes {wanted}"))
}

/// PyTorch's test of constraints: on the observer that the template makes, only if it has the dtype spoken of.
fn constraints(what: &str, t: &ObserverTemplate, c: &DTypeWithConstraints) -> Result<(), String> {
    if c.dtype.is_none() || DType::of_storage(t.storage) != c.dtype {
        return Ok(());
    }
    if let (Some(lo), Some(hi)) = (c.quant_min_lower_bound, c.quant_max_upper_bound) {
        let Some((min, max)) = t.int_range() else {
            return Err(format!("the {what} observer `{t}` has no range, the back end demands {lo}..{hi}"));
        };
        if min < lo || max > hi {
            return Err(format!(
                "the {what} observer's range {min}..{max} exceeds the back end's {lo}..{hi}"
            ));
        }
    }
    if let Some(least) = c.scale_min_lower_bound {
        let has_eps = !matches!(t.kind.as_str(), "placeholder" | "fixed" | "reuse_input" | "noop");
        if !has_eps || f64::from(t.eps) < least {
            return Err(format!("the {what} observer's least scale is below the back end's {least}"));
        }
    }
    if let (Some(scale), Some(zero)) = (c.scale_exact_match, c.zero_point_exact_match) {
        let float16 = t.storage == Storage::F16 && t.kind == "placeholder";
        let fits = t.kind == "fixed"
            && t.args.first().is_some_and(|&s| f64::from(s) == scale)
            && t.args.get(1).is_some_and(|&z| z as i64 == zero);
        if !fits && !float16 {
            return Err(format!(
                "the back end demands fixed parameters, scale {scale} and zero point {zero}; use the default mapping's \
                 qconfig for this op"
            ));
        }
    }
    Ok(())
}

/// Whether a module of weights becomes a reference module: `_is_qconfig_supported_by_dtype_configs`.
pub(crate) fn weighted(configs: &[DTypeConfig], q: &QConfig) -> bool {
    let float = |c: &DTypeWithConstraints| c.dtype.unwrap_or(DType::Float32);
    let (act, dynamic) = dtype(Some(&q.activation));
    let weight = dtype(Some(&q.weight)).0;
    let bias = match (act, weight, dynamic) {
        (Some(DType::Float16), Some(DType::Float16), false) => DType::Float16,
        _ => DType::Float32,
    };
    configs.iter().any(|d| {
        let weight_fits = weight == Some(float(&d.weight_dtype));
        let input_fits = act == Some(float(&d.input_dtype));
        match d.dynamic_input() {
            true => dynamic && input_fits && float(&d.output_dtype) == DType::Float32 && weight_fits,
            false => {
                input_fits
                    && act == Some(float(&d.output_dtype))
                    && weight_fits
                    && d.bias_dtype.unwrap_or(DType::Float32) == bias
            }
        }
    })
}
