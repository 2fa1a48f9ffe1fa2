//! The engine, in a worker of its own so that the page never waits: hears requests of its page and of other tabs (`hear`), answers with events.

mod endpoint;
mod files;
mod hear;
mod mind;
mod pause;
mod reads;
mod share;
mod store;
mod tries;
mod weights;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use agent::report;
use data::{ChatRequest, Message, Sampling};
use wasm_bindgen::prelude::*;
use web_sys::Blob;

use self::mind::Mind;
use self::pause::Stop;
use self::reads::{Say, Shelf};
use self::share::Name;
use crate::browser;
use crate::protocol::{Event, Problem, ProblemKind, Request, Sharing};

#[wasm_bindgen(module = "/src/tabs.js")]
extern "C" {
    async fn pause(milliseconds: f64);
}

/// Milliseconds in which the engine before this one may still hold its files, and between two tries to open one.
const FIRST: f64 = 10_000.0;
const RETRY: f64 = 250.0;

/// Everything the worker has.
#[derive(Default)]
struct Worker {
    /// Readers on pages, by their tab and number.
    sessions: RefCell<HashMap<String, Rc<Session>>>,
    /// Models that some session holds.
    minds: RefCell<HashMap<Name, Weak<Mind>>>,
    /// One model after the other is loaded: who waits may find it here.
    loading: async_lock::Mutex<()>,
    /// When it began, in milliseconds.
    since: f64,
}

/// What one reader has.
#[derive(Default)]
struct Session {
    mind: RefCell<Option<Rc<Mind>>>,
    shelf: RefCell<Shelf>,
    /// Of everything that is going on or waits, by the request's number.
    stops: RefCell<HashMap<u64, Stop>>,
    /// One thing at a time: what else this reader asks waits here. Others do not wait: their calls take turns on a model.
    turn: async_lock::Mutex<()>,
}

impl Worker {
    /// A tab is gone, and with it its readers.
    fn leave(&self, tab: &str) {
        self.sessions.borrow_mut().retain(|name, session| {
            let gone = name.split(' ').next() == Some(tab);
            if gone {
                session.stop();
            }
            !gone
        });
    }

    /// As below; in this engine's first seconds the one before it may not have let its files go.
    async fn answer_in_time(&self, session: &Session, request: Request, files: &[Blob], say: &Say) -> Result<(), Problem> {
        while js_sys::Date::now() - self.since < FIRST {
            match self.answer(session, request.clone(), files, say).await {
                Err(problem) if problem.kind == ProblemKind::OtherTab => pause(RETRY).await,
                outcome => return outcome,
            }
        }
        self.answer(session, request, files, say).await
    }

    async fn answer(&self, session: &Session, request: Request, files: &[Blob], say: &Say) -> Result<(), Problem> {
        match request {
            Request::Hello => self.hello(say).await,
            Request::Load { model, device } => {
                let mind = self.load(session, model, device, files, say).await?;
                say(Event::Ready(mind.info.clone()));
            }
            Request::Restore { documents, key } => {
                let kept = match key {
                    // What cannot be read of it is read anew.
                    Some(key) => reads::open_kept(&key).await.ok().map(|kept| (kept, key)),
                    None => None,
                };
                session.shelf.borrow_mut().restore(documents, kept);
            }
            Request::DeleteModel { key } => store::remove(&format!("models/{key}")).await?,
            Request::Sample { seed, words } => {
                let (document, question, answer) = reads::sample(seed, words)?;
                let opened = session.shelf.borrow_mut().open(vec![document], Vec::new());
                say(Event::Opened(crate::protocol::OpenedInfo { question: Some(question), answer: Some(answer), ..opened }));
            }
            Request::Open { names } => {
                let (documents, remarks) = files::convert(&names, store::bytes_of(files).await?).await?;
                let opened = session.shelf.borrow_mut().open(documents, remarks);
                say(Event::Opened(opened));
            }
            Request::OpenRead => {
                let bytes = store::bytes_of(files).await?.into_iter().next().unwrap_or_default();
                let wrong = |problem: String| Problem { kind: ProblemKind::Document, message: format!("This is no kept read: {problem}") };
                let text = String::from_utf8(bytes).map_err(|problem| wrong(problem.to_string()))?;
                let kept = report::unpack(&text).map_err(|problem| wrong(problem.to_string()))?;
                session.shelf.borrow_mut().show(kept, None, say);
            }
            Request::OpenKept { key } => {
                let kept = reads::open_kept(&key).await?;
                session.shelf.borrow_mut().show(kept, Some(key), say);
            }
            Request::DeleteRead { key } => reads::delete(&key).await?,
            Request::Read { questions, chunk } => {
                let mind = session.mind()?;
                reads::read(&session.shelf, &mind, questions, chunk, say).await?;
            }
            Request::Ask { question, reread } => {
                let mind = session.mind()?;
                reads::ask(&session.shelf, &mind, &question, reread, say).await?;
            }
            Request::Edit { question, memory } => reads::edit(&session.shelf, question, Some(&memory), say).await?,
            Request::Undo { question } => reads::edit(&session.shelf, question, None, say).await?,
            Request::Again { question } => {
                let mind = session.mind()?;
                reads::again(&session.shelf, &mind, question, say).await?;
            }
            Request::Generate { prompt, max_tokens } => {
                let mind = session.mind()?;
                let request = ChatRequest::new(vec![Message::user(prompt)], Sampling::GREEDY, max_tokens);
                let on_text = say.clone();
                let reply =
                    mind.model.chat(&request, &mut |text| on_text(Event::Text { text: text.into() })).await.map_err(mind::of_model)?;
                let tokens = (reply.usage.prompt_tokens, reply.usage.completion_tokens);
                say(Event::Generated { text: reply.text, tokens, ids: reply.token_ids });
            }
            Request::Export { form } => {
                let (name, media, text) = session.shelf.borrow().export(form)?;
                say(Event::File { name, media, text });
            }
            Request::Try { way, tries, reply } => {
                let mind = session.mind()?;
                let row = store::bytes_of(files).await?.into_iter().next().unwrap_or_default();
                tries::try_row(&mind, &row, way, tries, reply, say).await?;
            }
            Request::MakeRows { names, count, seed } => say(files::make_rows(names, store::bytes_of(files).await?, count, seed).await?),
            Request::Stop | Request::Close => {}
        }
        Ok(())
    }

    async fn hello(&self, say: &Say) {
        let told = browser::describe_machine().await.ok().and_then(|text| text.as_string()).unwrap_or_default();
        let machine: serde_json::Value = serde_json::from_str(&told).unwrap_or_default();
        let words = ["vendor", "architecture", "device", "description"].iter().filter_map(|name| machine["adapter"][name].as_str());
        let words: Vec<&str> = words.filter(|text| !text.is_empty()).collect();
        let adapter = machine["adapter"].is_object().then(|| if words.is_empty() { "WebGPU".into() } else { words.join(" ") });
        let (quota, models, reads) = (store::quota().await, weights::kept().await, reads::kept().await);
        let loaded = self.minds.borrow().values().filter(|mind| mind.strong_count() > 0).count();
        let sharing = Sharing { readers: self.sessions.borrow().len(), models: loaded };
        say(Event::Machine { adapter, quota, models, reads, sharing });
    }
}

impl Session {
    /// Ends what is going on and what waits.
    fn stop(&self) {
        self.stops.borrow().values().for_each(Stop::ask);
    }

    fn mind(&self) -> Result<Rc<Mind>, Problem> {
        let none = || Problem { kind: ProblemKind::Model, message: "No model is ready: choose one first.".into() };
        self.mind.borrow().clone().ok_or_else(none)
    }
}
