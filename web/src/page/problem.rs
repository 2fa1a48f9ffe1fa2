//! What went wrong, and what can be done.

use leptos::prelude::*;

use super::state::{Busy, Reader};
use crate::protocol::{DeviceChoice, ModelChoice, Problem, ProblemKind};

/// The last problem, with what helps.
#[component]
pub fn ProblemView(
    /// The reader.
    reader: Reader,
) -> impl IntoView {
    move || {
        reader.problem.get().map(|problem| {
        let Problem { kind, message } = problem;
        // A server's own fault is told from ours.
        let served = kind == ProblemKind::Other && reader.info().is_some_and(|info| info.server.is_some());
        let (title, help) = if served { ("The server did not answer", SERVED) } else { (title(kind), help(kind)) };
        view! {
            <section class="problem" part="problem" role="alert" data-test="problem" data-kind=format!("{kind:?}").to_lowercase()>
                <h2>{title}</h2>
                <p dir="auto">{message}</p>
                <p class="soft">{help}</p>
                <div class="row">
                    <Actions reader=reader kind=kind />
                    <button type="button" part="button" class="quiet" data-test="dismiss" on:click=move |_| reader.problem.set(None)>"Dismiss"</button>
                </div>
            </section>
        }
    })
    }
}

const SERVED: &str = "What was read up to here is kept: trying again goes on from there. Or choose another model.";

fn title(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::Device => "This device cannot compute it",
        ProblemKind::Lost => "The device stopped computing",
        ProblemKind::Network => "The network failed",
        ProblemKind::Storage => "This browser does not keep it",
        ProblemKind::OtherTab => "Open in another tab",
        ProblemKind::Moved => "The engine is gone",
        ProblemKind::Model => "The model cannot be used",
        ProblemKind::Document => "The document cannot be read",
        ProblemKind::Foreign => "Not this model's world",
        ProblemKind::Other => "Something went wrong",
    }
}

fn help(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::Device => "The processor can compute it too, more slowly; or a smaller model may fit.",
        ProblemKind::Lost => "Mostly memory ran out. What was read is kept: load the model again, or a smaller one, and go on.",
        ProblemKind::Network => "What has come so far is kept: trying again goes on from there.",
        ProblemKind::Storage => "Let something go that is kept here, or read without keeping.",
        ProblemKind::OtherTab => "One read can be written in one tab at a time.",
        ProblemKind::Moved => {
            "Another is started in one of the tabs, and what was read is kept. What you did last may have to be done again."
        }
        ProblemKind::Model => "Fetching it again helps against damage; else choose another.",
        ProblemKind::Document => "Other formats of the same document often work: text, Markdown, HTML, PDF, DOCX, EPUB, XLSX, CSV, JSON.",
        ProblemKind::Foreign => "A model that knows your document's language is needed.",
        ProblemKind::Other => "What was read up to here is kept.",
    }
}

#[component]
fn Actions(reader: Reader, kind: ProblemKind) -> impl IntoView {
    // Where the worker ended, its documents went with it.
    let ended = move || reader.ended.get();
    let again = move || !ended() && !reader.is_busy() && reader.retry.get().is_some() && kind != ProblemKind::Foreign;
    let loaded = move || reader.choice.get().is_some_and(|choice| !matches!(choice, ModelChoice::Server { .. }));
    let processor = move || kind == ProblemKind::Device && loaded() && reader.device.get() != DeviceChoice::Cpu;
    let load = move || !ended() && kind == ProblemKind::Lost && loaded();
    let choose = matches!(
        kind,
        ProblemKind::Network | ProblemKind::Device | ProblemKind::Lost | ProblemKind::Model | ProblemKind::Foreign | ProblemKind::Other
    );
    view! {
        <button type="button" class="main" part="button" data-test="on-processor" hidden=move || !processor() on:click=move |_| reader.load_on_processor()>"Use the processor"</button>
        <button type="button" class="main" part="button" data-test="load-again" hidden=move || !load() on:click=move |_| reader.load_chosen()>"Load the model again"</button>
        <button type="button" part="button" data-test="try-again" hidden=move || !again() || load() on:click=move |_| reader.try_again()>"Try again"</button>
        <button type="button" part="button" data-test="choose-other" hidden=move || !choose || ended() || !reader.is_open() on:click=move |_| reader.choosing.set(true)>"Choose another model"</button>
        <button type="button" class="main" part="button" data-test="to-kept" hidden=move || !ended() on:click=move |_| reader.leave()>"Back to what was kept"</button>
        <a class="button" part="button" href="#browser" hidden={kind != ProblemKind::Storage}>"What is kept here"</a>
    }
}

/// What is being opened, for as long as that takes.
#[component]
pub fn Opening(
    /// The reader.
    reader: Reader,
) -> impl IntoView {
    view! {
        <p class="opening" role="status" data-test="opening" hidden=move || reader.busy.get() != Some(Busy::Opening)>
            <span class="turning" aria-hidden="true"></span>{move || format!("Opening {} …", reader.opening.get())}
        </p>
    }
}
