//! The answers, with where each sentence comes from.

use data::{Citation, Source, Support};
use leptos::prelude::*;

use super::figures;
use super::state::{Question, Reader};

/// The questions, where there are several: a click shows another's notes and answer.
#[component]
pub fn QuestionList(reader: Reader) -> impl IntoView {
    let several = move || reader.questions.with(|questions| questions.len() > 1);
    let rows = Memo::new(move |_| {
        let edits = reader.edits();
        reader.questions.with(|questions| questions.iter().map(|question| row(question, &edits)).collect::<Vec<_>>())
    });
    view! {
        <div class="questions" role="group" aria-label="Questions" data-test="questions" hidden=move || !several()>
            <ol>{move || rows.get().into_iter().enumerate().map(|(number, (name, state))| view! {
                <li>
                    <button type="button" part="button" data-test="show-question" aria-current=move || (reader.current.get() == number).then_some("true")
                        on:click=move |_| reader.current.set(number)>
                        <bdi>{name}</bdi><small>{state}</small>
                    </button>
                </li>
            }).collect_view()}</ol>
        </div>
    }
}

/// A question and how far it is.
fn row(question: &Question, edits: &str) -> (String, String) {
    let how = match question {
        question if question.is_from_notes() => ", from the notes",
        question if question.style.ends_with("reread") => ", sections read again",
        _ => "",
    };
    let state = match &question.answer {
        Some(_) if question.is_outline() => "done".to_string(),
        Some(_) => {
            format!("answered{how}{}", if question.stale(edits).is_some() { ", but not from the notes as they are now" } else { "" })
        }
        None if question.planned == 0 => "not answered yet".into(),
        None => format!("{} of {} sections", question.turns.len(), question.planned),
    };
    (question.name(), state)
}

/// The answer of the question that is shown.
#[component]
pub fn AnswerView(reader: Reader) -> impl IntoView {
    let answer = Memo::new(move |_| reader.shown_question(|question| question.answer.clone()).flatten());
    let name = move || reader.shown_question(Question::name).unwrap_or_default();
    let outline = move || reader.shown_question(Question::is_outline).unwrap_or(false);
    move || {
        answer.get().map(|answer| {
        let sources = sources(&answer.citations);
        let text = paragraphs(reader, &answer.text, &answer.citations, &sources);
        let carried = carried(&answer.citations);
        view! {
            <section class="answer" part="answer">
                <p class="asked soft" dir="auto">{name}</p>
                <h2>{move || if outline() { "Outline" } else { "Answer" }}</h2>
                <Stale reader=reader />
                <div class="said text" data-test="answer" dir="auto">{text}</div>
                {carried}
                {answer.model.map(|model| view! { <p class="soft">{format!("Answered by {model}.")}</p> })}
                <p class="warning" data-test="unsourced" hidden=!sources.is_empty()>"No passage of the document was found that carries this answer."</p>
                <Sources reader=reader sources=sources />
            </section>
        }
    })
    }
}

/// Says of an answer that the notes were changed since, and gives it again.
#[component]
fn Stale(reader: Reader) -> impl IntoView {
    let why = Memo::new(move |_| reader.stale());
    let off = move || !reader.is_ready() || reader.is_busy() || reader.editing.get();
    let hint = move || match () {
        () if reader.editing.get() => "Save or cancel your edit first.",
        () if !reader.is_ready() => "A model is needed for that.",
        () => "One call; nothing is read again.",
    };
    view! {
        <div class="warning stale" data-test="stale" hidden=move || why.get().is_none()>
            <p>{why}</p>
            <div class="row">
                <button type="button" part="button" data-test="again" prop:disabled=off on:click=move |_| reader.again(reader.current.get_untracked())>
                    "Answer again from the edited notes"
                </button>
                <small class="soft">{hint}</small>
                <button type="button" class="link" data-test="again-choose" hidden=move || reader.is_ready() on:click=move |_| reader.choosing.set(true)>"Choose one"</button>
            </div>
        </div>
    }
}

/// A passage that carries something, and how far.
#[derive(Clone, PartialEq)]
struct Passage {
    source: Source,
    support: Support,
}

/// The passages, each once, in the order they are cited.
fn sources(citations: &[Citation]) -> Vec<Passage> {
    let mut passages: Vec<Passage> = Vec::new();
    for citation in citations {
        if let Some(source) = &citation.source
            && !passages.iter().any(|passage| passage.source.span == source.span)
        {
            passages.push(Passage { source: source.clone(), support: citation.support });
        }
    }
    passages
}

/// Where the answer stands, in the documents' own words.
#[component]
fn Sources(reader: Reader, sources: Vec<Passage>) -> impl IntoView {
    let none = sources.is_empty();
    let items = sources.into_iter().map(|Passage { source, support }| {
        let (place, span) = (untrack(|| reader.place(&source.span)), source.span.clone());
        let quote: String = source.quote.chars().take(400).collect();
        let quote = if quote.len() < source.quote.len() { format!("{quote}…") } else { quote };
        view! {
            <li>
                <button type="button" class="link" data-test="source-place" on:click=move |event| reader.show_from(span.clone(), event.current_target())>{place}</button>
                <span class="tag" data-support=key(support)>{said(support)}</span>
                <q dir="auto">{quote}</q>
            </li>
        }
    });
    view! {
        <div class="sources" hidden=none>
            <h3>"Where that stands"</h3>
            <ol data-test="sources">{items.collect_view()}</ol>
        </div>
    }
}

/// How many sentences are carried how far; it is the legend of the lines under them too.
pub fn carried(citations: &[Citation]) -> impl IntoView + use<> {
    let counted = |wanted: &str| citations.iter().filter(|citation| key(citation.support) == wanted).count();
    let kinds = [
        ("quoted", "quoted", "the passage has the sentence's words"),
        ("supported", "supported", "a passage agrees with it in other words"),
        ("none", "no source found", "nothing in the document agrees with it enough to be shown"),
    ];
    let items = kinds.into_iter().filter(|(key, ..)| counted(key) > 0).map(|(key, name, meaning)| {
        view! {
            <li><span class="cited" data-support=key>{name}</span>{format!(": {}, {meaning}", figures::many(counted(key), "sentence"))}</li>
        }
    });
    view! { <ul class="legend soft" data-test="legend" hidden=citations.iter().all(|citation| citation.support == Support::NoClaim)>{items.collect_view()}</ul> }
}

/// The attribute by which styles tell them apart.
fn key(support: Support) -> &'static str {
    match support {
        Support::Quoted => "quoted",
        Support::Supported { .. } => "supported",
        Support::NotFound => "none",
        Support::NoClaim => "claims-nothing",
    }
}

/// In words.
fn said(support: Support) -> String {
    match support {
        Support::Quoted => "quoted".into(),
        Support::Supported { score } => format!("supported, {score:.2}"),
        Support::NotFound => "no source found".into(),
        Support::NoClaim => String::new(),
    }
}

/// A text whose sentences lead to their sources, without numbers.
pub fn cited(reader: Reader, text: &str, citations: &[Citation]) -> impl IntoView + use<> {
    paragraphs(reader, text, citations, &[])
}

/// A text whose sentences lead to their sources, with the numbers of `sources`.
fn paragraphs(reader: Reader, text: &str, citations: &[Citation], sources: &[Passage]) -> Vec<AnyView> {
    let mut parts = Vec::new();
    let mut at = 0;
    for citation in citations {
        let (Some(before), Some(said)) = (text.get(at..citation.start), text.get(citation.start..citation.end)) else { continue };
        parts.extend(rich(before));
        let number = citation.source.as_ref().and_then(|source| sources.iter().position(|passage| passage.source.span == source.span));
        parts.push(sentence(reader, said, citation, number));
        at = citation.end;
    }
    parts.extend(rich(text.get(at..).unwrap_or_default()));
    parts
}

fn sentence(reader: Reader, text: &str, citation: &Citation, number: Option<usize>) -> AnyView {
    let support = key(citation.support);
    if citation.support == Support::NoClaim {
        return view! { <span>{rich(text)}</span> }.into_any();
    }
    match citation.source.clone() {
        // A link and no button: a button's text does not flow with the sentences around it.
        Some(source) => {
            let (title, span) = (format!("{}: {}", said(citation.support), untrack(|| reader.place(&source.span))), source.span);
            view! {
                <a href="#passage" class="cited" part="citation" data-test="cite" data-support=support title=title data-number=number.map(|number| (number + 1).to_string())
                    on:click=move |event| {
                        event.prevent_default();
                        reader.show_from(span.clone(), event.current_target());
                    }>{rich(text)}</a>
            }
            .into_any()
        }
        None => view! { <span class="cited" data-support=support title="no source found" data-number="no source">{rich(text)}</span> }
            .into_any(),
    }
}

/// `**bold**` and `code` as elements; all else stays text.
fn rich(text: &str) -> Vec<AnyView> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, inner, sign, after)) = first_marked(rest) {
        parts.push(view! { <span>{before.to_string()}</span> }.into_any());
        let inner = inner.to_string();
        parts.push(if sign == "`" { view! { <code>{inner}</code> }.into_any() } else { view! { <strong>{inner}</strong> }.into_any() });
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(view! { <span>{rest.to_string()}</span> }.into_any());
    }
    parts
}

/// What is before, inside and after the first pair of signs that stand on one line.
fn first_marked(text: &str) -> Option<(&str, &str, &'static str, &str)> {
    let mut found: Option<(usize, &str, &'static str, &str)> = None;
    for sign in ["**", "`"] {
        let Some(at) = text.find(sign) else { continue };
        let Some((inner, after)) = text[at + sign.len()..].split_once(sign) else { continue };
        let fits = !inner.is_empty() && !inner.contains('\n');
        if fits && found.is_none_or(|(earlier, ..)| at < earlier) {
            found = Some((at, inner, sign, after));
        }
    }
    found.map(|(at, inner, sign, after)| (&text[..at], inner, sign, after))
}
