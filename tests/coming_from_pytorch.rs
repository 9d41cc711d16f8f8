//! `docs/coming-from-pytorch.md`: its tables name only what its last block compiles. `QIR_BLESS=1` writes that block.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

/// Heads the block.
const HEAD: &str = "## Every name, compiled\n";

/// The Rust paths in the second column of the tables.
fn paths(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter(|l| l.starts_with("| `"));
    let cells = rows.map(|l| l.trim_matches('|').split('|').nth(1).unwrap_or_default().trim().to_string());
    cells.map(|c| c.trim_matches('`').to_string()).collect()
}

/// A block that does not compile if one of the paths is wrong.
fn block(paths: &BTreeSet<String>) -> String {
    let mut s = String::from("```rust\n");
    for p in paths {
        let last = p.rsplit("::").next().unwrap_or(p);
        let function = last.starts_with(|c: char| c.is_lowercase());
        // Writing to a `String` cannot fail.
        let _ = match (function, p.contains("Storage::") || p.contains("QScheme::")) {
            (_, true) => writeln!(s, "let _ = {p};"),
            (true, _) => writeln!(s, "let _ = {};", call(p)),
            (false, _) => writeln!(s, "{{ use {p} as _Name; }}"),
        };
    }
    s + "```\n"
}

/// The function as a value; generic arguments that inference cannot find are given.
fn call(p: &str) -> String {
    match p {
        "quantir::quantization::ConvertCustomConfig::set_observed_to_quantized_mapping" => {
            "|c: quantir::quantization::ConvertCustomConfig| c.set_observed_to_quantized_mapping(\"A\", |_, c| Ok(c.inputs[0]))"
                .into()
        }
        _ => p.into(),
    }
}

#[test]
fn every_row_is_compiled() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/coming-from-pytorch.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (page, tail) = text.split_once(HEAD).expect("the page ends with the compiled names");
    let want = format!("\n{}", block(&paths(page)));
    assert!(paths(page).len() > 60);
    if tail == want {
        return;
    }
    assert!(std::env::var_os("QIR_BLESS").is_some(), "run with QIR_BLESS=1 and commit {}", path.display());
    std::fs::write(&path, format!("{page}{HEAD}{want}")).unwrap();
}

/// Every name that PyTorch's page mentions has a row.
#[test]
fn every_name_of_the_page_has_a_row() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/coming-from-pytorch.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let rows: Vec<&str> = text.lines().filter(|l| l.starts_with("| `")).collect();
    let first: Vec<&str> = rows.iter().filter_map(|l| l.trim_matches('|').split('|').next()).collect();
    for name in NAMES.split_whitespace() {
        assert!(first.iter().any(|c| c.contains(&format!("`{name}`"))), "no row for `{name}`");
    }
}

/// The names of the page, as its text and its examples have them.
const NAMES: &str = "
    torch._export torch.ao.nn.quantized torch.ao.nn.quantized.FloatFunctional
    torch.ao.quantization.DeQuantStub torch.ao.quantization.QuantStub torch.ao.quantization.convert
    torch.ao.quantization.default_dynamic_qconfig torch.ao.quantization.default_qconfig
    torch.ao.quantization.fuse_modules torch.ao.quantization.fuse_modules.fuse_modules
    torch.ao.quantization.get_default_qat_qconfig torch.ao.quantization.get_default_qconfig
    torch.ao.quantization.get_default_qconfig_mapping torch.ao.quantization.prepare
    torch.ao.quantization.prepare_fx torch.ao.quantization.prepare_qat torch.ao.quantization.prepare_qat_fx
    torch.ao.quantization.quantize_dynamic torch.ao.quantization.quantize_fx
    torch.ao.quantization.quantize_fx.convert_fx torch.ao.quantization.quantize_fx.prepare_fx
    torch.ao.quantization.quantize_pt2e torch.ao.quantization.quantizer
    torch.backends.quantization.engine torch.backends.quantized.engine torch.dequantize torch.dtype
    torch.export torch.float torch.float16 torch.fx torch.fx.GraphModule torch.fx.proxy.TraceError
    torch.fx.symbolic_trace torch.jit.load torch.jit.save torch.jit.script torch.load
    torch.nn.BatchNorm2d torch.nn.Conv2d torch.nn.Linear torch.nn.Module torch.nn.ReLU
    torch.nn.Sequential torch.nn.functional.relu torch.no_grad torch.onnx
    torch.per_channel_affine torch.per_channel_symmetric torch.per_tensor_affine
    torch.per_tensor_symmetric torch.qint32 torch.qint8 torch.qscheme torch.quantize_per_channel
    torch.quantize_per_tensor torch.quantize_per_tensor_dynamic torch.quint8 torch.rand torch.randn
    torch.save QConfig QConfigMapping get_default_qat_qconfig_mapping capture_pre_autograd_graph
    XNNPACKQuantizer get_symmetric_quantization_config prepare_pt2e convert_pt2e quantize_fx.fuse_fx
    state_dict load_state_dict nnq.Linear.from_float float_to_observed_custom_module_class
    observed_to_quantized_custom_module_class nn.LSTM nn.GRU nn.RNNCell nn.GRUCell nn.LSTMCell
    nn.EmbeddingBag nn.Embedding nn.MultiheadAttention nn.Conv1d nn.Conv3d FakeQuantize Observer
    nn.quantized.Conv2d backend_config";
