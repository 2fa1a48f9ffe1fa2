//! Which model reads.

use leptos::html;
use leptos::prelude::*;
use line::files_of;

use super::figures;
use super::listed::{self, Listed};
use super::state::{ModelState, Reader};
use crate::protocol::{ModelChoice, ModelInfo, Stage};

/// Who reads, and the choice. The demonstration model is offered only for documents of its own world.
#[component]
pub fn Models(reader: Reader) -> impl IntoView {
    let place = NodeRef::<html::Section>::new();
    let unfolded = RwSignal::new(false);
    let ready = move || reader.is_ready();
    let offered = move || unfolded.get() || reader.choosing.get() || !(ready() || reader.is_asked());
    Effect::new(move || {
        if let (true, Some(element)) = (reader.choosing.get(), place.get()) {
            element.scroll_into_view();
            let _ = element.focus();
        }
    });
    Effect::new(move || {
        if ready() {
            unfolded.set(false);
        }
    });
    view! {
        <section class="models" data-test="models" tabindex="-1" node_ref=place>
            <h2>"Who reads"</h2>
            <p data-test="model-state">{move || state(reader)}</p>
            <Loading reader=reader />
            <Sends reader=reader />
            <button type="button" part="button" class="quiet" data-test="model-change" hidden=move || offered() || reader.is_busy() on:click=move |_| unfolded.set(true)>
                {move || if ready() { "Choose another model" } else { "Choose a model" }}
            </button>
            <div class="choice" hidden=move || !offered() || reader.is_busy()>
                <Offered reader=reader />
                <Own reader=reader />
                <Server reader=reader />
            </div>
        </section>
    }
}

/// Who reads, in a sentence or two.
fn state(reader: Reader) -> String {
    match reader.model.get() {
        ModelState::None if reader.is_asked() => {
            "No model is ready. What was read is shown without one; to go on or to ask further, one is needed.".into()
        }
        ModelState::None => "No model is ready yet.".into(),
        ModelState::Loading { stage, done, total } => loading(stage, done, total),
        ModelState::Ready(info) if info.tiny && !reader.is_ready() => {
            "The demonstration model is here, but it understands only its generated world. This document needs another.".into()
        }
        ModelState::Ready(info) if reader.is_asked() => format!("{}.", info.name),
        ModelState::Ready(info) => ready(reader, &info),
    }
}

fn ready(reader: Reader, info: &ModelInfo) -> String {
    let what = match (info.tiny, info.parameters) {
        (true, Some(parameters)) => {
            format!(": a demonstration model of {} parameters that understands only this generated world", figures::parameters(parameters))
        }
        (_, Some(parameters)) => format!(", {} parameters", figures::parameters(parameters)),
        _ => String::new(),
    };
    let speed = info.speed.map_or(String::new(), |speed| {
        let pace = reader.pace_key().and_then(|key| reader.paces.with(|paces| paces.get(&key).copied()));
        let time = pace
            .and_then(|pace| reader.time_at(pace))
            .map_or(String::new(), |time| format!(": about {} for this document", figures::duration(time)));
        format!(" It takes {} tokens a second here{time}.", figures::count(speed.round() as usize))
    });
    let remark = info.remark.as_ref().map_or(String::new(), |remark| format!(" {remark}"));
    format!("{}{what}.{speed}{remark}", info.name)
}

fn loading(stage: Stage, done: f64, total: f64) -> String {
    let what = match stage {
        Stage::Download => "Fetching the model",
        Stage::Check => "Checking the kept model",
        Stage::Load => "Giving it to the device",
        Stage::Test => return "Testing this device …".into(),
    };
    match (done > 0.0, total > 0.0) {
        (_, true) => format!("{what}: {} of {}", figures::bytes(done), figures::bytes(total)),
        (true, _) => format!("{what}: {}", figures::bytes(done)),
        _ => format!("{what} …"),
    }
}

#[component]
fn Loading(reader: Reader) -> impl IntoView {
    let share = move || match reader.model.get() {
        ModelState::Loading { done, total, .. } if total > 0.0 => Some((done / total).min(1.0)),
        _ => None,
    };
    let on_its_way = move || matches!(reader.model.get(), ModelState::Loading { .. });
    view! {
        <div class="row" hidden=move || !on_its_way()>
            <div class="bar" role="progressbar" aria-label="The model" aria-valuemin="0" aria-valuemax="100" aria-valuenow=move || share().map(|share| format!("{:.0}", 100.0 * share))>
                <i style:width=move || format!("{:.1}%", 100.0 * share().unwrap_or(0.0))></i>
            </div>
            <button type="button" part="button" data-test="model-stop" on:click=move |_| reader.stop()>"Stop"</button>
        </div>
    }
}

/// Said for as long as a server is chosen.
#[component]
fn Sends(reader: Reader) -> impl IntoView {
    move || {
        reader.info().and_then(|info| info.server).map(|host| view! {
        <p class="warning" data-test="sends">
            "What you read is sent to "<b>{host}</b>": each section of the document, the notes, and your questions. What that server does with it is its own affair."
        </p>
    })
    }
}

/// The demonstration model for its own world; for all else, what fits this device.
#[component]
fn Offered(reader: Reader) -> impl IntoView {
    let generated = move || reader.opened.with(|opened| opened.as_ref().is_some_and(|opened| opened.generated));
    let gpu = Memo::new(move |_| reader.machine.get().map(|machine| machine.adapter.is_some()));
    view! {
        <p class="soft" hidden=generated>"Fetched once from huggingface.co and kept in this browser. Speed and time are known once a model has been tried here."</p>
        <div class="offer" hidden=move || !generated()>
            <button type="button" part="button" class="main" data-test="model-tiny" prop:disabled=move || reader.is_busy() on:click=move |_| reader.load_tiny()>
                "The demonstration model"
            </button>
            <p class="soft">"Made from nothing by this project: two million parameters, 4 MB. It understands only this generated world."</p>
        </div>
        {move || match (gpu.get(), generated()) {
            (None, _) => view! { <p class="soft">"Looking at what this device can do …"</p> }.into_any(),
            (Some(gpu), false) => view! { <List reader=reader gpu=gpu /> }.into_any(),
            (Some(gpu), true) => view! {
                <details><summary>"A model that reads any document"</summary><List reader=reader gpu=gpu /></details>
            }.into_any(),
        }}
    }
}

/// The published models that this device can hold.
#[component]
fn List(reader: Reader, gpu: bool) -> impl IntoView {
    view! {
        <ul class="list" data-test="models-listed">{listed::fitting(gpu).into_iter().map(|model| view! { <Row reader=reader model=model /> }).collect_view()}</ul>
        <p class="soft">{listed::others(gpu)}</p>
    }
}

/// A model of the list.
#[component]
fn Row(reader: Reader, model: Listed) -> impl IntoView {
    let kept = move || {
        reader
            .machine
            .with(|machine| machine.as_ref().is_some_and(|machine| machine.models.iter().any(|kept| kept.url == model.url() && kept.whole)))
    };
    let size = move || {
        if kept() {
            format!("{}, kept in this browser", figures::bytes(model.bytes))
        } else {
            format!("{} to download", figures::bytes(model.bytes))
        }
    };
    let time = move || {
        let pace = reader.paces.with(|paces| paces.get(&model.url()).copied())?;
        Some(format!(" · about {} for this document", figures::duration(reader.time_at(pace)?)))
    };
    let room = move || {
        let (quota, used) = reader.machine.get().and_then(|machine| machine.quota)?;
        (!kept() && quota - used < model.bytes)
            .then_some(" · more than this browser lets the page keep: it would be fetched anew each time")
    };
    view! {
        <li>
            <div>
                <b>{model.name()}</b>
                <small class="soft">{size}{time}{room}{format!(" · {}", model.licence)}</small>
            </div>
            <button type="button" part="button" data-test="model-listed" aria-label=format!("Load {}", model.name())
                on:click=move |_| reader.load(ModelChoice::Address { url: model.url() }, Vec::new())>"Load"</button>
        </li>
    }
}

/// A model that a person has, on this computer or elsewhere.
#[component]
fn Own(reader: Reader) -> impl IntoView {
    let address = RwSignal::new(String::new());
    let chosen = move |event: leptos::ev::Event| {
        let input: web_sys::HtmlInputElement = event_target(&event);
        let (names, files): (Vec<String>, Vec<web_sys::Blob>) = files_of(&input).into_iter().unzip();
        input.set_value("");
        if !names.is_empty() {
            reader.load(ModelChoice::Files { names }, files);
        }
    };
    view! {
        <details>
            <summary data-test="model-own">"A model of your own"</summary>
            <p class="soft">"A .gguf file, or config.json, tokenizer.json and every .safetensors file together. It stays in this tab."</p>
            <label class="button">"Choose its files"
                <input type="file" multiple data-test="model-files" on:change=chosen />
            </label>
            <form on:submit=move |event| {
                event.prevent_default();
                reader.load(ModelChoice::Address { url: address.get_untracked().trim().to_string() }, Vec::new());
            }>
                <label>"Or its address: a .gguf file, or a model's folder with a slash at the end"
                    <input type="url" required data-test="model-url" prop:value=move || address.get() on:input=move |event| address.set(event_target_value(&event)) />
                </label>
                <button part="button" data-test="model-load">"Load"</button>
            </form>
        </details>
    }
}

/// A model behind an address.
#[component]
fn Server(reader: Reader) -> impl IntoView {
    let (url, name, key) = (RwSignal::new(String::new()), RwSignal::new(String::new()), RwSignal::new(String::new()));
    let host = move || web_sys::Url::new(url.get().trim()).ok().map(|url| url.host()).filter(|host| !host.is_empty());
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let text = |signal: RwSignal<String>| signal.get_untracked().trim().to_string();
        reader.load(ModelChoice::Server { url: text(url), model: text(name), key: text(key) }, Vec::new());
    };
    view! {
        <details>
            <summary data-test="model-server">"A server that speaks OpenAI's protocol"</summary>
            <p class="warning">{move || {
                let host = host().unwrap_or_else(|| "the server you name".into());
                format!("What you read is then sent to {host}: each section of the document, the notes, and your questions. Nothing is sent before you begin to read.")
            }}</p>
            <form on:submit=submit>
                <label>"Its address"
                    <input type="url" required placeholder="https://host/v1" data-test="server-url" on:input=move |event| url.set(event_target_value(&event)) />
                </label>
                <label>"The model's name there"
                    <input type="text" required data-test="server-model" on:input=move |event| name.set(event_target_value(&event)) />
                </label>
                <label>"Key, where it wants one; it is forgotten with this tab"
                    <input type="password" autocomplete="off" data-test="server-key" on:input=move |event| key.set(event_target_value(&event)) />
                </label>
                <button part="button" data-test="server-use">"Use it"</button>
            </form>
        </details>
    }
}
