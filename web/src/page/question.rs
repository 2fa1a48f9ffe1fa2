//! What is asked: the questions of a read before it begins, and further ones after it.

use leptos::prelude::*;

use super::figures;
use super::state::{ModelState, Reader};

/// The questions before the read begins.
#[component]
pub fn Questions(reader: Reader) -> impl IntoView {
    let texts = RwSignal::new(vec![String::new()]);
    suggested(reader, move |asked| texts.update(|texts| texts[0] = asked));
    let filled =
        move || texts.with(|texts| texts.iter().map(|text| text.trim().to_string()).filter(|text| !text.is_empty()).collect::<Vec<_>>());
    let go = move || {
        let asked = untrack(filled);
        if untrack(|| is_ready(reader)) && !asked.is_empty() {
            reader.read(asked);
        }
    };
    let tiny = move || reader.info().is_some_and(|info| info.tiny);
    view! {
        <form class="ask" on:submit=move |event| { event.prevent_default(); go(); } on:keydown=move |event| ctrl_enter(&event, go)>
            <h2>"What do you want to know?"</h2>
            <For each=move || 0..texts.with(Vec::len) key=|number| *number let:number>
                <div class="field">
                    <label>{move || if number == 0 { "Your question".to_string() } else { format!("Question {}", number + 1) }}
                        <textarea rows="2" dir="auto" data-test=if number == 0 { "question" } else { "further-question" }
                            prop:value=move || texts.with(|texts| texts.get(number).cloned().unwrap_or_default())
                            on:input=move |event| texts.update(|texts| if let Some(text) = texts.get_mut(number) { *text = event_target_value(&event) })></textarea>
                    </label>
                    {(number > 0).then(|| view! {
                        <button type="button" part="button" class="quiet" aria-label=format!("Leave question {} out", number + 1)
                            on:click=move |_| texts.update(|texts| drop(texts.remove(number)))>"Leave out"</button>
                    })}
                </div>
            </For>
            <button type="button" class="link" data-test="add-question" on:click=move |_| texts.update(|texts| texts.push(String::new()))>
                "Add another question"
            </button>
            <div class="row">
                <button class="main" part="button" data-test="read" prop:disabled=move || !is_ready(reader) || filled().is_empty()>"Read"</button>
                <button type="button" part="button" class="quiet" data-test="outline" hidden=tiny prop:disabled=move || !is_ready(reader)
                    on:click=move |_| reader.read(Vec::new())>"Or only an outline"</button>
                <small class="soft" data-test="hint">{move || hint(reader)}</small>
            </div>
        </form>
    }
}

/// A further question to what was read.
#[component]
pub fn Further(reader: Reader) -> impl IntoView {
    let text = RwSignal::new(String::new());
    suggested(reader, move |asked| {
        if reader.questions.with_untracked(|questions| questions.iter().all(|question| question.text != asked)) {
            text.set(asked)
        }
    });
    let go = move || {
        let asked = text.get_untracked().trim().to_string();
        if untrack(|| is_ready(reader)) && !asked.is_empty() {
            reader.ask(asked, false);
        }
    };
    // A question that was answered leaves the field.
    Effect::new(move |before: Option<usize>| {
        let count = reader.questions.with(Vec::len);
        if before.is_some_and(|before| before < count) {
            text.set(String::new());
        }
        count
    });
    view! {
        <form class="ask" hidden=move || reader.is_busy() on:submit=move |event| { event.prevent_default(); go(); } on:keydown=move |event| ctrl_enter(&event, go)>
            <h2>"Ask further"</h2>
            <label>"Your question"
                <textarea rows="2" dir="auto" data-test="question" prop:value=move || text.get() on:input=move |event| text.set(event_target_value(&event))></textarea>
            </label>
            <div class="row">
                <button class="main" part="button" data-test="read" prop:disabled=move || !is_ready(reader) || text.with(|text| text.trim().is_empty())>"Ask"</button>
                <small class="soft">{move || match reader.model.get() {
                    ModelState::Ready(_) if reader.is_ready() => "Answered from the notes where they hold it; nothing is read again without your word.",
                    _ => "A model is needed for that.",
                }}</small>
                <button type="button" class="link" hidden=move || reader.is_ready() on:click=move |_| reader.choosing.set(true)>
                    "Choose one"
                </button>
            </div>
        </form>
    }
}

/// What the notes do not hold, and what it would cost to look again.
#[component]
pub fn ProposalView(reader: Reader) -> impl IntoView {
    move || {
        reader.proposal.get().map(|proposal| {
        let question = proposal.question.clone();
        let bytes: usize = proposal.sections.iter().map(|span| span.end - span.start).sum();
        let share = bytes as f64 / reader.bytes().max(1) as f64;
        let none = proposal.sections.is_empty();
        let sections = proposal.sections.clone();
        view! {
            <section class="proposal" role="group" aria-label="The notes do not hold the answer" data-test="proposal">
                <h2>"The notes do not hold the answer"</h2>
                <p class="soft" dir="auto">{question.clone()}</p>
                <p>{format!("They name {:.0} % of what the question names. ", 100.0 * proposal.share)}{match none {
                    true => "No section of the document speaks of it either.".to_string(),
                    false => format!("{} of it could be read again for this question, {:.0} % of the document:", figures::many(sections.len(), "section"), 100.0 * share),
                }}</p>
                <ul class="places">{sections.into_iter().map(|span| {
                    let place = reader.place(&span);
                    view! { <li><button type="button" class="link" on:click=move |event| reader.show_from(span.clone(), event.current_target())>{place}</button></li> }
                }).collect_view()}</ul>
                <div class="row">
                    <button type="button" class="main" part="button" data-test="reread" hidden=none on:click=move |_| reader.ask(question.clone(), true)>"Read them again"</button>
                    <button type="button" part="button" class="quiet" on:click=move |_| reader.proposal.set(None)>"Leave it"</button>
                </div>
            </section>
        }
    })
    }
}

/// The page that embeds a reader, or a sample, brings a question.
fn suggested(reader: Reader, take: impl Fn(String) + 'static) {
    let question = Memo::new(move |_| reader.opened.with(|opened| opened.as_ref().and_then(|opened| opened.question.clone())));
    Effect::new(move || {
        if let Some(question) = question.get() {
            take(question);
        }
    });
}

fn is_ready(reader: Reader) -> bool {
    reader.is_ready() && !reader.is_busy()
}

/// Why the button waits, or how to spare the way to it.
fn hint(reader: Reader) -> &'static str {
    match reader.model.get() {
        ModelState::Loading { .. } => "The model is on its way.",
        _ if !reader.is_ready() => "Choose who reads first.",
        _ => "Ctrl or ⌘ with Enter does the same.",
    }
}

fn ctrl_enter(event: &leptos::ev::KeyboardEvent, go: impl Fn()) {
    if event.key() == "Enter" && (event.ctrl_key() || event.meta_key()) {
        event.prevent_default();
        go();
    }
}
