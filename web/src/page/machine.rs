//! What this browser can do, and its own checks.

use leptos::prelude::*;
use serde_json::Value;

use crate::browser;
use crate::checks::{self, Verdict};

/// Limits that decide what runs, with what they mean.
const LIMITS: [(&str, &str); 5] = [
    ("maxStorageBufferBindingSize", "largest piece of a weight"),
    ("maxBufferSize", "largest buffer"),
    ("maxStorageBuffersPerShaderStage", "storage buffers a shader may use"),
    ("maxComputeWorkgroupStorageSize", "memory of a workgroup"),
    ("maxComputeInvocationsPerWorkgroup", "threads of a workgroup"),
];

/// What this browser can do.
#[component]
pub fn MachineView() -> impl IntoView {
    let machine = LocalResource::new(|| async {
        let text = browser::describe_machine().await.ok().and_then(|text| text.as_string()).unwrap_or_default();
        serde_json::from_str::<Value>(&text).unwrap_or(Value::Null)
    });
    view! {
        <section data-test="machine">
            <h2>"What this browser can do"</h2>
            <Suspense fallback=|| view! { <p>"Asking the graphics adapter …"</p> }>
                {move || machine.get().map(|machine| view! { <Machine machine=machine /> })}
            </Suspense>
            <Shaders />
            <KnownAnswer />
        </section>
    }
}

/// The adapter, its limits and its features.
#[component]
fn Machine(machine: Value) -> impl IntoView {
    if machine.is_null() {
        return view! { <p>"This browser offers no WebGPU adapter, so models cannot run in it."</p> }.into_any();
    }
    let adapter: Vec<String> = ["vendor", "architecture", "device", "description"]
        .iter()
        .filter_map(|name| machine["adapter"][name].as_str())
        .filter(|text| !text.is_empty())
        .map(String::from)
        .collect();
    let limits =
        LIMITS.map(|(name, meaning)| view! { <tr><th>{meaning}</th><td>{amount(name, machine["limits"][name].as_u64())}</td></tr> });
    let features: Vec<&str> = machine["features"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    view! {
        <table>
            <tr><th>"adapter"</th><td>{adapter.join(", ")}</td></tr>
            {limits.collect_view()}
            <tr><th>"features"</th><td>{features.join(", ")}</td></tr>
        </table>
    }
    .into_any()
}

/// Bytes in the largest unit that keeps them whole.
fn amount(name: &str, value: Option<u64>) -> String {
    let Some(value) = value else { return "unknown".into() };
    if !name.ends_with("Size") {
        return value.to_string();
    }
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = units.into_iter().find(|(_, bits)| value >= 1 << bits);
    unit.map_or(format!("{value} B"), |(unit, bits)| format!("{:.0} {unit}", value as f64 / (1u64 << bits) as f64))
}

/// A button that gives every shader to this browser's compiler.
#[component]
fn Shaders() -> impl IntoView {
    let (progress, set_progress) = signal(None::<(usize, usize)>);
    let (failures, set_failures) = signal(Vec::<String>::new());
    let (skipped, set_skipped) = signal(Vec::<String>::new());
    let check = Action::new_local(move |(): &()| async move {
        let variants = checks::variants();
        set_failures.set(Vec::new());
        set_skipped.set(Vec::new());
        set_progress.set(Some((0, variants.len())));
        for (index, variant) in variants.iter().enumerate() {
            match variant.check(true).await {
                Verdict::Fine => {}
                Verdict::Lacks(feature) => set_skipped.update(|list| list.push(format!("{} (no {feature})", variant.name))),
                Verdict::Refused(errors) => {
                    set_failures.update(|list| list.extend(errors.iter().map(|error| format!("{}: {error}", variant.name))));
                }
            }
            set_progress.set(Some((index + 1, variants.len())));
        }
    });
    view! {
        <h2>"Shaders"</h2>
        <p>"Every kernel is compiled here by this browser's own compiler."</p>
        <button on:click=move |_| drop(check.dispatch(())) disabled=move || check.pending().get()>"Check the shaders"</button>
        <p>{move || progress.get().map(|(done, all)| {
            format!("{done} of {all} checked, {} refused, {} need what this browser lacks", failures.get().len(), skipped.get().len())
        })}</p>
        <ul>{move || failures.get().into_iter().map(|failure| view! { <li>{failure}</li> }).collect_view()}</ul>
    }
}

/// A button that lets a tiny model decode tokens that are known.
#[component]
fn KnownAnswer() -> impl IntoView {
    let check = Action::new_local(|(): &()| async {
        match checks::known_answer("known").await {
            Ok((count, seconds)) => format!("All {count} tokens are right, in {seconds:.1} s."),
            Err(problem) => format!("Failed: {problem}"),
        }
    });
    view! {
        <h2>"A known answer"</h2>
        <p>"A tiny model computes tokens here that are known beforehand."</p>
        <button on:click=move |_| drop(check.dispatch(())) disabled=move || check.pending().get()>"Compute it"</button>
        <p>{move || check.value().get()}</p>
    }
}
