//! `key: value` lines of Markdown and plain text.

use std::collections::HashMap;
use std::ops::Range;

use data::{Document, Place};

use super::{Said, one_line};

const MAX_KEY: usize = 40;
const MAX_KEY_WORDS: usize = 5;

pub fn read(document: &Document, title: &str) -> Vec<Said> {
    let text: &str = &document.text;
    let headings: Vec<(usize, &[String])> = document
        .marks
        .iter()
        .filter_map(|mark| match &mark.place {
            Place::Heading { path } => Some((mark.start, path.as_slice())),
            _ => None,
        })
        .collect();
    let (mut out, mut run): (Vec<Said>, Vec<(String, Range<usize>)>) = (Vec::new(), Vec::new());
    let mut start = 0;
    // One line more than there are, to end the last run.
    for line in text.split('\n').chain([""]) {
        match pair(line) {
            Some((key, at)) => run.push((key, start + at.start..start + at.end)),
            None => {
                if run.len() > 1 {
                    for (key, at) in run.drain(..) {
                        let under = headings[..headings.partition_point(|(heading, _)| *heading <= at.start)]
                            .last()
                            .map_or(&[][..], |(_, path)| path);
                        // The heading over the whole is the title again.
                        let under = if under.first().is_some_and(|first| one_line(first).eq_ignore_ascii_case(title)) {
                            &under[1..]
                        } else {
                            under
                        };
                        out.push(Said { subject: title.to_string(), path: under.iter().cloned().chain([key]).collect(), at });
                    }
                }
                run.clear();
            }
        }
        start += line.len() + 1;
    }
    // Speakers, entries of a log, the same key in two lists: what stands twice is said of something that is not known.
    let mut times: HashMap<Vec<String>, usize> = HashMap::new();
    out.iter().for_each(|said| *times.entry(said.path.clone()).or_default() += 1);
    out.retain(|said| times[&said.path] == 1);
    out
}

/// The key and the value's bytes in the line: `Key: value`, `- **Key:** value`.
fn pair(line: &str) -> Option<(String, Range<usize>)> {
    let start = line.trim_start();
    let start = ["- ", "* ", "+ "].iter().find_map(|bullet| start.strip_prefix(bullet)).unwrap_or(start);
    let (key, rest) = start.split_once(':')?;
    let bold = key.trim_start().starts_with("**");
    let key = key.trim_matches(['*', ' ']);
    let rest = rest.strip_prefix("**").filter(|_| bold).unwrap_or(rest);
    let value = rest.strip_prefix(' ')?.trim();
    let plain = key.starts_with(char::is_alphabetic) && !key.contains(['.', '!', '?', '"', '`', '(', '<', '=', '{', '|']);
    let fine = plain && key.len() <= MAX_KEY && key.split_whitespace().count() <= MAX_KEY_WORDS && !value.is_empty();
    let end = line.trim_end().len();
    fine.then(|| (key.to_string(), end - value.len()..end))
}
