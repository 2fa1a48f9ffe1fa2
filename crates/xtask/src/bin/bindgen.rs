//! `bindgen IN.wasm OUT_DIR`: writes the JavaScript beside a wasm module, as wasm-bindgen's own command does, from its library.

use std::path::PathBuf;

use anyhow::{Context, bail};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [input, out_dir] = arguments.as_slice() else {
        bail!("usage: bindgen IN.wasm OUT_DIR");
    };
    std::fs::create_dir_all(out_dir).with_context(|| format!("creating {}", out_dir.display()))?;
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(input)
        .web(true)?
        .typescript(false)
        .omit_default_module_path(false)
        .keep_debug(false)
        .generate(out_dir)
        .with_context(|| format!("wasm-bindgen on {}", input.display()))
}
