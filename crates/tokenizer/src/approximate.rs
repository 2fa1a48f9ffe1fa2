//! A tokenizer without a vocabulary, for models whose own is not at hand.
//!
//! Text is split as Qwen2's rule does, then further into pieces that an id can spell out itself, so nothing needs a table and every
//! id decodes to what it was made of:
//!
//! - up to four UTF-8 bytes of whole characters, filled up with 0xFF, which no UTF-8 has;
//! - with the top bits `10`, which no UTF-8 begins with: up to six small letters, a space before them or not; or up to five, the first
//!   of which is a capital or follows a sign;
//! - 0xF8 and on: a run of one white-space character.

use std::borrow::Cow;

use crate::split::Rule;
use crate::{Result, TokenizerError};

/// Letters an id holds, with nothing or a space before them.
const LONG: usize = 6;
/// Letters with a sign before them or a capital in front.
const SHORT: usize = 5;
/// 27 values a place: none, a to z.
const LONG_FORMS: u32 = 27u32.pow(LONG as u32);
const SHORT_FORMS: u32 = 27u32.pow(SHORT as u32);
/// What may stand before the letters of the short forms; `^` marks a capital.
const SIGNS: [&str; 18] = ["^", " ^", ".", "_", "(", "\t", "\"", "'", "/", "-", "<", "$", "{", "[", "@", "*", "=", ":"];
const LETTERS: u32 = 0x8000_0000;
const RUNS: u32 = 0xF800_0000;
const LONGEST_RUN: usize = 16;
/// White space that comes in runs.
const BLANKS: [u8; 4] = *b" \n\t\r";

/// One more than the largest id.
pub(crate) const SIZE: usize = u32::MAX as usize;

/// The ids of `text`.
pub(crate) fn encode(text: &str) -> Vec<u32> {
    let mut ids = Vec::with_capacity(text.len() / 3);
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(Rule::Words { digits: 1 }.first(rest));
        let mut piece = piece;
        while !piece.is_empty() {
            let (id, taken) = first(piece);
            ids.push(id);
            piece = &piece[taken..];
        }
        rest = after;
    }
    ids
}

/// The id `piece` begins with, and how many bytes it stands for.
fn first(piece: &str) -> (u32, usize) {
    let bytes = piece.as_bytes();
    if let Some(kind) = BLANKS.iter().position(|&blank| blank == bytes[0]) {
        let run = bytes.iter().take(LONGEST_RUN).take_while(|&&byte| byte == bytes[0]).count();
        if run > 4 {
            return (RUNS + (kind as u32) * 256 + run as u32, run);
        }
    }
    if let Some(found) = letters(bytes) {
        return found;
    }
    let mut taken = 0;
    for c in piece.chars() {
        if taken > 0 && (taken + c.len_utf8() > 4 || c.is_ascii_alphabetic()) {
            break;
        }
        taken += c.len_utf8();
    }
    let mut id = [0xFF; 4];
    id[..taken].copy_from_slice(&bytes[..taken]);
    (u32::from_be_bytes(id), taken)
}

fn letters(bytes: &[u8]) -> Option<(u32, usize)> {
    let (form, skip, most) = match bytes {
        [b'a'..=b'z', ..] => (0, 0, LONG),
        [b' ', b'a'..=b'z', ..] => (1, 1, LONG),
        [b'A'..=b'Z', ..] => (2, 0, SHORT),
        [b' ', b'A'..=b'Z', ..] => (3, 1, SHORT),
        [sign, b'a'..=b'z', ..] => (2 + SIGNS.iter().position(|text| text.as_bytes() == [*sign])?, 1, SHORT),
        _ => return None,
    };
    let mut value = 0u32;
    let mut count = 0;
    for (at, &byte) in bytes[skip..].iter().take(most).enumerate() {
        let letter = if at == 0 { byte.to_ascii_lowercase() } else { byte };
        if !letter.is_ascii_lowercase() {
            break;
        }
        value = value * 27 + u32::from(letter - b'a') + 1;
        count += 1;
    }
    for _ in count..most {
        value *= 27;
    }
    let base = if form < 2 { form as u32 * LONG_FORMS } else { 2 * LONG_FORMS + (form as u32 - 2) * SHORT_FORMS };
    Some((LETTERS + base + value, skip + count))
}

/// What `id` stands for.
pub(crate) fn piece(id: u32) -> Result<Cow<'static, [u8]>> {
    let unknown = || TokenizerError::UnknownId { id, size: SIZE };
    let bytes = match id >> 24 {
        0xF8.. => {
            let (kind, run) = (((id - RUNS) / 256) as usize, (id % 256) as usize);
            let blank = *BLANKS.get(kind).ok_or_else(unknown)?;
            if !(5..=LONGEST_RUN).contains(&run) {
                return Err(unknown());
            }
            vec![blank; run]
        }
        0x80..=0xBF => {
            let value = id - LETTERS;
            let (before, capital, most, mut value) = if value < 2 * LONG_FORMS {
                (if value < LONG_FORMS { "" } else { " " }, false, LONG, value % LONG_FORMS)
            } else {
                let value = value - 2 * LONG_FORMS;
                let sign = SIGNS.get((value / SHORT_FORMS) as usize).ok_or_else(unknown)?;
                (sign.trim_end_matches('^'), sign.ends_with('^'), SHORT, value % SHORT_FORMS)
            };
            let mut places = vec![0; most];
            for place in places.iter_mut().rev() {
                *place = (value % 27) as u8;
                value /= 27;
            }
            let count = places.iter().take_while(|&&place| place > 0).count();
            if count == 0 || places[count..].iter().any(|&place| place > 0) {
                return Err(unknown());
            }
            let mut bytes = before.as_bytes().to_vec();
            bytes.extend(places[..count].iter().map(|place| b'a' + place - 1));
            if capital {
                bytes[before.len()].make_ascii_uppercase();
            }
            bytes
        }
        _ => {
            let bytes = id.to_be_bytes();
            let len = bytes.iter().position(|&byte| byte == 0xFF).unwrap_or(4);
            if len == 0 || bytes[len..].iter().any(|&byte| byte != 0xFF) || std::str::from_utf8(&bytes[..len]).is_err() {
                return Err(unknown());
            }
            bytes[..len].to_vec()
        }
    };
    Ok(Cow::Owned(bytes))
}
