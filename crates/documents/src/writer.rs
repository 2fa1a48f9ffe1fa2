use data::{Mark, Place, Text};

use crate::limits::MAX_TEXT;
use crate::{DocumentError, Format, Remark, Result};

/// What a format's module hands back.
pub struct Written {
    pub text: Text,
    pub marks: Vec<Mark>,
    pub lines: bool,
    pub title: Option<String>,
    pub remarks: Vec<Remark>,
}

impl Written {
    /// Text whose lines are the file's.
    pub fn plain(text: Text, remarks: Vec<Remark>) -> Self {
        Self { text, marks: Vec::new(), lines: true, title: None, remarks }
    }
}

/// A text in the making, with its marks.
#[allow(dead_code, reason = "each format uses what it needs")]
pub struct Writer {
    format: Format,
    text: String,
    marks: Vec<Mark>,
    headings: Vec<(u8, String)>,
    pub title: Option<String>,
    pub remarks: Vec<Remark>,
}

#[allow(dead_code, reason = "each format uses what it needs")]
impl Writer {
    pub fn new(format: Format) -> Self {
        Self { format, text: String::new(), marks: Vec::new(), headings: Vec::new(), title: None, remarks: Vec::new() }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Whether the text written so far is within [`MAX_TEXT`].
    pub fn check(&self) -> Result<()> {
        if self.text.len() > MAX_TEXT {
            return Err(DocumentError::TooLarge { format: self.format, what: "bytes of text", limit: MAX_TEXT as u64 });
        }
        Ok(())
    }

    /// From here on the text stands at `place`.
    pub fn mark(&mut self, place: Place) {
        self.marks.push(Mark { start: self.text.len(), place });
    }

    /// Ends the paragraph: what follows stands after a blank line.
    pub fn blank_line(&mut self) {
        self.trim_end();
        if !self.text.is_empty() {
            self.text.push_str("\n\n");
        }
    }

    /// Ends the line, if it has begun.
    pub fn new_line(&mut self) {
        self.trim_line();
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    /// Takes back spaces at the end of the line.
    pub fn trim_line(&mut self) {
        self.cut(self.text.trim_end_matches([' ', '\t']).len());
    }

    fn trim_end(&mut self) {
        self.cut(self.text.trim_end().len());
    }

    /// Takes back what lies behind `end`; marks there move to it.
    fn cut(&mut self, end: usize) {
        self.text.truncate(end);
        for mark in self.marks.iter_mut().rev().take_while(|mark| mark.start > end) {
            mark.start = end;
        }
    }

    /// A heading on a line of its own, and the mark for what follows. `level` is 1 for the outermost.
    pub fn heading(&mut self, level: u8, words: &str) {
        self.blank_line();
        self.open_heading(level, words);
        for _ in 0..level.clamp(1, 6) {
            self.text.push('#');
        }
        self.text.push(' ');
        self.text.push_str(words);
        self.blank_line();
    }

    /// The mark of a heading, without writing it.
    pub fn open_heading(&mut self, level: u8, words: &str) {
        let path = step_into(&mut self.headings, level, words);
        self.mark(Place::Heading { path });
    }

    /// Forgets the headings at `level` and deeper: what follows stands under none of them.
    pub fn close_headings(&mut self, level: u8) {
        while self.headings.last().is_some_and(|(open, _)| *open >= level) {
            self.headings.pop();
        }
    }

    pub fn finish(mut self, lines: bool) -> Result<Written> {
        self.check()?;
        if !lines {
            self.trim_end();
            if !self.text.is_empty() {
                self.text.push('\n');
            }
        }
        self.text.shrink_to_fit();
        Ok(Written { text: self.text.into(), marks: self.marks, lines, title: self.title, remarks: self.remarks })
    }
}

/// Opens a heading below those of smaller level, and says the path to it.
pub fn step_into(headings: &mut Vec<(u8, String)>, level: u8, words: &str) -> Vec<String> {
    while headings.last().is_some_and(|(open, _)| *open >= level) {
        headings.pop();
    }
    headings.push((level, words.to_string()));
    headings.iter().map(|(_, words)| words.clone()).collect()
}
