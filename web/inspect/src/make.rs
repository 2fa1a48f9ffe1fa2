//! A few rows made here, without a model, from a file that states facts.

use js_sys::Array;
use leptos::prelude::*;
use web_sys::Blob;

use super::open::Named;
use super::state::Inspector;
use line::protocol::{Event, Request};
use line::{files_of, save};

/// Chooses files, has rows made of them and opens those.
#[component]
pub fn MakeView(inspector: Inspector) -> impl IntoView {
    let (count, busy, rows) = (RwSignal::new(4_usize), RwSignal::new(false), RwSignal::new(None::<(String, f64)>));
    let chosen = move |event: leptos::ev::Event| {
        let input: web_sys::HtmlInputElement = event_target(&event);
        let (names, files): (Vec<String>, Vec<Blob>) = files_of(&input).into_iter().unzip();
        input.set_value("");
        if names.is_empty() {
            return;
        }
        busy.set(true);
        inspector.problem.set(None);
        let begun = super::now();
        let request = Request::MakeRows { names, count: count.get_untracked(), seed: 1 };
        inspector.reader.send(&request, files, move |event| match event {
            Event::Made { rows: made, rejects, report } => {
                rows.set(Some((made.clone(), (super::now() - begun) / 1000.0)));
                let files =
                    [("rows.jsonl", made), ("rejects.jsonl", rejects), ("report.json", report)].map(|(name, text)| file(name, &text));
                leptos::task::spawn_local(async move { inspector.open(files.into_iter().flatten().collect()).await });
            }
            Event::Failed(problem) => {
                busy.set(false);
                inspector.problem.set(Some(problem.message));
            }
            Event::Done | Event::Stopped => busy.set(false),
            _ => {}
        });
    };
    view! {
        <details class="inspect-make">
            <summary>"Make a few rows of a file"</summary>
            <p class="soft">"Tables and JSON whose records have names and values: each record becomes a document, and questions follow the links between them. No model is asked; questions over SQL are not made here, since this page has no SQLite."</p>
            <div class="inspect-filters">
                <label>"Rows of each kind"<input type="number" min="1" max="50" data-test="make-count" prop:value=move || count.get().to_string()
                    on:change=move |event| count.set(event_target_value(&event).parse().unwrap_or(4).clamp(1, 50)) /></label>
                <label class="button">"Choose CSV or JSON files"<input type="file" multiple data-test="make-files" prop:disabled=move || busy.get() on:change=chosen /></label>
                <span role="status" data-test="make-state">{move || match (busy.get(), rows.get()) {
                    (true, _) => "Making rows …".to_string(),
                    (false, Some((rows, took))) => format!("{} rows in {took:.1} s", rows.lines().count()),
                    (false, None) => String::new(),
                }}</span>
                <button type="button" data-test="make-save" hidden=move || rows.with(Option::is_none)
                    on:click=move |_| rows.with_untracked(|rows| if let Some((rows, _)) = rows { save("rows.jsonl", "application/jsonl", rows) })>"Save these rows"</button>
            </div>
        </details>
    }
}

/// A text as a file of this page.
fn file(name: &str, text: &str) -> Option<Named> {
    let blob = Blob::new_with_str_sequence(&Array::of1(&text.into())).ok()?;
    Some(Named { name: name.into(), blob })
}
