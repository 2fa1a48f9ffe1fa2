//! The notes after any section, and what changed in them. The last ones can be edited (`notes/edit.rs`).

mod edit;

use agent::{ChangeKind, Piece};
use leptos::prelude::*;

use self::edit::EditView;
use super::answer::{carried, cited};
use super::figures;
use super::state::{Question, Reader, Turn};

/// The notes of the question that is shown: those after the latest section, or after the one that was chosen.
#[component]
pub fn NotesView(reader: Reader) -> impl IntoView {
    let chosen = RwSignal::new(None::<usize>);
    // Shown while the notes are being written, unless a person wishes otherwise.
    let wished = RwSignal::new(None::<bool>);
    let outline = Memo::new(move |_| reader.shown_question(Question::is_outline).unwrap_or(false));
    let changes = Memo::new(move |_| !outline.get() && wished.get().unwrap_or_else(|| reader.is_reading()));
    let count = Memo::new(move |_| reader.shown_question(|question| question.turns.len()).unwrap_or(0));
    let number = Memo::new(move |_| chosen.get().unwrap_or(usize::MAX).min(count.get().saturating_sub(1)));
    Effect::new(move || {
        reader.current.track();
        chosen.set(None);
    });
    let choose = move |at: usize| chosen.set((at + 1 < count.get_untracked()).then_some(at));
    let title = move || {
        let of = reader.shown_question(|question| question.planned.max(question.turns.len())).unwrap_or(0);
        let what = if outline.get() { "Notes of section" } else { "Notes after section" };
        format!("{what} {} of {of}", number.get() + 1)
    };
    let notes = move || {
        with_turn(reader, number.get(), |before, turn| match changes.get() {
            true => changed(before, turn.memory()).into_any(),
            false => cited(reader, turn.memory(), turn.citations()).into_any(),
        })
    };
    let summary = move || if outline.get() { None } else { with_turn(reader, number.get(), |before, turn| summary(before, turn.memory())) };
    let blank = move || with_turn(reader, number.get(), |_, turn| turn.memory().trim().is_empty()).unwrap_or(true) && !changes.get();
    let edited = move || with_turn(reader, number.get(), |_, turn| turn.is_edited()).unwrap_or(false);
    let last = Memo::new(move |_| 0 < count.get() && number.get() + 1 == count.get());
    let writes = move || last.get() && reader.editing.get();
    let plan = move || with_turn(reader, number.get(), |_, turn| turn.plan().to_string()).filter(|plan| !plan.is_empty());
    let span = move || with_turn(reader, number.get(), |_, turn| turn.span()).flatten();
    view! {
        <section class="notes" part="notes" hidden=move || count.get() == 0>
            <h2>{title}</h2>
            <div class="row">
                <button type="button" part="button" aria-label="Section before" data-test="earlier" prop:disabled=move || number.get() == 0
                    on:click=move |_| choose(number.get_untracked().saturating_sub(1))>"‹"</button>
                <input type="range" data-test="section" aria-label="Section" aria-valuetext=title min="1" prop:max=move || count.get().to_string()
                    prop:value=move || (number.get() + 1).to_string()
                    on:input=move |event| choose(event_target_value(&event).parse::<usize>().unwrap_or(1) - 1) />
                <button type="button" part="button" aria-label="Next section" data-test="later" prop:disabled=move || count.get() <= number.get() + 1
                    on:click=move |_| choose(number.get_untracked() + 1)>"›"</button>
            </div>
            <div class="row">
                <label class="switch" hidden=move || outline.get()>
                    <input type="checkbox" data-test="changes" prop:checked=move || changes.get() on:change=move |event| wished.set(Some(event_target_checked(&event))) />
                    "Show what changed"
                </label>
                <span class="soft" data-test="changed">{summary}</span>
                <button type="button" class="link" data-test="show-section" on:click=move |event| {
                    if let Some(span) = untrack(span) {
                        reader.show_from(span, event.current_target());
                    }
                }>{move || format!("Show the section{}", span().map_or(String::new(), |span| format!(" ({})", reader.place(&span))))}</button>
            </div>
            <p class="soft" hidden=move || !edited()><span class="tag edited" data-test="edited">"edited"</span>" These notes are yours."</p>
            <div class="paper text" class:blank=blank hidden=writes dir="auto" data-test="notes">{notes}</div>
            <EditView reader=reader last=last />
            {move || (!changes.get()).then(|| with_turn(reader, number.get(), |_, turn| carried(turn.citations())))}
            <p class="soft plan" data-test="plan" hidden=move || plan().is_none()><b>"Plan: "</b><span dir="auto">{plan}</span></p>
        </section>
    }
}

/// What `look` makes of the notes before a section and its turn.
fn with_turn<T>(reader: Reader, number: usize, look: impl FnOnce(&str, &Turn) -> T) -> Option<T> {
    reader.shown_question(|question| {
        let turn = question.turns.get(number)?;
        let before = number.checked_sub(1).and_then(|number| question.turns.get(number)).map_or("", Turn::memory);
        Some(look(before, turn))
    })?
}

/// `2 added, 1 changed`.
fn summary(before: &str, after: &str) -> String {
    let changes = agent::changes(before, after);
    let counted = |kind: ChangeKind| changes.iter().filter(|change| change.kind == kind).count();
    let kinds = [(ChangeKind::Added, "added"), (ChangeKind::Changed, "changed"), (ChangeKind::Dropped, "dropped")];
    let said: Vec<String> = kinds
        .into_iter()
        .filter(|(kind, _)| counted(*kind) > 0)
        .map(|(kind, word)| format!("{} {word}", figures::count(counted(kind))))
        .collect();
    if said.is_empty() { "nothing changed".into() } else { said.join(", ") }
}

fn changed(before: &str, after: &str) -> impl IntoView + use<> {
    let pieces = agent::changes(before, after).into_iter().flat_map(|change| change.pieces).collect::<Vec<_>>();
    pieces
        .into_iter()
        .map(|piece| match piece {
            Piece::Kept(text) => view! { <span>{text.to_string()}</span> }.into_any(),
            Piece::Added(text) => view! { <ins>{text.to_string()}</ins> }.into_any(),
            Piece::Dropped(text) => view! { <del>{text.to_string()}</del> }.into_any(),
        })
        .collect_view()
}
