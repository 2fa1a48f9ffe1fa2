//! The page's end of the line to the worker. All readers of a page share one worker.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use js_sys::{Array, Reflect, Uint8Array};
use serde::Serialize;
use wasm_bindgen::prelude::*;
use web_sys::{MessageEvent, Worker, WorkerOptions, WorkerType};

use crate::protocol::{Event, Problem, ProblemKind, Request};

/// Hears the events of a request; the last one ends it.
type Hears = Rc<dyn Fn(Event)>;

thread_local! {
    static SHARED: RefCell<Option<Rc<Shared>>> = const { RefCell::new(None) };
    static SESSIONS: Cell<u32> = const { Cell::new(0) };
    /// Where the worker's file lies; the page's own folder unless an embedding says otherwise.
    static BASE: RefCell<String> = RefCell::new("./".into());
}

/// Where `worker.js` lies, with a slash at the end. Before the first engine starts.
pub fn set_base(base: &str) {
    BASE.set(base.into());
}

/// Where `worker.js` lies.
pub fn base() -> String {
    BASE.with_borrow(Clone::clone)
}

struct Shared {
    worker: Worker,
    /// Its module is loaded.
    ready: Cell<bool>,
    /// Messages from before that.
    early: RefCell<Vec<JsValue>>,
    next: Cell<u32>,
    /// The worker ended with an error.
    ended: Cell<bool>,
    waiting: RefCell<HashMap<u32, Hears>>,
}

/// One reader's line to the worker. Dropped, its documents and its hold on a model are let go.
pub struct Engine {
    session: u32,
    shared: Rc<Shared>,
}

impl Engine {
    /// A line of its own; the worker starts with the first.
    pub fn open() -> Result<Self, Problem> {
        let session = SESSIONS.get();
        SESSIONS.set(session + 1);
        let shared = match SHARED.with_borrow(Clone::clone) {
            Some(shared) => shared,
            None => {
                let shared = Shared::start()?;
                SHARED.set(Some(shared.clone()));
                shared
            }
        };
        Ok(Self { session, shared })
    }

    /// Whether its worker has not ended; one that has hears nothing.
    pub fn is_alive(&self) -> bool {
        !self.shared.ended.get()
    }

    /// Sends a request. `files` are handed over.
    pub fn send(&self, request: &Request, files: Vec<Uint8Array>, hears: impl Fn(Event) + 'static) {
        self.shared.send(self.session, request, files, Rc::new(hears));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.send(self.session, &Request::Close, Vec::new(), Rc::new(|_| {}));
    }
}

impl Shared {
    fn start() -> Result<Rc<Self>, Problem> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options(&format!("{}worker.js", base()), &options).map_err(|problem| Problem {
            kind: ProblemKind::Other,
            message: format!(
                "The engine could not be started ({problem:?}). Does this page's content security policy allow workers of its own origin?"
            ),
        })?;
        let shared = Rc::new(Self {
            worker,
            ready: Cell::default(),
            early: RefCell::default(),
            next: Cell::default(),
            ended: Cell::default(),
            waiting: RefCell::default(),
        });
        let heard = {
            let shared = shared.clone();
            Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| shared.hear(&message.data()))
        };
        shared.worker.set_onmessage(Some(heard.as_ref().unchecked_ref()));
        heard.forget();
        let broke = {
            let shared = shared.clone();
            Closure::<dyn FnMut(JsValue)>::new(move |event: JsValue| shared.broken(&event))
        };
        shared.worker.set_onerror(Some(broke.as_ref().unchecked_ref()));
        broke.forget();
        Ok(shared)
    }

    fn send(&self, session: u32, request: &Request, files: Vec<Uint8Array>, hears: Hears) {
        let id = self.next.get();
        self.next.set(id + 1);
        self.waiting.borrow_mut().insert(id, hears);
        let message = js_sys::Object::new();
        let value = request.serialize(&serde_wasm_bindgen::Serializer::json_compatible()).unwrap_or_else(|problem| problem.into());
        let list: Array = files.iter().collect();
        for (name, value) in [("id", id.into()), ("session", session.into()), ("request", value), ("files", list.into())] {
            let _ = Reflect::set(&message, &name.into(), &value);
        }
        match self.ready.get() {
            true => self.post(&message),
            false => self.early.borrow_mut().push(message.into()),
        }
    }

    /// A file's bytes are handed over, not copied.
    fn post(&self, message: &JsValue) {
        let files = Reflect::get(message, &"files".into()).map(|files| Array::from(&files)).unwrap_or_default();
        let buffers: Array = files.iter().map(|file| JsValue::from(Uint8Array::new(&file).buffer())).collect();
        let _ = self.worker.post_message_with_transfer(message, &buffers);
    }

    fn hear(&self, message: &JsValue) {
        if message.as_string().as_deref() == Some("ready") {
            self.ready.set(true);
            self.early.take().iter().for_each(|message| self.post(message));
            return;
        }
        let field = |name: &str| Reflect::get(message, &name.into()).unwrap_or(JsValue::UNDEFINED);
        let id = field("id").as_f64().unwrap_or(-1.0) as u32;
        let event = serde_wasm_bindgen::from_value::<Event>(field("event")).unwrap_or_else(|problem| {
            Event::Failed(Problem { kind: ProblemKind::Other, message: format!("an event that is none: {problem}") })
        });
        let over = matches!(event, Event::Done | Event::Stopped | Event::Failed(_));
        let hears = match over {
            true => self.waiting.borrow_mut().remove(&id),
            false => self.waiting.borrow().get(&id).cloned(),
        };
        if let Some(hears) = hears {
            hears(event);
        }
    }

    /// The worker ended with an error: everything that waits fails, and the next reader starts another.
    fn broken(&self, event: &JsValue) {
        let said = Reflect::get(event, &"message".into()).ok().and_then(|message| message.as_string());
        let message = format!(
            "The engine stopped ({}). What was read is kept; reload the page to go on.",
            said.unwrap_or_else(|| "its module could not be loaded".into())
        );
        SHARED.set(None);
        self.ended.set(true);
        let waiting: Vec<Hears> = self.waiting.borrow_mut().drain().map(|(_, hears)| hears).collect();
        for hears in waiting {
            hears(Event::Failed(Problem { kind: ProblemKind::Lost, message: message.clone() }));
        }
    }
}
