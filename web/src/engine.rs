//! The page's end of the line to the engine. All readers of a page share one line, and all tabs of an origin one engine (`tabs.js`).

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use js_sys::{Array, Reflect};
use serde::Serialize;
use wasm_bindgen::prelude::*;
use web_sys::Blob;

use crate::protocol::{Event, Problem, ProblemKind, Request};

#[wasm_bindgen(module = "/src/tabs.js")]
extern "C" {
    /// A line to the engine, wherever it runs.
    type Line;

    #[wasm_bindgen(js_name = joinEngine, catch)]
    fn join_engine(base: &str, build: &str, heard: &JsValue, ended: &JsValue) -> Result<Line, JsValue>;
    #[wasm_bindgen(method)]
    fn post(this: &Line, message: &JsValue);

    /// An address as seen from the page.
    #[wasm_bindgen(js_name = absolute, catch)]
    fn resolve(address: &str) -> Result<String, JsValue>;
}

/// What the page and its engine were built from: only ends of one build understand each other.
pub const BUILD: &str = env!("LONGHAND_BUILD");

/// Hears the events of a request; the last one ends it.
type Hears = Rc<dyn Fn(Event)>;
/// Hears that the engine is gone, and whether there is another to go on with.
type Gone = Rc<dyn Fn(bool)>;

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

/// Where `worker.js` lies: a whole address, since the engine may run in a page of another folder.
pub fn base() -> String {
    absolute(&BASE.with_borrow(Clone::clone))
}

/// An address as seen from this page; as it is where it is none.
pub fn absolute(address: &str) -> String {
    resolve(address).unwrap_or_else(|_| address.into())
}

struct Shared {
    line: OnceCell<Line>,
    next: Cell<u32>,
    /// The engine is gone.
    ended: Cell<bool>,
    /// In the order they were sent.
    waiting: RefCell<BTreeMap<u32, Hears>>,
    /// By session.
    readers: RefCell<BTreeMap<u32, Gone>>,
}

/// One reader's line to the engine. Dropped, its documents and its hold on a model are let go.
pub struct Engine {
    session: u32,
    shared: Rc<Shared>,
}

impl Engine {
    /// A line of its own. `gone(goes_on)` hears when the engine is gone, after every request that waits was told so; whoever goes on then opens
    /// another line.
    pub fn open(gone: impl Fn(bool) + 'static) -> Result<Self, Problem> {
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
        shared.readers.borrow_mut().insert(session, Rc::new(gone));
        Ok(Self { session, shared })
    }

    /// Whether the engine is not gone; one that is hears nothing.
    pub fn is_alive(&self) -> bool {
        !self.shared.ended.get()
    }

    /// Sends a request, with files.
    pub fn send(&self, request: &Request, files: &[Blob], hears: impl Fn(Event) + 'static) {
        self.shared.send(self.session, request, files, Rc::new(hears));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.readers.borrow_mut().remove(&self.session);
        self.shared.send(self.session, &Request::Close, &[], Rc::new(|_| {}));
    }
}

impl Shared {
    fn start() -> Result<Rc<Self>, Problem> {
        let shared = Rc::new(Self {
            line: OnceCell::new(),
            next: Cell::default(),
            ended: Cell::default(),
            waiting: RefCell::default(),
            readers: RefCell::default(),
        });
        let heard = {
            let shared = shared.clone();
            Closure::<dyn FnMut(JsValue)>::new(move |message: JsValue| shared.hear(&message))
        };
        let ended = {
            let shared = shared.clone();
            Closure::<dyn FnMut(Option<String>, bool)>::new(move |why, begun| shared.end(why, begun))
        };
        // Both as long as the page.
        let line = join_engine(&base(), BUILD, &heard.into_js_value(), &ended.into_js_value()).map_err(|problem| Problem {
            kind: ProblemKind::Other,
            message: format!(
                "The engine could not be started ({problem:?}). Does this page's content security policy allow workers of its own origin?"
            ),
        })?;
        let _ = shared.line.set(line);
        Ok(shared)
    }

    fn send(&self, session: u32, request: &Request, files: &[Blob], hears: Hears) {
        let id = self.next.get();
        self.next.set(id + 1);
        if self.ended.get() {
            return;
        }
        self.waiting.borrow_mut().insert(id, hears);
        let message = js_sys::Object::new();
        let value = request.serialize(&serde_wasm_bindgen::Serializer::json_compatible()).unwrap_or_else(|problem| problem.into());
        let list: Array = files.iter().collect();
        for (name, value) in [("id", id.into()), ("session", session.into()), ("request", value), ("files", list.into())] {
            let _ = Reflect::set(&message, &name.into(), &value);
        }
        if let Some(line) = self.line.get() {
            line.post(&message);
        }
    }

    fn hear(&self, message: &JsValue) {
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

    /// The engine is gone: everything that waits fails, and the next reader finds another. `why` is unknown where its page was closed.
    fn end(&self, why: Option<String>, begun: bool) {
        SHARED.set(None);
        self.ended.set(true);
        let (kind, message) = match (why, begun) {
            (None, _) => (ProblemKind::Moved, "The tab that ran the engine was closed.".to_string()),
            (Some(why), true) => (ProblemKind::Moved, format!("The engine stopped ({why}).")),
            (Some(why), false) => {
                (ProblemKind::Lost, format!("The engine did not start ({why}). What was read is kept; reload the page to go on."))
            }
        };
        let (waiting, readers) = (self.waiting.take(), self.readers.take());
        for hears in waiting.into_values() {
            hears(Event::Failed(Problem { kind, message: message.clone() }));
        }
        for gone in readers.into_values() {
            gone(kind == ProblemKind::Moved);
        }
    }
}
