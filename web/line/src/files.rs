//! Files between a page and the disk: chosen by a person, and saved for one.

use js_sys::Uint8Array;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;

/// Names and bytes of the files that were chosen.
pub async fn files_of(input: &web_sys::HtmlInputElement) -> Vec<(String, Uint8Array)> {
    let mut files = Vec::new();
    let Some(list) = input.files() else { return files };
    for at in 0..list.length() {
        let Some(file) = list.get(at) else { continue };
        if let Ok(buffer) = JsFuture::from(file.array_buffer()).await {
            files.push((file.name(), Uint8Array::new(&buffer.unchecked_into::<js_sys::ArrayBuffer>())));
        }
    }
    files
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
