//! How a row's answer comes about: facts, links in order, what the question only describes, tables with their SQL.

use std::sync::Arc;

use data::{Fact, Table};
use leptos::prelude::*;
use serde_json::Value;

use super::sql::{Rerun, result_text};
use super::state::{Inspector, Opened};

/// The links in order, each with its facts, and what is described on the way.
#[component]
pub fn HopsView(inspector: Inspector, row: Arc<Opened>) -> impl IntoView {
    let derivation = &row.derivation;
    let on_links: Vec<&str> = derivation.edges.iter().flat_map(|edge| &edge.facts).map(String::as_str).collect();
    // What is described before the first link, or where there is none.
    let begin: Vec<&Fact> =
        derivation.facts.iter().filter(|fact| !on_links.contains(&fact.id.as_str()) && described(&row, fact).is_some()).collect();
    let plain = begin.is_empty();
    let begin = begin.into_iter().map(|fact| fact_view(inspector, &row, fact)).collect_view();
    let steps: Vec<AnyView> = derivation
        .walk
        .iter()
        .filter_map(|id| derivation.edges.iter().find(|edge| edge.id == *id))
        .map(|edge| {
            let facts = edge.facts.iter().filter_map(|id| derivation.facts.iter().find(|fact| fact.id == *id));
            let facts = facts.map(|fact| fact_view(inspector, &row, fact)).collect_view();
            view! {
                <li data-test="hop"><b>{edge.from.clone()}</b>" → "<b>{edge.to.clone()}</b>
                    <span class="soft">{format!(" · {} ({})", edge.relation, edge.which)}</span>
                    <ul>{facts}</ul>
                </li>
            }
            .into_any()
        })
        .collect();
    let no_walk = steps.is_empty();
    view! {
        <section data-test="hops">
            <h3>"The way to the answer"</h3>
            <p hidden=!no_walk class="soft">"This row follows no links: its answer is put together from the facts below."</p>
            <div hidden=plain><p class="soft">"Described in the question instead of named:"</p><ul>{begin}</ul></div>
            <ol>{steps}</ol>
        </section>
    }
}

/// What the question says instead of a fact's value or subject.
fn described<'a>(row: &'a Opened, fact: &Fact) -> Option<&'a data::Obfuscation> {
    row.derivation.obfuscation.iter().find(|vague| vague.fact == fact.id)
}

/// A fact that leads to its place.
fn fact_view(inspector: Inspector, row: &Opened, fact: &Fact) -> AnyView {
    let span = fact.span.clone();
    let place =
        row.document(&fact.span.doc).map_or("in no document of this row".into(), |(number, title)| format!("Doc {number}, {title}"));
    let vague = described(row, fact).map(|vague| {
        view! { <span class="inspect-vague">{format!("{} “{}” is said as “{}”", vague.kind, vague.from, vague.to)}</span> }
    });
    let made = fact.call.as_ref().map(|call| view! { <span class="soft">{format!(" · found by a model, call {call}")}</span> });
    view! {
        <li>
            <span class="soft">{format!("{} › {}: ", fact.subject, fact.relation)}</span>
            <button type="button" class="link" data-test="to-evidence" title="Show where it stands" on:click=move |_| inspector.show(&span)>{fact.value.clone()}</button>
            <span class="soft">{format!(" ({place})")}</span>
            {made}{vague}
        </li>
    }
    .into_any()
}

/// Every fact of the row.
#[component]
pub fn FactsView(inspector: Inspector, row: Arc<Opened>) -> impl IntoView {
    let facts = row.derivation.facts.iter().map(|fact| fact_view(inspector, &row, fact)).collect_view();
    view! {
        <details class="inspect-facts" data-test="facts" open=row.derivation.walk.is_empty() && row.derivation.table.is_none()>
            <summary><h3>{format!("Facts: {}", row.derivation.facts.len())}</h3></summary>
            <ul>{facts}</ul>
        </details>
    }
}

/// The row's table, what was asked of it, and what came out.
#[component]
pub fn TableOf(inspector: Inspector, row: Arc<Opened>) -> impl IntoView {
    let Some(table) = row.derivation.table.clone() else { return ().into_any() };
    let result = row.derivation.result.as_deref().map_or("none".into(), result_text);
    view! {
        <section data-test="table-of">
            <h3>"Table and SQL"</h3>
            <div class="inspect-wide">{cells(inspector, &row, &table)}</div>
            <pre class="inspect-sql" data-test="sql">{row.derivation.sql.clone().unwrap_or_default()}</pre>
            <p>"Stored result: "<b data-test="sql-result">{result}</b></p>
            <Rerun row=row.clone() />
        </section>
    }
    .into_any()
}

fn cells(inspector: Inspector, row: &Opened, table: &Table) -> impl IntoView + use<> {
    let head = table.columns.iter().map(|column| {
        let unit = if column.unit.is_empty() { String::new() } else { format!(", {}", column.unit) };
        view! { <th scope="col" title=column.relation.clone()>{format!("{}{unit}", column.name)}</th> }
    });
    let head = head.collect_view();
    let body = table
        .rows
        .iter()
        .map(|cells| {
            let cells = cells.iter().map(|cell| {
                let fact = row.derivation.facts.iter().find(|fact| fact.id == cell.fact).cloned();
                let text = cell_text(&cell.value);
                match fact {
                    Some(fact) => {
                        let (span, said) = (fact.span, format!("“{}”: show where it stands", fact.value));
                        view! { <td><button type="button" class="link" title=said on:click=move |_| inspector.show(&span)>{text}</button></td> }.into_any()
                    }
                    None => view! { <td>{text}</td> }.into_any(),
                }
            });
            view! { <tr>{cells.collect_view()}</tr> }
        })
        .collect_view();
    view! { <table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table> }
}

/// A cell as it is shown.
pub fn cell_text(value: &Value) -> String {
    match value {
        Value::Null => "—".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
