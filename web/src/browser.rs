//! The functions of `browser.js`.

use js_sys::{Function, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::HtmlElement;

#[wasm_bindgen(module = "/src/browser.js")]
extern "C" {
    /// JSON with `adapter`, `features` and `limits`; `null` without WebGPU.
    #[wasm_bindgen(js_name = describeMachine, catch)]
    pub async fn describe_machine() -> Result<JsValue, JsValue>;

    /// The feature that a module needs and this browser's adapter lacks; `undefined` when there is none.
    #[wasm_bindgen(js_name = missingFeature, catch)]
    pub async fn missing_feature(wgsl: &str) -> Result<JsValue, JsValue>;

    /// What the browser says against a module, an array of strings: its compiler, and if `build` the making of a pipeline.
    #[wasm_bindgen(js_name = checkShader, catch)]
    pub async fn check_shader(wgsl: &str, build: bool) -> Result<JsValue, JsValue>;

    /// The bytes at an address, a `Uint8Array`.
    #[wasm_bindgen(js_name = fetchBytes, catch)]
    pub async fn fetch_bytes(url: &str) -> Result<JsValue, JsValue>;

    /// What the page's address says under this name, as an address of the same origin; `undefined` if nothing or another's.
    pub fn addressed(name: &str) -> Option<String>;

    /// Fetches the inspector's module, which lies under `base`, and has it show itself in `place`. `ended(why)` is called if it traps later.
    #[wasm_bindgen(js_name = showInspector, catch)]
    pub async fn show_inspector(
        base: &str,
        times: u32,
        place: &HtmlElement,
        line: JsValue,
        dataset: Option<String>,
        ended: &Function,
    ) -> Result<JsValue, JsValue>;

    /// A file's text by the module for files: `{document, remarks}`. What it says against the file is thrown as a string. In the worker only.
    #[wasm_bindgen(js_name = convertFile, catch)]
    pub async fn convert_file(name: &str, bytes: &Uint8Array) -> Result<JsValue, JsValue>;

    /// Rows from files' facts by the module for files: `{rows, rejects, report}`. In the worker only.
    #[wasm_bindgen(js_name = makeRows, catch)]
    pub async fn make_rows(names: Vec<String>, files: Vec<Uint8Array>, count: usize, seed: f64) -> Result<JsValue, JsValue>;
}
