//! The last notes, edited by a person. What is typed is kept in the tab until it is saved or cancelled: another question, another part of the
//! app or a reload loses nothing.

use std::cell::RefCell;
use std::collections::HashMap;

use leptos::html::{Button, Textarea};
use leptos::prelude::*;

use crate::page::state::{Question, Reader};

/// Edit, save, cancel and undo, under the notes after the last section that was read.
#[component]
pub fn EditView(
    /// The reader.
    reader: Reader,
    /// Whether the last notes are shown.
    last: Memo<bool>,
) -> impl IntoView {
    let (field, opener) = (NodeRef::<Textarea>::new(), NodeRef::<Button>::new());
    let draft = RwSignal::new(None::<String>);
    let place = Memo::new(move |_| place(reader));
    let editable = Memo::new(move |_| {
        let own = reader.shown_question(|question| !question.is_later() && !question.is_outline() && !question.turns.is_empty());
        own.unwrap_or(false) && !reader.is_reading()
    });
    Effect::new(move || draft.set(editable.get().then(|| drafts::get(&place.get())).flatten()));
    Effect::new(move || reader.editing.set(draft.with(Option::is_some)));
    let edits = move || draft.with(Option::is_some);
    let now = move || untrack(|| reader.shown_question(|question| question.turns.last().map(|turn| turn.memory().to_string()))).flatten();
    let undoable = move || reader.shown_question(|question| question.edits.can_undo()).unwrap_or(false);
    let begin = move |_| {
        let text = now().unwrap_or_default();
        drafts::set(&place.get_untracked(), &text);
        draft.set(Some(text));
        focus(move || field.get_untracked().map(|field| drop(field.focus())));
    };
    let end = move |of: &str| {
        drafts::remove(of);
        if place.get_untracked() == of {
            draft.set(None);
            focus(move || opener.get_untracked().map(|opener| drop(opener.focus())));
        }
    };
    let save = move || {
        if let Some(text) = draft.get_untracked().filter(|_| !untrack(|| reader.is_busy())) {
            let of = place.get_untracked();
            reader.edit(reader.current.get_untracked(), text, move || end(&of));
        }
    };
    let typed = move |text: String| {
        drafts::set(&place.get_untracked(), &text);
        draft.set(Some(text));
    };
    let busy = move || reader.is_busy();
    view! {
        <div class="edit" hidden=move || !last.get() || !editable.get()>
            <form hidden=move || !edits() on:submit=move |event| { event.prevent_default(); save(); }
                on:keydown=move |event| if event.key() == "Enter" && (event.ctrl_key() || event.meta_key()) {
                    event.prevent_default();
                    save();
                }>
                <label>"Your notes"
                    <textarea rows="6" dir="auto" data-test="edit-text" node_ref=field prop:value=move || draft.get().unwrap_or_default()
                        on:input=move |event| typed(event_target_value(&event))></textarea>
                </label>
                <div class="row">
                    <button class="main" part="button" data-test="edit-save" prop:disabled=busy>"Save"</button>
                    <button type="button" part="button" data-test="edit-cancel" on:click=move |_| end(&place.get_untracked())>"Cancel"</button>
                    <small class="soft">"What is read or answered from now on comes from them."</small>
                </div>
            </form>
            <div class="row" hidden=edits>
                <button type="button" part="button" data-test="edit" node_ref=opener prop:disabled=busy on:click=begin>"Edit the notes"</button>
                <button type="button" part="button" data-test="undo" hidden=move || !undoable() prop:disabled=busy on:click=move |_| {
                    reader.undo(reader.current.get_untracked());
                    focus(move || opener.get_untracked().map(|opener| drop(opener.focus())));
                }>"Undo the last edit"</button>
            </div>
        </div>
    }
}

/// Once what is wanted is shown.
fn focus(go: impl Fn() -> Option<()> + 'static) {
    request_animation_frame(move || {
        go();
    });
}

/// Which notes a draft is of: documents, question, reader and section.
fn place(reader: Reader) -> String {
    let documents = reader.opened.with(|opened| {
        opened
            .iter()
            .flat_map(|opened| &opened.documents)
            .map(|document| format!("{} {} ", document.id, document.text.len()))
            .collect::<String>()
    });
    let of = |question: &Question| format!("{} {} {}", question.turns.len(), question.model, question.text);
    format!("longhand-draft {documents}{}", reader.shown_question(of).unwrap_or_default())
}

/// Drafts in this tab; its storage for the session has them too, so that a reload keeps them.
mod drafts {
    use super::{HashMap, RefCell};

    thread_local! {
        static DRAFTS: RefCell<HashMap<String, String>> = RefCell::default();
    }

    fn storage() -> Option<web_sys::Storage> {
        web_sys::window()?.session_storage().ok()?
    }

    pub fn get(place: &str) -> Option<String> {
        let here = DRAFTS.with_borrow(|drafts| drafts.get(place).cloned());
        here.or_else(|| storage()?.get_item(place).ok()?)
    }

    pub fn set(place: &str, text: &str) {
        DRAFTS.with_borrow_mut(|drafts| drafts.insert(place.into(), text.into()));
        if let Some(storage) = storage() {
            let _ = storage.set_item(place, text);
        }
    }

    pub fn remove(place: &str) {
        drop(DRAFTS.with_borrow_mut(|drafts| drafts.remove(place)));
        if let Some(storage) = storage() {
            let _ = storage.remove_item(place);
        }
    }
}
