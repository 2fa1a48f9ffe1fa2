//! Cuts documents into leaves: stretches of a few kilobytes, each with the place where it begins.

use data::{Document, Place};

/// Leaves of one document, about: short documents get short leaves, so that places stand close to their lines.
const LEAVES: usize = 200;
/// Bytes of a leaf, least and most before a line end is looked for.
const SHORTEST: usize = 600;
/// As above.
const LONGEST: usize = 4096;
/// A line that is longer is cut at a word.
const LINE: usize = 4 * LONGEST;

/// A stretch of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// First byte.
    pub start: usize,
    /// One past the last.
    pub end: usize,
    /// `page 3`, `line 120`: where it begins.
    pub place: String,
}

/// All of a document, in order. One walk over its marks, however many they are: a table has one for each cell.
pub fn cut(document: &Document) -> Vec<Leaf> {
    let text = &*document.text;
    let size = (text.len() / LEAVES).clamp(SHORTEST, LONGEST);
    let mut marks = document.marks.iter().peekable();
    // The last mark of each kind so far.
    let mut stands: Vec<&Place> = Vec::new();
    let mut leaves = Vec::new();
    let mut start = 0;
    while start < text.len() {
        while let Some(mark) = marks.next_if(|mark| mark.start <= start) {
            match stands.iter_mut().find(|place| std::mem::discriminant(**place) == std::mem::discriminant(&mark.place)) {
                Some(place) => *place = &mark.place,
                None => stands.push(&mark.place),
            }
        }
        let end = end_of(text, start, size);
        let place = stands.iter().map(ToString::to_string).find(|place| !place.is_empty());
        let line = || if document.lines { format!("line {}", document.text.line(start)) } else { String::new() };
        leaves.push(Leaf { start, end, place: place.unwrap_or_else(line) });
        start = end;
    }
    leaves
}

/// Where the leaf that begins at `start` ends: at the first line end after `size` bytes, or at a word where there is none for long.
fn end_of(text: &str, start: usize, size: usize) -> usize {
    let from = border(text, start + size);
    let to = border(text, start + LINE);
    if to == text.len() && from == to {
        return to;
    }
    match text[from..to].find('\n') {
        Some(at) => from + at + 1,
        None if to == text.len() => to,
        None => from + text[from..to].rfind(' ').map_or(to - from, |at| at + 1),
    }
}

/// The character border at or after `at`, at most the end.
fn border(text: &str, at: usize) -> usize {
    (at..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len())
}
