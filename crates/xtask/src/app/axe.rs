//! Accessibility by axe-core's rules. Its one file is fetched with npm by `cargo xtask setup` and stays under `target`.

use std::path::PathBuf;

use serde_json::Value;

use super::Scene;
use crate::npm::Package;

/// The version that is fetched.
pub const VERSION: &str = "4.14.1";

const PACKAGE: Package = Package {
    name: "axe-core",
    version: VERSION,
    integrity: "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
};

/// The one file of it that is used.
const MEMBER: &str = "package/axe.min.js";

fn file() -> PathBuf {
    PACKAGE.folder().join(MEMBER)
}

/// Whether it was fetched.
pub fn is_there() -> bool {
    file().is_file()
}

/// Fetches the package with npm, which checks its archive, and unpacks the one file.
pub fn fetch() -> bool {
    match PACKAGE.fetch(&[MEMBER]) {
        Ok(_) => true,
        Err(problem) => {
            println!("{problem}");
            false
        }
    }
}

impl Scene {
    /// Whether axe-core finds nothing wrong with the page as it stands, what is inside open shadow roots included.
    pub fn is_accessible(&self, state: &str) -> Result<(), String> {
        let Ok(source) = std::fs::read_to_string(file()) else {
            self.skip(&format!("accessibility of {state}: no axe-core (`cargo xtask setup --only axe`)"));
            return Ok(());
        };
        self.console()?;
        let load = format!("{source}; window.axe = window.axe ?? axe;");
        self.driver().script(&load, &[])?;
        let found = self.driver().script_async("return await axe.run(document, { resultTypes: ['violations'] })", &[])?;
        // Its own trial of styles is not the page's fault under a strict policy.
        self.forget_console(|line| line.contains("Applying inline style"))?;
        judge(&found).map_err(|problems| format!("accessibility of {state}: {problems}"))
    }
}

/// The rules that were broken, and where. A result without rules that held is a fault of its own.
fn judge(found: &Value) -> Result<(), String> {
    let list = |name: &str| found[name].as_array().cloned().unwrap_or_default();
    if list("passes").is_empty() {
        return Err("axe-core checked nothing".into());
    }
    let line = |rule: &Value| {
        let places: Vec<String> = rule["nodes"].as_array().into_iter().flatten().map(|node| node["target"].to_string()).collect();
        format!("{}: {} at {}", rule["id"].as_str().unwrap_or("?"), rule["help"].as_str().unwrap_or_default(), places.join(", "))
    };
    let lines: Vec<String> = list("violations").iter().map(line).collect();
    if lines.is_empty() { Ok(()) } else { Err(lines.join("; ")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn broken_rules_are_told_and_an_empty_result_is_no_result() {
        judge(&json!({ "passes": [{ "id": "region" }], "violations": [] })).unwrap();
        let broken = json!({ "id": "button-name", "help": "Buttons must have text", "nodes": [{ "target": ["button"] }] });
        let told = judge(&json!({ "passes": [{ "id": "region" }], "violations": [broken] })).unwrap_err();
        assert_eq!(told, "button-name: Buttons must have text at [\"button\"]");
        assert!(judge(&json!({ "passes": [], "violations": [] })).is_err());
        assert!(judge(&Value::Null).is_err());
    }
}
