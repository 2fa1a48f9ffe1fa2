//! What is open: its name, its size, and what a person should know about how it became text.

use leptos::prelude::*;

use super::figures;
use super::state::{Reader, file_name};

/// The head of the reader's left side.
#[component]
pub fn DocumentHead(
    /// The reader.
    reader: Reader,
    /// The document is given by the page: no other can be opened.
    fixed: bool,
) -> impl IntoView {
    let told = Memo::new(move |_| {
        reader.opened.with(|opened| {
            opened.as_ref().map(|opened| {
                let names: Vec<&str> = opened.documents.iter().map(|document| file_name(&document.source)).collect();
                (names.join(", "), opened.tokens, opened.remarks.clone())
            })
        })
    });
    move || {
        told.get().map(|(name, tokens, remarks)| {
        let count = remarks.len();
        view! {
            <section class="document">
                <p class="row" data-test="document">
                    <b dir="auto">{name}</b>
                    <span class="soft">{format!("about {} tokens", figures::count(tokens))}</span>
                </p>
                {(!fixed).then(|| view! {
                    <button type="button" part="button" class="quiet" data-test="leave" prop:disabled=move || reader.is_busy() on:click=move |_| reader.leave()>"Open another"</button>
                })}
                {(count > 0).then(|| view! {
                    <details class="remarks"><summary>{format!("{} on how it became text", figures::many(count, "remark"))}</summary>
                        <ul>{remarks.into_iter().map(|remark| view! { <li>{remark}</li> }).collect_view()}</ul>
                    </details>
                })}
            </section>
        }
    })
    }
}
