//! Inside a JSON string, byte by byte: escapes, and UTF-8 that is well formed.

/// Where in a string the text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Between two characters.
    Between,
    /// After a backslash.
    Escape,
    /// So many hexadecimal digits of `\u0000` are to come.
    Hex4,
    Hex3,
    Hex2,
    Hex1,
    /// After `\ud`: three digits are to come, which say whether it is half of a pair.
    HexD,
    /// Digits of a pair's first half.
    High2,
    High1,
    /// The pair's second half is to come: `\`, `u`, `d`, then `c` to `f` and two digits.
    LowEscape,
    LowU,
    LowD,
    LowC,
    /// So many continuation bytes are to come.
    More3,
    More2,
    More1,
    /// After E0, ED, F0, F4: not every continuation byte may follow.
    AfterE0,
    AfterEd,
    AfterF0,
    AfterF4,
}

/// Number of phases.
pub const PHASES: usize = Phase::AfterF4 as usize + 1;

/// What a byte does to a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It goes on; whether a character begins with this byte (an escape is one, a pair of `\u` too).
    In(Phase, bool),
    /// The closing quote.
    Closed,
}

impl Phase {
    /// Every phase.
    pub fn all() -> impl Iterator<Item = Self> {
        use Phase::*;
        [
            Between, Escape, Hex4, Hex3, Hex2, Hex1, HexD, High2, High1, LowEscape, LowU, LowD, LowC, More3, More2, More1, AfterE0,
            AfterEd, AfterF0, AfterF4,
        ]
        .into_iter()
    }

    /// After `byte`; `None` if it cannot stand here.
    pub fn next(self, byte: u8) -> Option<Next> {
        let hex = byte.is_ascii_hexdigit();
        let continuation = |low: u8, high: u8, then: Self| (low..=high).contains(&byte).then_some(then);
        let then = match self {
            Self::Between => return begin(byte),
            Self::Escape => match byte {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(Self::Between),
                b'u' => Some(Self::Hex4),
                _ => None,
            },
            Self::Hex4 if byte | 0x20 == b'd' => Some(Self::HexD),
            Self::Hex4 => hex.then_some(Self::Hex3),
            Self::Hex3 => hex.then_some(Self::Hex2),
            Self::Hex2 => hex.then_some(Self::Hex1),
            Self::Hex1 => hex.then_some(Self::Between),
            Self::HexD => match byte {
                b'0'..=b'7' => Some(Self::Hex2),
                b'8' | b'9' | b'a' | b'b' | b'A' | b'B' => Some(Self::High2),
                _ => None,
            },
            Self::High2 => hex.then_some(Self::High1),
            Self::High1 => hex.then_some(Self::LowEscape),
            Self::LowEscape => (byte == b'\\').then_some(Self::LowU),
            Self::LowU => (byte == b'u').then_some(Self::LowD),
            Self::LowD => (byte | 0x20 == b'd').then_some(Self::LowC),
            Self::LowC => matches!(byte, b'c'..=b'f' | b'C'..=b'F').then_some(Self::Hex2),
            Self::More3 => continuation(0x80, 0xbf, Self::More2),
            Self::More2 => continuation(0x80, 0xbf, Self::More1),
            Self::More1 => continuation(0x80, 0xbf, Self::Between),
            Self::AfterE0 => continuation(0xa0, 0xbf, Self::More1),
            Self::AfterEd => continuation(0x80, 0x9f, Self::More1),
            Self::AfterF0 => continuation(0x90, 0xbf, Self::More2),
            Self::AfterF4 => continuation(0x80, 0x8f, Self::More2),
        };
        then.map(|phase| Next::In(phase, false))
    }
}

/// The first byte of a character, or the closing quote.
fn begin(byte: u8) -> Option<Next> {
    let phase = match byte {
        b'"' => return Some(Next::Closed),
        b'\\' => Phase::Escape,
        0x20..=0x7f => Phase::Between,
        0xc2..=0xdf => Phase::More1,
        0xe0 => Phase::AfterE0,
        0xed => Phase::AfterEd,
        0xe1..=0xef => Phase::More2,
        0xf0 => Phase::AfterF0,
        0xf1..=0xf3 => Phase::More3,
        0xf4 => Phase::AfterF4,
        _ => return None,
    };
    Some(Next::In(phase, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `bytes` and a closing quote are the rest of a string.
    fn takes(bytes: &[u8]) -> bool {
        let mut phase = Phase::Between;
        for &byte in bytes {
            match phase.next(byte) {
                Some(Next::In(next, _)) => phase = next,
                _ => return false,
            }
        }
        phase == Phase::Between
    }

    #[test]
    fn strings_are_those_that_serde_reads() {
        let mut seen = [0; 2];
        let pieces: [&[u8]; 26] = [
            b"a", b"\\", b"n", b"u", b"d8", b"3d", b"\\ud83d", b"\\ude00", b"\\udc00", b"0041", b"00", b"\x7f", b"\x1f", b"\n", b"\t",
            b"\xc3", b"\xa9", b"\xe0", b"\x9f", b"\xed", b"\xa0", b"\xf0", b"\xf4", b"\x80", b"\x90", b"\xff",
        ];
        for a in pieces {
            for b in pieces {
                for c in pieces {
                    for d in [&b""[..], b"\x80", b"\\ude00", b"00"] {
                        let bytes = [a, b, c, d].concat();
                        let json = [b"\"", bytes.as_slice(), b"\""].concat();
                        let valid = serde_json::from_slice::<String>(&json).is_ok();
                        assert_eq!(takes(&bytes), valid, "{bytes:x?}");
                        seen[usize::from(valid)] += 1;
                    }
                }
            }
        }
        assert!(seen[0] > 1000 && seen[1] > 1000, "{seen:?}");
    }

    #[test]
    fn every_character_is_counted_once() {
        for (text, characters) in [("aé中😀", 4), (r"\n\u00e9\ud83d\ude00\\", 4), ("", 0)] {
            let (mut phase, mut count) = (Phase::Between, 0);
            for byte in text.bytes() {
                let Some(Next::In(next, begins)) = phase.next(byte) else { panic!("{text}") };
                (phase, count) = (next, count + i32::from(begins));
            }
            assert_eq!((phase, count), (Phase::Between, characters), "{text}");
        }
        assert_eq!(Phase::all().map(|phase| phase as usize).collect::<Vec<_>>(), (0..PHASES).collect::<Vec<_>>());
    }
}
