//! The page: the reader, and what this browser can do and keeps.

mod address;
mod answer;
pub mod carried;
mod contacts;
mod document;
mod figures;
mod inspector;
mod kept;
mod leaves;
mod listed;
mod machine;
mod models;
mod notes;
mod problem;
mod progress;
mod question;
mod source;
mod start;
pub mod state;

use std::time::Duration;

use leptos::ev;
use leptos::prelude::*;

use self::state::{Busy, Reader};

/// The parts of the app, by the address's hash; the reader goes on while another is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Reader,
    Inspector,
    Browser,
}

/// In the navigation's order: part, hash, name.
const PARTS: [(Part, &str, &str); 3] =
    [(Part::Reader, "#reader", "Reader"), (Part::Inspector, "#inspect", "Inspector"), (Part::Browser, "#browser", "This browser")];

/// How long a file counts as held over the page after the browser last said so.
const HELD: Duration = Duration::from_millis(600);

/// The whole page of the app.
#[component]
pub fn App() -> impl IntoView {
    let reader = Reader::new();
    let part = RwSignal::new(part_of_address());
    let turned = window_event_listener(ev::hashchange, move |_| {
        part.set(part_of_address());
        reader.look_if_idle();
    });
    // Made when it is first shown; what is open in it stays open.
    let inspected = Memo::new(move |before: Option<&bool>| before.is_some_and(|before| *before) || part.get() == Part::Inspector);
    carried_anywhere(reader);
    address::follow(reader);
    on_cleanup(move || turned.remove());
    view! {
        <header class="top">
            <h1 data-test="title">"Longhand"</h1>
            <nav aria-label="Parts">{PARTS.map(|(name, hash, text)| view! {
                <a href=hash aria-current=move || (part.get() == name).then_some("page")>{text}</a>
            }).into_iter().collect_view()}</nav>
            <contacts::Contacts reader=reader own=true />
        </header>
        <main class="part" class:flat=move || part.get() != Part::Reader>
            <div class="whole" hidden=move || part.get() != Part::Reader><ReaderView reader=reader within_app=true /></div>
            <div class="whole" hidden=move || part.get() != Part::Inspector>
                {move || inspected.get().then(|| view! { <inspector::InspectorPlace reader=reader /> })}
            </div>
            {move || (part.get() == Part::Browser).then(|| view! {
                <div class="browser"><kept::KeptView reader=reader /><machine::MachineView /></div>
            })}
        </main>
    }
}

fn part_of_address() -> Part {
    let hash = web_sys::window().and_then(|window| window.location().hash().ok()).unwrap_or_default();
    // An address that names a dataset means the inspector.
    let first = if crate::browser::addressed("dataset").is_some() { Part::Inspector } else { Part::Reader };
    PARTS.iter().find(|(_, own, _)| *own == hash).map_or(first, |(part, ..)| *part)
}

/// A drop or a paste beside the reader is meant for it too.
fn carried_anywhere(reader: Reader) {
    let over = window_event_listener(ev::dragover, move |event| {
        if !event.default_prevented() {
            event.prevent_default();
        }
    });
    let dropped = window_event_listener(ev::drop, move |event| {
        if !event.default_prevented() {
            event.prevent_default();
            if !untrack(|| reader.is_busy()) {
                carried::open_carried(reader, &event, "dataTransfer");
            }
        }
    });
    let pasted = window_event_listener(ev::paste, move |event| {
        if !event.default_prevented() {
            pasted_into(reader, &event);
        }
    });
    on_cleanup(move || [over, dropped, pasted].into_iter().for_each(|listener| listener.remove()));
}

/// A paste that no field takes opens a document, while none is open.
fn pasted_into(reader: Reader, event: &ev::ClipboardEvent) {
    use wasm_bindgen::JsCast;
    let path = event.composed_path().get(0);
    let field = path.dyn_ref::<web_sys::HtmlInputElement>().is_some() || path.dyn_ref::<web_sys::HtmlTextAreaElement>().is_some();
    if !field && untrack(|| !reader.is_open() && !reader.is_busy()) {
        event.prevent_default();
        carried::open_carried(reader, event, "clipboardData");
    }
}

/// A reader, in the app or in an element of another page.
#[component]
pub fn ReaderView(
    /// Its state.
    reader: Reader,
    /// The document is given by the page: no other can be opened.
    #[prop(optional)]
    fixed: bool,
    /// The page around it is ours.
    #[prop(optional)]
    within_app: bool,
) -> impl IntoView {
    on_cleanup(move || reader.close());
    let over = RwSignal::new(false);
    let fading = StoredValue::new_local(None::<TimeoutHandle>);
    let takes = move || !fixed && !untrack(|| reader.is_busy());
    let asked = Memo::new(move |_| reader.is_asked());
    let open = Memo::new(move |_| reader.is_open());
    view! {
        <div class="frame" class:over=move || over.get() class:open=move || open.get()
            on:dragover=move |event| {
                event.prevent_default();
                over.set(takes());
                // It comes again and again while something is held over the page; leaving is told apart from passing an element only so.
                let next = set_timeout_with_handle(move || over.set(false), HELD).ok();
                if let Some(Some(last)) = fading.try_update_value(|last| std::mem::replace(last, next)) {
                    last.clear();
                }
            }
            on:drop=move |event| {
                event.prevent_default();
                over.set(false);
                if takes() {
                    carried::open_carried(reader, &event, "dataTransfer");
                }
            }
            on:paste=move |event| if !fixed { pasted_into(reader, &event) }>
            <p class="unseen" role="status" data-test="said">{move || reader.said.get()}</p>
            {move || match open.get() {
                false => view! {
                    <div class="empty">
                        <problem::ProblemView reader=reader />
                        {(!fixed).then(|| view! { <start::Start reader=reader /> })}
                        <p class="soft" hidden=!fixed>"The document is on its way."</p>
                    </div>
                }.into_any(),
                true => view! {
                    <div class="reader">
                        <div class="work">
                            <div class="first">
                                <document::DocumentHead reader=reader fixed=fixed />
                                <problem::ProblemView reader=reader />
                                {move || (!asked.get()).then(|| view! {
                                    <models::Models reader=reader />
                                    <question::Questions reader=reader />
                                })}
                                <answer::QuestionList reader=reader />
                                <progress::Progress reader=reader />
                                <answer::AnswerView reader=reader />
                                <question::ProposalView reader=reader />
                            </div>
                            <notes::NotesView reader=reader />
                            <div class="rest">
                                {move || asked.get().then(|| view! {
                                    <question::Further reader=reader />
                                    <models::Models reader=reader />
                                })}
                                <kept::Exports reader=reader />
                                {(!within_app).then(|| view! { <contacts::Contacts reader=reader own=false /> })}
                            </div>
                        </div>
                        <source::SourceView reader=reader />
                    </div>
                }.into_any(),
            }}
            <problem::Opening reader=reader />
            <p class="drop" aria-hidden="true">{move || if reader.busy.get() == Some(Busy::Opening) { "" } else { "Drop it to open it" }}</p>
        </div>
    }
}
