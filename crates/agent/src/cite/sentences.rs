//! Where sentences begin and end.

/// The most bytes of one sentence; longer ones are cut at white space. Bounds the work on text that has no sentences.
pub(crate) const LONGEST: usize = 2_000;

/// How line ends are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    /// Every line end ends a sentence, and list markers at a line's beginning are left out: notes.
    Ends,
    /// A line end inside a paragraph of wrapped lines does not: documents.
    Wrapped,
}

/// The byte ranges of the sentences of `text`: ascending, apart, without the white space around them, never empty.
///
/// A sentence ends with `.`, `!`, `?` or `…` (and closing quotes or brackets) before white space, or with `。`, `！`, `？`. A full stop
/// does not end it after a title ("Mr.", "Dr."), an initial ("H. G. Wells"), "e.g.", a number that counts ("No. 5"), or before a small
/// letter; after "U.S.", "Inc.", "etc." it does where a word follows that begins sentences ("The", "In"…). Lines of a table are whole.
pub(crate) fn sentences(text: &str, lines: Lines) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
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

    proptest! {
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
