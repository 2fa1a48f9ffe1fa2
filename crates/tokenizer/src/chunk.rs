use crate::{Result, Tokenizer, TokenizerError};

/// A part of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its place among the document's chunks, from 0.
    pub index: usize,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// What it takes when encoded on its own.
    pub tokens: usize,
}

/// Bytes that [`exceeds`] counts at a time.
const PART: usize = 16 << 10;

/// Where text may be cut, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cut {
    Paragraph,
    Line,
    Sentence,
    Word,
    Char,
}

/// The smallest unit chunks are put together from.
struct Segment {
    end: usize,
    /// What may be said about cutting at `end`.
    cut: Cut,
    tokens: usize,
}

/// Cuts a document into chunks of at most `max_tokens` tokens each.
///
/// The chunks tile the text byte for byte: the first starts at 0, each starts where the one before ends, the last ends with the
/// text. A cut is at the end of a paragraph where one lies in the second half of what fits, else of a line, a sentence, a word, and
/// only else between two characters. Time is linear in the text: it is encoded about twice, once in segments to find the cuts, once
/// in chunks because tokens do not add up exactly.
pub fn chunks(tokenizer: &Tokenizer, text: &str, max_tokens: usize) -> Result<Vec<Chunk>> {
    chunks_at(tokenizer, text, &[], max_tokens)
}

/// As [`chunks`], with places where the text is best cut (of source code, between its functions): ascending byte offsets. A chunk ends
/// at the last of them that fits where that leaves it at least half full, else as in [`chunks`]. Offsets that are not between two
/// characters inside the text are passed over.
pub fn chunks_at(tokenizer: &Tokenizer, text: &str, cuts: &[usize], max_tokens: usize) -> Result<Vec<Chunk>> {
    if text.is_empty() {
        return Err(TokenizerError::EmptyDocument);
    }
    let mut segments = Vec::new();
    let best = Segmenter { tokenizer, text, max_tokens, segments: &mut segments }.lines(cuts)?;
    // sums[i]: the tokens before segment i.
    let mut sums = Vec::with_capacity(segments.len() + 1);
    sums.push(0usize);
    for segment in &segments {
        sums.push(sums[sums.len() - 1] + segment.tokens);
    }

    let mut chunks: Vec<Chunk> = Vec::new();
    let (mut first, mut start) = (0, 0);
    while first < segments.len() {
        let mut limit = max_tokens;
        let (next, tokens) = loop {
            let next = choose(&segments, &sums, &best, first, limit, max_tokens);
            let tokens = tokenizer.count(&text[start..segments[next - 1].end])?;
            // A lone segment was counted alone, so it fits.
            if tokens <= max_tokens || next == first + 1 {
                break (next, tokens);
            }
            // The segments joined take more than apart: rare, so be generous and keep the number of attempts small.
            let taken = sums[next] - sums[first];
            limit = (taken * max_tokens / tokens).min(taken.saturating_sub(1 + taken / 64));
        };
        let end = segments[next - 1].end;
        chunks.push(Chunk { index: chunks.len(), start, end, tokens });
        (first, start) = (next, end);
    }
    Ok(chunks)
}

/// Whether `text` takes more than `max_tokens` tokens for certain, without looking at more of it than it takes to know: of a gigabyte
/// that no window holds, the beginning. Text that takes but a few tokens more than `max_tokens` may be let pass.
pub fn exceeds(tokenizer: &Tokenizer, text: &str, max_tokens: usize) -> Result<bool> {
    // Joined, two parts take at most a few tokens less than apart.
    const JOIN: usize = 8;
    let (mut at, mut tokens) = (0, 0);
    while at < text.len() {
        let most = text.floor_char_boundary(at + PART);
        let end = text[at..most].rfind('\n').filter(|_| most < text.len()).map_or(most, |line| at + line + 1);
        tokens += tokenizer.count(&text[at..end])?.saturating_sub(JOIN);
        if tokens > max_tokens {
            return Ok(true);
        }
        at = end;
    }
    Ok(false)
}

/// One past the last segment of a chunk that starts with segment `first` and takes about `limit` tokens at most. `best`: the numbers of
/// segments that begin where the text is best cut, ascending.
fn choose(segments: &[Segment], sums: &[usize], best: &[usize], first: usize, limit: usize, max_tokens: usize) -> usize {
    let before = sums[first];
    let left = sums[sums.len() - 1] - before;
    if left <= limit {
        return segments.len();
    }
    // Two chunks will do for what is left: share it, so that the last is not tiny.
    let (low, high) = if left <= limit + limit / 2 { (left.saturating_sub(max_tokens), left * 5 / 8) } else { (0, limit) };
    let (high, low) = (high.min(limit), low.max(high / 2));
    // The last place that is at most this far and not too near.
    let place = |most: usize| {
        let next = *best[..best.partition_point(|&next| sums[next] <= before + most)].last()?;
        (next > first && sums[next] - before >= low).then_some(next)
    };
    if let Some(next) = place(high).or_else(|| place(limit)) {
        return next;
    }
    let last = sums.partition_point(|&sum| sum <= before + high).saturating_sub(1).max(first + 1);
    let mut best = last;
    for next in (first + 1..last).rev() {
        if sums[next] - before < low || segments[best - 1].cut == Cut::Paragraph {
            break;
        }
        if segments[next - 1].cut < segments[best - 1].cut {
            best = next;
        }
    }
    best
}

/// Splits text into segments small enough to pack well, and counts each once.
struct Segmenter<'a> {
    tokenizer: &'a Tokenizer,
    text: &'a str,
    max_tokens: usize,
    segments: &'a mut Vec<Segment>,
}

impl Segmenter<'_> {
    /// Adds the whole text. Lines are parted at `cuts` as well; says the numbers of the segments that begin there.
    fn lines(&mut self, cuts: &[usize]) -> Result<Vec<usize>> {
        let inside = |cut: &usize| 0 < *cut && *cut < self.text.len() && self.text.is_char_boundary(*cut);
        let mut cuts = cuts.iter().copied().filter(inside).collect::<Vec<_>>().into_iter().peekable();
        let mut best = Vec::new();
        let mut start = 0;
        for end in line_ends(self.text) {
            while let Some(cut) = cuts.next_if(|&cut| cut < end) {
                if cut > start {
                    self.add(start, cut, Cut::Char, Cut::Line)?;
                    best.push(self.segments.len());
                    start = cut;
                }
            }
            let rest = &self.text[end..];
            // A blank line after this one: a paragraph ends, but its blank lines still belong to it.
            let cut = if is_blank(&self.text[start..end]) && !rest.starts_with(['\n', '\r']) { Cut::Paragraph } else { Cut::Line };
            self.add(start, end, cut, Cut::Line)?;
            while cuts.next_if(|&cut| cut <= end).is_some() {
                best.push(self.segments.len());
            }
            start = end;
        }
        best.dedup();
        Ok(best)
    }

    /// Adds `start..end`, whole if it is small, else in the next smaller units than `unit`.
    fn add(&mut self, start: usize, end: usize, cut: Cut, unit: Cut) -> Result<()> {
        let len = end - start;
        // A token is about four bytes: lines and sentences are whole up to a quarter of a chunk. Words are whole if they fit at all.
        let whole = match unit {
            Cut::Paragraph | Cut::Line | Cut::Sentence => len <= self.max_tokens,
            Cut::Word => len <= self.max_tokens.saturating_mul(32),
            Cut::Char => true,
        };
        if whole {
            let tokens = self.tokenizer.count(&self.text[start..end])?;
            if tokens <= self.max_tokens {
                self.segments.push(Segment { end, cut, tokens });
                return Ok(());
            }
            if self.text[start..end].chars().nth(1).is_none() {
                return Err(TokenizerError::ChunkTooSmall { max_tokens: self.max_tokens, at: start, needed: tokens });
            }
        }
        let text = &self.text[start..end];
        let (ends, unit, inner) = match unit {
            Cut::Paragraph | Cut::Line => (sentence_ends(text), Cut::Sentence, Cut::Sentence),
            Cut::Sentence => (word_ends(text), Cut::Word, Cut::Word),
            Cut::Word => (char_ends(text, self.max_tokens / 4), Cut::Char, Cut::Char),
            Cut::Char => (char_ends(text, 0), Cut::Char, Cut::Char),
        };
        let mut from = start;
        for at in ends {
            let to = start + at;
            self.add(from, to, if to == end { cut } else { inner }, unit)?;
            from = to;
        }
        Ok(())
    }
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty()
}

/// The end of each line, its newline included.
fn line_ends(text: &str) -> Vec<usize> {
    let mut ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
    if ends.last() != Some(&text.len()) {
        ends.push(text.len());
    }
    ends
}

/// The end of each sentence: `.`, `!` or `?` with closing quotes and brackets before white space, or their CJK forms. The white space
/// begins the next sentence, because tokens carry their space in front.
fn sentence_ends(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    // 0: no full stop yet; 1: a Latin one, which needs white space after it; 2: a CJK one, which does not.
    let mut stop = 0;
    for (at, c) in text.char_indices() {
        match c {
            '.' | '!' | '?' | '…' => stop = stop.max(1),
            '。' | '！' | '？' | '．' => stop = 2,
            '"' | '\'' | ')' | ']' | '}' | '»' | '”' | '’' | '」' | '』' | '）' | '】' | '》' if stop > 0 => {}
            c => {
                if stop == 2 || (stop == 1 && c.is_whitespace()) {
                    ends.push(at);
                }
                stop = 0;
            }
        }
    }
    ends.push(text.len());
    ends
}

/// The end of each word; white space begins the next one.
fn word_ends(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut in_space = true;
    for (at, c) in text.char_indices() {
        if c.is_whitespace() && !in_space {
            ends.push(at);
        }
        in_space = c.is_whitespace();
    }
    ends.push(text.len());
    ends
}

/// Character borders about `step` bytes apart, at least one character.
fn char_ends(text: &str, step: usize) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut from = 0;
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        if end - from >= step.max(1) {
            ends.push(end);
            from = end;
        }
    }
    if from < text.len() {
        ends.push(text.len());
    }
    ends
}
