//! A JSON number, byte by byte. Digits are bounded, so that a model cannot go on writing them and every number is one that readers take:
//! 18 before the point (an i64), 17 behind it, 2 of the exponent.

const WHOLE: u8 = 18;
const FRACTION: u8 = 17;
const EXPONENT: u8 = 2;

/// What has been written of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Number {
    /// `-`
    Minus,
    /// `0` or `-0`.
    Zero,
    /// So many digits, the first not 0.
    Whole(u8),
    /// Behind the point.
    Point,
    /// So many digits behind the point.
    Fraction(u8),
    /// `e`
    E,
    /// `e-`
    Sign,
    /// So many digits of the exponent.
    Exponent(u8),
}

impl Number {
    /// A number's first byte.
    pub fn first(byte: u8) -> Option<Self> {
        match byte {
            b'-' => Some(Self::Minus),
            b'0' => Some(Self::Zero),
            b'1'..=b'9' => Some(Self::Whole(1)),
            _ => None,
        }
    }

    /// After another byte. An integer has neither point nor exponent, and no -0, which readers take for a fraction.
    pub fn next(self, byte: u8, integer: bool) -> Option<Self> {
        let digit = byte.is_ascii_digit();
        let behind = |byte: u8| match byte {
            b'.' if !integer => Some(Self::Point),
            b'e' | b'E' if !integer => Some(Self::E),
            _ => None,
        };
        match self {
            Self::Minus if byte == b'0' => (!integer).then_some(Self::Zero),
            Self::Minus => digit.then_some(Self::Whole(1)),
            Self::Whole(count) if digit => (count < WHOLE).then_some(Self::Whole(count + 1)),
            Self::Zero | Self::Whole(_) => behind(byte),
            Self::Point => digit.then_some(Self::Fraction(1)),
            Self::Fraction(count) if digit => (count < FRACTION).then_some(Self::Fraction(count + 1)),
            Self::Fraction(_) => behind(byte).filter(|next| *next == Self::E),
            Self::E if matches!(byte, b'+' | b'-') => Some(Self::Sign),
            Self::E | Self::Sign => digit.then_some(Self::Exponent(1)),
            Self::Exponent(count) => (digit && count < EXPONENT).then_some(Self::Exponent(count + 1)),
        }
    }

    /// Whether it may end here.
    pub fn ends(self) -> bool {
        matches!(self, Self::Zero | Self::Whole(_) | Self::Fraction(_) | Self::Exponent(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(text: &[u8], integer: bool) -> bool {
        let first = text.first().and_then(|&byte| Number::first(byte));
        text.iter().skip(1).fold(first, |number, &byte| number?.next(byte, integer)).is_some_and(Number::ends)
    }

    #[test]
    fn numbers_are_those_that_serde_reads() {
        let alphabet = b"0195.-+eE";
        let mut valid = [0; 2];
        for length in 1..=6u32 {
            for code in 0..9usize.pow(length) {
                let text: Vec<u8> = (0..length).map(|at| alphabet[code / 9usize.pow(at) % 9]).collect();
                let read = serde_json::from_slice::<serde_json::Value>(&text).ok();
                let exponent = text.iter().position(|byte| byte | 0x20 == b'e');
                let digits = exponent.map_or(0, |at| text[at..].iter().filter(|byte| byte.is_ascii_digit()).count());
                assert_eq!(takes(&text, false), digits <= 2 && read.is_some(), "{}", String::from_utf8_lossy(&text));
                let whole = read.is_some_and(|value| value.is_i64());
                assert_eq!(takes(&text, true), whole, "{}", String::from_utf8_lossy(&text));
                valid[0] += usize::from(takes(&text, false));
                valid[1] += usize::from(whole);
            }
        }
        assert!(valid[0] > 1000 && valid[1] > 1000);
    }

    #[test]
    fn the_longest_numbers_are_read() {
        let long = format!("-{}.{}e99", "9".repeat(18), "9".repeat(17));
        assert!(takes(long.as_bytes(), false) && serde_json::from_str::<f64>(&long).unwrap().is_finite());
        assert!(takes("9".repeat(18).as_bytes(), true) && !takes("9".repeat(19).as_bytes(), true));
        assert!(!takes(format!("0.{}", "1".repeat(18)).as_bytes(), false) && !takes(b"1e100", false));
    }
}
