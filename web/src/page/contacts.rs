//! What leaves this tab: every host that was asked for something, and what for.

use std::time::Duration;

use leptos::prelude::*;
use wasm_bindgen::JsCast;

use super::carried::other_hosts;
use super::state::{Contact, Reader, Why};

/// Milliseconds between two looks at the browser's own record, while it is shown.
const EVERY: u64 = 1000;

fn element(event: &web_sys::Event) -> Option<web_sys::HtmlDetailsElement> {
    event.current_target().and_then(|target| target.dyn_into().ok())
}

/// Escape folds what is open, and the focus goes back to its line.
fn close_by_escape(event: leptos::ev::KeyboardEvent) {
    if let (true, Some(details)) = (event.key() == "Escape", element(&event)) {
        details.set_open(false);
        let line = details.query_selector("summary").ok().flatten().and_then(|line| line.dyn_into::<web_sys::HtmlElement>().ok());
        line.map(|line| line.focus());
    }
}

/// A line that says whether anything leaves this tab; opened, what and where to.
#[component]
pub fn Contacts(
    /// The reader.
    reader: Reader,
    /// Whether the page is ours: what else a page that embeds a reader fetches is not the reader's affair.
    own: bool,
) -> impl IntoView {
    let open = RwSignal::new(false);
    let recorded = RwSignal::new(Vec::new());
    Effect::new(move |before: Option<Option<IntervalHandle>>| {
        if let Some(Some(handle)) = before {
            handle.clear();
        }
        if !open.get() || !own {
            return None;
        }
        recorded.set(other_hosts());
        let look = move || {
            let now = other_hosts();
            if recorded.try_get_untracked().is_some_and(|before| before != now) {
                recorded.set(now);
            }
        };
        set_interval_with_handle(look, Duration::from_millis(EVERY)).ok()
    });
    let sends = move || reader.info().and_then(|info| info.server);
    let summary = move || match sends() {
        Some(host) => format!("What you read goes to {host}"),
        None => "Nothing leaves this tab".to_string(),
    };
    let hosts = move || reader.contacts.get();
    // Seen by the browser and not accounted for.
    let others = move || recorded.get().into_iter().filter(|host| !hosts().iter().any(|contact| contact.host == *host)).collect::<Vec<_>>();
    view! {
        <details class="contacts" class:sends=move || sends().is_some() data-test="contacts" on:keydown=close_by_escape on:toggle=move |event| {
            open.set(element(&event).is_some_and(|details| details.open()));
        }>
            <summary><span class="dot" aria-hidden="true"></span>{summary}</summary>
            <div class="panel">
                <h2>"What leaves this tab"</h2>
                <dl data-test="hosts">
                    <dt>"Your document, questions and notes"</dt>
                    <dd>{move || {
                        let to: Vec<String> = hosts().iter().filter(|contact| contact.why == Why::Reads).map(|contact| contact.host.clone()).collect();
                        match (to.as_slice(), sends()) {
                            ([], _) => "Nowhere. They are read and kept in this browser.".to_string(),
                            (to, Some(_)) => format!("To {}, because you chose that server: the sections it reads, the notes, your questions.", to.join(", ")),
                            (to, None) => format!("While it was chosen, what was read went to {}. It goes there no longer.", to.join(", ")),
                        }
                    }}</dd>
                    {move || hosts().into_iter().filter(|contact| contact.why == Why::Weights).map(|Contact { host, .. }| view! {
                        <dt>{host}</dt>
                        <dd>"Was asked for a model's files, and may have passed that on to its own stores. It learns which model, not what you read."</dd>
                    }).collect_view()}
                    {move || own.then(|| view! {
                        <dt>"This page's own record"</dt>
                        <dd data-test="recorded">{move || match others().as_slice() {
                            [] => "The page itself has fetched nothing from any other host.".to_string(),
                            others => format!("The page has fetched from {}.", others.join(", ")),
                        }}</dd>
                    })}
                </dl>
                <p class="soft" hidden=move || sends().is_some()>"Take the network away once the model is here: reading goes on."</p>
            </div>
        </details>
    }
}
