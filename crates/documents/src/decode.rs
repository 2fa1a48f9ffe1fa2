//! Bytes → text: UTF-8, UTF-16, or a stated guess.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use data::Text;
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::{Bytes, Remark};

/// How much of a file is looked at to tell text from other data.
const LOOK: usize = 64 << 10;

/// Decodes a file's bytes; nothing is copied where they are UTF-8. `stated` is what the file itself says its encoding is; it counts
/// only where the bytes do not speak for themselves.
///
/// - a byte order mark decides, and is dropped;
/// - else UTF-16 without its mark, which every other zero byte gives away;
/// - else bytes that are UTF-8 are UTF-8;
/// - else what is stated;
/// - else, if more of what is not ASCII is UTF-8 than not: UTF-8, line by line. A line with some of both has its unreadable bytes
///   replaced; lines with no UTF-8 at all are read in the encoding they look like;
/// - else the encoding it looks like.
pub fn decode(bytes: &Bytes, stated: Option<&'static Encoding>) -> (Text, Vec<Remark>) {
    let (marked, skip) = Encoding::for_bom(bytes).map_or((None, 0), |(encoding, skip)| (Some(encoding), skip));
    // Such zeros are UTF-8 as well, but no text.
    if marked.is_none()
        && let Some(encoding) = unmarked_utf16(bytes)
    {
        return decoded(bytes, encoding, Some(Remark::EncodingGuessed { encoding: encoding.name() }));
    }
    if (marked.is_none() || marked == Some(UTF_8))
        && let Some(text) = bytes.text_from(skip)
    {
        return (text, Vec::new());
    }
    let body = &bytes[skip..];
    let known = marked.or(stated.filter(|stated| *stated != UTF_8));
    if let Some(encoding) = known.filter(|encoding| *encoding != UTF_8) {
        return decoded(body, encoding, None);
    }
    let (valid, invalid) = utf8_share(body);
    if valid >= invalid && valid > 0 || known == Some(UTF_8) {
        return line_by_line(body, skip);
    }
    let encoding = guess(body);
    decoded(body, encoding, Some(Remark::EncodingGuessed { encoding: encoding.name() }))
}

/// Whether these bytes can be text at all: no zero bytes (but UTF-16), few control characters.
pub fn looks_like_text(bytes: &[u8]) -> bool {
    if matches!(Encoding::for_bom(bytes), Some((encoding, _)) if encoding != UTF_8) || unmarked_utf16(bytes).is_some() {
        return true;
    }
    // The beginning and the middle: some archives and images begin with text.
    let middle = &bytes[bytes.len() / 2..];
    [bytes, middle].iter().map(|part| &part[..part.len().min(LOOK)]).all(|part| {
        let control = part.iter().filter(|&&b| b < 9 || (14..32).contains(&b) && b != 0x1b).count();
        !part.contains(&0) && control <= part.len() / 50
    })
}

fn decoded(body: &[u8], encoding: &'static Encoding, remark: Option<Remark>) -> (Text, Vec<Remark>) {
    let (text, had_errors) = encoding.decode_without_bom_handling(body);
    let mut remarks: Vec<Remark> = remark.into_iter().collect();
    if had_errors {
        remarks.push(Remark::Replaced { byte: None, count: text.matches('\u{fffd}').count() });
    }
    (text.into_owned().into(), remarks)
}

fn guess(body: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    // Enough to tell; the detector is slower than the decoder.
    detector.feed(&body[..body.len().min(1 << 20)], true);
    detector.guess(None, Utf8Detection::Deny)
}

/// Most of Latin text in UTF-16 has a zero in every other byte.
fn unmarked_utf16(bytes: &[u8]) -> Option<&'static Encoding> {
    let part = &bytes[..bytes.len().min(4096) & !1];
    if part.len() < 8 || bytes.len() % 2 != 0 {
        return None;
    }
    let zeros = |from: usize| part.iter().skip(from).step_by(2).filter(|&&b| b == 0).count();
    let (even, odd, half) = (zeros(0), zeros(1), part.len() / 2);
    let encoding = match () {
        _ if odd * 10 > half * 7 && even * 50 < half => UTF_16LE,
        _ if even * 10 > half * 7 && odd * 50 < half => UTF_16BE,
        _ => return None,
    };
    // Numbers in a binary file have such zeros as well, but are no text.
    let (text, had_errors) = encoding.decode_without_bom_handling(part);
    let control = text.chars().filter(|c| c.is_control() && !c.is_whitespace()).count();
    (!had_errors && control * 50 <= text.len()).then_some(encoding)
}

/// (characters beyond ASCII that are UTF-8, sequences that are not)
fn utf8_share(body: &[u8]) -> (usize, usize) {
    body.utf8_chunks().fold((0, 0), |(valid, invalid), chunk| {
        (valid + chunk.valid().chars().filter(|c| !c.is_ascii()).count(), invalid + usize::from(!chunk.invalid().is_empty()))
    })
}

fn line_by_line(body: &[u8], skipped: usize) -> (Text, Vec<Remark>) {
    let mut text = String::with_capacity(body.len());
    let (mut replaced, mut first_byte, mut at) = (0, None, skipped);
    // (number, range in the text) of lines in another encoding: empty in the text so far, decoded together afterwards.
    let mut others: Vec<(usize, usize, &[u8])> = Vec::new();
    for (index, line) in body.split_inclusive(|&b| b == b'\n').enumerate() {
        match std::str::from_utf8(line) {
            Ok(line) => text.push_str(line),
            Err(error) if utf8_share(line).0 == 0 => {
                // A character cut in half by the end of the file is no sign of another encoding.
                if error.error_len().is_none() && at + line.len() == skipped + body.len() {
                    text.push_str(&String::from_utf8_lossy(line));
                    (replaced, first_byte) = (replaced + 1, first_byte.or(Some(at + error.valid_up_to())));
                } else {
                    others.push((index + 1, text.len(), line));
                }
            }
            Err(error) => {
                replaced += utf8_share(line).1;
                first_byte = first_byte.or(Some(at + error.valid_up_to()));
                text.push_str(&String::from_utf8_lossy(line));
            }
        }
        at += line.len();
    }
    let mut remarks = Vec::new();
    if let Some(&(first_line, ..)) = others.first() {
        let together: Vec<u8> = others.iter().flat_map(|(_, _, line)| *line).copied().collect();
        let encoding = guess(&together);
        let mut mixed = String::with_capacity(text.len() + 2 * together.len());
        let mut done = 0;
        for (_, at, line) in &others {
            mixed.push_str(&text[done..*at]);
            mixed.push_str(&encoding.decode_without_bom_handling(line).0);
            done = *at;
        }
        mixed.push_str(&text[done..]);
        text = mixed;
        remarks.push(Remark::EncodingMixed { encoding: encoding.name(), first_line, lines: others.len() });
    }
    if replaced > 0 {
        remarks.push(Remark::Replaced { byte: first_byte, count: replaced });
    }
    (text.into(), remarks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (String, Vec<Remark>) {
        let (text, remarks) = decode(&bytes.into(), None);
        (text.to_string(), remarks)
    }

    #[test]
    fn marks_decide_and_are_dropped() {
        assert_eq!(read(b"\xef\xbb\xbfhi"), ("hi".into(), vec![]));
        let le: Vec<u8> = [0xff, 0xfe].into_iter().chain("häß €\n".encode_utf16().flat_map(u16::to_le_bytes)).collect();
        let be: Vec<u8> = [0xfe, 0xff].into_iter().chain("häß €\n".encode_utf16().flat_map(u16::to_be_bytes)).collect();
        assert_eq!(read(&le), ("häß €\n".into(), vec![]));
        assert_eq!(read(&be), ("häß €\n".into(), vec![]));
    }

    #[test]
    fn an_odd_utf16_file_says_what_was_replaced() {
        let (text, remarks) = read(b"\xff\xfea\0b\0c");
        assert_eq!((text.as_str(), remarks), ("ab\u{fffd}", vec![Remark::Replaced { byte: None, count: 1 }]));
    }

    #[test]
    fn guesses_are_stated() {
        let (text, remarks) = read(b"Caf\xe9 au lait, gar\xe7on; na\xefve d\xe9j\xe0 vu.");
        assert_eq!(text, "Café au lait, garçon; naïve déjà vu.");
        assert_eq!(remarks, [Remark::EncodingGuessed { encoding: "windows-1252" }]);
        let (bytes, ..) = encoding_rs::SHIFT_JIS.encode("これは日本語の文章です。文字コードを推測します。");
        let (text, remarks) = read(&bytes);
        assert_eq!(text, "これは日本語の文章です。文字コードを推測します。");
        assert_eq!(remarks, [Remark::EncodingGuessed { encoding: "Shift_JIS" }]);
        let wide: Vec<u8> = "no mark here".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(read(&wide), ("no mark here".into(), vec![Remark::EncodingGuessed { encoding: "UTF-16LE" }]));
    }

    #[test]
    fn mixed_encodings_are_told_line_by_line() {
        let mut bytes = "eins: Größe\nzwei: naïve\ndrei: ".as_bytes().to_vec();
        bytes.extend(b"Stra\xdfe M\xfcnchen\nvier: plain\n");
        let (text, remarks) = read(&bytes);
        assert_eq!(text, "eins: Größe\nzwei: naïve\ndrei: Straße München\nvier: plain\n");
        assert_eq!(remarks, [Remark::EncodingMixed { encoding: "windows-1252", first_line: 3, lines: 1 }]);
    }

    #[test]
    fn a_bad_byte_in_utf8_is_replaced_and_placed() {
        let (text, remarks) = read(b"\xef\xbb\xbfna\xc3\xafve \xff caf\xc3\xa9");
        assert_eq!(text, "naïve \u{fffd} café");
        assert_eq!(remarks, [Remark::Replaced { byte: Some(10), count: 1 }]);
        // Cut in the middle of a character.
        let (text, remarks) = read("né\nplain é".as_bytes().split_last().unwrap().1);
        assert_eq!((text.as_str(), remarks), ("né\nplain \u{fffd}", vec![Remark::Replaced { byte: Some(10), count: 1 }]));
    }

    #[test]
    fn text_is_told_from_other_data() {
        assert!(looks_like_text(b"") && looks_like_text(b"\x1b[31mred\x1b[0m\n") && looks_like_text("日本語".as_bytes()));
        assert!(!looks_like_text(b"ab\0cd") && !looks_like_text(&[1, 2, 3, 4, 5, 6, 7, 8]));
        let numbers: Vec<u8> = (0u16..2000).flat_map(u16::to_le_bytes).collect();
        assert!(!looks_like_text(&numbers));
    }
}
