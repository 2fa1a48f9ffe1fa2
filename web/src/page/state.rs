//! What a reader on a page knows, as signals. What it can be told to do stands in `state/tell.rs`, what the engine says to it in
//! `state/hear.rs`, and how it goes on where the engine is gone in `state/moved.rs`; views only show this and call it.

mod hear;
mod kinds;
mod moved;
mod tell;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use data::Span;
use leptos::prelude::*;
use web_sys::{Blob, HtmlElement};

pub use self::kinds::{Answer, Busy, Contact, Machine, Proposal, Question, Retry, Turn, Why};
use self::moved::Sent;
use crate::engine::Engine;
pub use crate::protocol::ModelState;
use crate::protocol::{DeviceChoice, ModelChoice, ModelInfo, OpenedInfo, Problem};

/// A reader: its state, and its line to the worker.
#[derive(Clone, Copy)]
pub struct Reader {
    /// Readers of this page before it.
    pub number: u32,
    /// None before the first request, and where one is gone.
    engine: StoredValue<Option<Rc<Engine>>, LocalStorage>,
    closed: StoredValue<bool>,
    /// Called with every event, for a page that embeds the reader.
    listener: StoredValue<Rc<RefCell<Option<Listener>>>, LocalStorage>,
    /// What this browser has.
    pub machine: RwSignal<Option<Machine>>,
    /// The model.
    pub model: RwSignal<ModelState>,
    /// What was last chosen.
    pub choice: RwSignal<Option<ModelChoice>>,
    /// Its files, where they were chosen on this computer.
    weights: StoredValue<Vec<Blob>, LocalStorage>,
    /// Where models compute.
    pub device: RwSignal<DeviceChoice>,
    /// Tokens of a document a second, of the models that were loaded: by their address or name.
    pub paces: RwSignal<HashMap<String, f64>>,
    /// The choice of a model is wanted: it is unfolded and scrolled to.
    pub choosing: RwSignal<bool>,
    /// What is open.
    pub opened: RwSignal<Option<OpenedInfo>>,
    /// The name of what is being opened.
    pub opening: RwSignal<String>,
    /// The questions.
    pub questions: RwSignal<Vec<Question>>,
    /// Which question is shown.
    pub current: RwSignal<usize>,
    /// What is going on.
    pub busy: RwSignal<Option<Busy>>,
    /// The reply that is being written.
    pub writing: RwSignal<String>,
    /// When the read began, in milliseconds, and how many sections were read before.
    pub began: RwSignal<Option<(f64, usize)>>,
    /// What went wrong last.
    pub problem: RwSignal<Option<Problem>>,
    /// What can be tried again.
    pub retry: RwSignal<Option<Retry>>,
    /// The further question that is being answered.
    asking: RwSignal<String>,
    /// The notes do not hold the answer.
    pub proposal: RwSignal<Option<Proposal>>,
    /// The passage that the source view shows.
    pub shown: RwSignal<Option<Span>>,
    /// What led to that passage, to go back to.
    from: StoredValue<Option<HtmlElement>, LocalStorage>,
    /// There is something to go back to.
    pub can_return: RwSignal<bool>,
    /// The read was stopped and can go on.
    pub stopped: RwSignal<bool>,
    /// The engine is gone and cannot be given what is open: that is known to the page alone.
    pub ended: RwSignal<bool>,
    /// Another reader is at the same read.
    pub waits: RwSignal<bool>,
    /// Where what is open is kept.
    kept: StoredValue<Option<String>>,
    /// Requests that the engine which is gone did not answer.
    moved: StoredValue<Rc<RefCell<Vec<Rc<Sent>>>>, LocalStorage>,
    /// Whether a change of notes came to be kept before the engine was gone is not known.
    unsure: StoredValue<bool>,
    /// Notes are open to be changed, and not saved yet.
    pub editing: RwSignal<bool>,
    /// Other hosts that were asked for something.
    pub contacts: RwSignal<Vec<Contact>>,
    /// For screen readers: seldom, and in full sentences.
    pub said: RwSignal<String>,
}

thread_local! {
    static READERS: Cell<u32> = const { Cell::new(0) };
}

/// Hears what happens: a name and JSON.
pub type Listener = Box<dyn Fn(&str, serde_json::Value)>;

impl Reader {
    /// A reader with a line of its own. Asks at once what this browser has.
    pub fn new() -> Self {
        let reader = Self {
            number: READERS.replace(READERS.get() + 1),
            engine: StoredValue::new_local(None),
            closed: StoredValue::new(false),
            listener: StoredValue::new_local(Rc::default()),
            machine: RwSignal::new(None),
            model: RwSignal::default(),
            choice: RwSignal::new(None),
            weights: StoredValue::new_local(Vec::new()),
            device: RwSignal::new(wished_device()),
            paces: RwSignal::default(),
            choosing: RwSignal::new(false),
            opened: RwSignal::new(None),
            opening: RwSignal::default(),
            questions: RwSignal::default(),
            current: RwSignal::new(0),
            busy: RwSignal::new(None),
            writing: RwSignal::default(),
            began: RwSignal::new(None),
            problem: RwSignal::new(None),
            retry: RwSignal::new(None),
            asking: RwSignal::default(),
            proposal: RwSignal::new(None),
            shown: RwSignal::new(None),
            from: StoredValue::new_local(None),
            can_return: RwSignal::new(false),
            stopped: RwSignal::new(false),
            ended: RwSignal::new(false),
            waits: RwSignal::new(false),
            kept: StoredValue::new(None),
            moved: StoredValue::new_local(Rc::default()),
            unsure: StoredValue::new(false),
            editing: RwSignal::new(false),
            contacts: RwSignal::default(),
            said: RwSignal::default(),
        };
        reader.look();
        reader
    }

    /// Something is open.
    pub fn is_open(&self) -> bool {
        self.opened.with(Option::is_some)
    }

    /// Questions were asked.
    pub fn is_asked(&self) -> bool {
        self.questions.with(|questions| !questions.is_empty())
    }

    /// Something is going on.
    pub fn is_busy(&self) -> bool {
        self.busy.get().is_some()
    }

    /// Documents are being read, or a further question is being answered.
    pub fn is_reading(&self) -> bool {
        matches!(self.busy.get(), Some(Busy::Reading | Busy::Asking))
    }

    /// The model, if it is ready.
    pub fn info(&self) -> Option<ModelInfo> {
        self.model.with(|model| if let ModelState::Ready(info) = model { Some(info.clone()) } else { None })
    }

    /// A model is ready that understands what is open: the demonstration model reads nothing but its own world.
    pub fn is_ready(&self) -> bool {
        let foreign = self.opened.with(|opened| opened.as_ref().is_some_and(|opened| !opened.generated));
        self.model.with(|model| matches!(model, ModelState::Ready(info) if !(info.tiny && foreign)))
    }

    /// Milliseconds that the open document takes at this pace.
    pub fn time_at(&self, pace: f64) -> Option<f64> {
        self.opened.with(|opened| opened.as_ref().map(|opened| opened.tokens as f64 / pace.max(1e-3) * 1000.0))
    }

    /// The name by which the chosen model's pace is remembered.
    pub(super) fn pace_key(&self) -> Option<String> {
        match self.choice.get()? {
            ModelChoice::Address { url } => Some(url),
            _ => self.info().map(|info| info.name),
        }
    }

    /// What `look` finds in the question that is shown.
    pub fn shown_question<T>(&self, look: impl FnOnce(&Question) -> T) -> Option<T> {
        let current = self.current.get();
        self.questions.with(|questions| questions.get(current).map(look))
    }

    /// What a person changed in the notes of this read, as one word; empty where nothing was changed.
    pub fn edits(&self) -> String {
        self.questions
            .with(|all| agent::edits::fingerprint(all.iter().filter(|question| !question.is_later()).map(|question| &question.edits)))
    }

    /// Why the answer that is shown no longer goes with the notes.
    pub fn stale(&self) -> Option<&'static str> {
        let edits = self.edits();
        self.shown_question(|question| question.stale(&edits)).flatten()
    }

    /// Sections read and to be read, over all questions of this read.
    pub fn sections(&self) -> (usize, usize) {
        self.questions.with(|questions| {
            let first = questions.iter().filter(|question| !question.is_later());
            first.fold((0, 0), |(read, all), question| (read + question.turns.len(), all + question.planned))
        })
    }

    /// The read has not come to its end: it was stopped, failed, or was kept so.
    pub fn is_unfinished(&self) -> bool {
        let open = |question: &Question| !question.is_later() && question.answer.is_none() && !question.model.is_empty();
        !self.is_busy() && (self.stopped.get() || self.questions.with(|questions| questions.iter().any(open)))
    }

    /// Milliseconds that are left, by the sections read so far.
    pub fn left(&self) -> Option<f64> {
        let (since, resumed) = self.began.get()?;
        let (read, all) = self.sections();
        let asked = self.questions.with(|questions| questions.iter().filter(|question| !question.is_later()).count());
        let new = read.checked_sub(resumed * asked).filter(|&new| new > 0)?;
        Some((js_sys::Date::now() - since) / new as f64 * all.saturating_sub(read) as f64)
    }

    /// Bytes of the open documents.
    pub fn bytes(&self) -> usize {
        self.opened.with(|opened| opened.as_ref().map_or(0, |opened| opened.documents.iter().map(|document| document.text.len()).sum()))
    }

    /// Where a passage stands, in words: `page 12`, and of several documents `report.pdf, page 12`.
    pub fn place(&self, span: &Span) -> String {
        self.opened.with(|opened| {
            let document = opened.as_ref().and_then(|opened| opened.documents.iter().find(|document| document.id == span.doc));
            let Some(document) = document else { return String::new() };
            if opened.as_ref().is_some_and(|opened| opened.documents.len() == 1) {
                // Of one document its name need not be said.
                let places: Vec<String> =
                    document.places(span.start).iter().map(ToString::to_string).filter(|place| !place.is_empty()).collect();
                return if places.is_empty() { file_name(&document.source).into() } else { places.join(", ") };
            }
            document.place(file_name(&document.source), span.start)
        })
    }
}

/// The last word of a path or an address.
pub fn file_name(source: &str) -> &str {
    source.trim_end_matches('/').rsplit('/').next().unwrap_or(source)
}

/// `?device=cpu` keeps models from the graphics device, where that is at fault.
fn wished_device() -> DeviceChoice {
    let search = web_sys::window().and_then(|window| window.location().search().ok()).unwrap_or_default();
    if search.contains("device=cpu") { DeviceChoice::Cpu } else { DeviceChoice::Auto }
}
