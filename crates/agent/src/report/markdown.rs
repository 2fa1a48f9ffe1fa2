//! A kept read as Markdown: a part for each question, with its answer, sources and what changed in the notes.

use data::{Citation, Support};

use super::{Counts, Read, Report, Turn, claims, place};
use crate::{ChangeKind, CheckedQuote, Piece, QuoteFound};

/// The questions, one after the other.
pub fn markdown(kept: &Report) -> String {
    kept.reads.iter().map(|of| read(kept, of)).collect::<Vec<_>>().join("\n---\n\n")
}

fn read(kept: &Report, read: &Read) -> String {
    let mut out = format!("# {}\n\n", plain(&read.question));
    if let Some(kind) = read.kind() {
        out.push_str(&format!("*{}*\n\n", plain(&kind)));
    }
    match &read.answer {
        None => out.push_str("*The read has not ended: there is no answer yet.*\n"),
        Some((answer, citations)) => {
            if read.stale {
                out.push_str("*Given from the notes before a person's edit.*\n\n");
            }
            out.push_str(&without_html(answer));
            out.push_str("\n\n## Sources\n\n");
            let claims = citations.iter().filter(|citation| citation.support != Support::NoClaim);
            claims.for_each(|citation| out.push_str(&source(kept, answer, citation)));
        }
    }
    let answered = read.answered_by.as_ref().map(|model| format!("; answered by {}", plain(model)));
    out.push_str(&format!("\n{}{}\n\n", plain(&read.model), answered.unwrap_or_default()));
    let ((covered, bytes), skipped) = kept.coverage(&read.seen);
    out.push_str(&format!("{:.1} % of {bytes} bytes were read.\n", 100.0 * covered as f64 / bytes.max(1) as f64));
    for span in skipped {
        out.push_str(&format!("- not read: {} bytes {}–{}\n", plain(&span.doc), span.start, span.end));
    }
    if read.later && !read.own.is_empty() {
        let ((again, _), _) = kept.coverage(&read.own);
        out.push_str(&format!("\n{again} bytes were read again for this question.\n"));
    }
    if let Some(last) = read.turns.last().filter(|turn| !turn.quotes.is_empty()) {
        out.push_str("\n## Quotes in the notes\n\n");
        out.push_str(&quotes(kept, last));
    }
    if !read.turns.is_empty() {
        out.push_str("\n## Notes, section by section\n");
        out.push_str(&if read.outline() { outline(kept, read) } else { changes(kept, read) });
    }
    out
}

fn source(kept: &Report, answer: &str, citation: &Citation) -> String {
    let sentence = plain(answer.get(citation.start..citation.end).unwrap_or_default());
    let quote = plain(citation.source.as_ref().map_or("", |source| &source.quote));
    match (citation.support, kept.place(citation).map(|place| plain(&place))) {
        (Support::Quoted, Some(place)) => format!("- {sentence}\n  quoted from {place}: “{quote}”\n"),
        (Support::Supported { score }, Some(place)) => format!("- {sentence}\n  supported ({score:.2}) by {place}: “{quote}”\n"),
        _ => format!("- {sentence}\n  no source found\n"),
    }
}

/// What became of each note's own quote.
fn quotes(kept: &Report, turn: &Turn) -> String {
    let one = |checked: &CheckedQuote| {
        let quote = checked.note.quote.as_deref().map(plain).unwrap_or_default();
        let found = match &checked.found {
            QuoteFound::There(source) => {
                format!("“{quote}” stands in {}", plain(&place(kept.documents, &source.span).unwrap_or_default()))
            }
            QuoteFound::NotFound => format!("“{quote}” was NOT FOUND in what was read"),
            QuoteFound::TooShort => format!("“{quote}” is too short to be looked up"),
            QuoteFound::NoQuote if claims(checked, &turn.citations) => "no quote".into(),
            QuoteFound::NoQuote => return String::new(),
        };
        format!("- {}\n  {found}\n", plain(&checked.note.note))
    };
    turn.quotes.iter().map(one).collect()
}

/// `Section 3 of 15, line 40`.
fn heading(kept: &Report, read: &Read, number: usize) -> String {
    let place = place(kept.documents, &read.turns[number].span).map(|place| format!(", {}", plain(&place)));
    let edited = if read.turns[number].unedited.is_some() { ", edited by a person" } else { "" };
    format!("\n### Section {} of {}{}{edited}", number + 1, read.planned, place.unwrap_or_default())
}

/// Each section's notes, whole.
fn outline(kept: &Report, read: &Read) -> String {
    let section = |number: usize| format!("{}\n\n{}\n", heading(kept, read, number), without_html(&read.turns[number].memory));
    (0..read.turns.len()).map(section).collect()
}

/// What changed at each section; sections without a change share a line.
fn changes(kept: &Report, read: &Read) -> String {
    let mut out = String::new();
    let mut quiet: Option<usize> = None;
    for number in 0..read.turns.len() {
        let changes = read.changes(number);
        let counts = Counts::of(&changes);
        if counts.added + counts.changed + counts.dropped == 0 && read.turns[number].unedited.is_none() {
            quiet = quiet.or(Some(number));
            continue;
        }
        out.push_str(&unchanged(quiet.take(), number));
        out.push_str(&format!("{}: {counts}\n\n", heading(kept, read, number)));
        for change in changes.iter().filter(|change| change.kind != ChangeKind::Kept) {
            let word = match change.kind {
                ChangeKind::Added => "added",
                ChangeKind::Dropped => "dropped",
                _ => "changed",
            };
            let whole = change.kind != ChangeKind::Changed;
            let text: String = change.pieces.iter().map(|piece| marked(piece, whole)).collect();
            // The list marker of the notes is not one of this list.
            out.push_str(&format!("- {word}: {}\n", text.trim().trim_start_matches(['-', '•', '+', ' '])));
        }
    }
    out.push_str(&unchanged(quiet, read.turns.len()));
    out
}

fn unchanged(from: Option<usize>, to: usize) -> String {
    match from {
        None => String::new(),
        Some(from) if from + 1 == to => format!("\nSection {to}: nothing changed.\n"),
        Some(from) => format!("\nSections {}–{to}: nothing changed.\n", from + 1),
    }
}

/// Dropped words struck through; added ones bold, unless all of it is new. White space stays outside, where Markdown wants it.
fn marked(piece: &Piece, whole: bool) -> String {
    let (text, sign) = match piece {
        Piece::Kept(text) => (text, ""),
        Piece::Added(text) => (text, if whole { "" } else { "**" }),
        Piece::Dropped(text) => (text, "~~"),
    };
    let bare = text.trim_start_matches(['-', '•', '+', '*', '#', ' ', '\t', '\n']);
    let said = plain(if whole { bare } else { text });
    if said.is_empty() {
        return " ".into();
    }
    let space = |there: bool| if there { " " } else { "" };
    let (before, after) = (text.starts_with(char::is_whitespace), text.ends_with(char::is_whitespace));
    format!("{}{sign}{said}{sign}{}", space(before), space(after))
}

/// As one line in which nothing is a sign of Markdown.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        for c in word.chars() {
            if matches!(c, '\\' | '`' | '*' | '_' | '~' | '<' | '[' | ']' | '&' | '|') {
                out.push('\\');
            }
            out.push(c);
        }
    }
    out
}

/// The model's own Markdown, in which no tag is a tag: what would begin one outside of code is told not to.
fn without_html(text: &str) -> String {
    use pulldown_cmark::{Event, Options, Parser};
    let mut text = text.to_string();
    // A tag less can change what is code, so again until there is none.
    for _ in 0..8 {
        let tags: Vec<std::ops::Range<usize>> = Parser::new_ext(&text, Options::empty())
            .into_offset_iter()
            .filter(|(event, _)| matches!(event, Event::Html(_) | Event::InlineHtml(_)))
            .map(|(_, range)| range)
            .collect();
        if tags.is_empty() {
            return text;
        }
        let (mut out, mut at) = (String::new(), 0);
        for range in tags {
            out.push_str(&text[at..range.start.max(at)]);
            out.push_str(&text[range.start.max(at)..range.end.max(at)].replace('<', "\\<"));
            at = range.end.max(at);
        }
        out.push_str(&text[at..]);
        text = out;
    }
    text.replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tag_of_a_model_is_a_tag_and_code_stays_code() {
        assert_eq!(without_html("a <b>x</b> `Vec<u8>` 1 < 2\n\n```\n<i>\n```\n"), "a \\<b>x\\</b> `Vec<u8>` 1 < 2\n\n```\n<i>\n```\n");
        // What was inside a block of HTML is code no more once the block is none.
        let hostile = "<pre>\n```\n</pre>\n<script>alert(1)</script>\n```\n<script>alert(2)</script>\n<!-- <i> -->";
        let out = without_html(hostile);
        let html = |event: &pulldown_cmark::Event| matches!(event, pulldown_cmark::Event::Html(_) | pulldown_cmark::Event::InlineHtml(_));
        assert!(!pulldown_cmark::Parser::new(&out).any(|event| html(&event)), "{out}");
        assert!(pulldown_cmark::Parser::new(hostile).any(|event| html(&event)));
    }

    #[test]
    fn a_line_of_notes_is_no_markdown() {
        assert_eq!(plain(" # *a*\n <b> [x](y) a_b "), "# \\*a\\* \\<b> \\[x\\](y) a\\_b");
        assert_eq!(marked(&Piece::Added(" new *words* "), false), " **new \\*words\\*** ");
        assert_eq!(marked(&Piece::Dropped("\n"), false), " ");
    }
}
