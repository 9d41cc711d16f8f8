//! A model on its way from float to integers, with its stage in its type.

use std::path::Path;
use std::sync::Arc;

use quantir_frontend::trace::{Inputs, Module, Outputs, Tracer};
use quantir_ir::{Graph, Tensor};
use quantir_passes::convert::convert;
use quantir_passes::fx::{self as passes_fx, ConvertCustomConfig, PrepareCustomConfig};
use quantir_passes::lower::lower;
use quantir_passes::prepare::{PrepareReport, prepare};
use quantir_passes::{Manager, Pipeline, Registry};
use quantir_quant::{BackendConfig, Calibration, QConfigMapping};

use crate::backend;
use crate::calibrate::{CalibrateOptions, calibrate};
use crate::data::Dataset;
use crate::error::Error;
use crate::file;
use crate::session::{Session, SessionOptions};

/// Float ops only.
#[derive(Clone, Debug)]
pub struct Float;
/// Observers inserted, nothing seen yet.
#[derive(Clone, Debug)]
pub struct Observed(PrepareReport);
/// Observers have seen data.
#[derive(Clone, Debug)]
pub struct Calibrated(Calibration);
/// Quantize and dequantize around float ops.
#[derive(Clone, Debug)]
pub struct Reference;
/// Integer ops.
#[derive(Clone, Debug)]
pub struct Integer;

/// A model at one stage. Steps consume it and return the next stage, so the wrong order does not compile:
///
/// ```compile_fail
/// # fn f(model: quantir::Model<quantir::Float>) {
/// model.convert(); // a float model has not been calibrated
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Model<Stage> {
    graph: Arc<Graph>,
    stage: Stage,
}

impl<S> Model<S> {
    fn with(graph: Arc<Graph>, stage: S) -> Model<S> {
        Model { graph, stage }
    }
    /// The graph; `quantir_ir::text::print` shows it.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }
    /// The graph, shared.
    pub fn shared_graph(&self) -> Arc<Graph> {
        self.graph.clone()
    }
    /// Makes it ready to run.
    pub fn session(&self, options: &SessionOptions) -> Result<Session, Error> {
        Session::new(self.graph.clone(), options)
    }
    /// Saves the graph and its constants as `.qir.safetensors`, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        file::save(&self.graph, path)
    }
}

impl Model<Float> {
    /// Loads a float model: `.onnx`, or a `.qir` / `.qir.safetensors` of phase float.
    pub fn load(path: &Path) -> Result<Model<Float>, Error> {
        Model::from_graph(file::load(path)?)
    }

    /// Traces a model written in Rust.
    ///
    /// ```
    /// use quantir::{Cx, Model, Module, Traced, Tracer, functional as f, ir::Type, nn};
    ///
    /// struct Net {
    ///     conv: nn::Conv2d,
    ///     fc: nn::Linear,
    /// }
    /// impl Module for Net {
    ///     fn forward(&self, cx: &Cx, x: Traced) -> Traced {
    ///         let y = f::relu(&cx.call("conv", &self.conv, &x));
    ///         let y = f::adaptive_avg_pool2d(&y, 1).flatten(1, -1);
    ///         cx.call("fc", &self.fc, &y)
    ///     }
    /// }
    /// let net = Net { conv: nn::Conv2d::new(3, 8, 3).padding(1), fc: nn::Linear::new(8, 10) };
    /// let model = Model::trace(Tracer::new().input("x", Type::f32(&[1, 3, 8, 8])), &net)?;
    /// assert!(quantir::ir::text::print(model.graph()).contains(r#"@conv by "nn.Conv2d""#));
    /// # Ok::<(), quantir::Error>(())
    /// ```
    #[track_caller]
    pub fn trace<I: Inputs, O: Outputs, M: Module<I, O> + ?Sized>(
        tracer: Tracer,
        model: &M,
    ) -> Result<Model<Float>, Error> {
        Model::from_graph(tracer.trace(model)?.graph)
    }

    /// Takes a graph of phase float.
    pub fn from_graph(graph: Graph) -> Result<Model<Float>, Error> {
        if graph.phase() != quantir_ir::Phase::Float {
            return Err(Error::Usage(
                format!("the model is already of phase {}", graph.phase()),
                "give the float model".into(),
            ));
        }
        Ok(Model::with(Arc::new(graph), Float))
    }

    /// Folds shape arithmetic and batch norms, fuses activations, cleans up.
    pub fn fuse(self) -> Result<Model<Float>, Error> {
        let mut g = Arc::unwrap_or_clone(self.graph);
        let pipeline = Pipeline::parse("canon,fuse", &Registry::standard())?;
        Manager::default().run(&pipeline, &mut g, &mut String::new())?;
        Ok(Model::with(Arc::new(g), Float))
    }

    /// Inserts observers as `mapping` asks and the runtime's kernels allow.
    pub fn prepare(self, mapping: &QConfigMapping) -> Result<Model<Observed>, Error> {
        let mut g = Arc::unwrap_or_clone(self.graph);
        let report = prepare(&mut g, mapping, &backend::native())?;
        Ok(Model::with(Arc::new(g), Observed(report)))
    }

    /// Joins calls as PyTorch's `fuse_fx` does.
    pub fn fuse_fx(self, backend: &BackendConfig) -> Result<Model<Float>, Error> {
        let mut g = Arc::unwrap_or_clone(self.graph);
        passes_fx::fuse_fx(&mut g, backend)?;
        Ok(Model::with(Arc::new(g), Float))
    }

    /// Fuses and inserts observers as PyTorch's `prepare_fx` does.
    pub fn prepare_fx(
        self,
        mapping: &QConfigMapping,
        backend: &BackendConfig,
        custom: &PrepareCustomConfig,
    ) -> Result<Model<Observed>, Error> {
        let mut g = Arc::unwrap_or_clone(self.graph);
        let report = passes_fx::prepare_fx(&mut g, mapping, backend, custom)?;
        Ok(Model::with(Arc::new(g), Observed(report)))
    }
}

impl Model<Observed> {
    /// A graph of phase observed.
    pub(crate) fn observed(graph: Graph, report: PrepareReport) -> Model<Observed> {
        Model::with(Arc::new(graph), Observed(report))
    }

    /// As [`Model::calibrate`], on batches of inputs that are at hand.
    pub fn calibrate_batches(
        self,
        batches: impl IntoIterator<Item = Vec<Tensor>>,
    ) -> Result<Model<Calibrated>, Error> {
        let calibration = crate::calibrate::calibrate_batches(&self.graph, batches)?;
        Ok(Model::with(self.graph, Calibrated(calibration)))
    }

    /// Why ops stay float, as far as it is known before conversion.
    pub fn report(&self) -> &PrepareReport {
        &self.stage.0
    }

    /// Shows the data to the observers.
    pub fn calibrate(self, data: &Dataset, options: &CalibrateOptions) -> Result<Model<Calibrated>, Error> {
        let calibration = calibrate(&self.graph, data, options)?;
        Ok(Model::with(self.graph, Calibrated(calibration)))
    }

    /// Takes a calibration that was saved or written by hand.
    pub fn with_calibration(self, calibration: Calibration) -> Model<Calibrated> {
        Model::with(self.graph, Calibrated(calibration))
    }
}

impl Model<Calibrated> {
    /// What the observers found; its text can be saved, compared and edited.
    pub fn calibration(&self) -> &Calibration {
        &self.stage.0
    }

    /// Replaces observers by quantize and dequantize.
    pub fn convert(self) -> Result<Model<Reference>, Error> {
        let mut g = Arc::unwrap_or_clone(self.graph);
        convert(&mut g, &self.stage.0)?;
        Ok(Model::with(Arc::new(g), Reference))
    }

    /// Replaces observers as PyTorch's `convert_to_reference_fx` does.
    pub fn convert_to_reference_fx(self, custom: &ConvertCustomConfig) -> Result<Model<Reference>, Error> {
        let mut g = Arc::unwrap_or_clone(self.graph);
        passes_fx::convert_to_reference_fx(&mut g, &self.stage.0, custom)?;
        Ok(Model::with(Arc::new(g), Reference))
    }

    /// Converts and lowers as PyTorch's `convert_fx` does.
    pub fn convert_fx(self, custom: &ConvertCustomConfig) -> Result<Model<Integer>, Error> {
        let mut g = Arc::unwrap_or_clone(self.graph);
        passes_fx::convert_fx(&mut g, &self.stage.0, custom)?;
        Ok(Model::with(Arc::new(g), Integer))
    }
}

impl Model<Reference> {
    /// A graph of phase reference.
    pub(crate) fn reference(graph: Graph) -> Model<Reference> {
        Model::with(Arc::new(graph), Reference)
    }

    /// Replaces quantize, float op, dequantize by integer ops wherever a kernel exists.
    pub fn lower(self) -> Result<Model<Integer>, Error> {
        let mut g = Arc::unwrap_or_clone(self.graph);
        lower(&mut g, &backend::native())?;
        Ok(Model::with(Arc::new(g), Integer))
    }
}

impl Model<Integer> {
    /// Loads a quantized model.
    pub fn load(path: &Path) -> Result<Model<Integer>, Error> {
        let graph = file::load(path)?;
        if graph.phase() != quantir_ir::Phase::Integer {
            return Err(Error::Usage(
                format!("the model is of phase {}, not quantized", graph.phase()),
                "quantize it with `qir quantize`".into(),
            ));
        }
        Ok(Model::with(Arc::new(graph), Integer))
    }
}
