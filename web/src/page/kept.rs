//! What this browser keeps: reads and models, with their sizes; and a read as a file.

use leptos::prelude::*;

use super::figures;
use super::state::{Reader, file_name};
use crate::protocol::{Form, KeptModel, KeptRead, Sharing};

/// The kept reads: each can be opened, and let go.
#[component]
pub fn Reads(reader: Reader) -> impl IntoView {
    let reads = Memo::new(move |_| reader.machine.get().map(|machine| machine.reads).unwrap_or_default());
    view! { <ul class="list">{move || reads.get().into_iter().map(|read| view! { <Read reader=reader read=read /> }).collect_view()}</ul> }
}

#[component]
fn Read(reader: Reader, read: KeptRead) -> impl IntoView {
    let KeptRead { key, name, questions, read: (done, all), changed, bytes } = read;
    let gone = key.clone();
    let name = file_name(&name).to_string();
    let questions: Vec<String> =
        questions.into_iter().map(|question| if question.trim().is_empty() { "Outline".into() } else { question }).collect();
    let far = match all {
        0 => "in one section".to_string(),
        all if done >= all => format!("all {} read", figures::many(all, "section")),
        all => format!("stopped after section {done} of {all}"),
    };
    let what = format!("the read of {name}");
    view! {
        <li>
            <div>
                <button type="button" class="link" data-test="kept-read" prop:disabled=move || reader.is_busy() on:click=move |_| reader.open_kept(key.clone())><bdi>{name}</bdi></button>
                <span dir="auto">{questions.join(" · ")}</span>
                <small class="soft">{format!("{far} · {} · {}", figures::bytes(bytes), figures::date(changed))}</small>
            </div>
            <LetGo what=what busy=Signal::derive(move || reader.is_busy()) go=move || reader.delete_read(gone.clone()) />
        </li>
    }
}

/// A button that asks once more before something is gone.
#[component]
fn LetGo(what: String, busy: Signal<bool>, go: impl Fn() + Clone + Send + Sync + 'static) -> impl IntoView {
    let sure = RwSignal::new(false);
    let says = move || if sure.get() { "Really let go?" } else { "Let go" };
    view! {
        <button type="button" part="button" class="quiet" data-test="let-go" aria-label=move || format!("{} {what}", says()) prop:disabled=busy on:blur=move |_| sure.set(false) on:click=move |_| {
            if sure.get_untracked() { go() } else { sure.set(true) }
        }>{says}</button>
    }
}

/// Reads, models and room, on the page about this browser.
#[component]
pub fn KeptView(
    /// The reader.
    reader: Reader,
) -> impl IntoView {
    let models = Memo::new(move |_| reader.machine.get().map(|machine| machine.models).unwrap_or_default());
    let reads = move || reader.machine.with(|machine| machine.as_ref().map_or(0, |machine| machine.reads.len()));
    let sharing = move || reader.machine.with(|machine| machine.as_ref().map(|machine| machine.sharing).unwrap_or_default());
    let quota = move || reader.machine.get().and_then(|machine| machine.quota);
    view! {
        <section data-test="kept-here">
            <h2>"Kept in this browser"</h2>
            <p>{move || match quota() {
                Some((quota, used)) => format!("{} of the {} that this browser lets the page keep.", figures::bytes(used), figures::bytes(quota)),
                None => "This browser does not say how much the page may keep.".into(),
            }}</p>
            <p class="soft" data-test="sharing" hidden=move || sharing().readers < 2>{move || {
                let Sharing { readers, models } = sharing();
                format!("{} in this browser's tabs share one engine, with {} loaded.", figures::many(readers, "reader"), figures::many(models, "model"))
            }}</p>
            <div class="bar" aria-hidden="true"><i style:width=move || quota().map(|(quota, used)| format!("{:.2}%", 100.0 * used / quota.max(1.0)))></i></div>
            <h3>"Models"</h3>
            <p class="soft" hidden=move || !models.with(Vec::is_empty)>"None. A model that is fetched once is kept, and needs no network again."</p>
            <ul class="list" data-test="kept-models">{move || models.get().into_iter().map(|model| view! { <Model reader=reader model=model /> }).collect_view()}</ul>
            <h3>"Reads"</h3>
            <p class="soft" hidden=move || 0 < reads()>"None. A read is kept while it goes on: a closed tab loses one section at most."</p>
            <Reads reader=reader />
        </section>
    }
}

#[component]
fn Model(reader: Reader, model: KeptModel) -> impl IntoView {
    let KeptModel { key, url, bytes, whole } = model;
    let name = url.split('?').next().map(file_name).unwrap_or_default().to_string();
    let state = if whole { "" } else { " · not all of it; loading it again goes on from there" };
    let what = format!("the model {name}");
    view! {
        <li>
            <div><b>{name}</b><small class="soft">{format!("{}{state} · ", figures::bytes(bytes))}<bdi>{url}</bdi></small></div>
            <LetGo what=what busy=Signal::derive(move || reader.is_busy()) go=move || reader.delete_model(key.clone()) />
        </li>
    }
}

/// The read as a file.
#[component]
pub fn Exports(
    /// The reader.
    reader: Reader,
) -> impl IntoView {
    let forms = [
        (Form::Longhand, "longhand", ".longhand", "A file that opens here again"),
        (Form::Html, "html", "Web page", "One page that needs nothing else"),
        (Form::Markdown, "markdown", "Markdown", "Text with its sources"),
        (Form::Json, "json", "JSON", "Everything, for programs"),
    ];
    view! {
        <section class="export" data-test="export" hidden=move || reader.is_busy() || !reader.is_asked()>
            <h2>"Keep it as a file"</h2>
            <div class="row">{forms.map(|(form, key, name, title)| view! {
                <button type="button" part="button" data-test=format!("export-{key}") title=title on:click=move |_| reader.export(form)>{name}</button>
            }).into_iter().collect_view()}</div>
        </section>
    }
}
