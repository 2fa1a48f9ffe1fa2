//! Who may use whom (ARCHITECTURE.md), read from `cargo metadata`; and that every crate takes the workspace's lints.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// Crates and what of ours each may use, tests and build scripts included. Names are without `longhand-`.
const ALLOWED: &[(&str, &str)] = &[
    ("data", ""),
    ("kernels", ""),
    ("tokenizer", "data"),
    ("model", "kernels tokenizer data"),
    ("agent", "tokenizer data"),
    ("documents", "data"),
    ("reward", "data"),
    ("world", "tokenizer data"),
    ("synth", "agent documents reward tokenizer world data"),
    ("train", "model kernels agent reward tokenizer world data"),
    ("eval", "agent reward tokenizer world data"),
    ("server", "agent model tokenizer data"),
    ("web", "line agent model tokenizer kernels documents synth reward world data"),
    // What the page's modules have in common, and two that few readers need: files of other formats than plain text, the inspector.
    ("line", "data"),
    ("files", "documents synth tokenizer data"),
    ("inspect", "line synth data"),
    ("longhand", "data kernels tokenizer model agent documents reward world synth train eval server"),
    // The project's own tool: set-up and tests of a machine on which nothing of ours may build yet.
    ("xtask", ""),
];

/// Crates that reach a model only through `ChatModel`.
const NO_GPU: [&str; 8] = ["data", "tokenizer", "synth", "reward", "agent", "eval", "documents", "world"];

fn short(name: &str) -> &str {
    name.strip_prefix("longhand-").unwrap_or(name)
}

/// What cargo says of the workspace's packages.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// (crate, everything it depends on) of the workspace, and its manifests.
fn workspace() -> (BTreeMap<String, Vec<String>>, Vec<String>) {
    let packages = packages();
    let text = |value: &Value| value.as_str().unwrap().to_string();
    let uses = |package: &Value| package["dependencies"].as_array().unwrap().iter().map(|d| text(&d["name"])).collect();
    (
        packages.iter().map(|p| (short(&text(&p["name"])).to_string(), uses(p))).collect(),
        packages.iter().map(|p| text(&p["manifest_path"])).collect(),
    )
}

/// What is wrong with these crates.
fn faults(crates: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, uses) in crates {
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| known == name) else {
            faults.push(format!("{name} is not in the table"));
            continue;
        };
        for used in uses {
            let ours = ALLOWED.iter().any(|(known, _)| *known == short(used)) && (used.starts_with("longhand") || used == "xtask");
            if ours && !allowed.split(' ').any(|allowed| allowed == short(used)) {
                faults.push(format!("{name} uses {used}"));
            }
            if NO_GPU.contains(&name.as_str()) && ["wgpu", "naga"].contains(&used.as_str()) {
                faults.push(format!("{name} uses {used}"));
            }
        }
    }
    faults
}

#[test]
fn crates_use_only_those_below_them() {
    let (crates, _) = workspace();
    assert!(crates.len() >= 6, "{crates:?}");
    assert_eq!(faults(&crates), Vec::<String>::new());
}

#[test]
fn a_forbidden_dependency_is_noticed() {
    for (name, uses) in [
        ("agent", "longhand-model"),
        ("kernels", "longhand-data"),
        ("model", "longhand"),
        ("agent", "wgpu"),
        ("longhand", "longhand-web"),
        ("novel", "serde"),
    ] {
        let (mut crates, _) = workspace();
        crates.entry(name.into()).or_default().push(uses.into());
        assert_eq!(faults(&crates).len(), 1, "{name} → {uses}");
    }
}

#[test]
fn every_crate_takes_the_workspaces_lints() {
    for manifest in workspace().1 {
        let text = std::fs::read_to_string(&manifest).unwrap().replace("\r\n", "\n");
        assert!(text.contains("[lints]\nworkspace = true"), "{manifest}");
    }
}

/// What is wrong with how `packages` depend on the accelerator: it is optional, native, exactly pinned, of `kernels` alone, and off.
fn accelerator_faults(packages: &[Value]) -> Vec<String> {
    let mut faults = Vec::new();
    for package in packages {
        let name = short(package["name"].as_str().unwrap());
        for used in package["dependencies"].as_array().unwrap() {
            let dependency = used["name"].as_str().unwrap();
            if !dependency.starts_with("cubecl") && !dependency.starts_with("cubek") {
                continue;
            }
            let native = used["target"].as_str().is_some_and(|target| target.contains("not(target_arch = \"wasm32\")"));
            let pinned = used["req"].as_str().unwrap().starts_with('=');
            if name != "kernels" || !native || !pinned || used["optional"] != true {
                faults.push(format!("{name} → {dependency}"));
            }
        }
        let default = package["features"]["default"].as_array();
        if default.is_some_and(|features| features.iter().any(|feature| feature.as_str().unwrap().contains("cube"))) {
            faults.push(format!("{name} has it by default"));
        }
    }
    faults
}

#[test]
fn the_accelerator_is_optional_native_and_pinned() {
    assert_eq!(accelerator_faults(&packages()), Vec::<String>::new());
    let plant = |change: &dyn Fn(&mut Value)| {
        let mut packages = packages();
        let kernels = packages.iter_mut().find(|package| package["name"] == "longhand-kernels").unwrap();
        change(kernels);
        accelerator_faults(&packages).len()
    };
    let of_cubecl = |package: &mut Value, key: &str, value: Value| {
        let used = package["dependencies"].as_array_mut().unwrap().iter_mut().find(|used| used["name"] == "cubecl").unwrap();
        used[key] = value;
    };
    assert_eq!(plant(&|package| of_cubecl(package, "optional", false.into())), 1);
    assert_eq!(plant(&|package| of_cubecl(package, "req", "^0.11.3".into())), 1);
    assert_eq!(plant(&|package| of_cubecl(package, "target", Value::Null)), 1);
    assert_eq!(plant(&|package| package["features"]["default"] = vec!["cube"].into()), 1);
    assert_eq!(plant(&|package| package["name"] = "longhand-model".into()), 2);
}
