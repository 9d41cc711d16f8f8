//! The list of passes and the standard pipelines.

use crate::pass::Pass;

/// Declares the passes: one line each, in the order in which documentation lists them.
macro_rules! passes {
    ($($($path:ident)::+),* $(,)?) => {
        /// Every pass of this crate.
        pub static PASSES: &[&dyn Pass] = &[$(&crate::$($path)::+),*];
    };
}

passes! {
    canon::dropout::Dropout,
    canon::identity::Identity,
    canon::shape::FoldShape,
    canon::const_fold::ConstFold,
    canon::reshape::FoldReshape,
    canon::cse::Cse,
    canon::dce::Dce,
    canon::batch_norm::DecomposeBatchNorm,
    expand::lstm::ExpandLstm,
    expand::attention::ExpandAttention,
    fuse::pad::FusePad,
    fuse::hard_swish::FuseHardSwish,
    fuse::gelu::FuseGelu,
    fuse::linear::FuseLinear,
    fuse::conv_bn::FuseConvBn,
    fuse::scale::FuseScale,
    fuse::bias::FuseBias,
    fuse::push_affine::PushAffine,
    fuse::act::FuseAct,
    prepare::Prepare,
    calibrate::Calibrate,
    convert::Convert,
    lower::Lower,
    fx::pass::FuseFx,
    fx::pass::PrepareFx,
    fx::pass::ConvertFx,
    fx::pass::LowerFx,
}

/// Named pipelines. The reason for each position stands beside it.
pub static PIPELINES: &[(&str, &str)] = &[
    (
        "canon",
        concat!(
            "dropout,",
            // Before folding, whose chains may pass through identities.
            "identity,",
            // Before constants: known dimensions become constants there.
            "fold-shape,",
            "const-fold,",
            "fold-reshape,",
            // After folding, so that equal results of it are shared.
            "cse,",
            "dce",
        ),
    ),
    (
        "fuse",
        concat!(
            // First, so that a convolution carries its padding when others look at it.
            "fuse-pad,",
            // Before `fuse-act`, which would take the inner clip, and `fuse-bias`, which would take the inner `+ 3`.
            "fuse-hard-swish,",
            "fuse-gelu,",
            "fuse-linear,",
            // An affine step may come before a batch norm or after it, so these run on both sides of it.
            "fuse-scale,",
            "fuse-bias,",
            "fuse-conv-bn,",
            "fuse-scale,",
            "fuse-bias,",
            // What did not fold cannot be quantized as it is; its `add` may still take an activation.
            "decompose-batch-norm,",
            // After the op before had its chance: what is left of affine steps may go into the op behind.
            "push-affine,",
            // Last of the fusions: an activation ends a chain.
            "fuse-act,",
            "dce",
        ),
    ),
];

/// Passes and pipelines by name.
#[derive(Clone)]
pub struct Registry {
    passes: Vec<&'static dyn Pass>,
    pipelines: Vec<(&'static str, &'static str)>,
}

impl Registry {
    /// The passes and pipelines of this crate.
    pub fn standard() -> Registry {
        Registry { passes: PASSES.to_vec(), pipelines: PIPELINES.to_vec() }
    }
    /// Adds a pass; it hides an earlier one of the same name.
    pub fn with(mut self, pass: &'static dyn Pass) -> Registry {
        self.passes.insert(0, pass);
        self
    }
    /// All passes.
    pub fn passes(&self) -> &[&'static dyn Pass] {
        &self.passes
    }
    /// The pass with this name.
    pub fn pass(&self, name: &str) -> Option<&'static dyn Pass> {
        self.passes.iter().copied().find(|p| p.info().name == name)
    }
    /// Name and text of the pipeline with this name.
    pub fn pipeline(&self, name: &str) -> Option<(&'static str, &'static str)> {
        self.pipelines.iter().copied().find(|(n, _)| *n == name)
    }
    /// Names of passes, then of pipelines.
    pub fn names(&self) -> Vec<&'static str> {
        let passes = self.passes.iter().map(|p| p.info().name);
        passes.chain(self.pipelines.iter().map(|(n, _)| *n)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Pipeline;

    #[test]
    fn names_are_unique_and_pipelines_parse() {
        let r = Registry::standard();
        let mut names = r.names();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for (_, text) in PIPELINES {
            Pipeline::parse(text, &r).unwrap();
        }
        for p in PASSES {
            let s = p.info().summary;
            assert!(!s.is_empty() && !s.ends_with('.'), "summary of `{}`: {s:?}", p.info().name);
        }
    }
}
