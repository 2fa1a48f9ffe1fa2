//! A row's SQL run once more, by SQLite in a worker of its own (`web/sql.js`). The worker and SQLite are fetched when a person asks, and end with the
//! answer or after a time.

use std::cell::RefCell;
use std::sync::Arc;

use data::Table;
use js_sys::{Array, Function, Object, Promise, Reflect};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{MessageEvent, Worker, WorkerOptions, WorkerType};

use super::facts::cell_text;
use super::state::Opened;

/// Milliseconds for SQLite to come, and for a query: the count of steps ends almost all before.
const COMING: i32 = 60_000;
const RUNNING: i32 = 5_000;

thread_local! {
    /// Where `sql.js` lies, with a slash at the end.
    static BASE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Says where the page's files lie.
pub fn set_base(base: &str) {
    BASE.set(base.into());
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    /// The result.
    Rows(Vec<Vec<Value>>),
    /// The statement is not run, or not to its end: why.
    Refused(String),
    /// There is no SQLite: why.
    Missing(String),
}

/// What the worker says.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    Began,
    Rows(Vec<Vec<Cell>>),
    Refused(String),
    Missing(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Cell {
    Null,
    Integer(String),
    Real(f64),
    Text(String),
}

impl Cell {
    /// As the native run says it: whole numbers stay so, others have 12 significant digits, for sums differ in the last ones.
    fn value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Integer(digits) => digits.parse::<i64>().map_or(Value::Null, Value::from),
            Self::Real(number) => format!("{number:.11e}").parse::<f64>().map_or(Value::Null, |number| (number + 0.0).into()),
            Self::Text(text) => text.into(),
        }
    }
}

/// Runs a statement over a table.
async fn run(table: &Table, sql: &str) -> Outcome {
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    let worker = match Worker::new_with_options(&format!("{}sql.js", BASE.with_borrow(Clone::clone)), &options) {
        Ok(worker) => worker,
        Err(problem) => return Outcome::Missing(told(&problem)),
    };
    let outcome = asked(&worker, table, sql).await;
    worker.terminate();
    outcome
}

async fn asked(worker: &Worker, table: &Table, sql: &str) -> Outcome {
    let message = Object::new();
    let table = table.serialize(&serde_wasm_bindgen::Serializer::json_compatible()).unwrap_or_else(|problem| problem.into());
    let _ = Reflect::set(&message, &"table".into(), &table);
    let _ = Reflect::set(&message, &"sql".into(), &sql.into());
    if let Err(problem) = worker.post_message(&message) {
        return Outcome::Missing(told(&problem));
    }
    match next(worker, COMING).await {
        Ok(Some(Said::Began)) => {}
        Ok(Some(Said::Missing(why))) | Err(why) => return Outcome::Missing(why),
        Ok(None) => return Outcome::Missing(format!("it did not come within {} seconds", COMING / 1000)),
        Ok(Some(Said::Rows(_) | Said::Refused(_))) => return Outcome::Missing("its worker is of another version".into()),
    }
    match next(worker, RUNNING).await {
        Ok(Some(Said::Rows(rows))) => Outcome::Rows(rows.into_iter().map(|row| row.into_iter().map(Cell::value).collect()).collect()),
        Ok(Some(Said::Refused(why))) => Outcome::Refused(why),
        Ok(None) => Outcome::Refused(format!("it was stopped after {} seconds", RUNNING / 1000)),
        Ok(Some(Said::Began | Said::Missing(_))) => Outcome::Missing("its worker is of another version".into()),
        // The worker ended: more than it could bear.
        Err(why) => Outcome::Refused(format!("it fails: {why}")),
    }
}

/// The worker's next message; none within so many milliseconds.
async fn next(worker: &Worker, limit: i32) -> Result<Option<Said>, String> {
    let message = Promise::new(&mut |resolve, reject| {
        worker.set_onmessage(Some(&resolve));
        worker.set_onerror(Some(&reject));
    });
    let time = Promise::new(&mut |resolve: Function, _| {
        if let Some(window) = web_sys::window() {
            let _ = window.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, limit);
        }
    });
    let event = JsFuture::from(Promise::race(&Array::of2(&message, &time))).await.map_err(|problem| told(&problem))?;
    let Ok(event) = event.dyn_into::<MessageEvent>() else { return Ok(None) };
    serde_wasm_bindgen::from_value(event.data()).map(Some).map_err(|problem| problem.to_string())
}

/// What an error, or the event of one, says.
fn told(problem: &JsValue) -> String {
    let message = Reflect::get(problem, &"message".into()).ok().and_then(|message| message.as_string());
    message.filter(|message| !message.is_empty()).unwrap_or_else(|| "its worker could not be loaded".into())
}

/// A result on one line.
pub fn result_text(rows: &[Vec<Value>]) -> String {
    if rows.is_empty() {
        return "no rows".into();
    }
    rows.iter().map(|cells| cells.iter().map(cell_text).collect::<Vec<_>>().join(" | ")).collect::<Vec<_>>().join("; ")
}

/// A button that runs the row's SQL, and what came out beside what is stored.
#[component]
pub fn Rerun(row: Arc<Opened>) -> impl IntoView {
    let (outcome, running) = (RwSignal::new(None::<Outcome>), RwSignal::new(false));
    let stored = row.derivation.result.clone();
    let ask = move |_| {
        let row = row.clone();
        running.set(true);
        outcome.set(None);
        leptos::task::spawn_local(async move {
            let came = match (&row.derivation.table, &row.derivation.sql) {
                (Some(table), Some(sql)) => run(table, sql).await,
                _ => Outcome::Refused("there is no statement".into()),
            };
            // Another row may be open by now.
            running.try_set(false);
            outcome.try_set(Some(came));
        });
    };
    view! {
        <p><button type="button" data-test="sql-run" prop:disabled=move || running.get() on:click=ask>"Run the SQL here"</button>
            <span class="soft">" SQLite is fetched for it and runs in this tab; it may only read the table."</span></p>
        <div role="status">{move || match (running.get(), outcome.get()) {
            (true, _) => view! { <p class="soft">"SQLite is on its way …"</p> }.into_any(),
            (_, None) => ().into_any(),
            (_, Some(Outcome::Rows(rows))) => {
                let same = stored.as_ref() == Some(&rows);
                let (word, kind) = if same { ("the same as stored", "all") } else { ("not the stored result", "failed") };
                view! {
                    <p data-test="sql-again" data-same=same.to_string()>"Result here: "<b>{result_text(&rows)}</b>" "
                        <span class="inspect-verdict" data-verdict=kind>{word}</span></p>
                }.into_any()
            }
            (_, Some(Outcome::Refused(why))) => view! {
                <p data-test="sql-refused">"It gave no result here: "{why}". "<span class="inspect-verdict" data-verdict="failed">"not the stored result"</span></p>
            }.into_any(),
            (_, Some(Outcome::Missing(why))) => view! {
                <p class="problem" role="alert" data-test="sql-missing">
                    {format!("This page has no SQLite ({why}). It lies beside the page where the page was built with npm at hand; `longhand synth check` runs the SQL too.")}
                </p>
            }.into_any(),
        }}</div>
    }
}
