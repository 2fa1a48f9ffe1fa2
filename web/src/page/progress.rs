//! How far a read is: what was covered, the section, the time left, the reply that is being written; stop and go on.

use leptos::prelude::*;

use super::figures;
use super::state::{Busy, Question, Reader};
use crate::protocol::ModelInfo;

/// Progress while something is read, and the way on where it stopped.
#[component]
pub fn Progress(reader: Reader) -> impl IntoView {
    let asking = move || reader.busy.get() == Some(Busy::Asking);
    view! {
        <section class="progress" data-test="progress" hidden=move || !reader.is_reading()>
            <div class="row">
                <b data-test="sections">{move || if asking() { "Answering your question".to_string() } else { section(reader) }}</b>
                <span class="soft">{move || left(reader)}</span>
                <button type="button" part="button" data-test="stop" on:click=move |_| reader.stop()>"Stop"</button>
            </div>
        </section>
        <Covered reader=reader />
        <p class="writing" data-test="writing" aria-hidden="true" hidden=move || !reader.is_reading()><span>{move || reader.writing.get()}</span></p>
        <GoOn reader=reader />
    }
}

fn section(reader: Reader) -> String {
    let (read, all) = reader.questions.with(|questions| {
        let first = questions.iter().filter(|question| !question.is_later());
        first.map(|question| (question.turns.len(), question.planned)).min().unwrap_or((0, 0))
    });
    match all {
        _ if reader.waits.get() => "Another tab reads this document for this question; its notes and answer will be shown here".into(),
        0 => "Beginning to read".into(),
        all if read >= all => format!("All {all} sections are read; the answer is being written"),
        all => format!("Section {} of {all}", read + 1),
    }
}

fn left(reader: Reader) -> String {
    // Read anew with every section.
    reader.sections();
    reader.left().filter(|&left| left > 0.0).map_or(String::new(), |left| format!("about {} left", figures::duration(left)))
}

/// How much of the documents was read for the question that is shown.
#[component]
fn Covered(reader: Reader) -> impl IntoView {
    let covered = Memo::new(move |_| {
        let bytes = reader.bytes();
        reader.shown_question(|question| {
            let turns = || question.turns.iter().filter_map(|turn| turn.span()).map(|span| span.end - span.start).sum();
            let (covered, all) = question.coverage.unwrap_or_else(|| (turns(), bytes));
            (covered, all, question.planned, question.skipped.len(), question.is_later())
        })
    });
    let share = move || covered.get().map_or(0.0, |(covered, all, ..)| (covered as f64 / all.max(1) as f64).min(1.0));
    let said = move || {
        covered.get().map(|(covered, all, planned, skipped, later)| {
            let kb = |bytes: usize| figures::bytes(bytes as f64);
            match (later, skipped) {
                (true, _) if covered == 0 => "Answered from the notes: nothing was read again.".to_string(),
                (true, _) => format!("{} read again for this question.", kb(covered)),
                _ if planned == 0 && covered == all => format!("All {} were read at once: the document fits the model's window.", kb(all)),
                (_, 0) => format!("{:.0} % of {} read", (100.0 * share()).floor(), kb(all)),
                (_, skipped) => format!("{:.1} % of {} read, {} skipped", 100.0 * share(), kb(all), figures::many(skipped, "stretch")),
            }
        })
    };
    let lines =
        move || covered.get().filter(|(.., later)| !later).map(|(_, _, planned, ..)| planned).filter(|planned| (2..=120).contains(planned));
    view! {
        <div class="covered" data-test="covered" hidden=move || covered.get().is_none()>
            <div class="bar" class:cut=move || lines().is_some() style:--sections=move || lines().map(|lines| lines.to_string())>
                <i style:width=move || format!("{:.2}%", 100.0 * share())></i>
            </div>
            <small class="soft">{said}</small>
        </div>
    }
}

/// The way on for a read that has not come to its end.
#[component]
fn GoOn(reader: Reader) -> impl IntoView {
    let ready = move || reader.info().filter(|_| reader.is_ready());
    let begun_by = move || reader.questions.with(|questions| questions.first().map(|question| question.model.clone())).unwrap_or_default();
    let said = move || {
        let (read, all) = reader
            .questions
            .with(|questions| questions.first().map_or((0, 0), |question: &Question| (question.turns.len(), question.planned)));
        let whom = whom(ready().as_ref(), &begun_by());
        match read {
            0 => format!("The read stopped before its first section was done.{whom}"),
            read => format!("The read stopped after section {read} of {all}. What was read is kept.{whom}"),
        }
    };
    let loads = move || reader.stopped.get() && reader.busy.get() == Some(Busy::Loading);
    // A problem that took the model away says itself what can be done.
    let hidden = move || !(reader.is_unfinished() || loads()) || (ready().is_none() && reader.problem.with(Option::is_some));
    view! {
        <section class="go-on" hidden=hidden>
            <p>{said}</p>
            <button type="button" class="main" part="button" data-test="go-on" hidden=move || ready().is_none() prop:disabled=move || reader.editing.get()
                on:click=move |_| reader.go_on()>"Go on reading"</button>
            <p class="soft" hidden=move || !reader.editing.get()>"Save or cancel your edit first: the read goes on from the notes."</p>
            <button type="button" class="main" part="button" data-test="go-on-choose" hidden=move || ready().is_some() on:click=move |_| reader.choosing.set(true)>
                "Choose who goes on"
            </button>
        </section>
    }
}

/// Whether this model takes up where that one stopped.
fn whom(info: Option<&ModelInfo>, begun_by: &str) -> String {
    match info {
        _ if begun_by.is_empty() => String::new(),
        Some(info) if info.name == begun_by => String::new(),
        Some(info) => format!(" It was begun with {begun_by}; {} begins it anew.", info.name),
        None => format!(" To go on, the model it was begun with is needed: {begun_by}. Another begins it anew."),
    }
}
