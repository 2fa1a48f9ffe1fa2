//! Kinds of questions, hand-written as CorpusQA's are: aggregation, statistics, comparison, ranking, filters, changes over time, several
//! steps. Each gives a sentence and the SQL that answers it.

mod figures;
mod names;
mod years;

use super::view::View;
use crate::candidate::Reject;

/// What a column has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Numbers that add up.
    Amount,
    /// Numbers of any kind but years.
    Number,
    /// Years.
    When,
    /// Two columns: the same relation in a year and in an earlier one.
    Years,
    /// The same with numbers that add up.
    YearsAmount,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// In a unit.
    Number(String),
    /// How many documents.
    Count,
    /// A year, or a number of years.
    Years,
    /// One title.
    Name,
    /// Titles, in the order that the question says; maybe none.
    Names,
}

/// A question about a table.
pub struct Draft {
    /// The sentence that asks.
    pub ask: String,
    pub sql: String,
    pub answer: Answer,
    /// (row, field) of the cells that the answer is computed from: a wrong one makes a wrong answer.
    pub support: Vec<(usize, usize)>,
}

pub type Written = Result<Draft, Reject>;

/// A kind of question.
pub struct Template {
    pub name: &'static str,
    pub paradigm: &'static str,
    /// `easy`, `medium`, `hard`.
    pub level: &'static str,
    /// Out of how many it is tried.
    pub weight: usize,
    /// The columns it is about.
    pub needs: &'static [Need],
    /// Fewest rows, and the most where it is not for the settings to say.
    pub rows: (usize, Option<usize>),
    pub write: fn(&mut View<'_>) -> Written,
}

use Need::{Amount, Number, When, Years, YearsAmount};

const fn template(
    (paradigm, name, level): (&'static str, &'static str, &'static str),
    weight: usize,
    needs: &'static [Need],
    rows: (usize, Option<usize>),
    write: fn(&mut View<'_>) -> Written,
) -> Template {
    Template { name, paradigm, level, weight, needs, rows, write }
}

/// Two documents are compared, however many the settings ask for.
const TWO: (usize, Option<usize>) = (2, Some(2));

/// All of them. Counts are few: they have few different answers.
pub const TEMPLATES: &[Template] = &[
    template(("aggregation", "sum", "easy"), 5, &[Amount], (3, None), figures::sum),
    template(("aggregation", "average", "easy"), 5, &[Number], (3, None), figures::average),
    template(("aggregation", "count_where", "medium"), 3, &[Number, Number], (4, None), figures::count_where),
    template(("aggregation", "sum_where", "medium"), 6, &[Amount, Number], (4, None), figures::sum_where),
    template(("aggregation", "average_where", "medium"), 6, &[Number, Number], (4, None), figures::average_where),
    template(("statistics", "median", "medium"), 6, &[Number], (4, None), figures::median),
    template(("statistics", "range", "easy"), 5, &[Number], (4, None), figures::range),
    template(("statistics", "deviation", "hard"), 4, &[Number], (4, None), figures::deviation),
    template(("comparison", "gap", "easy"), 5, &[Number], TWO, figures::gap),
    template(("comparison", "times", "easy"), 3, &[Amount], TWO, figures::times),
    template(("comparison", "closest", "medium"), 4, &[Number], (4, None), names::closest),
    template(("ranking", "place", "easy"), 5, &[Number], (3, None), names::place),
    template(("ranking", "at_place", "medium"), 7, &[Number, Number], (3, None), figures::at_place),
    template(("ranking", "top", "medium"), 5, &[Number], (4, None), names::top),
    template(("filter", "filter", "medium"), 8, &[Number, Number], (4, None), names::filter),
    template(("filter", "only", "medium"), 4, &[Number, Number], (4, None), names::only),
    template(("temporal", "change_gap", "medium"), 4, &[Years], TWO, years::change_gap),
    template(("temporal", "growth_of_all", "hard"), 4, &[YearsAmount], (3, None), years::growth_of_all),
    template(("temporal", "most_risen", "medium"), 4, &[YearsAmount], (3, None), years::most_risen),
    template(("temporal", "average_change", "medium"), 4, &[Years], (3, None), years::average_change),
    template(("temporal", "earliest", "easy"), 2, &[When], (3, None), years::earliest),
    template(("temporal", "at_earliest", "medium"), 2, &[When, Number], (3, None), years::at_earliest),
    template(("temporal", "span", "medium"), 1, &[When], (3, None), years::span),
    template(("multi_step", "best_among", "medium"), 4, &[Number, Number], (4, None), names::best_among),
    template(("multi_step", "of_best_among", "hard"), 5, &[Number, Number, Number], (4, None), figures::of_best_among),
    template(("multi_step", "group_gap", "hard"), 6, &[Number, Number], (5, None), figures::group_gap),
    template(("multi_step", "share_where", "hard"), 6, &[Amount, Number], (4, None), figures::share_where),
    template(("multi_step", "share_of_first", "medium"), 3, &[Amount], (3, None), figures::share_of_first),
    template(("multi_step", "quotient_place", "hard"), 3, &[Amount, Amount], (3, None), names::quotient_place),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::derive;
    use crate::table::fields::Kind;
    use crate::table::view::Asked;
    use data::{Cell, Column, Table};
    use world::Random;

    /// What the template asks of these columns, and what SQLite answers.
    fn asked(name: &str, columns: &[&[f64]], kind: Kind, seed: u64) -> Result<(String, String), String> {
        let template = TEMPLATES.iter().find(|template| template.name == name).unwrap();
        let names: Vec<String> = ["Ann's", "Bo", "Cy", "Di", "Ed"][..columns[0].len()].iter().map(|name| (*name).to_string()).collect();
        let label = |at: usize| ["a", "b", "c"][at].to_string();
        let fields = columns.iter().enumerate().map(|(at, values)| Asked {
            column: label(at),
            label: label(at),
            unit: "km".into(),
            kind,
            values: values.to_vec(),
        });
        let mut random = Random::new(&[seed]);
        let mut view = View { names: names.clone(), fields: fields.collect(), random: &mut random };
        let draft = (template.write)(&mut view).map_err(|reject| reject.check.to_string())?;
        let cell = |value: serde_json::Value| Cell { value, fact: String::new() };
        let row = |at: usize| {
            std::iter::once(cell(names[at].clone().into())).chain(columns.iter().map(|values| cell(values[at].into()))).collect()
        };
        let column = |name: String| Column { name, relation: String::new(), unit: String::new() };
        let table = Table {
            columns: std::iter::once("name".to_string()).chain((0..columns.len()).map(label)).map(column).collect(),
            rows: (0..names.len()).map(row).collect(),
        };
        assert!(
            !draft.support.is_empty() && draft.support.iter().all(|(row, field)| *row < names.len() && *field < columns.len()),
            "{name}"
        );
        Ok((derive(&table, &draft.sql).unwrap_or_else(|error| panic!("{name}: {error}: {}", draft.sql)), draft.ask))
    }

    #[test]
    fn sqlite_answers_what_is_asked() {
        let (a, b): (&[f64], &[f64]) = (&[10.0, 80.0, 20.0, 40.0], &[8.0, 60.0, 20.0, 30.0]);
        for (name, columns, answer) in [
            ("sum", vec![a], "150"),
            ("average", vec![a], "37.5"),
            ("median", vec![a], "30"),
            ("median", vec![&a[..3]], "20"),
            ("range", vec![a], "70"),
            // 27.5, 42.5, 17.5 and 2.5 away from 37.5.
            ("deviation", vec![a], "22.5"),
            ("gap", vec![&a[..2]], "70"),
            ("times", vec![&a[..2]], "8"),
            ("share_of_first", vec![a], "53.33"),
            ("growth_of_all", vec![a, b], "27.12"),
            ("average_change", vec![a, b], "8"),
            // 20 against 2.
            ("change_gap", vec![&a[..2], &b[..2]], "18"),
        ] {
            for seed in 0..4 {
                assert_eq!(asked(name, &columns, Kind::Amount, seed).unwrap().0, answer, "{name}");
            }
        }
        let years: &[f64] = &[1900.0, 1850.0, 1850.0];
        assert_eq!(asked("span", &[years], Kind::When, 1).unwrap().0, "50");
        let found: Vec<_> = (0..9).map(|seed| asked("earliest", &[years], Kind::When, seed).map(|(answer, _)| answer)).collect();
        assert!(found.contains(&Ok("Ann's".into())) && found.contains(&Err("ties".into())), "{found:?}");
    }

    #[test]
    fn every_condition_and_rank_is_what_the_words_say() {
        // 1 to 5 in both columns, in different orders: names by their first value.
        let (a, b, c): (&[f64], &[f64], &[f64]) = (&[1.0, 2.0, 3.0, 4.0, 5.0], &[20.0, 50.0, 10.0, 40.0, 30.0], &[7.0, 3.0, 9.0, 1.0, 5.0]);
        let names = ["Ann's", "Bo", "Cy", "Di", "Ed"];
        let mut seen = 0;
        for (template, seed) in TEMPLATES.iter().flat_map(|template| (0..40).map(move |seed| (template, seed))) {
            let kind = if template.needs.contains(&Need::When) { Kind::When } else { Kind::Amount };
            let columns = match template.needs.len() {
                1 if template.needs[0] != Need::Years && template.needs[0] != Need::YearsAmount => vec![a],
                3 => vec![a, b, c],
                _ => vec![a, b],
            };
            let Ok((answer, ask)) = asked(template.name, &columns, kind, seed) else { continue };
            // `a is above 2.5 km`, `b below 35 km`: the rows that fulfil all conditions in the words.
            let mut inside = [true; 5];
            for (name, values) in [("a", a), ("b", b), ("c", c)] {
                for (words, above) in [(" is above ", true), (" above ", true), (" is below ", false), (" below ", false)] {
                    let Some((_, rest)) = ask.split_once(&format!(" {name}{words}")) else { continue };
                    let number: f64 = rest.split(' ').next().unwrap().parse().unwrap();
                    (0..5).for_each(|row| inside[row] &= if above { values[row] > number } else { values[row] < number });
                }
            }
            let rows: Vec<usize> = (0..5).filter(|row| inside[*row]).collect();
            let expected = match template.name {
                "count_where" => rows.len().to_string(),
                "sum_where" => crate::table::say::four(rows.iter().map(|row| a[*row]).sum()),
                "filter" if rows.is_empty() => "none".into(),
                "filter" => rows.iter().rev().map(|row| names[*row]).collect::<Vec<_>>().join(", "),
                "only" => names[rows[0]].into(),
                "best_among" => names[*rows.last().unwrap()].into(),
                _ => continue,
            };
            seen += 1;
            assert_eq!(answer, expected, "{ask}");
        }
        assert!(seen > 60, "{seen}");
    }
}
