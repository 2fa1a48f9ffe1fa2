//! The number of an answer.

use super::answer::Final;
use super::number::{Number, numbers};

/// Characters of a line that are looked at: what is longer is no number.
const LONGEST: usize = 2000;

/// Whether a gold answer is one number, or yes or no.
pub fn usable(gold: &str) -> bool {
    truth(gold).is_some() || first(gold).is_some_and(|number| !number.hedged)
}

/// Whether the final answer equals the gold; `close(|answer − gold|, gold)` decides how near is near enough.
pub fn equal(last: &Final, gold: &str, close: impl Fn(f64, f64) -> bool) -> bool {
    let line = last.lines(1);
    let line: String = if last.stated {
        line.chars().take(LONGEST).collect()
    } else {
        line.chars().skip(line.chars().count().saturating_sub(LONGEST)).collect()
    };
    if let Some(gold) = truth(gold) {
        return truth(&line) == Some(gold);
    }
    let Some(gold) = first(gold) else { return false };
    let Some(said) = (if last.stated { first(&line) } else { final_number(&line) }).filter(|said| !said.hedged) else { return false };
    // 12.5% is 12.5 where both are percentages; otherwise either 12.5 or 0.125. Without the sign a number has one reading.
    let readings = |number: Number| [number.value, if number.percent { number.value / 100.0 } else { number.value }];
    if said.percent == gold.percent {
        return close((said.value - gold.value).abs(), gold.value);
    }
    readings(gold).into_iter().any(|gold| readings(said).into_iter().any(|said| close((said - gold).abs(), gold)))
}

/// Yes or no, at the beginning.
fn truth(text: &str) -> Option<bool> {
    let word: String = text.trim_start_matches(|c: char| !c.is_alphanumeric()).chars().take_while(|c| c.is_alphabetic()).collect();
    match word.to_lowercase().as_str() {
        "yes" | "true" | "是" | "是的" => Some(true),
        "no" | "false" | "否" | "不是" => Some(false),
        _ => None,
    }
}

/// The number an answer begins with, or the first right of its last `=`.
fn first(text: &str) -> Option<Number> {
    numbers(text).into_iter().next()
}

/// The last number of a sentence.
fn final_number(text: &str) -> Option<Number> {
    let numbers = numbers(text);
    let last = *numbers.last()?;
    let hedged = numbers.len() > 1 && numbers[numbers.len() - 2].hedged;
    Some(Number { hedged: last.hedged || hedged, ..last })
}
