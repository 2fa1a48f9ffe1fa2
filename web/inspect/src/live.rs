//! A row tried here, on the model of this page, with the prompts, seeds and rule of the native checks.

use std::sync::Arc;

use js_sys::Uint8Array;
use leptos::prelude::*;

use super::state::{Inspector, Opened};
use line::files_of;
use line::protocol::{Event, ModelChoice, ModelState, Request, Way};

/// Ways of trying, as the checks are called.
const WAYS: [(Way, &str, &str); 3] = [
    (Way::ClosedBook, "closed_book", "Closed book"),
    (Way::WithEvidence, "with_evidence", "With the evidence"),
    (Way::Robust, "robust", "With evidence and distractors"),
];
/// Bounds of surprisal, in nats, from which a token is shaded more.
const HEAT: [f32; 4] = [0.1, 0.5, 1.0, 2.0];

/// A reply.
#[derive(Clone, Debug)]
struct Reply {
    number: u64,
    text: String,
    tokens: Vec<(String, f32)>,
    right: bool,
    usage: (usize, usize),
    seconds: f64,
}

/// The three ways, each beside what was stored.
#[component]
pub fn LiveView(inspector: Inspector, row: Arc<Opened>) -> impl IntoView {
    let usual = synth::TrialSettings::default();
    let (tries, length) = (RwSignal::new(usual.tries as u64), RwSignal::new(usual.reply));
    let ways = WAYS.map(|(way, check, name)| view! { <WayView inspector=inspector row=row.clone() way=way check=check name=name tries=tries length=length /> });
    view! {
        <section data-test="live">
            <h3>"Try it on a model here"</h3>
            <ModelLine inspector=inspector />
            <div class="inspect-filters">
                <label>"Tries"<input type="number" min="1" max="32" data-test="check-tries" prop:value=move || tries.get().to_string()
                    on:change=move |event| tries.set(event_target_value(&event).parse().unwrap_or(4).clamp(1, 32)) /></label>
                <label>"Tokens of a reply"<input type="number" min="1" max="8192" data-test="check-length" prop:value=move || length.get().to_string()
                    on:change=move |event| length.set(event_target_value(&event).parse().unwrap_or(512).clamp(1, 8192)) /></label>
            </div>
            {ways.into_iter().collect_view()}
            <p class="soft">"A token is shaded by its surprisal, the negative log-probability that the model gave it at temperature 0.7: a model's reply here carries log-probabilities and no entropies. Servers give neither; their replies are not shaded."</p>
        </section>
    }
}

/// Which model tries, and a way to get one.
#[component]
fn ModelLine(inspector: Inspector) -> impl IntoView {
    let reader = inspector.reader;
    let (address, server, name, key) =
        (RwSignal::new(String::new()), RwSignal::new(String::new()), RwSignal::new(String::new()), RwSignal::new(String::new()));
    let busy = move || reader.busy.get();
    let files = move |event: leptos::ev::Event| {
        let input: web_sys::HtmlInputElement = event_target(&event);
        let (names, files) = files_of(&input).into_iter().unzip();
        reader.load(ModelChoice::Files { names }, files);
    };
    view! {
        <p role="status" data-test="check-model">{move || match reader.model.get() {
            ModelState::None => "No model is ready.".to_string(),
            ModelState::Loading { done, total, .. } if total > 0.0 => format!("Loading: {:.0} %", 100.0 * done / total),
            ModelState::Loading { .. } => "Loading …".into(),
            ModelState::Ready(info) => match &info.server {
                Some(server) => format!("{}: the row's documents are sent to {server}.", info.name),
                None => format!("{}, window of {} tokens.", info.name, info.window),
            },
        }}</p>
        <details><summary>"Choose a model"</summary>
            <div class="inspect-models">
                <label class="button">"A model's files"<input type="file" multiple data-test="check-files" prop:disabled=busy on:change=files /></label>
                <form on:submit=move |event| { event.prevent_default(); reader.load(ModelChoice::Address { url: address.get_untracked() }, Vec::new()); }>
                    <label>"An address: a .gguf file, or a model's folder"<input type="url" required data-test="check-url" on:input=move |event| address.set(event_target_value(&event)) /></label>
                    <button prop:disabled=busy>"Load"</button>
                </form>
                <form on:submit=move |event| { event.prevent_default(); reader.load(ModelChoice::Server { url: server.get_untracked(), model: name.get_untracked(), key: key.get_untracked() }, Vec::new()); }>
                    <label>"A server: rows are sent there"<input type="url" required data-test="check-server" on:input=move |event| server.set(event_target_value(&event)) /></label>
                    <label>"its model"<input type="text" data-test="check-server-model" on:input=move |event| name.set(event_target_value(&event)) /></label>
                    <label>"key"<input type="password" autocomplete="off" on:input=move |event| key.set(event_target_value(&event)) /></label>
                    <button data-test="check-server-use" prop:disabled=busy>"Use it"</button>
                </form>
                <p><button type="button" data-test="check-tiny" prop:disabled=busy on:click=move |_| reader.load_tiny()>"The demonstration model"</button>
                    <span class="soft">" It knows nothing but its generated world: of other documents expect wrong replies."</span></p>
            </div>
        </details>
    }
}

#[component]
fn WayView(
    inspector: Inspector,
    row: Arc<Opened>,
    way: Way,
    check: &'static str,
    name: &'static str,
    tries: RwSignal<u64>,
    length: RwSignal<usize>,
) -> impl IntoView {
    let reader = inspector.reader;
    let (replies, running, problem) = (RwSignal::new(Vec::<Reply>::new()), RwSignal::new(None::<u64>), RwSignal::new(None::<String>));
    let stored = row.derivation.checks.iter().find(|stored| stored.name == check).map_or("not stored".to_string(), |stored| {
        let word = super::index::word(stored.passed);
        if stored.detail.is_empty() { word.into() } else { format!("{word}: {}", stored.detail) }
    });
    // The replies of this check when the row was made, in the order of their seeds.
    let kept: Vec<String> = row.derivation.transcripts.iter().filter(|said| said.role == check).map(|said| said.reply.clone()).collect();
    let ready = move || matches!(reader.model.get(), ModelState::Ready(_)) && !reader.busy.get() && running.with(Option::is_none);
    let line = StoredValue::new(row);
    let run = move |_| {
        let wanted = tries.get_untracked();
        replies.set(Vec::new());
        running.set(Some(wanted));
        problem.set(None);
        let bytes = line.with_value(|row| Uint8Array::from(&row.line[..]));
        let request = Request::Try { way, tries: wanted, reply: length.get_untracked() };
        reader.send(&request, vec![line::blob(&bytes)], move |event| match event {
            Event::Tried { number, text, tokens, right, usage, seconds } => {
                replies.update(|replies| replies.push(Reply { number, text, tokens, right, usage, seconds }));
            }
            Event::Done | Event::Stopped => running.set(None),
            Event::Failed(why) => {
                running.set(None);
                problem.set(Some(why.message));
            }
            _ => {}
        });
    };
    let said = move || {
        replies.with(|replies| {
            let right = replies.iter().filter(|reply| reply.right).count();
            match running.get() {
                Some(wanted) => format!("{right} of {} right, {wanted} wanted", replies.len()),
                None if replies.is_empty() => String::new(),
                None => format!("{right} of {} right here: {}", replies.len(), verdict(way, right)),
            }
        })
    };
    view! {
        <div class="inspect-way" data-test="check-way" data-check=check>
            <button type="button" data-test="check-run" prop:disabled=move || !ready() on:click=run>{name}</button>
            <span class="soft">{format!("stored: {stored}")}</span>
            <b role="status" data-test="check-verdict">{said}</b>
            {move || problem.get().map(|problem| view! { <p class="problem" role="alert" data-test="check-problem">{problem}</p> })}
            <button type="button" data-test="check-stop" hidden=move || running.with(Option::is_none) on:click=move |_| reader.stop()>"Stop"</button>
            <ol>{move || replies.get().into_iter().map(|reply| { let kept = kept.get(reply.number as usize).cloned(); reply_view(reply, kept) }).collect_view()}</ol>
        </div>
    }
}

/// What the native check would say of so many right replies.
fn verdict(way: Way, right: usize) -> &'static str {
    match (way, right) {
        (Way::ClosedBook, 0) => "passed, it is not known without the documents",
        (Way::ClosedBook, _) => "failed, it is known without the documents",
        (_, 0) => "failed, no reply is right",
        _ => "passed",
    }
}

/// A reply; `kept` is the one with the same seed from when the row was made.
fn reply_view(reply: Reply, kept: Option<String>) -> impl IntoView {
    let mean = reply.tokens.iter().map(|(_, logprob)| -logprob).sum::<f32>() / reply.tokens.len().max(1) as f32;
    let about = format!(
        " · {} + {} tokens, {:.1} s, seed {}{}",
        reply.usage.0,
        reply.usage.1,
        reply.seconds,
        reply.number,
        if reply.tokens.is_empty() { ", no log-probabilities".into() } else { format!(", mean surprisal {mean:.2} nats") }
    );
    let text = match reply.tokens.is_empty() {
        true => view! { <span>{reply.text.clone()}</span> }.into_any(),
        false => reply
            .tokens
            .into_iter()
            .map(|(text, logprob)| {
                let heat = HEAT.iter().filter(|bound| -logprob >= **bound).count().to_string();
                view! { <span class="inspect-token" data-heat=heat title=format!("{:.2} nats", -logprob)>{text}</span> }
            })
            .collect_view()
            .into_any(),
    };
    let beside = kept.map(|kept| if kept == reply.text { " · word for word the stored reply" } else { " · not the stored reply" });
    let (word, kind) = if reply.right { ("right", "all") } else { ("wrong", "failed") };
    view! {
        <li data-test="check-reply" data-right=reply.right.to_string()>
            <span class="inspect-verdict" data-verdict=kind>{word}</span><span class="soft">{about}{beside}</span>
            <p class="text inspect-reply">{text}</p>
        </li>
    }
}
