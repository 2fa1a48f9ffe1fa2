//! A tokenizer without a vocabulary, for models whose own is not at hand.
//!
//! Text is split as Qwen2's rule has it, then further into pieces that an id can spell out by itself. So nothing needs a table, every
//! id says what it stands for, and text that is encoded and decoded is the same text:
//!
//! - 0x80…0xBF in front, which no UTF-8 begins with: small letters in base 27, in one of [`FORMS`];
//! - 0xF8 in front, which no UTF-8 has: a run of one white-space character;
//! - otherwise up to four UTF-8 bytes of whole characters, filled up with 0xFF.
//!
//! How many letters go into an id was fitted to Qwen3's tokenizer, and rather low than high: a count that is too high costs some of
//! the window, one that is too low a refused request. The figures are with [`Tokenizer::approximate`](crate::Tokenizer::approximate).

use std::borrow::Cow;
use std::ops::RangeInclusive;

use crate::split::Rule;
use crate::{Result, TokenizerError};

/// What letters an id can hold: what stands before them, whether the first is a capital, and how many at most.
const FORMS: [(&str, bool, u32); 20] = [
    // Common words are short, and most are one token whatever their length.
    ("", false, 6),
    (" ", false, 6),
    ("", true, 5),
    (" ", true, 5),
    // Identifiers and the like are rarer.
    (".", false, 4),
    ("_", false, 4),
    ("(", false, 4),
    ("\t", false, 4),
    ("\"", false, 4),
    ("'", false, 4),
    ("/", false, 4),
    ("-", false, 4),
    ("<", false, 4),
    ("$", false, 4),
    ("{", false, 4),
    ("[", false, 4),
    ("@", false, 4),
    ("*", false, 4),
    ("=", false, 4),
    (":", false, 4),
];
/// Letters in an id that goes on with a word: what is long is rare, and rare words are cut fine.
const REST: u32 = 3;
/// Punctuation marks in an id.
const MARKS: usize = 3;
/// White space that comes in runs, and how much of it an id holds.
const BLANKS: [u8; 4] = *b" \n\t\r";
const RUN: RangeInclusive<usize> = 5..=16;

const LETTERS: u32 = 0x8000_0000;
const RUNS: u32 = 0xF800_0000;

/// One more than the largest id, or as near as a 32-bit machine can say.
pub(crate) const SIZE: usize = u32::MAX as usize;

/// The ids of `text`.
pub(crate) fn encode(text: &str) -> Vec<u32> {
    let mut ids = Vec::with_capacity(text.len() / 3);
    let mut rest = text;
    while !rest.is_empty() {
        let (mut piece, after) = rest.split_at(Rule::Words { digits: 1 }.first(rest));
        let mut within = false;
        while !piece.is_empty() {
            let (id, taken) = first(piece, within);
            ids.push(id);
            piece = &piece[taken..];
            within = true;
        }
        rest = after;
    }
    ids
}

/// The id that `piece` begins with, and its bytes. `within`: something of the piece came before.
fn first(piece: &str, within: bool) -> (u32, usize) {
    let bytes = piece.as_bytes();
    run(bytes).or_else(|| letters(bytes, within)).unwrap_or_else(|| {
        let mut taken = 0;
        for c in piece.chars() {
            let most = if c.is_ascii_punctuation() { MARKS } else { 4 };
            // Greek is counted by the letter; letters have ids of their own.
            let alone = c.is_ascii_alphabetic() || matches!(c, '\u{370}'..='\u{3ff}');
            if taken > 0 && (taken + c.len_utf8() > most || alone) {
                break;
            }
            taken += c.len_utf8();
        }
        let mut id = [0xFF; 4];
        id[..taken].copy_from_slice(&bytes[..taken]);
        (u32::from_be_bytes(id), taken)
    })
}

fn run(bytes: &[u8]) -> Option<(u32, usize)> {
    let kind = BLANKS.iter().position(|blank| bytes.first() == Some(blank))?;
    let count = bytes.iter().take(*RUN.end()).take_while(|&&byte| byte == BLANKS[kind]).count();
    RUN.contains(&count).then_some((RUNS + kind as u32 * 256 + count as u32, count))
}

fn letters(bytes: &[u8], within: bool) -> Option<(u32, usize)> {
    let fits = |&(before, capital, _): &(&str, bool, u32)| {
        let first = bytes.strip_prefix(before.as_bytes()).and_then(|rest| rest.first());
        first.is_some_and(|letter| if capital { letter.is_ascii_uppercase() } else { letter.is_ascii_lowercase() })
    };
    let form = FORMS.iter().position(fits)?;
    let (before, _, places) = FORMS[form];
    let most = if within && form == 0 { REST } else { places };
    let (mut value, mut count) = (0, 0);
    for (at, &byte) in bytes[before.len()..].iter().take(most as usize).enumerate() {
        let letter = if at == 0 { byte.to_ascii_lowercase() } else { byte };
        if !letter.is_ascii_lowercase() {
            break;
        }
        value = value * 27 + u32::from(letter - b'a') + 1;
        count += 1;
    }
    Some((LETTERS + base(form) + value * 27u32.pow(places - count), before.len() + count as usize))
}

/// The values of the forms before `form`.
fn base(form: usize) -> u32 {
    FORMS[..form].iter().map(|(_, _, places)| 27u32.pow(*places)).sum()
}

/// What `id` stands for.
pub(crate) fn piece(id: u32) -> Result<Cow<'static, [u8]>> {
    let bytes = match id >> 24 {
        0xF8.. => spell_run(id - RUNS),
        0x80..=0xBF => spell_letters(id - LETTERS),
        _ => {
            let bytes = id.to_be_bytes();
            let len = bytes.iter().position(|&byte| byte == 0xFF).unwrap_or(4);
            let filled = bytes[len..].iter().all(|&byte| byte == 0xFF) && std::str::from_utf8(&bytes[..len]).is_ok();
            filled.then(|| bytes[..len].to_vec())
        }
    };
    bytes.map(Cow::Owned).ok_or(TokenizerError::UnknownId { id, size: SIZE })
}

fn spell_run(value: u32) -> Option<Vec<u8>> {
    let count = (value % 256) as usize;
    let blank = *BLANKS.get((value / 256) as usize)?;
    RUN.contains(&count).then(|| vec![blank; count])
}

fn spell_letters(value: u32) -> Option<Vec<u8>> {
    let form = (0..FORMS.len()).rev().find(|&form| base(form) <= value)?;
    let (before, capital, places) = FORMS[form];
    let value = value - base(form);
    let digits: Vec<u8> = (0..places).rev().map(|place| (value / 27u32.pow(place) % 27) as u8).collect();
    let count = digits.iter().take_while(|&&digit| digit > 0).count();
    if value >= 27u32.pow(places) || count == 0 || digits[count..].iter().any(|&digit| digit > 0) {
        return None;
    }
    let mut bytes = before.as_bytes().to_vec();
    bytes.extend(digits[..count].iter().map(|digit| b'a' + digit - 1));
    if capital {
        bytes[before.len()].make_ascii_uppercase();
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<String> {
        encode(text).into_iter().map(|id| String::from_utf8(piece(id).unwrap().into_owned()).unwrap()).collect()
    }

    #[test]
    fn pieces_are_what_an_id_can_spell() {
        assert_eq!(pieces("The reading of extraordinary things"), ["The", " readin", "g", " of", " extrao", "rdi", "nar", "y", " things"]);
        assert_eq!(pieces("self.encodeGuarded(x)"), ["self", ".enco", "de", "Guard", "ed", "(x", ")"]);
        assert_eq!(pieces("HTTP 2026"), ["H", "T", "T", "P", " ", "2", "0", "2", "6"]);
        assert_eq!(pieces("長江，流過"), ["長", "江", "，", "流", "過"]);
        assert_eq!(pieces("\n            x = 1;\n"), ["\n", "           ", " x", " =", " ", "1", ";\n"]);
        assert_eq!(encode(""), Vec::<u32>::new());
    }

    #[test]
    fn all_forms_fit() {
        assert!(u64::from(base(FORMS.len() - 1)) + 27u64.pow(4) <= 0x4000_0000);
        // Each form's first and last id, there and back.
        for (before, capital, places) in FORMS {
            for letter in ['a', 'z'] {
                let mut letters = letter.to_string().repeat(places as usize);
                if capital {
                    letters = letters.replacen(letter, &letter.to_uppercase().to_string(), 1);
                }
                let text = format!("{before}{letters}");
                assert_eq!(encode(&text).iter().flat_map(|&id| piece(id).unwrap().into_owned()).collect::<Vec<u8>>(), text.as_bytes());
            }
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(1000))]
        #[test]
        fn encoded_and_decoded_it_is_the_same(text in "(?s)(?:.|[a-zA-Z ]{1,12}|[ \t\r\n]{1,30}|[._(/<'\"-][a-z]{0,6}|\u{0}|\u{ff}|[α-ω中]{1,4}){0,12}") {
            let tokenizer = crate::Tokenizer::approximate();
            let ids = tokenizer.encode(&text).unwrap();
            proptest::prop_assert_eq!(&tokenizer.encode_with_specials(&text).unwrap(), &ids);
            proptest::prop_assert_eq!(tokenizer.count(&text).unwrap(), ids.len());
            proptest::prop_assert_eq!(&tokenizer.decode(&ids, true).unwrap(), &text);
            let mut decoder = tokenizer.decoder();
            let streamed: String = ids.iter().map(|&id| decoder.push(id).unwrap()).collect();
            proptest::prop_assert_eq!(streamed + &decoder.finish().unwrap(), text);
        }

        #[test]
        fn an_id_spells_something_or_is_refused(id in proptest::num::u32::ANY) {
            if let Ok(bytes) = piece(id) {
                let text = std::str::from_utf8(&bytes).unwrap();
                proptest::prop_assert!(!text.is_empty());
            }
        }
    }
}
