//! What the checks said when the row was made, what models said, and what this page finds when it computes the row again.

use std::sync::Arc;

use leptos::prelude::*;

use super::state::{Inspector, Opened};

/// Stored checks, and transcripts.
#[component]
pub fn ChecksView(row: Arc<Opened>) -> impl IntoView {
    let checks = row.derivation.checks.iter().map(|check| {
        let (word, kind) = (super::index::word(check.passed), kind(check.passed));
        view! {
            <tr data-test="check"><th scope="row">{check.name.replace('_', " ")}</th>
                <td><span class="inspect-verdict" data-test="verdict" data-verdict=kind>{word}</span></td>
                <td>{check.detail.clone()}</td></tr>
        }
    });
    let checks = checks.collect_view();
    let said = row.derivation.transcripts.iter().map(|said| {
        view! {
            <details data-test="transcript"><summary>{said.role.replace('_', " ")}<span class="soft">{format!(" · call {}", short(&said.call))}</span></summary>
                <p class="text">{said.reply.clone()}</p></details>
        }
    });
    let said = said.collect_view();
    let count = row.derivation.transcripts.len();
    view! {
        <section data-test="checks">
            <h3>"Checks when it was made"</h3>
            <table><thead><tr><th scope="col">"check"</th><th scope="col">"verdict"</th><th scope="col">"detail"</th></tr></thead><tbody>{checks}</tbody></table>
            <h3>"What models said"</h3>
            <p class="soft" hidden=move || count != 0>"No model was asked for this row, or its replies are not in it."</p>
            {said}
        </section>
    }
}

/// How an outcome is coloured.
fn kind(passed: Option<bool>) -> &'static str {
    match passed {
        Some(true) => "all",
        Some(false) => "failed",
        None => "some",
    }
}

fn short(call: &str) -> String {
    call.chars().take(12).collect()
}

/// What `longhand synth check` says of this row, computed in the page.
#[component]
pub fn AuditView(row: Arc<Opened>) -> impl IntoView {
    // A few milliseconds: every document is hashed and the answer derived.
    let begun = super::now();
    let audit = synth::audit(&row.item);
    let took = super::now() - begun;
    let holds = audit.findings.is_empty();
    let listed = |texts: Vec<String>| texts.into_iter().map(|text| view! { <li>{text}</li> }).collect_view();
    let findings = listed(audit.findings.into_iter().map(|finding| finding.problem).collect());
    let mut not_run = audit.not_run;
    not_run.dedup();
    let none = not_run.is_empty();
    let by_sql = !none && row.derivation.sql.is_some();
    let word = match (holds, none) {
        (false, _) => "does not hold",
        (true, true) => "holds",
        (true, false) => "holds as far as it is computed",
    };
    let not_run = listed(not_run);
    view! {
        <section data-test="audit">
            <h3>"Computed again here"</h3>
            <p><span class="inspect-verdict" data-test="audit-verdict" data-verdict=if !holds { "failed" } else if none { "all" } else { "some" }>{word}</span>
                <span class="soft">{format!(" Places, hashes, links and answer, by the same code as `longhand synth check`; {took:.0} ms.")}</span></p>
            <ul hidden=holds data-test="findings">{findings}</ul>
            <div hidden=none><p class="soft">"Not computed here:"</p><ul>{not_run}</ul>
                <p class="soft" hidden=!by_sql>"The SQL alone can be run above, under “Table and SQL”."</p></div>
        </section>
    }
}

/// The person's word on the row.
#[component]
pub fn JudgeView(inspector: Inspector) -> impl IntoView {
    let judgement = move || {
        let id = inspector.selected_id().unwrap_or_default();
        inspector.judged.with(|judged| judged.get(&id).cloned().unwrap_or_default())
    };
    let is = move |verdict: &'static str| if judgement().verdict == verdict { "true" } else { "false" };
    let ready = move || inspector.hash.with(Option::is_some);
    view! {
        <div class="inspect-judge" role="group" aria-label="Your judgement of this row">
            <button type="button" data-test="accept" aria-pressed=move || is("accept") prop:disabled=move || !ready() on:click=move |_| say(inspector, "accept")>"Accept (a)"</button>
            <button type="button" data-test="reject" aria-pressed=move || is("reject") prop:disabled=move || !ready() on:click=move |_| say(inspector, "reject")>"Reject (r)"</button>
            <label class="inspect-note">"Note (n)"
                <input type="text" id="inspect-note" data-test="note" prop:disabled=move || !ready() prop:value=move || judgement().note
                    on:change=move |event| { let note = event_target_value(&event); inspector.judge(|judgement| judgement.note = note); } />
            </label>
        </div>
    }
}

/// Accepts or rejects the selected row; once more takes it back.
pub fn say(inspector: Inspector, verdict: &str) {
    inspector.judge(|judgement| {
        let same = judgement.verdict == verdict;
        judgement.verdict = if same { String::new() } else { verdict.into() };
    });
}
