//! Longhand in a browser tab: the page, and the functions that the browser tests call.
#![cfg(target_arch = "wasm32")]

mod browser;
mod checks;
mod embed;
mod engine;
mod page;
mod worker;

use line::protocol;
use wasm_bindgen::prelude::*;

/// Runs when the module is loaded: shows the page where there is a place for it.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|panic| web_sys::console::error_1(&panic.to_string().into())));
    let document = web_sys::window().and_then(|window| window.document());
    let place = document.and_then(|document| document.get_element_by_id("longhand"));
    if let Some(place) = place.and_then(|element| element.dyn_into::<web_sys::HtmlElement>().ok()) {
        leptos::mount::mount_to(place, page::App).forget();
    }
}
