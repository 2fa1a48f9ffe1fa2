//! The bytes each token stands for, packed; every decoder but the library's own reads them.

use crate::{Result, TokenizerError};

/// What each id stands for: `bytes[ends[id - 1]..ends[id]]`.
#[derive(Default)]
pub(crate) struct Pieces {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    special: Vec<bool>,
}

impl Pieces {
    pub fn push(&mut self, bytes: &[u8], special: bool) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len() as u32);
        self.special.push(special);
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_special(&self, id: u32) -> bool {
        self.special.get(id as usize).copied().unwrap_or(false)
    }

    pub fn get(&self, id: u32) -> Result<&[u8]> {
        let at = id as usize;
        let end = *self.ends.get(at).ok_or(TokenizerError::UnknownId { id, size: self.len() })? as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        Ok(&self.bytes[start..end])
    }
}

/// GPT-2's byte alphabet: printable Latin-1 stands for itself, the other 68 bytes for U+0100 onwards, so that a vocabulary of bytes
/// can be written as text.
pub(crate) fn byte_to_char(byte: u8) -> char {
    let code = match byte {
        0..=0x20 => 0x100 + u32::from(byte),
        0x7f..=0xa0 => 0x121 + u32::from(byte) - 0x7f,
        0xad => 0x143,
        _ => u32::from(byte),
    };
    // All codes are below U+0144.
    char::from_u32(code).unwrap_or('\u{fffd}')
}

/// The inverse of [`byte_to_char`].
pub(crate) fn char_to_byte(c: char) -> Option<u8> {
    let byte = match u32::from(c) {
        code @ 0x100..=0x120 => code - 0x100,
        code @ 0x121..=0x142 => code - 0x121 + 0x7f,
        0x143 => 0xad,
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => code,
        _ => return None,
    };
    Some(byte as u8)
}

/// The bytes of a byte-level token; a token with a character outside the alphabet (an added one) stands for itself.
pub(crate) fn byte_level_bytes(token: &str) -> Vec<u8> {
    token.chars().map(char_to_byte).collect::<Option<Vec<u8>>>().unwrap_or_else(|| token.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_alphabet_is_a_bijection() {
        let chars: std::collections::BTreeSet<char> = (0..=255).map(byte_to_char).collect();
        assert_eq!(chars.len(), 256);
        for byte in 0..=255 {
            assert_eq!(char_to_byte(byte_to_char(byte)), Some(byte));
        }
        assert_eq!(char_to_byte(' '), None);
        assert_eq!(byte_to_char(b' '), 'Ġ');
        assert_eq!(byte_to_char(b'\n'), 'Ċ');
    }
}
