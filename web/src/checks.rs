//! What a browser must get right before anything is read in it. The page's button and the browser tests run the same code.

use wasm_bindgen::prelude::*;

use crate::browser;

/// One shader as this browser's compiler is given it.
pub struct Variant {
    /// `matmul[TILE=8]`
    pub name: String,
    /// The preprocessed text.
    pub wgsl: String,
}

/// Every variant of every shader.
pub fn variants() -> Vec<Variant> {
    let mut variants = Vec::new();
    for spec in kernels::table::shaders() {
        for defines in (spec.variants)() {
            let values: Vec<String> = defines.iter().map(|(name, value)| format!("{name}={value}")).collect();
            variants.push(Variant { name: format!("{}[{}]", spec.name, values.join(",")), wgsl: spec.source.to_string() });
        }
    }
    variants
}

/// What this browser is, in a line.
#[wasm_bindgen]
pub async fn machine() -> Result<JsValue, JsValue> {
    browser::describe_machine().await
}

/// JSON: `[{"name", "wgsl"}]`, every variant of every shader.
#[wasm_bindgen]
pub fn shader_variants() -> String {
    let list: Vec<_> = variants().iter().map(|variant| serde_json::json!({ "name": variant.name, "wgsl": variant.wgsl })).collect();
    serde_json::Value::from(list).to_string()
}

/// What this browser's compiler says against a module: an array of strings.
#[wasm_bindgen]
pub async fn check_shader(wgsl: String) -> Result<JsValue, JsValue> {
    browser::check_shader(&wgsl).await
}

/// The feature that a module needs and this browser lacks, or `undefined`.
#[wasm_bindgen]
pub async fn missing_feature(wgsl: String) -> Result<JsValue, JsValue> {
    browser::missing_feature(&wgsl).await
}
