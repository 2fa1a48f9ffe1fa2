//! Where sentences begin and end.

/// The most bytes of one sentence; longer ones are cut at white space. Bounds the work on text that has no sentences.
pub(crate) const LONGEST: usize = 2_000;

/// The most bytes of a comment's sentence. Code that is taken for a comment is not joined further either.
const LONGEST_COMMENT: usize = 600;

/// How line ends are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    /// Every line end ends a sentence, and list markers at a line's beginning are left out: notes.
    Ends,
    /// A line end inside a paragraph of wrapped lines does not: documents.
    Wrapped,
    /// Every line of code is a sentence; comments are read as the prose they are, over their lines: source code.
    Code,
}

/// The byte ranges of the sentences of `text`: ascending, apart, without the white space around them, never empty.
///
/// A sentence ends with `.`, `!`, `?` or `…` (and closing quotes or brackets) before white space, or with `。`, `！`, `？`. A full stop
/// does not end it after a title ("Mr.", "Dr."), an initial ("H. G. Wells"), "e.g.", a number that counts ("No. 5"), or before a small
/// letter; after "U.S.", "Inc.", "etc." it does where a word follows that begins sentences ("The", "In"…). Lines of a table are whole.
/// In code, lines without a letter or digit are none.
pub(crate) fn sentences(text: &str, lines: Lines) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    if lines == Lines::Code {
        code(text, &mut out);
        return out;
    }
    let (mut start, mut at, mut line) = (0, 0, 0);
    let mut table = begins_table_line(text);
    let mut cut = |start: &mut usize, end: usize| {
        add(text, *start, end, &mut out);
        *start = end;
    };
    if lines == Lines::Ends {
        at = marker(text);
        start = at;
    }
    while let Some(c) = text[at..].chars().next() {
        at += c.len_utf8();
        match c {
            '\n' => {
                let next = &text[at..];
                let next_table = begins_table_line(next);
                if lines == Lines::Ends || table || next_table || !wrapped(&text[line..at], next) {
                    cut(&mut start, at);
                    if lines == Lines::Ends {
                        at += marker(next);
                        start = at;
                    }
                }
                (line, table) = (at, next_table);
            }
            '.' | '!' | '?' | '…' | '。' | '！' | '？' if !table => {
                let stop = at - c.len_utf8();
                let mut wide = matches!(c, '。' | '！' | '？');
                let mut single = c == '.';
                while let Some(c) = text[at..].chars().next() {
                    match c {
                        '.' | '!' | '?' | '…' => single = false,
                        '。' | '！' | '？' => wide = true,
                        '"' | '\'' | ')' | ']' | '}' | '»' | '”' | '’' | '」' | '』' | '）' | '】' | '》' | '*' => {}
                        _ => break,
                    }
                    at += c.len_utf8();
                }
                let after = &text[at..];
                let space = after.chars().next().is_none_or(char::is_whitespace);
                if wide || (space && !goes_on(&text[start..stop], after, single)) {
                    cut(&mut start, at);
                }
            }
            _ => {}
        }
    }
    cut(&mut start, text.len());
    out
}

/// Source code line by line.
fn code(text: &str, out: &mut Vec<(usize, usize)>) {
    // What closes the comment that is open.
    let mut closes: Option<&str> = None;
    // Where the last comment's last sentence begins that goes on in the next line.
    let mut open: Option<usize> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let words = line.trim();
        let inside = closes.is_some();
        closes = match closes {
            Some(close) => Some(close).filter(|close| !words.contains(close)),
            None => opened(words),
        };
        let mark = comment_mark(words);
        if mark == 0 && !inside {
            open = None;
            if words.contains(char::is_alphanumeric) {
                add(text, start, at, out);
            }
            continue;
        }
        // The comment's own words: sentences, of which the first may go on from the line before and the last into the next.
        let from = start + (line.len() - line.trim_start().len()) + mark;
        let own = &text[from.min(at)..at];
        let mut parts = sentences(own, Lines::Ends);
        parts.retain(|&(a, b)| own[a..b].contains(char::is_alphanumeric));
        let goes_on = open.take().filter(|_| !parts.is_empty() && marker(own) == own.len() - own.trim_start_matches([' ', '\t']).len());
        let ends = |words: &str| words.trim_end_matches(['"', '\'', ')', '*', '`']).ends_with(['.', '!', '?', ':', '。', '！', '？']);
        let last = parts.len();
        for (number, (a, b)) in parts.into_iter().enumerate() {
            let mut begin = from + a;
            if number == 0
                && let Some(earlier) = goes_on.filter(|earlier| from + b - earlier <= LONGEST_COMMENT)
            {
                out.pop();
                begin = earlier;
            }
            out.push((begin, from + b));
            open = (number + 1 == last && !ends(&own[a..b])).then_some(begin);
        }
    }
}

/// What closes the comment (or the long string, which is read alike) that a line opens and does not close.
fn opened(words: &str) -> Option<&'static str> {
    let begun = [("/*", "*/"), ("<!--", "-->")].into_iter().find(|(open, close)| words.starts_with(open) && !words.contains(close));
    let quoted = || ["\"\"\"", "'''"].into_iter().find(|quotes| words.matches(quotes).count() % 2 == 1);
    begun.map(|(_, close)| close).or_else(quoted)
}

/// The bytes of the mark that a line of a comment begins with; 0 for code.
fn comment_mark(words: &str) -> usize {
    for mark in ["///", "//!", "//", "/**", "/*", "\"\"\"", "'''", "<!--"] {
        if words.starts_with(mark) {
            return mark.len();
        }
    }
    // Marks that are operators too stand apart from what follows.
    let signs = words.len() - words.trim_start_matches(['#', '*', '-', ';', '%']).len();
    let alone = words.len() == signs || words[signs..].starts_with([' ', '\t']) || words.starts_with("*/");
    let known = words.starts_with(['#', '*', ';', '%']) || words.starts_with("--");
    if known && alone { signs } else { 0 }
}

/// Adds `start..end` trimmed, in pieces of at most [`LONGEST`] bytes.
fn add(text: &str, mut start: usize, end: usize, out: &mut Vec<(usize, usize)>) {
    loop {
        start += text[start..end].len() - text[start..end].trim_start().len();
        let whole = text[start..end].trim_end();
        if whole.len() <= LONGEST {
            if !whole.is_empty() {
                out.push((start, start + whole.len()));
            }
            return;
        }
        let most = (0..=LONGEST).rev().find(|&n| whole.is_char_boundary(n)).unwrap_or(whole.len());
        let piece = whole[..most].rfind(char::is_whitespace).filter(|&n| n > LONGEST / 2).unwrap_or(most);
        let trimmed = whole[..piece].trim_end().len();
        if trimmed > 0 {
            out.push((start, start + trimmed));
        }
        start += piece;
    }
}

/// Whether the text begins with a line of a table: cells between bars or tabs.
fn begins_table_line(text: &str) -> bool {
    // A table's first bar or tab comes early; no need to look through a book that is one line.
    let (mut bars, mut seen) = (0, 0);
    for c in text.chars() {
        match c {
            '\n' => break,
            '|' => bars += 1,
            '\t' if seen > 0 => bars += 2,
            _ => {}
        }
        seen += 1;
        if bars >= 2 || seen > 1_000 {
            break;
        }
    }
    bars >= 2
}

/// Whether a paragraph goes on over the end of `line` (its newline included).
fn wrapped(line: &str, next: &str) -> bool {
    let Some(first) = next.chars().next().filter(|c| !c.is_whitespace()) else {
        // An indented line can go on, an empty one cannot.
        let trimmed = next.trim_start_matches([' ', '\t']);
        return !trimmed.starts_with(['\n', '\r']) && trimmed.starts_with(char::is_lowercase) && !line.trim().is_empty();
    };
    if marker(next) > 0 || line.trim().is_empty() {
        return false;
    }
    first.is_lowercase() || line.trim_end().len() >= 40
}

/// The bytes of the list marker and white space a line begins with: `- `, `* `, `• `, `3. `, `(3) `, `## `, `> `.
pub(crate) fn marker(line: &str) -> usize {
    let blank = |text: &str| text.len() - text.trim_start_matches([' ', '\t', '\u{3000}']).len();
    let indent = blank(line);
    let rest = &line[indent..];
    let open = usize::from(rest.starts_with('('));
    let digits = rest[open..].bytes().take_while(u8::is_ascii_digit).count();
    let signs = rest.len() - rest.trim_start_matches(['-', '*', '•', '·', '–', '—', '+', '#', '>', '‣', '▪', '●']).len();
    let marker = if digits > 0 && digits <= 3 {
        let rest = &rest[open + digits..];
        match rest.chars().next() {
            Some(')') => open + digits + 1,
            Some('.') if open == 0 => digits + 1,
            Some('、') if open == 0 => digits + '、'.len_utf8(),
            _ => return indent,
        }
    } else {
        signs
    };
    let after = &rest[marker..];
    let space = blank(after);
    if marker > 0 && (space > 0 || rest[..marker].ends_with('、')) { indent + marker + space } else { indent }
}

/// Titles and short forms that a name, a number or an example follows.
const TITLES: [&str; 42] = [
    "mr", "mrs", "ms", "messrs", "dr", "prof", "st", "gen", "col", "lt", "sgt", "capt", "cmdr", "adm", "rep", "sen", "gov", "hon", "rev",
    "pres", "supt", "mt", "ft", "vs", "cf", "ca", "approx", "e.g", "i.e", "viz", "al", "esp", "resp", "incl", "m", "mme", "mlle", "fr",
    "sr", "bros", "attn", "ref",
];
/// Those that only a number follows; else they are words, or end a sentence.
const COUNTS: [&str; 28] = [
    "no", "nos", "fig", "figs", "vol", "vols", "p", "pp", "ch", "sec", "art", "eq", "par", "jan", "feb", "mar", "apr", "jun", "jul", "aug",
    "sep", "sept", "oct", "nov", "dec", "tab", "app", "c",
];
/// Those that end a sentence or stand in its middle.
const EITHER: [&str; 9] = ["inc", "ltd", "co", "corp", "jr", "etc", "dept", "est", "bldg"];
/// Words that begin sentences, and follow no abbreviation as a name.
const STARTERS: [&str; 48] = [
    "The", "A", "An", "This", "That", "These", "Those", "There", "He", "She", "It", "They", "We", "You", "His", "Her", "Its", "Their",
    "Our", "My", "In", "On", "At", "As", "By", "For", "From", "To", "With", "When", "While", "If", "After", "Before", "But", "And", "Or",
    "Nor", "So", "Yet", "Not", "No", "However", "Since", "Under", "What", "How", "Who",
];

/// Whether the sentence `before` (up to the stop) goes on after the stop. `single`: the stop is one full stop.
fn goes_on(before: &str, after: &str, single: bool) -> bool {
    let rest = after.trim_start().trim_start_matches(['"', '“', '‘', '\'', '(', '[', '«']);
    // A blank line ends whatever came before it.
    let space = &after[..after.len() - after.trim_start().len()];
    if rest.is_empty() || space.matches('\n').count() > 1 {
        return false;
    }
    if rest.starts_with(char::is_lowercase) {
        return true;
    }
    if !single {
        return false;
    }
    let word = before.rsplit(|c: char| !(c.is_alphanumeric() || c == '.')).next().unwrap_or("");
    let lower = word.to_lowercase();
    let next = &rest[..rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len())];
    let number = rest.starts_with(|c: char| c.is_ascii_digit());
    let mut chars = word.chars();
    let initial = chars.next().is_some_and(char::is_uppercase) && chars.next().is_none();
    if TITLES.contains(&lower.as_str()) {
        return true;
    }
    if number && COUNTS.contains(&lower.as_str()) {
        return true;
    }
    (initial || word.contains('.') && word.contains(char::is_alphabetic) || EITHER.contains(&lower.as_str())) && !STARTERS.contains(&next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str, lines: Lines) -> Vec<&str> {
        sentences(text, lines).into_iter().map(|(start, end)| &text[start..end]).collect()
    }

    #[test]
    fn notes_are_lines_and_sentences() {
        let text =
            "1. Mr. Rayburn is gone. The U.S. Senate met in Washington, D.C. The vote was 3.5 to 1!\n- (2) items, e.g. Cuba\n* \n\nDone";
        let want =
            ["Mr. Rayburn is gone.", "The U.S. Senate met in Washington, D.C.", "The vote was 3.5 to 1!", "(2) items, e.g. Cuba", "Done"];
        assert_eq!(split(text, Lines::Ends), want);
        assert_eq!(split("他说：“走吧。”她笑了！后来呢？没有", Lines::Ends), ["他说：“走吧。”", "她笑了！", "后来呢？", "没有"]);
        assert_eq!(split("1、第一。\n2、第二", Lines::Ends), ["第一。", "第二"]);
        assert_eq!(
            split("See No. 5 of Vol. 2. He said no. Then left.", Lines::Ends),
            ["See No. 5 of Vol. 2.", "He said no.", "Then left."]
        );
        assert_eq!(split("H. G. Wells wrote it in Jan. 1920. Fine", Lines::Ends), ["H. G. Wells wrote it in Jan. 1920.", "Fine"]);
        assert_eq!(split("| a. B | 2. C |\n| c | d |", Lines::Ends), ["| a. B | 2. C |", "| c | d |"]);
    }

    #[test]
    fn wrapped_lines_are_one_paragraph() {
        let text =
            "HEADING\n\nA sentence that is wrapped after some forty bytes of\nText goes on here. Next\nline is a list:\n- one\n- two\n";
        let want = [
            "HEADING",
            "A sentence that is wrapped after some forty bytes of\nText goes on here.",
            "Next\nline is a list:",
            "- one",
            "- two",
        ];
        assert_eq!(split(text, Lines::Wrapped), want);
    }

    #[test]
    fn text_without_sentences_is_cut() {
        let long = "word ".repeat(1_000);
        let parts = split(&long, Lines::Wrapped);
        assert!(parts.len() > 2 && parts.iter().all(|part| part.len() <= LONGEST && part.ends_with("word")));
        assert!(split(&"字".repeat(3_000), Lines::Wrapped).len() > 3);
    }

    #[test]
    fn code_is_lines_and_comments_are_prose() {
        let text = "//! Cuts text\n//! where a reader would. Fast.\n\n/// - one\n/// - two\n#[inline]\nfn cut(&self) {\n    a.b = c? + 1; // no. 5\n}\n";
        let want =
            ["Cuts text\n//! where a reader would.", "Fast.", "one", "two", "#[inline]", "fn cut(&self) {", "a.b = c? + 1; // no. 5"];
        assert_eq!(split(text, Lines::Code), want);
        let python = "def f(x):\n    \"\"\"Says what\n    it does.\n\n    More.\n    \"\"\"\n    # Now\n    # then.\n    y = '''a\n    b.\n    '''\n    return y\n";
        let want = ["def f(x):", "Says what\n    it does.", "More.", "Now\n    # then.", "y = '''a", "b.", "return y"];
        assert_eq!(split(python, Lines::Code), want);
        assert_eq!(split("/* One\n * two.\n */\nint x = *y;\n* z;", Lines::Code), ["One\n * two.", "int x = *y;", "z;"]);
    }

    proptest! {
        #[test]
        fn code_lines_ascend_apart(text in "(?:\\PC|[ \n.!#*-]|///? |/\\*|\\*/|\"\"\"|<!--|word ){0,120}") {
            let mut from = 0;
            for (start, end) in sentences(&text, Lines::Code) {
                prop_assert!(from <= start && start < end && end - start <= LONGEST);
                prop_assert_eq!(text[start..end].trim(), &text[start..end]);
                from = end;
            }
        }

        #[test]
        fn ranges_ascend_and_hold_all_but_white_space_and_markers(text in "(\\PC|[ \n.!?。\"-]){0,200}", ends: bool) {
            let lines = if ends { Lines::Ends } else { Lines::Wrapped };
            let mut from = 0;
            for (start, end) in sentences(&text, lines) {
                prop_assert!(from <= start && start < end);
                prop_assert_eq!(text[start..end].trim(), &text[start..end]);
                if lines == Lines::Wrapped {
                    prop_assert!(text[from..start].trim().is_empty());
                }
                from = end;
            }
            if lines == Lines::Wrapped {
                prop_assert!(text[from..].trim().is_empty());
            }
        }
    }
}
