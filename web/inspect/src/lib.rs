//! The inspector: datasets of `longhand synth run` and logs of training runs, opened from this computer's disk. Nothing leaves the tab unless a
//! server is chosen to try rows on.
//!
//! A module of its own: the page fetches it when the inspector is opened, and gives it a line to the page's reader.
#![cfg(target_arch = "wasm32")]

mod beside;
mod curves;
mod documents;
mod facts;
mod graph;
mod index;
mod judge;
mod live;
mod make;
mod open;
mod reader;
mod report;
mod row;
mod slices;
mod sql;
mod state;
mod table;
mod verdicts;

use leptos::prelude::*;
use line::save;
use wasm_bindgen::prelude::*;
use web_sys::HtmlElement;

use self::reader::{Line, Reader};
use self::state::{Inspector, Tab};

/// Runs when the module is loaded.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|panic| web_sys::console::error_1(&panic.to_string().into())));
}

/// Shows the inspector in `place`; `line` leads to the page's reader, `base` is where the page's files lie. The dataset in the folder at the address
/// `dataset` is opened at once.
#[wasm_bindgen]
pub fn inspect(place: HtmlElement, line: Line, base: &str, dataset: Option<String>) {
    sql::set_base(base);
    leptos::mount::mount_to(place, move || {
        let reader = Reader::new(line);
        view! { <InspectView reader=reader dataset=dataset /> }
    })
    .forget();
}

/// Dataset, row and curves under one roof.
#[component]
fn InspectView(
    /// The line to the worker whose model tries rows.
    reader: Reader,
    /// A folder's address.
    dataset: Option<String>,
) -> impl IntoView {
    let inspector = Inspector::new(reader);
    if let Some(folder) = dataset {
        leptos::task::spawn_local(async move {
            match open::addressed(&folder).await {
                Ok(files) => inspector.open(files).await,
                Err(problem) => inspector.problem.set(Some(problem)),
            }
        });
    }
    let over = RwSignal::new(false);
    let dropped = move |event: web_sys::DragEvent| {
        event.prevent_default();
        over.set(false);
        if let Some(data) = event.data_transfer() {
            leptos::task::spawn_local(async move {
                let files = open::dropped(data).await;
                inspector.open(files).await;
            });
        }
    };
    let no_rows = move || inspector.tab.get() != Tab::Rows || inspector.name.with(String::is_empty);
    view! {
        <div class="inspect" data-test="inspect" data-over=move || over.get().to_string() on:keydown=move |event| key(inspector, &event)
            on:dragover=move |event| { event.prevent_default(); over.set(true); } on:dragleave=move |_| over.set(false) on:drop=dropped>
            <Open inspector=inspector />
            {move || inspector.problem.get().map(|problem| view! { <p class="problem" role="alert" data-test="inspect-problem">{problem}</p> })}
            <p class="soft" hidden=move || inspector.remark.with(String::is_empty)>{move || inspector.remark.get()}</p>
            <Tabs inspector=inspector />
            <div class="inspect-find" hidden=no_rows><table::Filters inspector=inspector /></div>
            <div class="inspect-rows" hidden=no_rows>
                <div class="inspect-left"><table::TableView inspector=inspector /></div>
                <div class="inspect-right" tabindex="0" role="region" aria-label="The row that is open"><row::RowView inspector=inspector /></div>
            </div>
            <div hidden=move || inspector.tab.get() != Tab::Dataset><report::DatasetView inspector=inspector /></div>
            <div hidden=move || inspector.tab.get() != Tab::Training><curves::RunsView inspector=inspector /></div>
        </div>
    }
}

#[component]
fn Open(inspector: Inspector) -> impl IntoView {
    let chosen = move |event: leptos::ev::Event| {
        let input: web_sys::HtmlInputElement = event_target(&event);
        let files = input.files().map(|list| open::listed(&list)).unwrap_or_default();
        input.set_value("");
        leptos::task::spawn_local(async move { inspector.open(files).await });
    };
    let judged = move || inspector.judged.with(|judged| judged.values().filter(|judgement| !judgement.is_empty()).count());
    let export = move |_| {
        let text = inspector.judged.with_untracked(judge::jsonl);
        let hash = inspector.hash.get_untracked().unwrap_or_default();
        save(&format!("judgements-{}.jsonl", hash.chars().take(8).collect::<String>()), "application/jsonl", &text);
    };
    view! {
        <section class="inspect-open" aria-label="Open">
            <label class="button">"Open a dataset's folder"<input type="file" multiple data-test="inspect-folder" prop:webkitdirectory=true on:change=chosen /></label>
            <label class="button">"or its files, or events.jsonl"<input type="file" multiple data-test="inspect-open" on:change=chosen /></label>
            <span class="soft">"or drop them anywhere here"</span>
            <span data-test="inspect-took" class="soft" role="status">{move || inspector.took.get().map(|took| format!("{}: read in {took:.1} s", inspector.name.get()))}</span>
            <button type="button" data-test="export-judgements" hidden=move || judged() == 0 on:click=export>{move || format!("Export {} judgements", judged())}</button>
            <make::MakeView inspector=inspector />
        </section>
    }
}

#[component]
fn Tabs(inspector: Inspector) -> impl IntoView {
    let button = move |tab: Tab, test: &'static str, name: &'static str| {
        view! {
            <button type="button" data-test=test aria-pressed=move || (inspector.tab.get() == tab).to_string() on:click=move |_| inspector.tab.set(tab)>{name}</button>
        }
    };
    let none =
        move || inspector.name.with(String::is_empty) && inspector.runs.with(Vec::is_empty) && inspector.report.with(Option::is_none);
    view! {
        <nav class="inspect-tabs" aria-label="Parts of the inspector" hidden=none>
            {button(Tab::Rows, "tab-rows", "Rows")}{button(Tab::Dataset, "tab-dataset", "Dataset")}{button(Tab::Training, "tab-training", "Training")}
        </nav>
    }
}

/// Keys of the inspector. They count only while something in it has the focus, and not where a person writes.
fn key(inspector: Inspector, event: &web_sys::KeyboardEvent) {
    let target = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
    let tag = target.as_ref().map(|element| element.tag_name().to_lowercase()).unwrap_or_default();
    let writes = matches!(tag.as_str(), "input" | "select" | "textarea");
    if writes && event.key() == "Escape" {
        focus(".inspect-table");
    }
    if writes || event.ctrl_key() || event.meta_key() || event.alt_key() || inspector.tab.get_untracked() != Tab::Rows {
        return;
    }
    // Enter and the arrows are the buttons' and the documents' own outside the table.
    let in_table = target.is_some_and(|element| element.class_name().contains("inspect-table"));
    match event.key().as_str() {
        "j" => inspector.step(1),
        "k" => inspector.step(-1),
        "ArrowDown" if in_table => inspector.step(1),
        "ArrowUp" if in_table => inspector.step(-1),
        "PageDown" if in_table => inspector.step(10),
        "PageUp" if in_table => inspector.step(-10),
        "Home" if in_table => inspector.step(isize::MIN / 2),
        "End" if in_table => inspector.step(isize::MAX / 2),
        "Enter" if in_table => {
            if let Some(index) = inspector.selected.get_untracked() {
                inspector.open_row(index);
            }
        }
        "a" => verdicts::say(inspector, "accept"),
        "r" => verdicts::say(inspector, "reject"),
        "n" => focus("#inspect-note"),
        "/" => focus("#inspect-search"),
        _ => return,
    }
    event.prevent_default();
}

fn focus(what: &str) {
    let found = web_sys::window().and_then(|window| window.document()).and_then(|document| document.query_selector(what).ok().flatten());
    if let Some(element) = found.and_then(|element| element.dyn_into::<web_sys::HtmlElement>().ok()) {
        let _ = element.focus();
    }
}

/// Milliseconds.
fn now() -> f64 {
    web_sys::window().and_then(|window| window.performance()).map_or(0.0, |clock| clock.now())
}

/// A whole number with its thousands set apart.
fn number(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
