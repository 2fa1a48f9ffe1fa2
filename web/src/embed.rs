//! The reader for other pages: what `longhand.js` (the element) and its plain interface call.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Function, Promise, Reflect, Uint8Array};
use leptos::prelude::*;
use serde::Serialize;
use wasm_bindgen::prelude::*;
use web_sys::{Blob, HtmlElement};

use crate::engine;
use crate::page::ReaderView;
use crate::page::state::Reader;
use crate::protocol::{DeviceChoice, Event, Form, ModelChoice, Request};

/// A reader, shown or not.
#[wasm_bindgen]
pub struct Embedded {
    reader: Reader,
    /// Its signals live as long.
    owner: Owner,
    /// Takes its views away.
    unmount: Option<Box<dyn FnOnce()>>,
}

/// Shows a reader in `place`. `options`: `base` (where the worker's file lies), `fixed` (no other document can be opened).
/// `listener(name, detail)` hears what happens.
#[wasm_bindgen(js_name = mountReader)]
pub fn mount_reader(place: HtmlElement, options: JsValue, listener: Function) -> Embedded {
    let mut embedded = headless_reader(options.clone(), listener);
    let fixed = field(&options, "fixed").is_truthy();
    let reader = embedded.reader;
    let mount = leptos::mount::mount_to(place, move || view! { <ReaderView reader=reader fixed=fixed /> });
    embedded.unmount = Some(Box::new(move || drop(mount)));
    embedded
}

/// A reader without a view.
#[wasm_bindgen(js_name = headlessReader)]
pub fn headless_reader(options: JsValue, listener: Function) -> Embedded {
    if let Some(base) = field(&options, "base").as_string() {
        engine::set_base(&base);
    }
    let owner = Owner::new();
    let reader = owner.with(Reader::new);
    reader.listen(Box::new(move |name, detail| {
        let detail = detail.serialize(&serde_wasm_bindgen::Serializer::json_compatible()).unwrap_or(JsValue::NULL);
        // What a listener throws is the page's.
        let _ = listener.call2(&JsValue::NULL, &name.into(), &detail);
    }));
    Embedded { reader, owner, unmount: None }
}

fn field(of: &JsValue, name: &str) -> JsValue {
    Reflect::get(of, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

#[wasm_bindgen]
impl Embedded {
    /// Opens a file's bytes.
    pub fn open(&self, name: String, bytes: Uint8Array) -> Promise {
        let request = match name.ends_with(".longhand") {
            true => Request::OpenRead,
            false => Request::Open { names: vec![name] },
        };
        self.until_done(request, vec![line::blob(&bytes)], |_| None)
    }

    /// Opens a text.
    #[wasm_bindgen(js_name = openText)]
    pub fn open_text(&self, name: String, text: String) -> Promise {
        let name = if name.contains('.') { name } else { format!("{name}.txt") };
        self.until_done(Request::Open { names: vec![name] }, vec![line::blob(&Uint8Array::from(text.as_bytes()))], |_| None)
    }

    /// Makes a model ready: `{from: "tiny" | "address" | "server", …}`, and `device`: `auto`, `gpu` or `cpu`.
    pub fn load(&self, choice: JsValue) -> Promise {
        let device = serde_wasm_bindgen::from_value::<DeviceChoice>(field(&choice, "device")).unwrap_or_default();
        match serde_wasm_bindgen::from_value::<ModelChoice>(choice) {
            Ok(model) => self.until_done(Request::Load { model, device }, Vec::new(), |_| None),
            Err(problem) => Promise::reject(&js_sys::Error::new(&format!("no choice of a model: {problem}")).into()),
        }
    }

    /// Reads for a question, or asks further; resolves with `{text, citations}`. Without an answer in the notes, the sections that speak of it
    /// are read again.
    pub fn ask(&self, question: String) -> Promise {
        let read = self.reader.questions.with_untracked(Vec::is_empty);
        let request = match read {
            true => Request::Read { questions: vec![question], chunk: None },
            false => Request::Ask { question, reread: true },
        };
        self.until_done(request, Vec::new(), |event| match event {
            Event::Log { line, citations, .. } => match &**line {
                data::ReadEvent::Answer { text, .. } => Some(serde_json::json!({"text": text, "citations": citations})),
                _ => None,
            },
            _ => None,
        })
    }

    /// Continues a prompt; resolves with its text.
    pub fn generate(&self, prompt: String, max_tokens: usize) -> Promise {
        self.until_done(Request::Generate { prompt, max_tokens }, Vec::new(), |event| match event {
            Event::Generated { text, .. } => Some(text.as_str().into()),
            _ => None,
        })
    }

    /// The ids that continue a prompt, for comparing devices.
    #[wasm_bindgen(js_name = generateIds)]
    pub fn generate_ids(&self, prompt: String, max_tokens: usize) -> Promise {
        self.until_done(Request::Generate { prompt, max_tokens }, Vec::new(), |event| match event {
            Event::Generated { ids, .. } => Some(serde_json::json!(ids)),
            _ => None,
        })
    }

    /// The read as text: `html`, `markdown`, `json` or `longhand`.
    pub fn export(&self, form: String) -> Promise {
        match serde_json::from_value::<Form>(form.as_str().into()) {
            Ok(form) => self.until_done(Request::Export { form }, Vec::new(), |event| match event {
                Event::File { text, .. } => Some(text.as_str().into()),
                _ => None,
            }),
            Err(_) => Promise::reject(&js_sys::Error::new(&format!("“{form}” is no form: html, markdown, json or longhand")).into()),
        }
    }

    /// Puts a question into the empty field.
    pub fn suggest(&self, question: String) {
        self.reader.suggest(question);
    }

    /// Ends what is going on.
    pub fn stop(&self) {
        self.reader.stop();
    }

    /// Takes the reader away and lets its documents and its hold on the model go.
    pub fn close(mut self) {
        if let Some(unmount) = self.unmount.take() {
            unmount();
        }
        self.reader.close();
        self.owner.cleanup();
    }
}

impl Embedded {
    /// Sends a request; resolves when it is done with the last value that `take` found in its events, rejects when it fails or is stopped.
    fn until_done(&self, request: Request, files: Vec<Blob>, take: impl Fn(&Event) -> Option<serde_json::Value> + 'static) -> Promise {
        let reader = self.reader;
        let mut sent = Some((request, files, take));
        Promise::new(&mut |resolve, reject| {
            let Some((request, files, take)) = sent.take() else { return };
            let found = Rc::new(RefCell::new(serde_json::Value::Null));
            reader.note_busy(&request);
            reader.send_and(&request, files, move |event| {
                if let Some(value) = take(event) {
                    *found.borrow_mut() = value;
                }
                let error = |message: &str| JsValue::from(js_sys::Error::new(message));
                let _ = match event {
                    Event::Done => {
                        let value = found.borrow().serialize(&serde_wasm_bindgen::Serializer::json_compatible());
                        resolve.call1(&JsValue::NULL, &value.unwrap_or(JsValue::NULL))
                    }
                    Event::Stopped => reject.call1(&JsValue::NULL, &error("stopped")),
                    Event::Failed(problem) => reject.call1(&JsValue::NULL, &error(&problem.message)),
                    _ => return,
                };
            });
        })
    }
}
