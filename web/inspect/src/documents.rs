//! The documents of a row's context as they stand in its prompt, with the evidence marked. A document's text is laid out when it is
//! unfolded; those that the answer follows from are from the beginning.

use std::sync::Arc;

use data::Part;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

use super::state::{Inspector, Opened};

/// Bytes of a stretch that the browser may leave undrawn while it is out of sight.
const LEAF: usize = 8192;

/// The documents.
#[component]
pub fn DocumentsView(inspector: Inspector, row: Arc<Opened>) -> impl IntoView {
    let parts = row.parts.len();
    let gold = row.parts.iter().filter(|part| part.gold).count();
    // After the row's own elements are there.
    Effect::new(move || {
        if let Some((span, _)) = inspector.jump.get() {
            let id = mark_id(&span.doc, span.start);
            request_animation_frame(move || request_animation_frame(move || go_to(&id)));
        }
    });
    view! {
        <section class="inspect-documents" aria-label="Documents of the context">
            <h3>{format!("Documents: {gold} with evidence, {} others", parts - gold)}</h3>
            {(0..parts).map(|at| view! { <Document inspector=inspector row=row.clone() at=at /> }).collect_view()}
        </section>
    }
}

fn mark_id(document: &str, start: usize) -> String {
    format!("inspect-evidence-{document}-{start}")
}

fn go_to(id: &str) {
    let Some(mark) = web_sys::window().and_then(|window| window.document()).and_then(|document| document.get_element_by_id(id)) else {
        return;
    };
    let options = web_sys::ScrollIntoViewOptions::new();
    options.set_block(web_sys::ScrollLogicalPosition::Center);
    options.set_behavior(web_sys::ScrollBehavior::Auto);
    mark.scroll_into_view_with_scroll_into_view_options(&options);
    if let Ok(mark) = mark.dyn_into::<web_sys::HtmlElement>() {
        let _ = mark.focus();
    }
}

#[component]
fn Document(inspector: Inspector, row: Arc<Opened>, at: usize) -> impl IntoView {
    let part = row.parts[at].clone();
    let open = RwSignal::new(part.gold);
    let id = part.id.clone();
    Effect::new(move || {
        if inspector.jump.with(|jump| jump.as_ref().is_some_and(|(span, _)| span.doc == id)) {
            open.set(true);
        }
    });
    let listed = inspector.documents.with_untracked(|documents| documents.get(&part.id).cloned());
    let same = listed.as_ref().map(|listed| listed.sha256 == part.sha256);
    let about = match (&listed, same) {
        (Some(listed), Some(true)) => format!("{}, {} kB", listed.class, (part.end - part.start) / 1000),
        (Some(_), _) => "its hash is not that of the dataset's list of documents".into(),
        (None, _) => format!("{} kB", (part.end - part.start) / 1000),
    };
    let (gold, title) = (part.gold, part.title.clone());
    let text = move || open.get().then(|| marked(&row, &part));
    view! {
        <details class="inspect-document" data-test="document" data-gold=gold.to_string() prop:open=move || open.get()
            on:toggle=move |event| open.set(event_target::<web_sys::Element>(&event).has_attribute("open"))>
            <summary>{format!("Doc {}: {title}", at + 1)}<span class="soft">{format!(" · {about}{}", if gold { " · evidence" } else { "" })}</span></summary>
            {text}
        </details>
    }
}

/// A document's text with its facts' places marked.
fn marked(row: &Opened, part: &Part) -> AnyView {
    let Some(text) = row.item.prompt.get(part.start..part.end) else {
        return view! { <p class="problem">"This document ends outside the prompt or inside a character."</p> }.into_any();
    };
    let mut places: Vec<(usize, usize, String)> = row
        .derivation
        .facts
        .iter()
        .filter(|fact| fact.span.doc == part.id && text.get(fact.span.start..fact.span.end).is_some_and(|place| !place.is_empty()))
        .map(|fact| (fact.span.start, fact.span.end, format!("{} › {}", fact.subject, fact.relation)))
        .collect();
    places.sort();
    let (mut out, mut at) = (Vec::new(), 0);
    for (start, end, what) in places {
        // Of two facts in one place the first is marked.
        if start < at {
            continue;
        }
        out.extend(plain(&text[at..start]));
        let (id, inner) = (mark_id(&part.id, start), text[start..end].to_string());
        out.push(view! { <mark id=id tabindex="-1" data-test="evidence" title=what>{inner}</mark> }.into_any());
        at = end;
    }
    out.extend(plain(&text[at..]));
    view! { <div class="inspect-text text" dir="auto">{out}</div> }.into_any()
}

/// Text without marks, in stretches that end at lines.
fn plain(text: &str) -> Vec<AnyView> {
    if text.len() <= 2 * LEAF {
        return vec![view! { <span>{text.to_string()}</span> }.into_any()];
    }
    let (mut out, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let most = rest.floor_char_boundary(LEAF);
        let end = if most == rest.len() { most } else { rest[..most].rfind('\n').map_or(most, |at| at + 1) };
        let (leaf, more) = rest.split_at(end);
        let height = format!("auto {}px", 24 * (1 + leaf.len() / 80));
        out.push(view! { <div class="inspect-leaf" style:contain-intrinsic-block-size=height>{leaf.to_string()}</div> }.into_any());
        rest = more;
    }
    out
}
