//! A table as templates see it: names, columns of numbers, and the conditions and ranks that can be asked about without doubt.

use world::Random;

use super::fields::Kind;
use super::say;
use crate::candidate::Reject;

/// Nearness, as a share of the larger number, below which two numbers are too close to be told apart in a question.
const CLOSE: f64 = 0.01;

/// A column.
pub struct Asked {
    /// In SQL.
    pub column: String,
    /// In a question.
    pub label: String,
    pub unit: String,
    pub kind: Kind,
    /// By row.
    pub values: Vec<f64>,
}

/// A table whose every cell has a number.
pub struct View<'a> {
    pub names: Vec<String>,
    pub fields: Vec<Asked>,
    pub random: &'a mut Random,
}

/// `“GDP” is above $5 billion`.
pub struct Cut {
    /// `above $5 billion`.
    pub words: String,
    /// In SQL.
    pub condition: String,
    /// Rows that fulfil it.
    pub inside: Vec<usize>,
    /// The field it is about.
    pub field: usize,
    /// Of all rows the one nearest to the threshold.
    pub nearest: usize,
}

impl View<'_> {
    pub fn rows(&self) -> usize {
        self.names.len()
    }

    /// All cells of a column.
    pub fn cells(&self, field: usize) -> Vec<(usize, usize)> {
        (0..self.rows()).map(|row| (row, field)).collect()
    }

    /// A row's name in SQL.
    pub fn quoted(&self, row: usize) -> String {
        format!("'{}'", self.names[row].replace('\'', "''"))
    }

    pub fn one_of<'w>(&mut self, wordings: &[&'w str]) -> &'w str {
        self.random.pick(wordings)
    }

    /// A threshold of at most three digits, away from all values, that at least `inside` rows fulfil and `outside` do not.
    pub fn cut(&mut self, field: usize, inside: usize, outside: usize) -> Result<Cut, Reject> {
        let values = &self.fields[field].values;
        let rows = order(values);
        let above = self.random.chance(0.5);
        let (upper, lower) = if above { (inside, outside) } else { (outside, inside) };
        let (upper, lower) = (upper.max(1), lower.max(1));
        if upper + lower > rows.len() {
            return Err(reject("rows", format!("{} rows are too few for two groups", rows.len())));
        }
        let first = self.random.between(upper, rows.len() - lower);
        // From there on, and then from the beginning.
        let places = (first..=rows.len() - lower).chain(upper..first);
        let values = &self.fields[field].values;
        let found = places.into_iter().find_map(|at| Some((at, between(values[rows[at]], values[rows[at - 1]])?)));
        let Some((at, threshold)) = found else { return Err(reject("threshold", "no round number lies between the values".into())) };
        let asked = &self.fields[field];
        let (side, sign, inside) = if above { ("above", '>', &rows[..at]) } else { ("below", '<', &rows[at..]) };
        let words = if asked.kind == Kind::When {
            format!("{} {threshold}", if above { "after" } else { "before" })
        } else {
            format!("{side} {}", say::amount(threshold, &asked.unit))
        };
        let distance = |row: usize| (values[row] - threshold).abs() / values[row].abs().max(f64::MIN_POSITIVE);
        let nearest = inside.iter().copied().min_by(|a, b| distance(*a).total_cmp(&distance(*b))).unwrap_or(rows[at]);
        let mut inside = inside.to_vec();
        inside.sort_unstable();
        Ok(Cut { words, condition: format!("{} {sign} {threshold}", asked.column), inside, field, nearest })
    }

    /// The row with the `place`-th highest of these values (from 1), which no other is close to.
    pub fn ranked(&self, values: &[f64], place: usize) -> Result<usize, Reject> {
        let rows = order(values);
        let at = place - 1;
        let Some(&row) = rows.get(at) else { return Err(reject("rows", format!("there is no place {place} of {}", rows.len()))) };
        let neighbours = [at.checked_sub(1), Some(at + 1)].into_iter().flatten().filter_map(|at| rows.get(at));
        for &other in neighbours {
            apart(values[row], values[other])?;
        }
        Ok(row)
    }
}

/// Rows from the highest value to the lowest.
pub fn order(values: &[f64]) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..values.len()).collect();
    rows.sort_by(|a, b| values[*b].total_cmp(&values[*a]).then(a.cmp(b)));
    rows
}

/// An error where two numbers are equal or nearly so.
pub fn apart(one: f64, other: f64) -> Result<(), Reject> {
    if (one - other).abs() > CLOSE * one.abs().max(other.abs()) {
        Ok(())
    } else {
        Err(reject("ties", format!("{one} and {other} are too close")))
    }
}

/// An error where a number is not above zero.
pub fn positive<'a>(values: impl IntoIterator<Item = &'a f64>) -> Result<(), Reject> {
    match values.into_iter().find(|value| **value <= 0.0) {
        None => Ok(()),
        Some(value) => Err(reject("sign", format!("{value} has no share or ratio"))),
    }
}

/// The number with the fewest digits between two, that is close to neither.
fn between(low: f64, high: f64) -> Option<f64> {
    let middle = low + (high - low) / 2.0;
    (1..=3).map(|digits| crate::sql::rounded(middle, digits)).find(|number| {
        let far = |value: f64| (number - value).abs() > CLOSE * value.abs().max(number.abs());
        low < *number && *number < high && far(low) && far(high)
    })
}

pub fn reject(check: &'static str, reason: String) -> Reject {
    Reject { check, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn view<'a>(values: &[f64], random: &'a mut Random) -> View<'a> {
        let field = Asked { column: "a".into(), label: "“A”".into(), unit: "km".into(), kind: Kind::Amount, values: values.to_vec() };
        View { names: (0..values.len()).map(|row| format!("D{row}")).collect(), fields: vec![field], random }
    }

    proptest! {
        #[test]
        fn a_threshold_is_near_no_value(values in prop::collection::vec(-1e6..1e6f64, 2..12), seed in 0..50u64, inside in 0..4usize, outside in 0..4usize) {
            let mut random = Random::new(&[seed]);
            let mut view = view(&values, &mut random);
            if let Ok(cut) = view.cut(0, inside, outside) {
                let threshold: f64 = cut.condition[4..].parse().unwrap();
                let fulfils = |value: f64| if cut.condition.contains('>') { value > threshold } else { value < threshold };
                prop_assert!(values.iter().all(|value| (value - threshold).abs() > CLOSE * value.abs()), "{}", cut.condition);
                prop_assert_eq!((0..values.len()).filter(|row| fulfils(values[*row])).collect::<Vec<_>>(), cut.inside.clone());
                prop_assert!(cut.inside.len() >= inside.max(1) && values.len() - cut.inside.len() >= outside.max(1));
                prop_assert!(cut.inside.contains(&cut.nearest));
            }
        }
    }

    #[test]
    fn what_is_nearly_equal_has_no_rank() {
        let mut random = Random::new(&[1]);
        let view = view(&[5.0, 100.0, 99.5, 7.0], &mut random);
        let values = view.fields[0].values.clone();
        assert_eq!(view.ranked(&values, 3), Ok(3));
        assert_eq!(view.ranked(&values, 1).map_err(|reject| reject.check), Err("ties"));
        assert_eq!(view.ranked(&values, 2).map_err(|reject| reject.check), Err("ties"));
        assert_eq!(view.ranked(&values, 5).map_err(|reject| reject.check), Err("rows"));
    }
}
