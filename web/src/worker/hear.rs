//! Messages of pages, in and out: a request comes, with files, and what is told of it goes back to where it came from.

use std::rc::Rc;

use js_sys::{Array, Function, Reflect};
use serde::Serialize;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Blob, DedicatedWorkerGlobalScope, MessageEvent};

use super::Worker;
use super::pause::{Stop, until};
use super::reads::Say;
use crate::engine::BUILD;
use crate::protocol::{Event, Problem, ProblemKind, Request};

#[wasm_bindgen(module = "/src/tabs.js")]
extern "C" {
    #[wasm_bindgen(js_name = serveTabs)]
    fn serve_tabs(build: &str, heard: &JsValue, left: &JsValue);
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
                    if let Some(lost) = session.mind.borrow_mut().take() {
                        worker.forget(&lost);
                    }
                }
                say(Event::Failed(problem));
            }
            Err(_) => say(Event::Stopped),
        }
    });
}

fn failed(kind: ProblemKind, message: String) -> Event {
    Event::Failed(Problem { kind, message })
}

/// `{id, event}`
fn said(id: f64, event: &Event) -> JsValue {
    let message = js_sys::Object::new();
    let value = event.serialize(&serde_wasm_bindgen::Serializer::json_compatible());
    let _ = Reflect::set(&message, &"id".into(), &id.into());
    let _ = Reflect::set(&message, &"event".into(), &value.unwrap_or_else(|problem| problem.into()));
    message.into()
}
