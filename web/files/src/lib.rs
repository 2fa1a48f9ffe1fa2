//! What most readers never need, in a module of its own so that the page's stays small: files of other formats than plain text, and rows made
//! from the facts that files state. The worker loads it when such a file comes (`loadFiles` in `web/src/browser.js`).
#![cfg(target_arch = "wasm32")]

mod rows;

use data::Document;
use serde::Serialize;
use wasm_bindgen::prelude::*;

/// Runs when the module is loaded.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|panic| web_sys::console::error_1(&panic.to_string().into())));
}

/// A file as text.
#[derive(Serialize)]
struct Read {
    document: Document,
    /// What a person should know about the conversion.
    remarks: Vec<String>,
}

/// A file's text with the way back to page, line or cell: `{document, remarks}`. An error is a sentence for people.
#[wasm_bindgen]
pub fn convert(name: &str, bytes: Vec<u8>) -> Result<JsValue, JsValue> {
    let converted = documents::convert(name, bytes).map_err(|problem| JsValue::from(problem.to_string()))?;
    let remarks = converted.remarks.iter().map(ToString::to_string).collect();
    plain(&Read { document: converted.document, remarks })
}

/// Rows from the facts that files state outright, without a model: `{rows, rejects, report}`, the first two with a JSON object a line. An error is a
/// sentence for people.
#[wasm_bindgen(js_name = makeRows)]
pub fn make_rows(names: Vec<String>, files: Vec<js_sys::Uint8Array>, count: usize, seed: f64) -> Result<JsValue, JsValue> {
    let files = files.iter().map(js_sys::Uint8Array::to_vec).collect();
    plain(&rows::make_rows(&names, files, count, seed as u64).map_err(JsValue::from)?)
}

/// A value as JavaScript's own objects.
fn plain(value: &impl Serialize) -> Result<JsValue, JsValue> {
    value.serialize(&serde_wasm_bindgen::Serializer::json_compatible()).map_err(|problem| problem.to_string().into())
}
