//! Numbers as values: "155,000", "155 thousand" and "one hundred and fifty-five thousand" are one.

use super::words::{Kind, hash};

/// A number among the words of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    /// Its first word.
    pub at: usize,
    /// How many words it takes.
    pub len: usize,
    /// Its value's hash: equal values have equal ones.
    pub value: u64,
}

/// The numbers among words given as (normal form, kind). "one" alone is rarely a number and is none.
pub(crate) fn numbers(words: &[(&str, Kind)]) -> Vec<Number> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let found = if words[at].1 == Kind::Number { Some(in_digits(&words[at..])) } else { in_words(&words[at..]) };
        match found {
            Some((value, len)) => {
                out.push(Number { at, len, value });
                at += len;
            }
            None => at += 1,
        }
    }
    out
}

/// "3.5 million": digits, then words of scale.
fn in_digits(words: &[(&str, Kind)]) -> (u64, usize) {
    let (whole, part) = words[0].0.split_once('.').unwrap_or((words[0].0, ""));
    let mut exponent = -(part.len() as i64);
    let scales = words[1..].iter().map_while(|(word, _)| scale(word));
    let mut len = 1;
    for zeros in scales {
        exponent += i64::from(zeros);
        len += 1;
    }
    (value(&format!("{whole}{part}"), exponent), len)
}

/// "one hundred and five thousand", "fifty four", "million". `None` where no number begins.
fn in_words(words: &[(&str, Kind)]) -> Option<(u64, usize)> {
    let (mut total, mut current): (u64, u64) = (0, 0);
    // What the next small number must be less than: "twenty one" is one number, "twenty twenty" two.
    let mut room = 100;
    let mut at = 0;
    while let Some((word, _)) = words.get(at) {
        if let Some(small) = small(word).filter(|&small| small < room) {
            current += small;
            room = if small >= 20 { 10 } else { 0 };
        } else if *word == "hundred" && current < 100 {
            current = current.max(1) * 100;
            room = 100;
        } else if let Some(zeros) = scale(word).filter(|&zeros| zeros >= 3 && word.is_ascii() && (current > 0 || at == 0)) {
            let Some(sum) = 10_u64.checked_pow(zeros).and_then(|s| s.checked_mul(current.max(1))).and_then(|s| s.checked_add(total)) else {
                break;
            };
            (total, current, room) = (sum, 0, 100);
        } else if *word == "and"
            && (current >= 100 || total > 0)
            && words.get(at + 1).is_some_and(|(next, _)| small(next).is_some_and(|n| n < room))
        {
        } else {
            break;
        }
        at += 1;
    }
    let bare_one = at == 1 && words[0].0 == "one";
    (at > 0 && !bare_one).then(|| (value(&(total + current).to_string(), 0), at))
}

/// Digits and a power of ten as one hash, without zeros that say nothing.
fn value(digits: &str, exponent: i64) -> u64 {
    let digits = digits.trim_start_matches('0');
    let short = digits.trim_end_matches('0');
    hash(&format!("{short}e{}", if short.is_empty() { 0 } else { exponent + (digits.len() - short.len()) as i64 }))
}

/// The zeros a word of scale adds.
fn scale(word: &str) -> Option<u32> {
    Some(match word {
        "hundred" => 2,
        "thousand" => 3,
        "million" => 6,
        "billion" => 9,
        "trillion" => 12,
        "万" | "萬" => 4,
        "亿" | "億" => 8,
        _ => return None,
    })
}

fn small(word: &str) -> Option<u64> {
    const BELOW_TWENTY: [&str; 20] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let below = BELOW_TWENTY.iter().position(|&name| name == word).map(|n| n as u64);
    below.or_else(|| TENS.iter().position(|&name| name == word).map(|n| 20 + 10 * n as u64))
}

#[cfg(test)]
mod tests {
    use super::super::words::words;
    use super::*;

    fn values(text: &str) -> Vec<u64> {
        let mut all = Vec::new();
        words(text, |form, word| all.push((form.to_string(), word.kind)));
        let all: Vec<_> = all.iter().map(|(form, kind)| (form.as_str(), *kind)).collect();
        numbers(&all).into_iter().map(|number| number.value).collect()
    }

    #[test]
    fn one_value_has_one_hash_however_it_is_written() {
        for same in [
            ["155,000", "155 thousand", "one hundred and fifty-five thousand"],
            ["$3.5 billion", "3,500,000,000", "3500 million"],
            ["54", "fifty-four", "54th"],
            ["1,000,000", "a million", "one million"],
            ["300", "three hundred", "3 hundred"],
        ] {
            let found = same.map(values);
            assert!(found[0].len() == 1 && found[0] == found[1] && found[1] == found[2], "{same:?}");
        }
        assert_eq!(values("15万"), values("150,000"));
        assert_ne!(values("155,000"), values("155,001"));
        assert_ne!(values("3.5"), values("35"));
        assert_ne!(values("0"), values("10"));
    }

    #[test]
    fn neighbours_stay_apart_and_words_that_are_none_stay_words() {
        assert_eq!(values("twenty twenty").len(), 2);
        assert_eq!(values("one of two, and three").len(), 2);
        assert_eq!(values("no one and all").len(), 0);
        assert_eq!(values("in 1914 about 164,000").len(), 2);
        assert_eq!(values("trillion trillion").len(), 2);
        assert_eq!(values("99999999999999999999999999 trillion").len(), 1);
    }
}
