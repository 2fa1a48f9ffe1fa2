//! Writes what the page needs to know of the sources: the list of published models from `configs/models.toml`, so that the module needs no TOML
//! parser, and the name of this build.

use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

const LIST: &str = "../configs/models.toml";

/// What the page and its engine are built from.
const SOURCES: [&str; 14] = [
    "src",
    "line/src",
    "worker.js",
    "../crates/agent/src",
    "../crates/data/src",
    "../crates/documents/src",
    "../crates/kernels/src",
    "../crates/model/src",
    "../crates/reward/src",
    "../crates/synth/src",
    "../crates/tokenizer/src",
    "../crates/world/src",
    "../shaders",
    "../Cargo.lock",
];

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
    let out = Path::new(&std::env::var("OUT_DIR").expect("OUT_DIR")).join("listed.rs");
    std::fs::write(out, table).expect("the list");
    println!("cargo:rustc-env=LONGHAND_BUILD={}", build());
}

/// A hash of the sources: tabs share an engine only where both are of one build.
fn build() -> String {
    let mut hash = DefaultHasher::new();
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
        for file in files(Path::new(source)) {
            file.hash(&mut hash);
            std::fs::read(&file).unwrap_or_else(|problem| panic!("{}: {problem}", file.display())).hash(&mut hash);
        }
    }
    format!("{:016x}", hash.finish())
}

/// A file, or every file in a folder and the folders in it, in order.
fn files(place: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(place) else { return vec![place.into()] };
    let mut inside: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    inside.sort();
    inside.iter().flat_map(|path| files(path)).collect()
}
