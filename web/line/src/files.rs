//! Files between a page and the disk: chosen by a person, and saved for one.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::JsCast;
use web_sys::Blob;

/// Names of the files that were chosen, and the files: nothing of them is read yet.
pub fn files_of(input: &web_sys::HtmlInputElement) -> Vec<(String, Blob)> {
    let Some(list) = input.files() else { return Vec::new() };
    (0..list.length()).filter_map(|at| list.get(at)).map(|file| (file.name(), file.into())).collect()
}

/// Bytes as a file.
pub fn blob(bytes: &Uint8Array) -> Blob {
    // Of one part that is an array nothing can go wrong but for want of memory.
    Blob::new_with_u8_array_sequence(&Array::of1(bytes)).unwrap_or_else(|problem| wasm_bindgen::throw_val(problem))
}

/// Saves a text as a file, as the browser saves downloads.
pub fn save(name: &str, media: &str, text: &str) {
    let parts = js_sys::Array::of1(&text.into());
    let options = web_sys::BlobPropertyBag::new();
    options.set_type(media);
    let Ok(blob) = web_sys::Blob::new_with_str_sequence_and_options(&parts, &options) else { return };
    let Ok(url) = web_sys::Url::create_object_url_with_blob(&blob) else { return };
    let document = web_sys::window().and_then(|window| window.document());
    let link =
        document.and_then(|document| document.create_element("a").ok()).and_then(|link| link.dyn_into::<web_sys::HtmlAnchorElement>().ok());
    if let Some(link) = link {
        link.set_href(&url);
        link.set_download(name);
        link.click();
    }
    let _ = web_sys::Url::revoke_object_url(&url);
}
