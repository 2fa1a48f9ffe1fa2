//! Files and texts that a person brings: chosen, dropped or pasted; and which hosts the page has asked for anything.

use js_sys::{Array, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

use super::state::Reader;

#[wasm_bindgen(module = "/src/carried.js")]
extern "C" {
    #[wasm_bindgen(js_name = carried)]
    fn carried_by(transfer: &JsValue) -> Promise;
    #[wasm_bindgen(js_name = otherHosts)]
    fn hosts() -> Array;
}

/// What the input for files offers to choose: a hint, not a limit.
pub const FORMATS: &str = ".txt,.md,.markdown,.html,.htm,.pdf,.docx,.epub,.xlsx,.csv,.tsv,.json,.jsonl,.longhand,text/*";

/// Opens what a drop (`dataTransfer`) or a paste (`clipboardData`) brings. To be called while the event is heard: its data is gone later.
pub fn open_carried(reader: Reader, event: &web_sys::Event, field: &str) {
    let transfer = Reflect::get(event, &field.into()).unwrap_or(JsValue::UNDEFINED);
    let brought = carried_by(&transfer);
    leptos::task::spawn_local(async move {
        let brought = JsFuture::from(brought).await.unwrap_or(JsValue::UNDEFINED);
        if let Some(text) = brought.as_string() {
            reader.open_text(&text);
        } else if Array::is_array(&brought) {
            let file = |file: JsValue| {
                let file = Array::from(&file);
                (file.get(0).as_string().unwrap_or_default(), file.get(1).unchecked_into::<Blob>())
            };
            reader.open(Array::from(&brought).iter().map(file).collect());
        }
    });
}

/// Other hosts from which the page got anything.
pub fn other_hosts() -> Vec<String> {
    hosts().iter().filter_map(|host| host.as_string()).collect()
}
