//! A row taken apart.

use std::sync::Arc;

use leptos::prelude::*;

use super::documents::DocumentsView;
use super::facts::{FactsView, HopsView, TableOf};
use super::graph::GraphView;
use super::live::LiveView;
use super::state::{Inspector, Opened};
use super::verdicts::{AuditView, ChecksView, JudgeView};

/// The row that is open.
#[component]
pub fn RowView(inspector: Inspector) -> impl IntoView {
    // Another row is shown from its beginning.
    Effect::new(move || {
        inspector.opened.track();
        let page = web_sys::window().and_then(|window| window.document());
        if let Some(place) = page.and_then(|page| page.query_selector(".inspect-right").ok().flatten()) {
            place.set_scroll_top(0);
        }
    });
    move || {
        match inspector.opened.get() {
        Some(row) => view! { <Taken inspector=inspector row=row /> }.into_any(),
        None => view! { <p class="soft inspect-empty">"Choose a row: j and k move, Enter opens, a accepts, r rejects, n notes, / searches."</p> }.into_any(),
    }
    }
}

#[component]
fn Taken(inspector: Inspector, row: Arc<Opened>) -> impl IntoView {
    let item = &row.item;
    let derivation = &row.derivation;
    let answers = item.answers.iter().enumerate().map(|(at, answer)| match at {
        0 => view! { <b data-test="row-answer">{answer.clone()}</b> }.into_any(),
        _ => view! { <span class="soft">{format!(" or {answer}")}</span> }.into_any(),
    });
    let answers = answers.collect_view();
    let tokens = item.extra.get("tokens").and_then(serde_json::Value::as_f64).map_or(String::new(), super::number);
    let about = format!(
        "{} · {}, {} · {} links · {tokens} tokens · scored by {}",
        item.task.replace('_', " "),
        super::index::engine_name(derivation.engine),
        derivation.paradigm.replace('_', " "),
        item.hops,
        item.rule
    );
    view! {
        <article class="inspect-taken" data-test="row-open" aria-label="The row">
            <p class="soft"><code>{item.id.clone()}</code>" · "{about}</p>
            <h2 class="inspect-asked text" id="inspect-asked" tabindex="-1" dir="auto" data-test="row-question">{row.text("question").to_string()}</h2>
            <p>"Answer: "{answers}</p>
            <JudgeView inspector=inspector />
            <GraphView inspector=inspector row=row.clone() />
            <HopsView inspector=inspector row=row.clone() />
            <TableOf inspector=inspector row=row.clone() />
            <FactsView inspector=inspector row=row.clone() />
            <AuditView row=row.clone() />
            <ChecksView row=row.clone() />
            <LiveView inspector=inspector row=row.clone() />
            <DocumentsView inspector=inspector row=row.clone() />
        </article>
    }
}
