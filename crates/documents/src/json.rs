//! JSON and JSON Lines as an outline a person can read.
//!
//! ```text
//! people:
//!   - name: Ada
//!     born: 1815
//!     tags: maths, poetry
//! ```
//!
//! The file's own order, duplicate names and digits are kept: the text is walked, not loaded into numbers.

use data::Place;
use serde::de::IgnoredAny;

use crate::decode::decode;
use crate::limits::{MAX_FINE_MARKS, MAX_JSON_DEPTH, MAX_PARSED};
use crate::writer::{Writer, Written};
use crate::{Bytes, Format, Remark, Result, plain};

/// A list of scalars up to this long stands on one line.
const SHORT_LIST: usize = 200;

pub fn convert(bytes: Bytes, format: Format) -> Result<Written> {
    if bytes.len() > MAX_PARSED {
        return plain::instead(bytes, format!("JSON of more than {} MiB is not taken apart", MAX_PARSED >> 20));
    }
    let (text, remarks) = decode(&bytes, None);
    let mut writer = Writer::new(format);
    writer.remarks = remarks;
    if format == Format::Json {
        if let Err(error) = check(&text) {
            return plain::instead(bytes, format!("it is not JSON ({error})"));
        }
        Outline::write(&text, &mut writer, true)?;
        return writer.finish(false);
    }
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        if let Err(error) = check(line) {
            return plain::instead(bytes, format!("line {} is not JSON ({error})", index + 1));
        }
        writer.blank_line();
        writer.mark(Place::Line { line: index as u32 + 1 });
        Outline::write(line, &mut writer, false)?;
    }
    writer.finish(false)
}

/// Whether bytes are one JSON value.
pub fn is_json(bytes: &[u8]) -> bool {
    bytes.len() <= MAX_PARSED && std::str::from_utf8(bytes).is_ok_and(|text| check(text).is_ok())
}

fn check(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<IgnoredAny>(text).map(drop)
}

/// Walks a text that was checked to be JSON.
struct Outline<'a> {
    text: &'a str,
    at: usize,
    writer: &'a mut Writer,
    /// Values down to this depth are marked.
    marked: usize,
    pointer: String,
}

impl<'a> Outline<'a> {
    fn write(text: &'a str, writer: &'a mut Writer, pointers: bool) -> Result<()> {
        let marked = if pointers { marked_depth(text, writer) } else { 0 };
        let mut outline = Self { text, at: 0, writer, marked, pointer: String::new() };
        outline.space();
        outline.value(0, false)
    }

    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn space(&mut self) {
        self.at += self.text[self.at..].len() - self.text[self.at..].trim_start().len();
    }

    /// Writes the value here. `named`: its name stands before it on the line. Ends with the line ended.
    fn value(&mut self, depth: usize, named: bool) -> Result<()> {
        let (start, text) = (self.at, self.text);
        let end = value_end(text, start);
        let source = &text[start..end];
        match self.peek() {
            b'{' | b'[' if depth >= MAX_JSON_DEPTH || is_empty(source) => {
                self.line(named, source);
                self.at = end;
            }
            b'{' => self.object(depth, named)?,
            b'[' => match short_list(source) {
                Some(list) => {
                    self.line(named, &list);
                    self.at = end;
                }
                None => self.array(depth, named)?,
            },
            _ => {
                self.line(named, &scalar(source));
                self.at = end;
            }
        }
        self.writer.check()
    }

    fn line(&mut self, named: bool, words: &str) {
        if named {
            self.writer.push(" ");
        }
        self.writer.push(words);
        self.writer.push("\n");
    }

    /// The lines of an object. The first continues the line where it follows an item's dash.
    fn object(&mut self, depth: usize, named: bool) -> Result<()> {
        if named {
            self.writer.push("\n");
        }
        self.members(b'}', |this, index| {
            let end = value_end(this.text, this.at);
            let name = scalar(&this.text[this.at..end]);
            this.at = end;
            this.space();
            this.at += 1; // the colon
            this.space();
            this.step(&name.replace('~', "~0").replace('/', "~1"), depth, |this| {
                let continues = index == 0 && this.writer.text().ends_with("- ");
                if !continues {
                    this.writer.push(&"  ".repeat(depth));
                }
                this.mark(depth + 1);
                let name = name.replace('\n', " ");
                this.writer.push(if name.is_empty() { "\"\"" } else { &name });
                this.writer.push(":");
                this.value(depth + 1, true)
            })
        })
    }

    fn array(&mut self, depth: usize, named: bool) -> Result<()> {
        if named {
            self.writer.push("\n");
        }
        self.members(b']', |this, index| {
            // A blank line between the records of an outer list: text is best cut there.
            if index > 0 && depth < 2 && matches!(this.peek(), b'{' | b'[') {
                this.writer.push("\n");
            }
            this.step(&index.to_string(), depth, |this| {
                let continues = index == 0 && this.writer.text().ends_with("- ");
                if !continues {
                    this.writer.push(&"  ".repeat(depth));
                }
                this.mark(depth + 1);
                this.writer.push("- ");
                this.value(depth + 1, false)
            })
        })
    }

    /// Visits what stands between the brackets here.
    fn members(&mut self, close: u8, mut member: impl FnMut(&mut Self, usize) -> Result<()>) -> Result<()> {
        self.at += 1;
        self.space();
        let mut index = 0;
        while self.at < self.text.len() && self.peek() != close {
            member(self, index)?;
            index += 1;
            self.space();
            if self.peek() == b',' {
                self.at += 1;
                self.space();
            }
        }
        self.at = (self.at + 1).min(self.text.len());
        Ok(())
    }

    fn step(&mut self, name: &str, _: usize, inside: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let len = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(name);
        let result = inside(self);
        self.pointer.truncate(len);
        result
    }

    fn mark(&mut self, depth: usize) {
        if depth <= self.marked {
            self.writer.mark(Place::Pointer { pointer: self.pointer.clone() });
        }
    }
}

/// The depth down to which there are not too many values to mark each.
fn marked_depth(text: &str, writer: &mut Writer) -> usize {
    let mut at_depth = [0usize; MAX_JSON_DEPTH + 1];
    let (mut depth, mut at, bytes) = (0, 0, text.as_bytes());
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = string_end(bytes, at) - 1,
            b'{' | b'[' => {
                depth += 1;
                if let Some(count) = at_depth.get_mut(depth) {
                    *count += 1;
                }
            }
            b'}' | b']' => depth -= 1,
            b',' => {
                if let Some(count) = at_depth.get_mut(depth) {
                    *count += 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    let mut sum = 0;
    // A pointer grows with its depth, and so does what it costs.
    let fits = at_depth
        .iter()
        .take_while(|&&count| {
            sum += count;
            sum <= MAX_FINE_MARKS
        })
        .count()
        - 1;
    if fits < MAX_JSON_DEPTH && at_depth[fits + 1] > 0 {
        writer.remarks.push(Remark::CoarseMarks { grain: format!("value at depth {fits}") });
    }
    fits
}

/// One past the value that starts at `at`, in text that is JSON.
fn value_end(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    match bytes.get(at) {
        Some(b'"') => string_end(bytes, at),
        Some(b'{' | b'[') => {
            let (mut depth, mut at) = (0usize, at);
            while at < bytes.len() {
                match bytes[at] {
                    b'"' => at = string_end(bytes, at) - 1,
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return at + 1;
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
            bytes.len()
        }
        Some(_) => {
            let scalar = |b: &&u8| !matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            at + bytes[at..].iter().take_while(scalar).count()
        }
        None => at,
    }
}

fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'"' => return at + 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

fn is_empty(container: &str) -> bool {
    container.len() >= 2 && container[1..container.len() - 1].trim().is_empty()
}

/// A string's words, anything else as it is written.
fn scalar(source: &str) -> String {
    if !source.starts_with('"') {
        return source.to_string();
    }
    match serde_json::from_str::<String>(source) {
        Ok(words) if words.is_empty() => "\"\"".to_string(),
        Ok(words) => words.replace("\r\n", "\n"),
        // Checked as a whole before, where half a surrogate pair passes.
        Err(_) => source.to_string(),
    }
}

/// A list of scalars on one line, if it is short and no string in it has a line end or a comma.
fn short_list(source: &str) -> Option<String> {
    let inner = source.strip_prefix('[')?.strip_suffix(']')?;
    if source.len() > SHORT_LIST || inner.contains(['{', '[']) {
        return None;
    }
    let (mut words, mut at) = (Vec::new(), 0);
    loop {
        at += inner[at..].len() - inner[at..].trim_start().len();
        if at >= inner.len() {
            break;
        }
        let end = value_end(inner, at);
        let word = scalar(&inner[at..end]);
        if word.contains([',', '\n']) || end == at {
            return None;
        }
        words.push(word);
        at = end + inner[end..].find(',').map_or(inner.len() - end, |comma| comma + 1);
    }
    Some(words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Written {
        convert(text.as_bytes().into(), Format::Json).unwrap()
    }

    #[test]
    fn an_outline_keeps_order_and_digits() {
        let written = read(r#"{"b": 1.10, "a/c": [{"n": "x", "tags": ["p", "q"]}, {"n": 123456789012345678901}], "e": {}, "s": "l1\nl2"}"#);
        assert_eq!(&*written.text, "b: 1.10\na/c:\n  - n: x\n    tags: p, q\n\n  - n: 123456789012345678901\ne: {}\ns: l1\nl2\n");
        let at = |quote: &str| {
            let byte = written.text.find(quote).unwrap();
            written.marks.iter().rfind(|m| m.start <= byte).unwrap().place.to_string()
        };
        assert_eq!([at("1.10"), at("tags"), at("12345"), at("l2")], ["/b", "/a~1c/0/tags", "/a~1c/1/n", "/s"]);
    }

    #[test]
    fn lists_in_lists_and_top_level_values() {
        assert_eq!(&*read("[[1,2],[3,[4]]]").text, "- 1, 2\n\n- - 3\n\n  - 4\n");
        assert_eq!(&*read("\"just words\"").text, "just words\n");
        assert_eq!(&*read("[]").text, "[]\n");
    }

    #[test]
    fn what_is_no_json_is_text() {
        let written = read("{\"a\": 1, // why\n}");
        assert!(written.lines && written.text.starts_with("{\"a\": 1"));
        assert!(matches!(&written.remarks[..], [Remark::AsPlainText { .. }]));
    }

    #[test]
    fn deep_json_keeps_its_own_form_inside() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(&deep).text.len() < 300_000);
    }

    #[test]
    fn records_on_lines_are_marked_by_line() {
        let written = convert("{\"q\": 1}\n\n{\"q\": 2}\n".as_bytes().into(), Format::JsonLines).unwrap();
        assert_eq!(&*written.text, "q: 1\n\nq: 2\n");
        let places: Vec<_> = written.marks.iter().map(|m| (m.start, m.place.to_string())).collect();
        assert_eq!(places, [(0, "line 1".into()), (6, "line 3".into())]);
    }
}
