//! Whether a back end computes with the dtypes that a qconfig asks for.

use quantir_quant::backend::{DTypeRule, Part, Unsupported, same};
use quantir_quant::{
    BackendPatternConfig, DType, DTypeConfig, DTypeWithConstraints, ObserverTemplate, QConfig,
};

use crate::fx::target::Target;
use crate::fx::view::{Arg, ArgRole, FxNode};

/// The dtype of a template, and whether it is dynamic; `None` stands for what is not observed.
pub(crate) fn dtype(t: Option<&ObserverTemplate>) -> (Option<DType>, bool) {
    t.map_or((None, false), |t| (DType::of_storage(t.storage), t.dynamic))
}

/// Why `qconfig` is not supported for a pattern whose root and last nodes have these targets: the reason of the first of
/// those combinations that come nearest.
pub(crate) fn check(
    config: &BackendPatternConfig,
    (root, root_target): (&FxNode, &Target),
    last_target: &Target,
    qconfig: &QConfig,
) -> Result<(), String> {
    let mut nearest: Option<(usize, Unsupported)> = None;
    for d in &config.dtype_configs {
        let args = root.args.iter().try_for_each(|a| input(a, root_target, d, qconfig).map_err(|e| (0, e)));
        match args.and_then(|()| output(last_target, d, qconfig).map_err(|e| (2, e))) {
            Ok(()) => return Ok(()),
            Err((passed, why)) => {
                // Dtypes are asked before all else, so that what breaks another rule came nearer.
                let passed = passed + usize::from(why.rule != DTypeRule::Dtype);
                if nearest.as_ref().is_none_or(|(p, _)| passed > *p) {
                    nearest = Some((passed, why));
                }
            }
        }
    }
    let nothing = || format!("the back end has no combination of dtypes for `{}`", config.pattern);
    Err(nearest.map_or_else(nothing, |(_, why)| why.to_string()))
}

fn input(arg: &Arg, t: &Target, d: &DTypeConfig, q: &QConfig) -> Result<(), Unsupported> {
    if arg.from.is_none() {
        return Ok(());
    }
    match arg.role {
        ArgRole::Literal => Ok(()),
        ArgRole::Activation => {
            let Some(wanted) = d.input_dtype.dtype else { return Ok(()) };
            let (got, dynamic) = dtype(t.input.as_ref());
            same(Part::Input, got, wanted)?;
            d.check_dynamic(dynamic)?;
            d.input_dtype.check(Part::Input, &q.activation)
        }
        ArgRole::Weight | ArgRole::NormWeight => {
            let Some(wanted) = d.weight_dtype.dtype else { return Ok(()) };
            same(Part::Weight, dtype(t.weight.as_ref()).0, wanted)?;
            d.weight_dtype.check(Part::Weight, &q.weight)
        }
        ArgRole::Bias => d.check_bias(dtype(t.bias.as_ref()).0),
    }
}

fn output(t: &Target, d: &DTypeConfig, q: &QConfig) -> Result<(), Unsupported> {
    let Some(wanted) = d.output_dtype.dtype else { return Ok(()) };
    let got = match dtype(t.output.as_ref()) {
        (_, true) => Some(DType::Float32),
        (d, false) => d,
    };
    same(Part::Output, got, wanted)?;
    d.output_dtype.check(Part::Output, &q.activation)
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
