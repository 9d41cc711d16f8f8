//! [`BackendPatternConfig`]: what a back end does with one pattern.

use std::fmt;
use std::str::FromStr;

use indexmap::IndexMap;

use super::{DTypeConfig, Pattern};
use crate::Error;

/// How the result of a pattern is observed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ObservationType {
    /// The result has an observer of its own.
    #[default]
    OutputUseDifferentObserverAsInput,
    /// The result shares the observer of the first input.
    OutputShareObserverWithInput,
    /// Neither is observed.
    InputOutputNotObserved,
}

impl ObservationType {
    const ALL: [(ObservationType, &'static str); 3] = [
        (ObservationType::OutputUseDifferentObserverAsInput, "OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT"),
        (ObservationType::OutputShareObserverWithInput, "OUTPUT_SHARE_OBSERVER_WITH_INPUT"),
        (ObservationType::InputOutputNotObserved, "INPUT_OUTPUT_NOT_OBSERVED"),
    ];
    /// PyTorch's word for it.
    pub fn word(self) -> &'static str {
        ObservationType::ALL.iter().find(|(o, _)| *o == self).map_or("", |(_, w)| w)
    }
}

impl fmt::Display for ObservationType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for ObservationType {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        ObservationType::ALL.iter().find(|(_, w)| *w == text).map(|(o, _)| *o).ok_or_else(|| {
            let all: Vec<&str> = ObservationType::ALL.iter().map(|(_, w)| *w).collect();
            Error::Declaration(format!("unknown observation type `{text}`; known are: {}", all.join(", ")))
        })
    }
}

/// How the modules of a pattern become one (`set_fuser_method`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FuserMethod {
    /// A container of the modules as they are, of class `fused_module`.
    Sequential,
    /// `fuse_conv_bn`.
    ConvBn,
    /// `fuse_conv_bn_relu`.
    ConvBnRelu,
    /// `fuse_convtranspose_bn`.
    ConvTransposeBn,
    /// `fuse_linear_bn`.
    LinearBn,
    /// Convolution and a sum with another value.
    ConvAdd,
    /// The same with a relu after the sum.
    ConvAddRelu,
    /// Convolution, batch norm and a sum with another value.
    ConvBnAdd,
    /// The same with a relu after the sum.
    ConvBnAddRelu,
    /// Linear, batch norm, leaky relu.
    LinearBnLeakyRelu,
}

impl FuserMethod {
    const ALL: [(FuserMethod, &'static str); 10] = [
        (FuserMethod::Sequential, "fuse_sequential"),
        (FuserMethod::ConvBn, "fuse_conv_bn"),
        (FuserMethod::ConvBnRelu, "fuse_conv_bn_relu"),
        (FuserMethod::ConvTransposeBn, "fuse_convtranspose_bn"),
        (FuserMethod::LinearBn, "fuse_linear_bn"),
        (FuserMethod::ConvAdd, "fuse_conv_add"),
        (FuserMethod::ConvAddRelu, "fuse_conv_add_relu"),
        (FuserMethod::ConvBnAdd, "fuse_conv_bn_add"),
        (FuserMethod::ConvBnAddRelu, "fuse_conv_bn_add_relu"),
        (FuserMethod::LinearBnLeakyRelu, "fuse_linear_bn_leaky_relu"),
    ];
    /// Its name: PyTorch's where it has one.
    pub fn word(self) -> &'static str {
        FuserMethod::ALL.iter().find(|(m, _)| *m == self).map_or("", |(_, w)| w)
    }
    /// Whether a batch norm is folded into the root.
    pub fn folds_batch_norm(self) -> bool {
        !matches!(self, FuserMethod::Sequential | FuserMethod::ConvAdd | FuserMethod::ConvAddRelu)
    }
}

impl fmt::Display for FuserMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for FuserMethod {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        FuserMethod::ALL.iter().find(|(_, w)| *w == text).map(|(m, _)| *m).ok_or_else(|| {
            let all: Vec<&str> = FuserMethod::ALL.iter().map(|(_, w)| *w).collect();
            Error::Declaration(format!("unknown fuser method `{text}`; known are: {}", all.join(", ")))
        })
    }
}

/// What a back end does with one pattern (`BackendPatternConfig`).
///
/// Classes are canonical call types: `nn.Conv2d`, `nn.intrinsic.ConvReLU2d`, `nn.quantized.reference.Conv2d`.
#[derive(Clone, PartialEq, Debug)]
pub struct BackendPatternConfig {
    /// What it is about.
    pub pattern: Pattern,
    /// How the result is observed.
    pub observation_type: ObservationType,
    /// The combinations of dtypes; any one that fits is enough.
    pub dtype_configs: Vec<DTypeConfig>,
    /// The float module that holds the weights.
    pub root_module: Option<String>,
    /// What takes its place when training with fake quantization is prepared.
    pub qat_module: Option<String>,
    /// What stands for the root module in the reference model.
    pub reference_quantized_module: Option<String>,
    /// What the modules of the pattern become when they are fused.
    pub fused_module: Option<String>,
    /// How they are fused; `None`: not at all.
    pub fuser_method: Option<FuserMethod>,
    /// Name of the pattern's line that is the root, where it is not [`Pattern::default_root`] (`_set_root_node_getter`).
    pub root_node: Option<String>,
    /// Names of free operands that become inputs of the fused call after those of the root (`_set_extra_inputs_getter`).
    pub extra_inputs: Vec<String>,
    /// Another observation type for calls with so many tensor operands.
    pub num_tensor_args_to_observation_type: IndexMap<usize, ObservationType>,
    /// Which operand of a functional call is `weight`, `bias` or `input`.
    pub input_type_to_index: IndexMap<String, usize>,
}

impl BackendPatternConfig {
    /// A pattern that nothing is said about yet.
    pub fn new(pattern: impl Into<Pattern>) -> Self {
        BackendPatternConfig {
            pattern: pattern.into(),
            observation_type: ObservationType::default(),
            dtype_configs: Vec::new(),
            root_module: None,
            qat_module: None,
            reference_quantized_module: None,
            fused_module: None,
            fuser_method: None,
            root_node: None,
            extra_inputs: Vec::new(),
            num_tensor_args_to_observation_type: IndexMap::new(),
            input_type_to_index: IndexMap::new(),
        }
    }
    /// How the result is observed.
    pub fn set_observation_type(mut self, of: ObservationType) -> Self {
        self.observation_type = of;
        self
    }
    /// One more combination of dtypes.
    pub fn add_dtype_config(mut self, config: DTypeConfig) -> Self {
        self.dtype_configs.push(config);
        self
    }
    /// These combinations instead of the present ones.
    pub fn set_dtype_configs(mut self, configs: impl IntoIterator<Item = DTypeConfig>) -> Self {
        self.dtype_configs = configs.into_iter().collect();
        self
    }
    /// The float module that holds the weights.
    pub fn set_root_module(mut self, class: &str) -> Self {
        self.root_module = Some(class.into());
        self
    }
    /// The module for training with fake quantization.
    pub fn set_qat_module(mut self, class: &str) -> Self {
        self.qat_module = Some(class.into());
        self
    }
    /// The module of the reference model.
    pub fn set_reference_quantized_module(mut self, class: &str) -> Self {
        self.reference_quantized_module = Some(class.into());
        self
    }
    /// The class that the pattern is fused to.
    pub fn set_fused_module(mut self, class: &str) -> Self {
        self.fused_module = Some(class.into());
        self
    }
    /// How the pattern is fused.
    pub fn set_fuser_method(mut self, method: FuserMethod) -> Self {
        self.fuser_method = Some(method);
        self
    }
    /// The line of the pattern that is the root.
    pub fn set_root_node(mut self, line: &str) -> Self {
        self.root_node = Some(line.into());
        self
    }
    /// Free operands that the fused call takes after those of the root.
    pub fn set_extra_inputs(mut self, names: &[&str]) -> Self {
        self.extra_inputs = names.iter().map(|n| n.to_string()).collect();
        self
    }
    /// Observation types for numbers of tensor operands.
    pub fn set_num_tensor_args_to_observation_type(
        mut self,
        of: impl IntoIterator<Item = (usize, ObservationType)>,
    ) -> Self {
        self.num_tensor_args_to_observation_type = of.into_iter().collect();
        self
    }
    /// Which operand is `weight`, `bias`, `input`.
    pub fn set_input_type_to_index(mut self, of: &[(&str, usize)]) -> Self {
        self.input_type_to_index = of.iter().map(|&(k, i)| (k.to_string(), i)).collect();
        self
    }
    /// The observation type of a call with so many tensor operands.
    pub fn observation_type_for(&self, num_tensor_args: usize) -> ObservationType {
        let own = self.num_tensor_args_to_observation_type.get(&num_tensor_args);
        own.copied().unwrap_or(self.observation_type)
    }
    /// Index of the pattern's line that is the root.
    pub fn root(&self) -> usize {
        self.root_node.as_deref().and_then(|n| self.pattern.line(n)).unwrap_or(self.pattern.default_root())
    }
}

/// `nn.Conv2d, nn.ReLU: different { input quint8, output quint8, weight qint8, bias float32 } fuse_sequential nn.intrinsic.ConvReLU2d`.
impl fmt::Display for BackendPatternConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chain: Vec<&str> = self.pattern.ops().collect();
        match Pattern::chain(&chain) == self.pattern {
            true => f.write_str(&chain.join(", "))?,
            false => write!(f, "{}", self.pattern)?,
        }
        f.write_str(match self.observation_type {
            ObservationType::OutputUseDifferentObserverAsInput => ": different",
            ObservationType::OutputShareObserverWithInput => ": share",
            ObservationType::InputOutputNotObserved => ": not observed",
        })?;
        let dtypes: Vec<String> = self.dtype_configs.iter().map(|d| d.to_string()).collect();
        write!(f, " {{ {} }}", dtypes.join(" | "))?;
        if let Some(m) = self.fuser_method {
            write!(f, " {m}")?;
        }
        self.fused_module.iter().try_for_each(|c| write!(f, " {c}"))
    }
}
