//! What modules become when they are fused: PyTorch's `fuse_modules` and `fuse_modules_qat` as a question.

use std::fmt;

use super::{BackendConfig, BackendPatternConfig, FuserMethod, Pattern};

/// For which use a model is fused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FuseMode {
    /// Evaluation: batch norms are folded into weights (`fuse_modules`, `fuse_fx`).
    Eval,
    /// Training with fake quantization: batch norms stay, inside a fused module (`fuse_modules_qat`).
    Train,
}

impl fmt::Display for FuseMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            FuseMode::Eval => "eval",
            FuseMode::Train => "train",
        })
    }
}

/// What a list of modules becomes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fusion {
    /// The class that takes the place of the first module; the others become `nn.Identity`.
    pub class: String,
    /// Classes of the modules inside, in order; empty if the fused module is no container.
    pub inner: Vec<String>,
}

/// Why modules are not fused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FusionError {
    /// No rule fuses these modules.
    #[error("cannot fuse modules {0:?}: the back end has no fusion for them{1}")]
    Unknown(Vec<String>, String),
    /// PyTorch has no module for it in training.
    #[error(
        "`{0}` is not fused in training; fuse the model in evaluation mode, or leave its batch norm separate"
    )]
    NotInTraining(String),
}

impl BackendConfig {
    /// What modules of these classes, called one after another, are fused to.
    ///
    /// # Errors
    /// No fusion for them, with those that begin like it; a fusion that only evaluation has.
    pub fn fuser_for(&self, modules: &[&str], mode: FuseMode) -> Result<Fusion, FusionError> {
        let pattern = Pattern::chain(modules);
        match self.get(&pattern).filter(|c| c.fuser_method.is_some()) {
            Some(config) => config.fusion(mode),
            None => {
                let first = pattern.ops().next().unwrap_or_default();
                let fused = self.configs().filter(|c| c.fuser_method.is_some());
                let like = fused.filter(|c| c.pattern.ops().next() == Some(first));
                let like: Vec<String> =
                    like.map(|c| c.pattern.ops().collect::<Vec<_>>().join(", ")).collect();
                let known = match like.len() {
                    0 => String::new(),
                    _ => format!("; those that begin with `{first}` are: {}", like.join(" | ")),
                };
                Err(FusionError::Unknown(pattern.ops().map(String::from).collect(), known))
            }
        }
    }
}

impl BackendPatternConfig {
    /// What the pattern is fused to.
    ///
    /// In evaluation batch norms are folded, and what remains is the root alone or a container of the rest; in training the pattern's
    /// own `fused_module` holds all modules.
    ///
    /// # Errors
    /// A pattern without a fuser method; a fusion that only evaluation has.
    pub fn fusion(&self, mode: FuseMode) -> Result<Fusion, FusionError> {
        let ops: Vec<&str> = self.pattern.ops().collect();
        let unknown = || FusionError::Unknown(ops.iter().map(|o| o.to_string()).collect(), String::new());
        let method = self.fuser_method.ok_or_else(unknown)?;
        // A relu called as a function is a module inside the container.
        let module = |op: &str| match op {
            "F.relu" => "nn.ReLU".to_string(),
            "F.leaky_relu" => "nn.LeakyReLU".to_string(),
            "torch.tanh" => "nn.Tanh".to_string(),
            op => op.to_string(),
        };
        let all: Vec<String> = ops.iter().map(|op| module(op)).collect();
        if mode == FuseMode::Train {
            let only_eval = !matches!(
                method,
                FuserMethod::Sequential
                    | FuserMethod::ConvBn
                    | FuserMethod::ConvBnRelu
                    | FuserMethod::LinearBn
            );
            return match &self.fused_module {
                Some(class) if !only_eval => Ok(Fusion { class: class.clone(), inner: all }),
                _ => Err(FusionError::NotInTraining(ops.join(", "))),
            };
        }
        let root = ops[self.root()];
        let inner: Vec<String> =
            all.into_iter().filter(|m| !method.folds_batch_norm() || !m.contains("BatchNorm")).collect();
        if inner.len() == 1 && method.folds_batch_norm() {
            return Ok(Fusion { class: root.to_string(), inner: Vec::new() });
        }
        let class = match method {
            // With the batch norm gone it is a convolution and a relu.
            FuserMethod::ConvBnRelu => {
                let rank = root.strip_prefix("nn.Conv").unwrap_or("2d");
                format!("nn.intrinsic.ConvReLU{rank}")
            }
            _ => self.fused_module.clone().ok_or_else(unknown)?,
        };
        Ok(Fusion { class, inner })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fuse(modules: &[&str], mode: FuseMode) -> Result<String, FusionError> {
        BackendConfig::native().fuser_for(modules, mode).map(|f| f.class)
    }

    /// T90, T93: convolution, batch norm and relu in evaluation and training.
    #[test]
    fn batch_norms_are_folded_in_evaluation_only() {
        let all = ["torch.nn.Conv2d", "nn.BatchNorm2d", "nn.ReLU"];
        assert_eq!(fuse(&all, FuseMode::Eval).unwrap(), "nn.intrinsic.ConvReLU2d");
        assert_eq!(fuse(&all, FuseMode::Train).unwrap(), "nn.intrinsic.ConvBnReLU2d");
        assert_eq!(fuse(&all[..2], FuseMode::Eval).unwrap(), "nn.Conv2d");
        let e = fuse(&["nn.Conv2d", "nn.ReLU6"], FuseMode::Eval).unwrap_err();
        assert!(e.to_string().contains("those that begin with `nn.Conv2d` are: nn.Conv2d, nn.ReLU |"), "{e}");
        assert!(fuse(&["nn.BatchNorm1d", "nn.ReLU"], FuseMode::Eval).is_err());
    }

    /// T101: what is fused for training has a twin with fake quantizers.
    #[test]
    fn fused_modules_have_twins_for_training() {
        let native = BackendConfig::native();
        for (modules, twin) in [
            (&["nn.Linear", "nn.ReLU"][..], "nn.intrinsic.qat.LinearReLU"),
            (&["nn.Linear", "nn.BatchNorm1d"], "nn.intrinsic.qat.LinearBn1d"),
            (&["nn.Conv2d", "nn.BatchNorm2d", "nn.ReLU"], "nn.intrinsic.qat.ConvBnReLU2d"),
        ] {
            let fused = native.fuser_for(modules, FuseMode::Train).unwrap().class;
            let config = native.get(&fused.as_str().into()).unwrap();
            assert_eq!(config.qat_module.as_deref(), Some(twin));
        }
    }

    /// T94, T95: leaky relu and tanh are fused for oneDNN and nowhere else.
    #[test]
    fn linear_activations_are_fused_for_onednn() {
        let onednn = BackendConfig::named("onednn").unwrap();
        for (modules, class) in [
            (&["nn.Linear", "nn.LeakyReLU"][..], "nn.intrinsic.LinearLeakyReLU"),
            (&["nn.Linear", "nn.BatchNorm1d", "nn.LeakyReLU"], "nn.intrinsic.LinearLeakyReLU"),
            (&["nn.Linear", "nn.Tanh"], "nn.intrinsic.LinearTanh"),
        ] {
            assert_eq!(onednn.fuser_for(modules, FuseMode::Eval).unwrap().class, class);
            assert!(fuse(modules, FuseMode::Eval).is_err());
        }
        let bn = ["nn.Linear", "nn.BatchNorm1d", "nn.LeakyReLU"];
        assert!(matches!(onednn.fuser_for(&bn, FuseMode::Train), Err(FusionError::NotInTraining(_))));
    }

    /// T96: sums are fused into convolutions for oneDNN, whichever side the convolution is on.
    #[test]
    fn sums_are_fused_for_onednn() {
        let onednn = BackendConfig::named("onednn").unwrap();
        for sum in ["%s = operator.add %n, %y", "%s = operator.add %y, %n"] {
            let text = format!("%c = nn.Conv2d %x; %n = nn.BatchNorm2d %c; {sum}; %r = nn.ReLU %s");
            let config = onednn.get(&text.parse().unwrap()).unwrap();
            let fusion = config.fusion(FuseMode::Eval).unwrap();
            assert_eq!(fusion.class, "nn.intrinsic.ConvAddReLU2d");
            assert_eq!(fusion.inner, ["nn.Conv2d", "operator.add", "nn.ReLU"]);
            assert!(config.fusion(FuseMode::Train).is_err());
        }
    }
}
