//! The inspector's place on the page. The inspector is a module of its own (`web/inspect`), fetched when it is first opened: most readers never
//! need it. It uses the page's reader, with its worker and its model, through a [`Line`].

use js_sys::Function;
use leptos::html;
use leptos::prelude::*;
use serde::Serialize;
use wasm_bindgen::prelude::*;
use web_sys::Blob;

use super::state::Reader;
use crate::protocol::{Event, ModelChoice, Request};
use crate::{browser, engine};

/// What hears the reader's model and whether it is busy.
type Watcher = RwSignal<Option<Function>, LocalStorage>;

/// How the inspector stands.
#[derive(Clone, PartialEq)]
enum Stands {
    Coming,
    Here,
    /// It could not be fetched, or it trapped: a sentence.
    Ended(String),
}

/// The inspector, once its module is here; until then, and when it ends, a word about it.
#[component]
pub fn InspectorPlace(reader: Reader) -> impl IntoView {
    let place = NodeRef::<html::Div>::new();
    let stands = RwSignal::new(Stands::Coming);
    let watcher: Watcher = RwSignal::new_local(None);
    // How often it ended: the address of a module that is fetched anew has to be another.
    let times = StoredValue::new(0);
    let show = move || {
        let Some(place) = place.get_untracked() else { return };
        stands.set(Stands::Coming);
        let again = times.get_value();
        times.set_value(again + 1);
        let ended = Closure::once_into_js(move |why: String| {
            watcher.set(None);
            stands.set(Stands::Ended(format!(
                "The inspector stopped ({why}). Your judgements are kept; what was open in it has to be opened again."
            )));
        });
        leptos::task::spawn_local(async move {
            let (line, dataset) = (Line { reader, watcher }, browser::addressed("dataset"));
            let shown = browser::show_inspector(&engine::base(), again, &place, line.into(), dataset, ended.unchecked_ref()).await;
            stands.set(match shown {
                Ok(_) => Stands::Here,
                Err(problem) => {
                    let why = String::from(js_sys::Error::from(problem).message());
                    Stands::Ended(format!("The inspector could not be fetched ({why}). Try again when the network is back."))
                }
            });
        });
    };
    Effect::new(move || {
        if place.get().is_some() {
            show();
        }
    });
    Effect::new(move || {
        let (model, busy) = (value(&reader.model.get()), reader.is_busy());
        if let Some(watcher) = watcher.get() {
            // What is thrown there ends the inspector, not the page.
            let _ = watcher.call2(&JsValue::NULL, &model, &busy.into());
        }
    });
    view! {
        <p class="soft inspect-empty" role="status" hidden=move || stands.get() != Stands::Coming>"The inspector is on its way …"</p>
        {move || if let Stands::Ended(told) = stands.get() {
            Some(view! {
                <section class="problem" role="alert" data-test="inspect-ended">
                    <p>{told}</p>
                    <button type="button" data-test="inspect-again" on:click=move |_| show()>"Open it again"</button>
                </section>
            })
        } else {
            None
        }}
        <div node_ref=place></div>
    }
}

/// The inspector's line to the page's reader.
#[wasm_bindgen]
pub struct Line {
    reader: Reader,
    watcher: Watcher,
}

#[wasm_bindgen]
impl Line {
    /// Sends a request; `hears(event)` gets its events. What it fails with is told there and not by the reader.
    pub fn send(&self, request: JsValue, files: Vec<Blob>, hears: Function) -> Result<(), JsValue> {
        let request: Request = serde_wasm_bindgen::from_value(request)?;
        self.reader.send_and(&request, files, move |event| {
            if matches!(event, Event::Tried { .. } | Event::Made { .. } | Event::Done | Event::Stopped | Event::Failed(_)) {
                let _ = hears.call1(&JsValue::NULL, &value(event));
            }
        });
        Ok(())
    }

    /// Makes a model ready.
    pub fn load(&self, choice: JsValue, files: Vec<Blob>) -> Result<(), JsValue> {
        let choice: ModelChoice = serde_wasm_bindgen::from_value(choice)?;
        self.reader.load(choice, files);
        Ok(())
    }

    /// Makes the demonstration model ready.
    #[wasm_bindgen(js_name = loadTiny)]
    pub fn load_tiny(&self) {
        self.reader.load_tiny();
    }

    /// Ends what is going on.
    pub fn stop(&self) {
        self.reader.stop();
    }

    /// Calls `hears(model, busy)` at once and with every change.
    pub fn watch(&self, hears: Function) {
        self.watcher.set(Some(hears));
    }
}

fn value(of: &impl Serialize) -> JsValue {
    of.serialize(&serde_wasm_bindgen::Serializer::json_compatible()).unwrap_or(JsValue::NULL)
}
