//! What a reader can be told to do.

use std::rc::Rc;

use data::Span;
use leptos::prelude::*;
use line::save;
use wasm_bindgen::JsCast;
use web_sys::{Blob, HtmlElement};

use super::moved::{Sent, addressed};
use super::{Busy, Contact, ModelState, Reader, Retry, Why};
use crate::engine;
use crate::protocol::{DeviceChoice, Event, Form, ModelChoice, Problem, Request, Stage};

impl Reader {
    /// Tells `listener` of everything from now on.
    pub fn listen(&self, listener: super::Listener) {
        self.listener.with_value(|place| *place.borrow_mut() = Some(listener));
    }

    pub(super) fn tell(&self, name: &str, detail: serde_json::Value) {
        self.listener.with_value(|place| {
            if let Some(listener) = &*place.borrow() {
                listener(name, detail);
            }
        });
    }

    fn send(&self, request: &Request, files: Vec<Blob>) {
        self.send_and(request, files, |_| {});
    }

    /// Sends a request whose events `also` hears, just before this reader takes them in: a large document is not copied for it.
    pub fn send_and(&self, request: &Request, files: Vec<Blob>, also: impl Fn(&Event) + 'static) {
        self.dispatch(Rc::new(Sent::new(addressed(request), files, also)));
    }

    pub(in crate::page) fn fail(&self, problem: Problem) {
        self.tell("error", serde_json::json!({"kind": problem.kind, "message": problem.message}));
        self.problem.set(Some(problem));
    }

    fn begin(&self, busy: Busy, retry: Option<Retry>) {
        self.problem.set(None);
        self.proposal.set(None);
        self.busy.set(Some(busy));
        self.retry.set(retry);
        self.stopped.set(false);
        self.writing.set(String::new());
    }

    /// What is going on with a request that was not made by a view.
    pub fn note_busy(&self, request: &Request) {
        match request {
            Request::Load { model, .. } => {
                self.choose(model);
                self.begin(Busy::Loading, Some(Retry::Load(model.clone())));
            }
            Request::Open { .. } | Request::OpenRead | Request::OpenKept { .. } | Request::Sample { .. } => self.begin(Busy::Opening, None),
            Request::Read { questions, .. } => self.begin(Busy::Reading, Some(Retry::Read(questions.clone()))),
            Request::Ask { question, reread } => {
                self.asking.set(question.clone());
                self.begin(Busy::Asking, Some(Retry::Ask(question.clone(), *reread)));
            }
            Request::Edit { .. } | Request::Undo { .. } => self.begin(Busy::Editing, None),
            Request::Again { question } => self.begin(Busy::Asking, Some(Retry::Again(*question))),
            _ => {}
        }
    }

    /// Tries again what failed.
    pub fn try_again(&self) {
        match self.retry.get_untracked() {
            Some(Retry::Load(choice)) => self.load_again(choice),
            Some(Retry::Sample(seed, words)) => self.sample(seed, words),
            Some(Retry::Kept(key)) => self.open_kept(key),
            Some(Retry::Read(questions)) => self.read(questions),
            Some(Retry::Ask(question, reread)) => self.ask(question, reread),
            Some(Retry::Again(number)) => self.again(number),
            None => {}
        }
    }

    /// Asks what this browser has.
    pub fn look(&self) {
        self.send(&Request::Hello, Vec::new());
    }

    /// As above, unless something is going on: the worker does one thing after another.
    pub fn look_if_idle(&self) {
        if self.busy.get_untracked().is_none() {
            self.look();
        }
    }

    /// Makes a model ready. `files` are those of [`ModelChoice::Files`].
    pub fn load(&self, model: ModelChoice, files: Vec<Blob>) {
        self.begin(Busy::Loading, Some(Retry::Load(model.clone())));
        self.weights.set_value(files.clone());
        self.model.set(ModelState::Loading { stage: Stage::Download, done: 0.0, total: 0.0 });
        self.choose(&model);
        self.send(&Request::Load { model, device: self.device.get_untracked() }, files);
    }

    /// Makes the model that was chosen ready on the processor.
    pub fn load_on_processor(&self) {
        self.device.set(DeviceChoice::Cpu);
        self.load_chosen();
    }

    /// Makes the model that was chosen ready once more.
    pub fn load_chosen(&self) {
        if let Some(choice) = self.choice.get_untracked() {
            self.load_again(choice);
        }
    }

    fn load_again(&self, choice: ModelChoice) {
        self.load(choice, self.weights.get_value());
    }

    /// Makes the demonstration model ready.
    pub fn load_tiny(&self) {
        self.load(ModelChoice::Tiny { base: format!("{}tiny/", engine::base()) }, Vec::new());
    }

    /// Remembers what was chosen, and which host hears of it.
    fn choose(&self, model: &ModelChoice) {
        let (ModelChoice::Address { url } | ModelChoice::Server { url, .. }) = model else { return self.choice.set(Some(model.clone())) };
        let why = if model.sends() { Why::Reads } else { Why::Weights };
        let own = web_sys::window().and_then(|window| window.location().host().ok()).unwrap_or_default();
        if let Ok(address) = web_sys::Url::new(url)
            && (address.host() != own || why == Why::Reads)
        {
            let contact = Contact { host: address.host(), why };
            self.contacts.update(|contacts| {
                if !contacts.contains(&contact) {
                    contacts.push(contact);
                }
            });
        }
        self.choice.set(Some(model.clone()));
    }

    /// Opens a document of the generated world.
    pub fn sample(&self, seed: u64, words: usize) {
        self.opening.set("a sample".into());
        self.begin(Busy::Opening, Some(Retry::Sample(seed, words)));
        self.send(&Request::Sample { seed, words }, Vec::new());
    }

    /// Opens files.
    pub fn open(&self, files: Vec<(String, Blob)>) {
        if files.is_empty() {
            return;
        }
        let (names, files): (Vec<String>, Vec<Blob>) = files.into_iter().unzip();
        self.opening.set(names.join(", "));
        self.begin(Busy::Opening, None);
        match names.as_slice() {
            [name] if name.ends_with(".longhand") => self.send(&Request::OpenRead, files),
            _ => self.send(&Request::Open { names }, files),
        }
    }

    /// Opens a text.
    pub fn open_text(&self, text: &str) {
        self.open(vec![("pasted text.txt".into(), line::blob(&js_sys::Uint8Array::from(text.as_bytes())))]);
    }

    /// Back to the first screen. What was read stays kept.
    pub fn leave(&self) {
        self.questions.set(Vec::new());
        self.opened.set(None);
        self.ended.set(false);
        self.shown.set(None);
        self.problem.set(None);
        self.proposal.set(None);
        self.stopped.set(false);
        self.can_return.set(false);
        self.look();
    }

    /// The question that is put into the empty field.
    pub fn suggest(&self, question: String) {
        self.opened.update(|opened| {
            if let Some(opened) = opened {
                opened.question = Some(question);
            }
        });
    }

    /// Shows a passage.
    pub fn show(&self, span: Span) {
        self.tell("shown", serde_json::json!({"doc": span.doc, "start": span.start, "end": span.end}));
        self.shown.set(Some(span));
    }

    /// Shows a passage that an element of the page led to: [`Reader::back`] returns to it.
    pub fn show_from(&self, span: Span, element: Option<web_sys::EventTarget>) {
        let from = element.and_then(|element| element.dyn_into::<HtmlElement>().ok());
        self.can_return.set(from.is_some());
        self.from.set_value(from);
        self.show(span);
    }

    /// Back to what led to the passage.
    pub fn back(&self) {
        self.can_return.set(false);
        let from = self.from.try_update_value(Option::take).flatten().filter(|element| element.is_connected());
        if let Some(from) = from {
            from.scroll_into_view();
            let _ = from.focus();
        }
    }

    /// Opens a read of this browser's.
    pub fn open_kept(&self, key: String) {
        self.opening.set("a kept read".into());
        self.begin(Busy::Opening, Some(Retry::Kept(key.clone())));
        self.send(&Request::OpenKept { key }, Vec::new());
    }

    /// Reads for these questions; none for an outline.
    pub fn read(&self, questions: Vec<String>) {
        self.begin(Busy::Reading, Some(Retry::Read(questions.clone())));
        self.began.set(None);
        self.current.set(0);
        let questions = if questions.is_empty() { vec![String::new()] } else { questions };
        self.send(&Request::Read { questions, chunk: None }, Vec::new());
    }

    /// Goes on with the read that was stopped; questions asked later are not part of it.
    pub fn go_on(&self) {
        let asked = self.questions.with_untracked(|questions| {
            questions.iter().filter(|question| !question.is_later()).map(|question| question.text.clone()).collect()
        });
        self.read(asked);
    }

    /// Asks further.
    pub fn ask(&self, question: String, reread: bool) {
        self.begin(Busy::Asking, Some(Retry::Ask(question.clone(), reread)));
        self.asking.set(question.clone());
        self.send(&Request::Ask { question, reread }, Vec::new());
    }

    /// Makes `memory` the last notes of a question; `done` hears when they are.
    pub fn edit(&self, question: usize, memory: String, done: impl Fn() + 'static) {
        self.begin(Busy::Editing, None);
        let request = Request::Edit { question, memory };
        self.send_and(&request, Vec::new(), move |event| {
            // Before they are kept for good they hold in this tab.
            if matches!(event, Event::Log { .. } | Event::Done) {
                done();
            }
        });
    }

    /// Takes the last change of a question's notes back.
    pub fn undo(&self, question: usize) {
        self.begin(Busy::Editing, None);
        self.send(&Request::Undo { question }, Vec::new());
    }

    /// Answers a question again, from the notes as they are now. One whose sections were read again is put anew.
    pub fn again(&self, number: usize) {
        let asked = self.questions.with_untracked(|questions| {
            questions.get(number).map(|question| (question.text.clone(), question.is_later() && !question.is_from_notes()))
        });
        match asked {
            Some((question, true)) => self.ask(question, false),
            Some((question, false)) => {
                self.begin(Busy::Asking, Some(Retry::Again(number)));
                self.asking.set(question);
                self.send(&Request::Again { question: number }, Vec::new());
            }
            None => {}
        }
    }

    /// Ends what is going on.
    pub fn stop(&self) {
        self.send(&Request::Stop, Vec::new());
    }

    /// Saves the read as a file.
    pub fn export(&self, form: Form) {
        self.send_and(&Request::Export { form }, Vec::new(), |event| {
            if let Event::File { name, media, text } = event {
                save(name, media, text);
            }
        });
    }

    /// Lets a kept read go.
    pub fn delete_read(&self, key: String) {
        self.send(&Request::DeleteRead { key }, Vec::new());
        self.look();
    }

    /// Lets a kept model go.
    pub fn delete_model(&self, key: String) {
        self.send(&Request::DeleteModel { key }, Vec::new());
        self.look();
    }

    /// Lets go of the worker's side.
    pub fn close(&self) {
        self.closed.set_value(true);
        self.engine.set_value(None);
    }
}
