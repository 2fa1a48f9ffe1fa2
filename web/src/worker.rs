//! The engine, in a worker of its own so that the page never waits: hears requests of its page and of other tabs, answers with events.

mod endpoint;
mod files;
mod mind;
mod pause;
mod reads;
mod store;
mod tries;
mod weights;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use agent::report;
use data::{ChatRequest, Message, Sampling};
use js_sys::{Array, Function, Reflect};
use serde::Serialize;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Blob, DedicatedWorkerGlobalScope, MessageEvent};

use self::mind::Mind;
use self::pause::{Stop, until};
use self::reads::{Say, Shelf};
use crate::browser;
use crate::engine::BUILD;
use crate::protocol::{DeviceChoice, Event, ModelChoice, Problem, ProblemKind, Request, Sharing, Stage};

#[wasm_bindgen(module = "/src/tabs.js")]
extern "C" {
    #[wasm_bindgen(js_name = serveTabs)]
    fn serve_tabs(build: &str, heard: &JsValue, left: &JsValue);
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
    /// Models that some session holds: readers of one page and of several tabs share one. With what tells files apart that were chosen: names
    /// say little of them.
    minds: RefCell<HashMap<(ModelChoice, DeviceChoice, Vec<(u64, u64)>), Weak<Mind>>>,
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

/// Sends `{id, event}` or `{ready}` to a page.
type Reply = Rc<dyn Fn(&JsValue)>;

/// Runs in the worker: hears messages from now on. `worker.js` calls it.
#[wasm_bindgen]
pub fn serve() {
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    let worker = Rc::new(Worker { since: js_sys::Date::now(), ..Worker::default() });
    let (to_own, own) = (scope.clone(), worker.clone());
    let send: Reply = Rc::new(move |message| drop(to_own.post_message(message)));
    let heard = Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| hear(&own, &message.data(), &send));
    scope.set_onmessage(Some(heard.as_ref().unchecked_ref()));
    heard.forget();
    let ready = js_sys::Object::new();
    let _ = Reflect::set(&ready, &"ready".into(), &BUILD.into());
    let _ = scope.post_message(&ready);
    let far = worker.clone();
    let heard = Closure::<dyn FnMut(JsValue, Function)>::new(move |message: JsValue, say: Function| {
        let send: Reply = Rc::new(move |message| drop(say.call1(&JsValue::NULL, message)));
        hear(&far, &message, &send);
    });
    let left = Closure::<dyn FnMut(String)>::new(move |tab: String| worker.leave(&tab));
    // As long as the worker.
    serve_tabs(BUILD, &heard.into_js_value(), &left.into_js_value());
}

/// A message is `{id, session, request, files: [Blob]}`.
fn hear(worker: &Rc<Worker>, message: &JsValue, send: &Reply) {
    let field = |name: &str| Reflect::get(message, &name.into()).unwrap_or(JsValue::UNDEFINED);
    let id = field("id").as_f64().unwrap_or(0.0);
    let send = send.clone();
    let say: Say = Rc::new(move |event| send(&said(id, &event)));
    let request = match serde_wasm_bindgen::from_value::<Request>(field("request")) {
        Ok(request) => request,
        Err(problem) => return say(failed(ProblemKind::Other, format!("a request that is none: {problem}"))),
    };
    let number = field("session").as_string().unwrap_or_default();
    if matches!(request, Request::Close) {
        if let Some(session) = worker.sessions.borrow_mut().remove(&number) {
            session.stop();
        }
        return say(Event::Done);
    }
    let session = worker.sessions.borrow_mut().entry(number).or_default().clone();
    if matches!(request, Request::Stop) {
        session.stop();
        return say(Event::Done);
    }
    let files: Vec<Blob> = match field("files") {
        files if Array::is_array(&files) => Array::from(&files).iter().filter_map(|file| file.dyn_into().ok()).collect(),
        _ => Vec::new(),
    };
    let worker = worker.clone();
    let stop = Stop::default();
    session.stops.borrow_mut().insert(id as u64, stop.clone());
    spawn_local(async move {
        let work = async {
            let _turn = session.turn.lock().await;
            worker.answer_in_time(&session, request, &files, &say).await
        };
        let outcome = until(&stop, work).await;
        session.stops.borrow_mut().remove(&(id as u64));
        match outcome {
            Ok(Ok(())) => say(Event::Done),
            Ok(Err(problem)) => {
                if problem.kind == ProblemKind::Lost {
                    // Its buffers are gone: the next load begins anew, whoever loads it.
                    if let Some(lost) = session.mind.borrow_mut().take() {
                        worker.minds.borrow_mut().retain(|_, mind| mind.as_ptr() != Rc::as_ptr(&lost));
                    }
                }
                say(Event::Failed(problem));
            }
            Err(_) => say(Event::Stopped),
        }
    });
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

    /// A model that is here already is shared; the session's own before is let go.
    async fn load(
        &self,
        session: &Session,
        model: ModelChoice,
        device: DeviceChoice,
        files: &[Blob],
        say: &Say,
    ) -> Result<Rc<Mind>, Problem> {
        session.mind.borrow_mut().take();
        let _loading = self.loading.lock().await;
        let name = (model.clone(), device, stamps(files));
        let known = self.minds.borrow().get(&name).and_then(Weak::upgrade);
        let mind = match known {
            Some(mind) => mind,
            None => {
                let told: weights::Told = {
                    let say = say.clone();
                    Rc::new(move |stage: Stage, done, total| say(Event::Loading { stage, done, total }))
                };
                Rc::new(Mind::load(&model, device, files, &told).await?)
            }
        };
        self.minds.borrow_mut().retain(|_, mind| mind.strong_count() > 0);
        self.minds.borrow_mut().insert(name, Rc::downgrade(&mind));
        *session.mind.borrow_mut() = Some(mind.clone());
        Ok(mind)
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

fn failed(kind: ProblemKind, message: String) -> Event {
    Event::Failed(Problem { kind, message })
}

/// Sizes of some files, and when they were last changed: with their names they tell one person's files apart.
fn stamps(files: &[Blob]) -> Vec<(u64, u64)> {
    let changed = |file: &Blob| Reflect::get(file, &"lastModified".into()).ok().and_then(|time| time.as_f64()).unwrap_or(0.0);
    files.iter().map(|file| (file.size() as u64, changed(file) as u64)).collect()
}

/// `{id, event}`
fn said(id: f64, event: &Event) -> JsValue {
    let message = js_sys::Object::new();
    let value = event.serialize(&serde_wasm_bindgen::Serializer::json_compatible());
    let _ = Reflect::set(&message, &"id".into(), &id.into());
    let _ = Reflect::set(&message, &"event".into(), &value.unwrap_or_else(|problem| problem.into()));
    message.into()
}
