//! Writes the list of published models for the page from `configs/models.toml`, so that the module needs no TOML parser.

use std::fmt::Write;

const LIST: &str = "../configs/models.toml";

fn main() {
    println!("cargo:rerun-if-changed={LIST}");
    println!("cargo:rerun-if-changed=build.rs");
    let list: toml::Table = std::fs::read_to_string(LIST).expect("the list of models").parse().expect("TOML");
    let mut table = String::from("&[\n");
    for model in list["model"].as_array().expect("models") {
        let text = |name: &str| model[name].as_str().unwrap_or_else(|| panic!("{name} of {model}"));
        // Only models of one file at the hub: the others are far larger than a tab.
        let Some((hub, file)) = text("name").split_once(':') else { continue };
        let bytes = model["bytes"].as_integer().expect("bytes");
        writeln!(table, "Listed {{ hub: {hub:?}, file: {file:?}, licence: {:?}, bytes: {bytes}.0 }},", text("licence")).expect("a String");
    }
    table.push(']');
    let out = std::path::Path::new(&std::env::var("OUT_DIR").expect("OUT_DIR")).join("listed.rs");
    std::fs::write(out, table).expect("the list");
}
