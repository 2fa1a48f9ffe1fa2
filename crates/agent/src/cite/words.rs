//! Words as they are compared: without case, accents, ligatures, soft hyphens or punctuation; numbers keep their digits.

/// What a word is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Letters.
    Letters,
    /// Digits alone, perhaps with a decimal point: `155000` of "155,000", `87` of "87th".
    Number,
    /// Digits among other characters: `b7`, `1960s`, `1.2.3`.
    Mixed,
    /// One character of a script that is written without spaces (Chinese, Japanese, Thai…).
    Unspaced,
}

/// One word of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// First byte in the text.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
    /// What it is made of.
    pub kind: Kind,
    /// Written with a capital first letter.
    pub capital: bool,
    /// Right behind an underscore, as the second word of `code_cuts`.
    pub tied: bool,
}

/// Calls `each` with the normal form of every word of `text`, in order.
///
/// - case, accents, ligatures and full-width forms are folded; soft hyphens, zero-width and combining characters are not there;
/// - an apostrophe inside a word is dropped ("don't" is `dont`), as are the points of "U.S." and the separators of "155,000";
/// - a hyphen parts words, but one at a line's end that a small letter follows is a word's that was broken: "disarma-\nment".
pub(crate) fn words(text: &str, mut each: impl FnMut(&str, Word)) {
    let mut buffer = String::new();
    // The word in the buffer; `dotted` where it is letters with points between them, as in "U.S".
    let (mut word, mut dotted): (Option<Word>, bool) = (None, false);
    let mut at = 0;
    while let Some(raw) = text[at..].chars().next() {
        let (start, c) = (at, half_width(raw));
        at += raw.len_utf8();
        if ignorable(c) {
            continue;
        }
        if c.is_alphanumeric() && !unspaced(c) {
            let fresh = Word { start, end: at, kind: Kind::Letters, capital: c.is_uppercase(), tied: text[..start].ends_with('_') };
            word.get_or_insert(fresh).end = at;
            fold(c, &mut buffer);
            continue;
        }
        if word.is_some() {
            let rest = &text[at..];
            let next = rest.chars().next().map(half_width);
            let digits = buffer.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            let joined = match c {
                '\'' | '’' | 'ʼ' | '‘' if digits => three_digits(rest),
                '\'' | '’' | 'ʼ' | '‘' => next.is_some_and(|n| n.is_alphanumeric() && !unspaced(n)),
                ',' => digits && three_digits(rest),
                '\u{a0}' | '\u{2009}' | '\u{202f}' => digits && buffer.len() <= 3 && three_digits(rest),
                '.' if digits => next.is_some_and(|n| n.is_ascii_digit()),
                '.' => {
                    let acronym = (dotted || buffer.chars().nth(1).is_none()) && lone_letter(rest);
                    dotted |= acronym;
                    acronym
                }
                '-' | '‐' if !digits => match broken_line(rest) {
                    Some(skip) => {
                        at += skip;
                        true
                    }
                    None => false,
                },
                _ => false,
            };
            if joined {
                if c == '.' && digits {
                    buffer.push('.');
                }
                continue;
            }
        }
        flush(&mut buffer, &mut word, &mut each);
        dotted = false;
        if unspaced(c) {
            buffer.push(c);
            each(&buffer, Word { start, end: at, kind: Kind::Unspaced, capital: false, tied: false });
            buffer.clear();
        }
    }
    flush(&mut buffer, &mut word, &mut each);
}

fn flush(buffer: &mut String, word: &mut Option<Word>, each: &mut impl FnMut(&str, Word)) {
    if let Some(mut word) = word.take()
        && !buffer.is_empty()
    {
        if buffer.contains(|c: char| c.is_ascii_digit()) {
            // "87th" counts, "1960s" names.
            let digits = ["st", "nd", "rd", "th"].iter().find_map(|ending| buffer.strip_suffix(ending)).unwrap_or(buffer);
            let number = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') && digits.matches('.').count() <= 1;
            word.kind = if number { Kind::Number } else { Kind::Mixed };
            let kept = if number { digits.len() } else { buffer.len() };
            buffer.truncate(kept);
        }
        each(buffer, word);
    }
    buffer.clear();
}

/// Three digits and no fourth: what follows a separator of thousands.
fn three_digits(rest: &str) -> bool {
    let mut chars = rest.chars().map(half_width);
    (0..3).all(|_| chars.next().is_some_and(|c| c.is_ascii_digit())) && !chars.next().is_some_and(char::is_alphanumeric)
}

/// One letter and then none: the next one of "U.S.".
fn lone_letter(rest: &str) -> bool {
    let mut chars = rest.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() && !unspaced(c)) && !chars.next().is_some_and(char::is_alphanumeric)
}

/// The bytes of white space after a hyphen at a line's end, where a small letter goes on.
fn broken_line(rest: &str) -> Option<usize> {
    let skip = rest.len() - rest.trim_start().len();
    let space = &rest[..skip];
    let one_line = space.matches('\n').count() == 1;
    (one_line && rest[skip..].chars().next().is_some_and(char::is_lowercase)).then_some(skip)
}

/// Full-width forms as ASCII.
fn half_width(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        c => c,
    }
}

/// Characters that a reader does not see.
fn ignorable(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{300}'..='\u{36f}' | '\u{fe00}'..='\u{fe0f}')
}

/// Scripts written without spaces between words.
pub(crate) fn unspaced(c: char) -> bool {
    matches!(c,
        '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' // Han
        | '々' | '〇' | '\u{3041}'..='\u{309f}' | '\u{30a1}'..='\u{30fa}' | '\u{30fc}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' // kana
        | '\u{e01}'..='\u{e4e}' | '\u{e80}'..='\u{ecd}' | '\u{1000}'..='\u{103f}' | '\u{1780}'..='\u{17d3}') // Thai, Lao, Myanmar, Khmer
}

/// Lower case without accents and ligatures.
fn fold(c: char, out: &mut String) {
    if c.is_ascii() {
        return out.push(c.to_ascii_lowercase());
    }
    for c in c.to_lowercase() {
        let plain = match c {
            'à'..='å' | 'ā' | 'ă' | 'ą' => "a",
            'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
            'ď' | 'đ' => "d",
            'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
            'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
            'ĥ' | 'ħ' => "h",
            'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => "i",
            'ĵ' => "j",
            'ķ' => "k",
            'ĺ' | 'ļ' | 'ľ' | 'ŀ' | 'ł' => "l",
            'ñ' | 'ń' | 'ņ' | 'ň' => "n",
            'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => "o",
            'ŕ' | 'ŗ' | 'ř' => "r",
            'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
            'ţ' | 'ť' | 'ŧ' | 'ț' => "t",
            'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => "u",
            'ŵ' => "w",
            'ý' | 'ÿ' | 'ŷ' => "y",
            'ź' | 'ż' | 'ž' => "z",
            'æ' => "ae",
            'œ' => "oe",
            'ß' => "ss",
            'ﬀ' => "ff",
            'ﬁ' => "fi",
            'ﬂ' => "fl",
            'ﬃ' => "ffi",
            'ﬄ' => "ffl",
            'ﬅ' | 'ﬆ' => "st",
            c if ignorable(c) => "", // "İ" is an i and a combining dot
            c => {
                out.push(c);
                continue;
            }
        };
        out.push_str(plain);
    }
}

/// 64 bits of FNV-1a: what words are told apart by.
pub(crate) fn hash(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Mixes two hashes, in this order.
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    let mixed = (a.rotate_left(23) ^ b).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

/// A word and what it is compared by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    /// Where it stands.
    pub word: Word,
    /// The hash of its normal form.
    pub exact: u64,
    /// The hash of its stem; of its form where it is not of letters.
    pub stem: u64,
}

/// Appends the tokens of `text`.
pub(crate) fn tokens(text: &str, out: &mut Vec<Token>) {
    words(text, |form, word| {
        let exact = hash(form);
        let stem = if word.kind == Kind::Letters { hash_stem(form) } else { exact };
        out.push(Token { word, exact, stem });
    });
}

/// What search goes by: `each` gets the hash (of `key`) of every word and the number of its token; in scripts without spaces that of
/// each two neighbours, or of a character that has none.
pub(crate) fn terms(tokens: &[Token], key: impl Fn(&Token) -> u64, mut each: impl FnMut(u64, usize)) {
    let mut paired = false;
    for (at, token) in tokens.iter().enumerate() {
        if token.word.kind != Kind::Unspaced {
            each(key(token), at);
            paired = false;
            continue;
        }
        match tokens.get(at + 1).filter(|next| next.word.kind == Kind::Unspaced && next.word.start == token.word.end) {
            Some(next) => {
                each(mix(token.exact, next.exact), at);
                paired = true;
            }
            None => {
                if !paired {
                    each(token.exact, at);
                }
                paired = false;
            }
        }
    }
}

/// The hash of a word's stem: "activated", "activates" and "activating" are one term, and so are "nation" and "nation's". Crude on
/// purpose: it only has to treat notes and documents alike.
pub(crate) fn hash_stem(word: &str) -> u64 {
    let (head, tail) = stem(word);
    tail.bytes().fold(hash(head), |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A beginning of the word, and what is put after it.
fn stem(word: &str) -> (&str, &'static str) {
    if word.len() < 4 || !word.bytes().all(|b| b.is_ascii_lowercase()) {
        return (word, "");
    }
    let mut head = word;
    if let Some(cut) = head.strip_suffix("ies").or_else(|| head.strip_suffix("ied")).filter(|cut| cut.len() >= 2) {
        return (cut, "y");
    }
    if let Some(cut) = head.strip_suffix("es").filter(|cut| cut.ends_with(['s', 'x', 'z']) || cut.ends_with("ch") || cut.ends_with("sh")) {
        head = cut;
    } else if let Some(cut) = head.strip_suffix('s').filter(|cut| !cut.ends_with(['s', 'u', 'i'])) {
        head = cut;
    }
    let bare = head.strip_suffix("ing").or_else(|| head.strip_suffix("ed")).filter(|cut| cut.len() >= 3);
    if let Some(cut) = bare {
        head = cut;
        let bytes = head.as_bytes();
        let twice = bytes.len() >= 4 && bytes[bytes.len() - 1] == bytes[bytes.len() - 2] && !head.ends_with(['l', 's', 'z', 'e', 'o']);
        if twice {
            head = &head[..head.len() - 1];
        }
    }
    if let Some(cut) = head.strip_suffix('y').filter(|cut| cut.len() >= 3) {
        return (cut, "y");
    }
    (head.strip_suffix('e').filter(|cut| cut.len() >= 3).unwrap_or(head), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(text: &str) -> Vec<String> {
        let mut out = Vec::new();
        words(text, |form, word| {
            assert!(word.start < word.end && text.get(word.start..word.end).is_some());
            out.push(form.to_string());
        });
        out
    }

    #[test]
    fn words_are_compared_without_what_typesetting_adds() {
        assert_eq!(forms("“Don’t” STOP—the ﬁrst of\u{ad}fice"), ["dont", "stop", "the", "first", "office"]);
        assert_eq!(forms("Hammarskjöld e\u{301}té Straße"), ["hammarskjold", "ete", "strasse"]);
        assert_eq!(forms("disarma-\n  ment, well-known, East-\nWest"), ["disarmament", "well", "known", "east", "west"]);
        assert_eq!(forms("the U.S. and H. G. Wells, e.g. this"), ["the", "us", "and", "h", "g", "wells", "eg", "this"]);
        assert_eq!(forms("ＡＢＣ １２３"), ["abc", "123"]);
    }

    #[test]
    fn numbers_keep_their_digits() {
        assert_eq!(forms("$155,000 in 1962, 3.5% (1,2) 87th"), ["155000", "in", "1962", "3.5", "1", "2", "87"]);
        assert_eq!(forms("12\u{a0}345 and 1,200,000,000. 5"), ["12345", "and", "1200000000", "5"]);
        assert_eq!(forms("10.05.2024 B7 1960s"), ["10.05.2024", "b7", "1960s"]);
    }

    #[test]
    fn scripts_without_spaces_are_characters_and_their_terms_are_pairs() {
        assert_eq!(forms("我们走。go"), ["我", "们", "走", "go"]);
        let pairs = |text| {
            let (mut all, mut out) = (Vec::new(), Vec::new());
            tokens(text, &mut all);
            terms(&all, |token| token.stem, |term, at| out.push((term, at)));
            out
        };
        assert_eq!(pairs("我们走").iter().map(|(_, at)| *at).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(pairs("我。们").len(), 2);
        assert_eq!(pairs("我")[0].0, hash("我"));
        assert_eq!(pairs("我 go 们").len(), 3);
        assert_eq!(pairs("说我们")[1].0, pairs("我们")[0].0);
    }

    #[test]
    fn stems_bring_the_forms_of_a_word_together() {
        for group in [["activate", "activated", "activating"], ["plan", "planned", "planning"], ["ratify", "ratifies", "ratified"]] {
            let stems = group.map(hash_stem);
            assert!(stems[0] == stems[1] && stems[1] == stems[2], "{group:?}");
        }
        assert_ne!(hash_stem("bus"), hash_stem("bu"));
        assert_ne!(hash_stem("class"), hash_stem("clas"));
    }
}
