//! Which of several names in a value is meant.

use std::fmt;

use crate::measure::{Listed, list};

/// One of a value's names, singled out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// There is no other.
    Only,
    /// It stands first, in a list without numbers.
    First,
    /// Its number is larger than any other's.
    Largest,
    /// Its number is smaller than any other's.
    Smallest,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Only => "only",
            Self::First => "first",
            Self::Largest => "largest",
            Self::Smallest => "smallest",
        })
    }
}

/// A longer value is no single name.
const LONGEST: usize = 80;

/// The names of a value, in order, and which of them can be singled out. A short value that is no list is taken for one name. A list
/// with a number to each entry gives its largest and smallest where all have one unit and no other entry has the same number; a list
/// without numbers gives its first.
pub fn picks(value: &str) -> (Vec<&str>, Vec<(Which, usize)>) {
    let listed = list(value);
    let names: Vec<&str> = listed.iter().filter_map(|entry| value.get(entry.start..entry.end)).collect();
    let whole = value.trim();
    let picks = match names.len() {
        0 if whole.is_empty() || whole.len() > LONGEST || whole.contains(['\n', ',', ';']) => Vec::new(),
        0 => return (vec![whole], vec![(Which::Only, 0)]),
        1 => vec![(Which::Only, 0)],
        _ if listed.iter().all(|entry| entry.measure.is_none()) => vec![(Which::First, 0)],
        _ => [(Which::Largest, extreme(&listed, 1.0)), (Which::Smallest, extreme(&listed, -1.0))]
            .into_iter()
            .filter_map(|(which, at)| Some((which, at?)))
            .collect(),
    };
    (names, picks)
}

/// The name that `which` singles out. The only one is also the first: a list may have a fact for each entry.
pub fn picked(value: &str, which: &str) -> Option<String> {
    let (names, picks) = picks(value);
    let singled = |found: Which| found.to_string() == which || found == Which::Only && which == Which::First.to_string();
    let (_, at) = picks.into_iter().find(|(found, _)| singled(*found))?;
    names.get(at).map(|name| name.to_string())
}

/// The entry whose number times `sign` is largest. `None` where an entry has no number or another unit, and where two are equal.
fn extreme(listed: &[Listed], sign: f64) -> Option<usize> {
    let unit = &listed.first()?.measure.as_ref()?.unit;
    let mut numbers = Vec::new();
    for entry in listed {
        let measure = entry.measure.as_ref().filter(|measure| measure.unit == *unit)?;
        numbers.push(measure.value * sign);
    }
    let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut at = numbers.iter().enumerate().filter(|(_, number)| **number == most).map(|(at, _)| at);
    match (at.next(), at.next()) {
        (Some(at), None) => Some(at),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Vec<(Which, String)> {
        let (names, picks) = picks(value);
        picks.into_iter().map(|(which, at)| (which, names[at].to_string())).collect()
    }

    #[test]
    fn one_name_is_singled_out_or_none() {
        let both = |a: &str, b: &str| vec![(Which::Largest, a.to_string()), (Which::Smallest, b.to_string())];
        assert_eq!(read("Spain 3 km, Peru 649 km, Mali 20 km"), both("Peru", "Spain"));
        // Two share the least; then one has no number, or another unit.
        assert_eq!(read("Spain 3%, Peru 64%, Mali 3%"), [(Which::Largest, "Peru".to_string())]);
        assert_eq!(read("Spain 3 km, Peru"), []);
        assert_eq!(read("Spain 3 km, Peru 64 m"), []);
        assert_eq!(read("Spain, Peru, Mali"), [(Which::First, "Spain".to_string())]);
        assert_eq!(read("Spain 3 km"), [(Which::Only, "Spain".to_string())]);
        assert_eq!(read("1790-Hale-1"), [(Which::Only, "1790-Hale-1".to_string())]);
        assert_eq!(picked("Spain 3 km, Peru 649 km", "smallest").as_deref(), Some("Spain"));
        assert_eq!(picked("Spain 3 km, Peru 649 km", "first"), None);
    }
}
