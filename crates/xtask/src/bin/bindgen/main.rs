//! `bindgen IN.wasm OUT_DIR NAME`: writes the finished module NAME_bg.wasm and its JavaScript NAME.js, as wasm-bindgen's own command
//! does, from its library. `bindgen --order MODULE.wasm …`: writes finished modules anew, in an order in which they pack small.

mod order;

use std::path::Path;

use anyhow::{Context, bail};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((word, files)) = arguments.split_first()
        && word == "--order"
    {
        return files.iter().try_for_each(|file| put_in_order(Path::new(file)).with_context(|| format!("ordering {file}")));
    }
    let [input, out_dir, name] = arguments.as_slice() else {
        bail!("usage: bindgen IN.wasm OUT_DIR NAME, or bindgen --order MODULE.wasm …");
    };
    let (input, out_dir) = (Path::new(input), Path::new(out_dir));
    std::fs::create_dir_all(out_dir).with_context(|| format!("creating {}", out_dir.display()))?;
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(input)
        .out_name(name)
        .web(true)?
        .typescript(false)
        .omit_default_module_path(false)
        .keep_debug(false)
        .generate(out_dir)
        .with_context(|| format!("wasm-bindgen on {}", input.display()))
}

fn put_in_order(file: &Path) -> anyhow::Result<()> {
    let ordered = order::ordered(&std::fs::read(file)?)?;
    Ok(std::fs::write(file, ordered)?)
}
