//! `cargo xtask web`: the page's modules and everything around them, laid out as a package for npm in `web/package`.
//!
//! What is written by hand lies in `web/embed`; `package.json` there is complete but for the version.

#[cfg(test)]
mod described;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{Options, shell, wasm};

/// The files of the small model that comes along.
pub const TINY: [&str; 4] = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"];

/// How large may be, gzipped, what every visitor fetches: the file, the bytes. The modules for files of other formats and of the inspector come to those
/// who open one.
const LIMITS: [(&str, u64); 2] = [("longhand-web_bg.wasm", 1_500_000), ("longhand.js", 60_000)];

/// `cargo xtask web [--dev]`.
pub fn run(options: &Options) -> bool {
    match build(options.dev) {
        Ok(()) => true,
        Err(problem) => {
            println!("\nfailed: {problem}");
            false
        }
    }
}

fn build(dev: bool) -> Result<(), String> {
    let bound = shell::target_dir().join("web-module").join(if dev { "dev" } else { "web" });
    match dev {
        true => wasm::bindgen(&wasm::build()?, &bound)?,
        false => wasm::bindgen_small(&wasm::build_small()?, &bound)?,
    }
    let folder = shell::root().join("web/package");
    let version = if dev { concat!(env!("CARGO_PKG_VERSION"), "-dev") } else { env!("CARGO_PKG_VERSION") };
    lay_out(&bound, &folder, version)?;
    println!("\n{}", folder.display());
    let sizes = sizes(&folder)?;
    for (name, raw, packed) in &sizes {
        println!("  {name:<48}{raw:>12}{packed:>12} gzipped");
    }
    complete(&folder)?;
    // Said, and no failure yet: the package works at its size, and the module is far over (BENCHMARKS.md).
    if !dev && let Err(problem) = within_limits(&sizes) {
        println!("\nover the goal: {problem}");
    }
    Ok(())
}

/// Fills `folder` with the package around the modules in `bound`; what was there is gone.
pub fn lay_out(bound: &Path, folder: &Path, version: &str) -> Result<(), String> {
    let root = shell::root();
    let _ = std::fs::remove_dir_all(folder);
    // The inspector is the app's alone.
    let ours = |name: &&PathBuf| !name.to_string_lossy().contains("longhand-inspect");
    files(bound)?.iter().filter(ours).try_for_each(|name| copy(&bound.join(name), &folder.join(name)))?;
    copy_folder(&root.join("web/embed"), folder)?;
    for name in ["worker.js", "style.css"] {
        copy(&root.join("web").join(name), &folder.join(name))?;
    }
    copy(&root.join("LICENSE"), &folder.join("LICENSE"))?;
    for name in TINY {
        copy(&root.join("models/tiny").join(name), &folder.join("tiny").join(name))?;
    }
    // A tiny model with known tokens, by which the engine tests the visitor's graphics adapter.
    for name in ["config.json", "model.safetensors", "greedy.json"] {
        copy(&root.join("tests/golden/qwen3").join(name), &folder.join("known").join(name))?;
    }
    // The examples' document is the one that the tests read.
    copy(&root.join("tests/browser/reads/story.txt"), &folder.join("examples/story.txt"))?;
    let place = folder.join("package.json");
    let mut package = read_json(&place)?;
    package["version"] = version.into();
    let text = serde_json::to_string_pretty(&package).map_err(|problem| problem.to_string())?;
    std::fs::write(&place, text + "\n").map_err(|problem| format!("{}: {problem}", place.display()))
}

/// Copies a file; the folders to it are made.
pub fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let parent = to.parent().expect("a file lies in a folder");
    std::fs::create_dir_all(parent).map_err(|problem| format!("{}: {problem}", parent.display()))?;
    std::fs::copy(from, to).map(drop).map_err(|problem| format!("{}: {problem}", from.display()))
}

/// Copies all files of a folder and of the folders in it.
pub fn copy_folder(from: &Path, to: &Path) -> Result<(), String> {
    files(from)?.iter().try_for_each(|name| copy(&from.join(name), &to.join(name)))
}

/// Every file in a folder and the folders in it, by its path from there, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|problem| format!("{}: {problem}", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let name = PathBuf::from(entry.file_name());
        match entry.path().is_dir() {
            true => found.extend(files(&entry.path())?.into_iter().map(|file| name.join(file))),
            false => found.push(name),
        }
    }
    found.sort();
    Ok(found)
}

fn read_json(place: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(place).map_err(|problem| format!("{}: {problem}", place.display()))?;
    serde_json::from_str(&text).map_err(|problem| format!("{}: {problem}", place.display()))
}

/// Whether the package's own list is what lies there: each name in `files`, `exports`, `types` and `customElements` exists, and each
/// file is in the list, for npm leaves out what is not.
fn complete(folder: &Path) -> Result<(), String> {
    let package = read_json(&folder.join("package.json"))?;
    let strings = |value: &Value| -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![value.clone()];
        while let Some(value) = open.pop() {
            match value {
                Value::String(text) => found.push(text.trim_start_matches("./").to_string()),
                Value::Array(values) => open.extend(values),
                Value::Object(values) => open.extend(values.into_iter().map(|(_, value)| value)),
                _ => {}
            }
        }
        found
    };
    let listed = strings(&package["files"]);
    let named = listed.iter().cloned().chain(["exports", "types", "customElements"].iter().flat_map(|name| strings(&package[*name])));
    let mut problems: Vec<String> = named
        .filter(|name| !name.contains('*') && !folder.join(name).exists())
        .map(|name| format!("package.json names {name}, which is not there"))
        .collect();
    // npm takes these along unasked.
    let always = ["package.json", "README.md", "LICENSE"];
    for file in files(folder)? {
        let name = file.to_string_lossy().replace('\\', "/");
        let is_listed = listed.iter().any(|entry| *entry == name || name.starts_with(&format!("{}/", entry.trim_end_matches('/'))));
        if !is_listed && !always.contains(&name.as_str()) {
            problems.push(format!("{name} is not in the `files` of package.json"));
        }
    }
    problems.sort();
    problems.dedup();
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n        ")) }
}

/// Name, bytes and gzipped bytes of every file.
pub fn sizes(folder: &Path) -> Result<Vec<(String, u64, u64)>, String> {
    let size = |name: PathBuf| {
        let file = folder.join(&name);
        let raw = file.metadata().map_err(|problem| format!("{}: {problem}", file.display()))?.len();
        Ok((name.to_string_lossy().into_owned(), raw, packed(&file)?))
    };
    files(folder)?.into_iter().map(size).collect()
}

/// How many bytes a server that gzips sends for it.
pub fn packed(file: &Path) -> Result<u64, String> {
    let mut command = Command::new("gzip");
    let done = command.args(["-9", "--stdout"]).arg(file).stdin(Stdio::null()).output();
    let done = done.map_err(|problem| format!("no gzip to measure with: {problem}"))?;
    if done.status.success() { Ok(done.stdout.len() as u64) } else { Err(format!("gzip refused {}", file.display())) }
}

fn within_limits(sizes: &[(String, u64, u64)]) -> Result<(), String> {
    for (name, limit) in LIMITS {
        let (_, _, packed) = sizes.iter().find(|(own, _, _)| own == name).ok_or_else(|| format!("{name} is not there"))?;
        if *packed > limit {
            return Err(format!("{name}: {packed} bytes gzipped, allowed are {limit}"));
        }
        println!("  {name:<48}{:>12}{packed:>12} of {limit}", "");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_or_absent_is_refused() {
        let file = |name: &str, packed: u64| (name.to_string(), packed * 2, packed);
        let good = vec![file("longhand-web_bg.wasm", 1_400_000), file("longhand.js", 60_000), file("tiny/model.safetensors", 9_000_000)];
        within_limits(&good).unwrap();
        for (index, fault) in [(0, file("longhand-web_bg.wasm", 1_500_001)), (1, file("longhand.js", 60_001)), (1, file("short.js", 1))] {
            let mut sizes = good.clone();
            sizes[index] = fault;
            assert!(within_limits(&sizes).is_err(), "{:?}", sizes[index]);
        }
    }

    #[test]
    fn a_package_is_what_its_own_list_says() {
        let folder = std::env::temp_dir().join(format!("longhand-package-{}", std::process::id()));
        let write = |name: &str, text: &str| {
            std::fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            std::fs::write(folder.join(name), text).unwrap();
        };
        write(
            "package.json",
            r#"{"files": ["a.js", "tiny/"], "exports": {".": {"types": "./a.d.ts", "default": "./a.js"}, "./tiny/*": "./tiny/*"}}"#,
        );
        write("a.js", "");
        write("LICENSE", "");
        write("tiny/deep/b.json", &"hello ".repeat(500));
        let missing = complete(&folder).unwrap_err();
        assert_eq!(missing, "package.json names a.d.ts, which is not there");
        write("a.d.ts", "");
        assert_eq!(complete(&folder).unwrap_err(), "a.d.ts is not in the `files` of package.json");
        write("package.json", r#"{"files": ["a.js", "a.d.ts", "tiny"], "exports": {".": "./a.js"}}"#);
        complete(&folder).unwrap();
        let sizes = sizes(&folder).unwrap();
        let (name, raw, packed) = sizes.last().unwrap();
        assert!(name.starts_with("tiny") && *raw == 3000 && *packed < 100 && *packed > 20, "{sizes:?}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
