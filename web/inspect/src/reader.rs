//! The line to the page's reader, whose worker and model the inspector uses.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Function;
use leptos::prelude::*;
use line::protocol::{Event, ModelChoice, ModelState, Problem, ProblemKind, Request};
use serde::Serialize;
use wasm_bindgen::prelude::*;
use web_sys::Blob;

#[wasm_bindgen]
extern "C" {
    /// `Line` of the page's own module (`web/src/page/inspector.rs`).
    #[derive(Clone)]
    pub type Line;

    #[wasm_bindgen(method)]
    fn send(this: &Line, request: JsValue, files: Vec<Blob>, hears: &Function);
    #[wasm_bindgen(method)]
    fn load(this: &Line, choice: JsValue, files: Vec<Blob>);
    #[wasm_bindgen(method, js_name = loadTiny)]
    fn load_tiny(this: &Line);
    #[wasm_bindgen(method)]
    fn stop(this: &Line);
    #[wasm_bindgen(method)]
    fn watch(this: &Line, hears: &Function);
}

/// The page's reader, as far as the inspector needs it.
#[derive(Clone, Copy)]
pub struct Reader {
    line: StoredValue<Line, LocalStorage>,
    /// Its model.
    pub model: RwSignal<ModelState>,
    /// Something is going on.
    pub busy: RwSignal<bool>,
}

impl Reader {
    /// The reader at the other end.
    pub fn new(line: Line) -> Self {
        let reader = Self { line: StoredValue::new_local(line.clone()), model: RwSignal::default(), busy: RwSignal::new(false) };
        let heard = Closure::<dyn FnMut(JsValue, bool)>::new(move |model, busy| {
            // Both modules are of one build: a state that cannot be read is none.
            reader.model.set(serde_wasm_bindgen::from_value(model).unwrap_or_default());
            reader.busy.set(busy);
        });
        line.watch(heard.as_ref().unchecked_ref());
        // As long as the page.
        heard.forget();
        reader
    }

    /// Sends a request and hears its events. What it fails with is told only here.
    pub fn send(&self, request: &Request, files: Vec<Blob>, hears: impl Fn(Event) + 'static) {
        type Hears = Closure<dyn FnMut(JsValue)>;
        let kept: Rc<RefCell<Option<Hears>>> = Rc::default();
        let own = kept.clone();
        let heard = Hears::new(move |event| {
            let event = serde_wasm_bindgen::from_value::<Event>(event).unwrap_or_else(|problem| {
                Event::Failed(Problem { kind: ProblemKind::Other, message: format!("an event that is none: {problem}") })
            });
            if matches!(event, Event::Done | Event::Stopped | Event::Failed(_)) {
                own.borrow_mut().take();
            }
            hears(event);
        });
        let function: Function = heard.as_ref().unchecked_ref::<Function>().clone();
        *kept.borrow_mut() = Some(heard);
        self.line.with_value(|line| line.send(value(request), files, &function));
    }

    /// Makes a model ready.
    pub fn load(&self, choice: ModelChoice, files: Vec<Blob>) {
        self.line.with_value(|line| line.load(value(&choice), files));
    }

    /// Makes the demonstration model ready.
    pub fn load_tiny(&self) {
        self.line.with_value(Line::load_tiny);
    }

    /// Ends what is going on.
    pub fn stop(&self) {
        self.line.with_value(Line::stop);
    }
}

fn value(of: &impl Serialize) -> JsValue {
    of.serialize(&serde_wasm_bindgen::Serializer::json_compatible()).unwrap_or_else(|problem| problem.into())
}
