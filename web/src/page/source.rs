//! The documents' own words. A text of any length is laid out in leaves, and leaves in stacks; the browser draws those that are seen
//! (`content-visibility`), so that a document of a million tokens scrolls like a short one, and its own search still finds everything. Stacks,
//! because a browser looks at each such element in every frame: 1,200 leaves of 5 MB took twice the time of a frame, 40 stacks do not.

use data::Span;
use leptos::html;
use leptos::prelude::*;

use super::leaves::cut;
use super::state::{Reader, file_name};
use crate::protocol::OpenedInfo;

/// Leaves of a stack.
const STACK: usize = 32;

/// A leaf on the page.
#[derive(Clone)]
struct Page {
    start: usize,
    end: usize,
    /// The part of the shown passage that stands here, from the leaf's own start.
    marked: RwSignal<Option<(usize, usize)>>,
    /// Some of it was read for the question that is shown.
    read: RwSignal<bool>,
}

/// A document's leaves, in order.
struct Pages {
    id: String,
    leaves: Vec<Page>,
}

impl Pages {
    /// The leaves that have something of `span`.
    fn of(&self, span: &Span) -> &[Page] {
        if self.id != span.doc {
            return &[];
        }
        let from = self.leaves.partition_point(|leaf| leaf.end <= span.start);
        let to = self.leaves.partition_point(|leaf| leaf.start < span.end);
        &self.leaves[from.min(to)..to]
    }
}

/// The documents, with the passage that is shown marked and scrolled to.
#[component]
pub fn SourceView(
    /// The reader.
    reader: Reader,
) -> impl IntoView {
    // Told apart by the texts, which are shared and not copied: a new question must not lay a million tokens out anew.
    let texts = Memo::new(move |_| {
        reader.opened.with(|opened| {
            let documents = opened.as_ref().map(|opened| opened.documents.iter().map(|document| document.text.as_ptr() as usize));
            documents.map(|documents| documents.collect::<Vec<_>>())
        })
    });
    let body = NodeRef::<html::Div>::new();
    let name = move || {
        reader.opened.with(|opened| match opened.as_ref().map(|opened| opened.documents.as_slice()) {
            Some([document]) => file_name(&document.source).to_string(),
            Some(documents) => format!("{} documents", documents.len()),
            None => String::new(),
        })
    };
    // Where a page has several readers, each one's document is a landmark of its own.
    let label = move || {
        if reader.number == 0 {
            format!("The document {}", name())
        } else {
            format!("The document {} of reader {}", name(), reader.number + 1)
        }
    };
    view! {
        <section class="source" data-test="source" part="source" aria-label=label>
            <header class="head">
                <b dir="auto">{name}</b>
                <span class="soft" role="status" data-test="place">{move || reader.shown.get().map(|span| reader.place(&span))}</span>
                <button type="button" part="button" class="quiet" data-test="back" hidden=move || !reader.can_return.get() on:click=move |_| reader.back()>
                    "Back"
                </button>
            </header>
            <div class="pages" tabindex="0" role="group" aria-label="Its text" node_ref=body>
                {move || {
                    texts.track();
                    reader.opened.with_untracked(|opened| opened.as_ref().map(|opened| leaves(reader, opened, body)))
                }}
            </div>
        </section>
    }
}

fn leaves(reader: Reader, opened: &OpenedInfo, body: NodeRef<html::Div>) -> impl IntoView + use<> {
    let several = opened.documents.len() > 1;
    let mut all = Vec::new();
    let mut views = Vec::new();
    for document in &opened.documents {
        let mut pages = Vec::new();
        let name = file_name(&document.source).to_string();
        views.push(several.then(|| view! { <h3 dir="auto">{name}</h3> }).into_any());
        for stack in cut(document).chunks(STACK) {
            let (mut inside, mut tall) = (Vec::new(), 0.0);
            for leaf in stack {
                let page = Page { start: leaf.start, end: leaf.end, marked: RwSignal::new(None), read: RwSignal::new(false) };
                let text = document.text.get(leaf.start..leaf.end).unwrap_or_default().to_string();
                let height = height(&text);
                tall += height;
                inside.push(leaf_view(leaf.place.clone(), text, height, &page).into_any());
                pages.push(page);
            }
            views.push(
                view! { <div class="stack" style:contain-intrinsic-block-size=format!("auto {tall:.1}rem")>{inside}</div> }.into_any(),
            );
        }
        all.push(Pages { id: document.id.clone(), leaves: pages });
    }
    let all = StoredValue::new(all);
    mark_shown(reader, all, body);
    mark_read(reader, all);
    views
}

/// Marks the passage that is shown, and scrolls to it.
fn mark_shown(reader: Reader, all: StoredValue<Vec<Pages>>, body: NodeRef<html::Div>) {
    Effect::new(move |before: Option<Option<Span>>| {
        let now = reader.shown.get();
        let each = |span: &Span, mark: &dyn Fn(&Page)| all.with_value(|all| all.iter().flat_map(|pages| pages.of(span)).for_each(mark));
        if let Some(Some(span)) = before {
            each(&span, &|page| page.marked.set(None));
        }
        if let Some(span) = &now {
            each(span, &|page| page.marked.set(Some((span.start.max(page.start) - page.start, span.end.min(page.end) - page.start))));
            // When the mark stands on the page.
            request_animation_frame(move || {
                let mark = body.get_untracked().and_then(|body| body.query_selector("mark").ok().flatten());
                if let Some(mark) = mark {
                    let options = web_sys::ScrollIntoViewOptions::new();
                    options.set_block(web_sys::ScrollLogicalPosition::Center);
                    options.set_behavior(web_sys::ScrollBehavior::Auto);
                    mark.scroll_into_view_with_scroll_into_view_options(&options);
                }
            });
        }
        now
    });
}

/// Marks what was read for the question that is shown.
fn mark_read(reader: Reader, all: StoredValue<Vec<Pages>>) {
    let read = Memo::new(move |_| (reader.current.get(), reader.shown_question(|question| question.turns.len()).unwrap_or(0)));
    Effect::new(move |before: Option<(usize, usize)>| {
        let (question, turns) = read.get();
        let known = before.filter(|&(one, count)| one == question && count <= turns && count > 0).map(|(_, count)| count);
        if known.is_none() {
            all.with_value(|all| {
                all.iter().flat_map(|pages| &pages.leaves).filter(|leaf| leaf.read.get_untracked()).for_each(|leaf| leaf.read.set(false))
            });
        }
        reader.questions.with_untracked(|questions| {
            let new = questions.get(question).into_iter().flat_map(|question| question.turns.iter().skip(known.unwrap_or(0)));
            for span in new.filter_map(|turn| turn.span()) {
                all.with_value(|all| all.iter().flat_map(|pages| pages.of(&span)).for_each(|leaf| leaf.read.set(true)));
            }
        });
        (question, turns)
    });
}

/// A guess of a leaf's height in rem until it is drawn: about 60 bytes a line, and what its line ends add.
fn height(text: &str) -> f64 {
    1.6 * text.lines().map(|line| 1 + line.len() / 60).sum::<usize>() as f64
}

fn leaf_view(place: String, text: String, height: f64, page: &Page) -> impl IntoView + use<> {
    let (marked, read) = (page.marked, page.read);
    view! {
        <div class="leaf" class:read=move || read.get() style:contain-intrinsic-block-size=format!("auto {height:.1}rem")>
            <span class="place" aria-hidden="true">{place}</span>
            <div class="text" dir="auto">
                {move || match marked.get() {
                    None => view! { <span>{text.clone()}</span> }.into_any(),
                    Some((from, to)) => {
                        let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default().to_string();
                        view! { <span>{part(0, from)}</span><mark data-test="mark">{part(from, to)}</mark><span>{part(to, text.len())}</span> }.into_any()
                    }
                }}
            </div>
        </div>
    }
}
