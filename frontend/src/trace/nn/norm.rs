//! Normalisations.

use quantir_ir::attr::F32;
use quantir_ir::{Reason, Tensor, ops};

use crate::trace::{Call, Cx, Init, Module, Traced, make};

macro_rules! batch_norms {
    ($($name:ident $class:literal;)*) => {$(
        /// Normalises each channel by stored statistics.
        #[derive(Clone, Debug)]
        pub struct $name {
            features: usize,
            eps: f32,
            affine: bool,
        }
        impl $name {
            /// For so many channels.
            pub fn new(num_features: usize) -> $name {
                $name { features: num_features, eps: 1e-5, affine: true }
            }
            /// Added to the variance.
            pub fn eps(mut self, eps: f32) -> $name {
                self.eps = eps;
                self
            }
            /// Whether there are a weight and a bias.
            pub fn affine(mut self, affine: bool) -> $name {
                self.affine = affine;
                self
            }
        }
        impl Module for $name {
            fn class(&self) -> String {
                $class.into()
            }
            fn forward(&self, cx: &Cx, x: Traced) -> Traced {
                let n = [self.features];
                let affine = self.affine.then(|| {
                    (cx.param("weight", &n, Init::Ones), cx.param("bias", &n, Init::Zeros))
                });
                let mean = cx.param("running_mean", &n, Init::Zeros);
                let var = cx.param("running_var", &n, Init::Ones);
                let site = cx.site(Call::Module);
                let (w, b) = affine.unwrap_or_else(|| {
                    let filled = |what, v| site.tensor(what, Ok(Tensor::f32(&n, vec![v; self.features])));
                    (filled("weight", 1.0), filled("bias", 0.0))
                });
                site.finish(ops::BatchNorm { eps: F32(self.eps) }, &[&x, &w, &b, &mean, &var])
            }
        }
    )*};
}
batch_norms! {
    BatchNorm1d "nn.BatchNorm1d";
    BatchNorm2d "nn.BatchNorm2d";
    BatchNorm3d "nn.BatchNorm3d";
}

macro_rules! instance_norms {
    ($($name:ident $class:literal;)*) => {$(
        /// Normalises each channel of each sample.
        #[derive(Clone, Debug)]
        pub struct $name {
            features: usize,
            eps: f32,
            affine: bool,
        }
        impl $name {
            /// For so many channels, without weight and bias.
            pub fn new(num_features: usize) -> $name {
                $name { features: num_features, eps: 1e-5, affine: false }
            }
            /// Added to the variance.
            pub fn eps(mut self, eps: f32) -> $name {
                self.eps = eps;
                self
            }
            /// Whether there are a weight and a bias.
            pub fn affine(mut self, affine: bool) -> $name {
                self.affine = affine;
                self
            }
        }
        impl Module for $name {
            fn class(&self) -> String {
                $class.into()
            }
            fn forward(&self, cx: &Cx, x: Traced) -> Traced {
                let n = [self.features];
                let w = self.affine.then(|| cx.param("weight", &n, Init::Ones));
                let b = self.affine.then(|| cx.param("bias", &n, Init::Zeros));
                make::instance_norm(&cx.site(Call::Module), &x, w.as_ref(), b.as_ref(), self.eps)
            }
        }
    )*};
}
instance_norms! {
    InstanceNorm1d "nn.InstanceNorm1d";
    InstanceNorm2d "nn.InstanceNorm2d";
    InstanceNorm3d "nn.InstanceNorm3d";
}

/// Normalises over the last axes.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    shape: Vec<usize>,
    eps: f32,
    affine: bool,
}
impl LayerNorm {
    /// Over axes of these sizes: `LayerNorm::new([8])`.
    pub fn new(normalized_shape: impl Into<Vec<usize>>) -> LayerNorm {
        LayerNorm { shape: normalized_shape.into(), eps: 1e-5, affine: true }
    }
    /// Added to the variance.
    pub fn eps(mut self, eps: f32) -> LayerNorm {
        self.eps = eps;
        self
    }
    /// Whether there are a weight and a bias.
    pub fn elementwise_affine(mut self, affine: bool) -> LayerNorm {
        self.affine = affine;
        self
    }
}
impl Module for LayerNorm {
    fn class(&self) -> String {
        "nn.LayerNorm".into()
    }
    fn forward(&self, cx: &Cx, x: Traced) -> Traced {
        let w = self.affine.then(|| cx.param("weight", &self.shape, Init::Ones));
        let b = self.affine.then(|| cx.param("bias", &self.shape, Init::Zeros));
        make::layer_norm(&cx.site(Call::Module), &x, self.shape.len(), w.as_ref(), b.as_ref(), self.eps)
    }
}

/// Normalises groups of channels of each sample.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    groups: usize,
    channels: usize,
    eps: f32,
    affine: bool,
}
impl GroupNorm {
    /// `num_groups` groups of `num_channels` channels.
    pub fn new(num_groups: usize, num_channels: usize) -> GroupNorm {
        GroupNorm { groups: num_groups, channels: num_channels, eps: 1e-5, affine: true }
    }
    /// Added to the variance.
    pub fn eps(mut self, eps: f32) -> GroupNorm {
        self.eps = eps;
        self
    }
    /// Whether there are a weight and a bias.
    pub fn affine(mut self, affine: bool) -> GroupNorm {
        self.affine = affine;
        self
    }
}
impl Module for GroupNorm {
    fn class(&self) -> String {
        "nn.GroupNorm".into()
    }
    fn forward(&self, cx: &Cx, x: Traced) -> Traced {
        let n = [self.channels];
        let w = self.affine.then(|| cx.param("weight", &n, Init::Ones));
        let b = self.affine.then(|| cx.param("bias", &n, Init::Zeros));
        let site = cx.site(Call::Module);
        match u32::try_from(self.groups) {
            Ok(groups) => make::group_norm(&site, &x, groups, w.as_ref(), b.as_ref(), self.eps),
            Err(_) => site.fail(Reason::new(format!("{} groups are too many", self.groups))),
        }
    }
}
