//! The command line's grammar.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use quantir::Isa;
use quantir::data::Normalize;

/// Quantize, run and inspect neural networks.
#[derive(Parser)]
#[command(
    name = "qir",
    version,
    about,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "Examples:
  qir quantize model.onnx --calibrate calib.npz --evaluate test.npz -o model.qir.safetensors
  qir explain model.qir.safetensors
  qir run model.qir.safetensors --inputs in.npz -o out.npz
  qir bench model.onnx --threads 1

Exit codes: 0 done, 1 error, 2 wrong usage."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Quantize a float model with calibration data and save it
    Quantize(Quantize),
    /// Run a model on data and save its outputs
    Run(Run),
    /// Measure latency
    Bench(Bench),
    /// Print a model as text
    Print(Print),
    /// Run passes on a graph and print the result
    Opt(Opt),
    /// Show the difference of two models as text
    Diff(Diff),
    /// Say for each op whether it runs in int8, and if not, why
    Explain(Explain),
    /// Summarize a model: inputs, outputs, ops, sizes
    Inspect(Inspect),
    /// Compare a quantized model with its float original layer by layer
    Compare(Compare),
    /// Say what quantization will do to each op and tensor, and which rule decides
    PlanQuantization(Plan),
    /// Look at a float model with data and advise how to quantize it
    Report(Report),
}

impl Command {
    /// Whether the command was asked for JSON; its errors then are JSON too.
    pub fn json(&self) -> bool {
        match self {
            Command::Quantize(a) => a.json,
            Command::Bench(a) => a.json,
            Command::Explain(a) => a.json,
            Command::Inspect(a) => a.json,
            Command::Compare(a) => a.json,
            Command::PlanQuantization(a) => a.json,
            Command::Report(a) => a.json,
            Command::Run(_) | Command::Print(_) | Command::Opt(_) | Command::Diff(_) => false,
        }
    }
}

/// How a quantized model comes about.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Activations and weights in int8, parameters from calibration
    Static,
    /// Weights in int8, activations quantized while running
    Dynamic,
    /// Weights in int8, computation in float
    WeightOnly,
    /// Fine-tuning with quantization in the loop
    Qat,
}

/// Whose defaults quantization follows.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// Full 8-bit activations: this runtime accumulates exactly on every instruction set
    Native,
    /// PyTorch's `x86` defaults: 7-bit activations (`reduce_range`)
    X86,
}

#[derive(Args)]
#[command(after_help = "Examples:
  qir quantize net.onnx --calibrate calib.npz -o net.qir.safetensors
  qir quantize net.onnx --calibrate photos/ --normalize 127,128 --evaluate test.npz -o net.qir.safetensors
  qir quantize net.onnx --calibrate calib.npz --config recipe.toml -o net.qir.safetensors

DATA is an .npz file whose arrays carry the names of the model's inputs, with samples on the first
axis (and `labels` for top-1 accuracy), or a folder of .npy files.")]
pub struct Quantize {
    /// Float model: .onnx, .qir or .qir.safetensors
    pub model: PathBuf,
    /// Calibration data
    #[arg(long, value_name = "DATA")]
    pub calibrate: PathBuf,
    /// Data to compare the float and the quantized model on; without it, the calibration data
    #[arg(long, value_name = "DATA")]
    pub evaluate: Option<PathBuf>,
    /// Kind of quantization
    #[arg(long, value_enum, default_value = "static")]
    pub mode: Mode,
    /// Default settings to start from
    #[arg(long, value_enum, default_value = "native")]
    pub backend: Backend,
    /// Recipe that changes settings for op types or modules (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Use only the first N calibration samples
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub samples: Option<u32>,
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Print the summary as JSON on standard output
    #[arg(long)]
    pub json: bool,
    /// Where to save the quantized model (.qir.safetensors)
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

/// How data becomes inputs.
#[derive(Args, Clone)]
pub struct DataArgs {
    /// Apply (x - mean) / std to float inputs; per channel as m1:m2:m3,s1:s2:s3
    #[arg(long, value_name = "MEAN,STD", allow_hyphen_values = true)]
    pub normalize: Option<Normalize>,
}

/// Which part of the machine to use.
#[derive(Args, Clone)]
pub struct MachineArgs {
    /// Number of threads [default: all cores; 1 for bench]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// Use only kernels up to this instruction set: scalar, avx2 or avx512vnni
    #[arg(long, value_name = "ISA")]
    pub isa: Option<Isa>,
}

/// What executes a graph.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Executor {
    /// Planned kernels
    Runtime,
    /// The reference interpreter, which defines the meaning of every op
    Interp,
}

#[derive(Args)]
#[command(after_help = "Example:
  qir run net.qir.safetensors --inputs in.npz -o out.npz

Outputs are saved under their names. Data with more samples than the batch that the model fixes is
run in turn.")]
pub struct Run {
    /// Model: .onnx, .qir or .qir.safetensors
    pub model: PathBuf,
    /// Data with the model's inputs
    #[arg(long, value_name = "DATA")]
    pub inputs: PathBuf,
    /// Where to save the outputs (.npz)
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// What executes the graph
    #[arg(long, value_enum, default_value = "runtime")]
    pub executor: Executor,
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
}

#[derive(Args)]
#[command(after_help = "Examples:
  qir bench net.onnx
  qir bench net.qir.safetensors --threads 2 --profile
  qir bench net.onnx --shape x=1,3,320,480 --json")]
pub struct Bench {
    /// Model: .onnx, .qir or .qir.safetensors
    pub model: PathBuf,
    /// Shape of an input: NAME=D1,D2,...; symbolic dimensions default to 1 for the first axis, 64 for others
    #[arg(long, value_name = "NAME=DIMS")]
    pub shape: Vec<String>,
    /// Seconds to measure
    #[arg(long, default_value = "2", value_name = "SECONDS")]
    pub seconds: f64,
    /// Show the time of each op
    #[arg(long)]
    pub profile: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub machine: MachineArgs,
}

#[derive(Args)]
#[command(after_help = "Example:
  qir print net.onnx | less")]
pub struct Print {
    /// Model: .onnx, .qir or .qir.safetensors
    pub model: PathBuf,
    /// Print Graphviz DOT instead
    #[arg(long)]
    pub dot: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:
  qir opt net.qir -p canon,fuse
  qir opt net.onnx -p 'fuse-conv-bn,fuse-act,dce' --diff --time
  qir opt net.onnx -p canon,fuse --check-each 1 --bisect 17
  qir opt --list")]
pub struct Opt {
    /// Graph: .qir, .onnx or .qir.safetensors
    #[arg(required_unless_present = "list")]
    pub file: Option<PathBuf>,
    /// Passes, separated by commas: name or name{key=value}
    #[arg(short, long, value_name = "PIPELINE", default_value = "canon,fuse")]
    pub passes: String,
    /// List passes and pipelines
    #[arg(long)]
    pub list: bool,
    /// Print what changed instead of the whole graph
    #[arg(long)]
    pub diff: bool,
    /// Print the graph before this pass (or `all`)
    #[arg(long, value_name = "PASS")]
    pub print_before: Vec<String>,
    /// Print the graph after this pass (or `all`)
    #[arg(long, value_name = "PASS")]
    pub print_after: Vec<String>,
    /// Print the graph after each pass that changed it
    #[arg(long)]
    pub print_changed: bool,
    /// Show the time and the number of edits of each pass
    #[arg(long)]
    pub time: bool,
    /// Verify the graph after each pass
    #[arg(long)]
    pub verify_each: bool,
    /// Evaluate the graph before and after each pass on inputs from this seed and compare
    #[arg(long, value_name = "SEED")]
    pub check_each: Option<u64>,
    /// Stop after this many edits and say which was the last
    #[arg(long, value_name = "N")]
    pub bisect: Option<u64>,
    /// On failure, write the graph before the failing pass as a filetest
    #[arg(long, value_name = "FILE")]
    pub repro: Option<PathBuf>,
    /// Save the result (.qir text or .qir.safetensors)
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Example:
  qir diff float.qir int8.qir")]
pub struct Diff {
    /// First model
    pub a: PathBuf,
    /// Second model
    pub b: PathBuf,
}

#[derive(Args)]
#[command(after_help = "Example:
  qir explain net.qir.safetensors")]
pub struct Explain {
    /// Model: .qir.safetensors or .qir
    pub model: PathBuf,
    /// Show only ops that stayed float
    #[arg(long)]
    pub float_only: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(after_help = "Example:
  qir inspect net.onnx")]
pub struct Inspect {
    /// Model: .onnx, .qir or .qir.safetensors
    pub model: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:
  qir compare net.onnx net.qir.safetensors --data test.npz
  qir compare net.onnx net.qir.safetensors --data test.npz --shadow --json

The worst layer comes first. SQNR counts the errors of all layers before; with --shadow, the layer's own
SQNR stands beside it: its float form is computed from what the quantized model gives the layer.")]
pub struct Compare {
    /// Float model: .onnx, .qir or .qir.safetensors
    pub float: PathBuf,
    /// The model quantized from it
    pub quantized: PathBuf,
    /// Data to run both on
    #[arg(long, value_name = "DATA")]
    pub data: PathBuf,
    /// Also compute each layer in float from the quantized model's inputs
    #[arg(long)]
    pub shadow: bool,
    /// Use only the first N samples
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub samples: Option<u32>,
    /// What executes the graphs
    #[arg(long, value_enum, default_value = "runtime")]
    pub executor: Executor,
    #[command(flatten)]
    pub inputs: DataArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:
  qir report net.onnx --calibrate calib.npz
  qir report net.onnx --calibrate calib.npz --recipe advice.toml
  qir report net.onnx --calibrate calib.npz --table --feature outlier --module features.0

Detectors: weights per channel, dynamic against static quantization, outliers in inputs, equalization of
inputs and weights.")]
pub struct Report {
    /// Float model: .onnx, .qir or .qir.safetensors
    pub model: PathBuf,
    /// Data to run it on
    #[arg(long, value_name = "DATA")]
    pub calibrate: PathBuf,
    /// Samples in a batch; statistics of batches depend on it
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: u32,
    /// Use only the first N samples
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub samples: Option<u32>,
    /// Print all features as tables
    #[arg(long)]
    pub table: bool,
    /// With --table: only features whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "", requires = "table")]
    pub feature: String,
    /// With --table: only modules whose path contains this
    #[arg(long, value_name = "TEXT", default_value = "", requires = "table")]
    pub module: String,
    /// Write the advice as a recipe for `qir quantize --config` (TOML)
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    #[command(flatten)]
    pub inputs: DataArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:
  qir plan-quantization net.onnx
  qir plan-quantization net.onnx --config recipe.toml --float-only
  qir plan-quantization net.onnx --fx x86 --json

No data is needed: the plan says which ops are quantized, by which rule of the recipe and with which observers,
and for each op that stays float, why.")]
pub struct Plan {
    /// Float model: .onnx, .qir or .qir.safetensors
    pub model: PathBuf,
    /// Recipe that changes settings for op types or modules (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Default settings to start from
    #[arg(long, value_enum, default_value = "native")]
    pub backend: Backend,
    /// Place observers by PyTorch's FX rules for this back end instead: native, x86, fbgemm, qnnpack, onednn, ...
    #[arg(long, value_name = "BACKEND", conflicts_with = "backend")]
    pub fx: Option<String>,
    /// Show only ops that stay float
    #[arg(long)]
    pub float_only: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
