//! What documents say in one number each: the columns that a table of them can have.

use std::collections::{BTreeMap, BTreeSet};

use data::{Column, Fact};

use super::label::{PATH, labels, words};
use crate::corpus::Source;
use crate::measure::measures;

/// Longest relation that a question can name, in characters.
const LABEL: usize = 100;

/// One number, and the year it holds for where the document says one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    pub value: f64,
    pub year: Option<i32>,
}

/// A value that is one number, or one for each of several years, in one unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    pub unit: String,
    /// Newest first. Several have different years.
    pub figures: Vec<Figure>,
}

/// What may be done with numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Amounts: they add up.
    Amount,
    /// Rates, shares, heights: they have an average, but no sum.
    Rate,
    /// Years.
    When,
}

/// By place of the document: the fact's place in it, and what it says.
pub type Values = BTreeMap<usize, (usize, Vec<Figure>)>;

/// A relation that many documents have as a number in one unit.
#[derive(Clone, Debug)]
pub struct Field {
    /// As facts have it.
    pub relation: String,
    /// As questions have it.
    pub label: String,
    pub unit: String,
    pub kind: Kind,
    pub values: Values,
    /// Whether a document gives several years.
    pub several: bool,
}

/// Which figure of a document stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    Newest,
    Year(i32),
}

impl Field {
    /// The figure of a document, and its fact's place.
    pub fn figure(&self, document: usize, pick: Pick) -> Option<(usize, f64)> {
        let (fact, figures) = self.values.get(&document)?;
        picked(figures, pick).map(|value| (*fact, value))
    }

    /// The first part of its relation.
    pub fn heading(&self) -> &str {
        self.relation.split(PATH).next().unwrap_or("")
    }

    /// The column's name in SQL without what makes it unique: words of the label, and which year.
    pub fn column(&self, pick: Pick) -> String {
        let mut name = words(&self.label);
        match pick {
            Pick::Year(year) => name += &format!("_in_{year}"),
            Pick::Newest if self.several => name += "_newest",
            // A word alone could be one of SQL's, and these endings would mean something else.
            Pick::Newest if !name.contains('_') || name.starts_with("current_") || ending(&name).is_some() => name += "_value",
            Pick::Newest => {}
        }
        name
    }
}

fn picked(figures: &[Figure], pick: Pick) -> Option<f64> {
    match pick {
        Pick::Newest => figures.first().map(|figure| figure.value),
        Pick::Year(year) => figures.iter().find(|figure| figure.year == Some(year)).map(|figure| figure.value),
    }
}

/// What the end of a column's name says of the year.
fn ending(name: &str) -> Option<Pick> {
    if name.ends_with("_newest") {
        return Some(Pick::Newest);
    }
    let (_, year) = name.rsplit_once("_in_")?;
    year.parse().ok().filter(|_| year.len() == 4).map(Pick::Year)
}

/// The number that a fact's value puts into a column; none where it is not one number in the column's unit, or not of its year.
pub fn read(value: &str, column: &Column) -> Option<f64> {
    let read = figures(value).filter(|read| read.unit == column.unit)?;
    match ending(&column.name) {
        Some(pick) => picked(&read.figures, pick),
        None if read.figures.len() == 1 => picked(&read.figures, Pick::Newest),
        None => None,
    }
}

/// The value as figures, if it is nothing else: no words before a number, and after it only those that say what is counted.
pub fn figures(value: &str) -> Option<Figures> {
    let year = value.trim();
    if year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit()) && ("1000"..="2100").contains(&year) {
        return Some(Figures { unit: "year".into(), figures: vec![Figure { value: year.parse().ok()?, year: None }] });
    }
    let found = measures(value);
    if !value.get(..found.first()?.start)?.trim().is_empty() {
        return None;
    }
    let mut units = BTreeSet::new();
    let mut figures = Vec::new();
    for (at, measure) in found.iter().enumerate() {
        let next = found.get(at + 1).map_or(value.len(), |next| next.start);
        let tail = tail(value.get(measure.end..next)?)?;
        units.insert(format!("{} {tail}", measure.unit).trim().to_string());
        figures.push(Figure { value: crate::sql::rounded(measure.value, 12), year: measure.year });
    }
    let years: BTreeSet<_> = figures.iter().filter_map(|figure| figure.year).collect();
    if units.len() != 1 || figures.len() > 1 && years.len() < figures.len() {
        return None;
    }
    figures.sort_by_key(|figure| std::cmp::Reverse(figure.year));
    Some(Figures { unit: units.pop_first()?, figures })
}

/// The few words after a number, without what stands in brackets. None where they say more than what is counted.
fn tail(text: &str) -> Option<String> {
    let (mut out, mut depth) = (String::new(), 0usize);
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            _ if depth > 0 => {}
            c => out.push(c),
        }
    }
    let out = out.trim_matches(|c: char| c.is_whitespace() || matches!(c, '+' | ';' | ',' | '|' | '.'));
    let plain = out.split_whitespace().collect::<Vec<_>>();
    let digits = out.split('/').next().is_some_and(|count| count.chars().any(|c| c.is_ascii_digit()));
    let says_more = digits || out.contains([':', ';', '+', '|']) || plain.len() > 5 || out.chars().count() > 40;
    (depth == 0 && !says_more).then(|| plain.join(" "))
}

/// The relations that at least `least` documents have as a number, in the order of their names. A document that says different things
/// of one relation is left out of its field: without agreement there is no value.
pub fn find(sources: &[Source], facts: &[Vec<Fact>], least: usize) -> Vec<Field> {
    // By relation and unit.
    let mut found: BTreeMap<&str, BTreeMap<String, Values>> = BTreeMap::new();
    for (document, (source, facts)) in sources.iter().zip(facts).enumerate() {
        let mut said: BTreeMap<&str, Vec<(usize, Option<Figures>)>> = BTreeMap::new();
        for (at, fact) in facts.iter().enumerate().filter(|(_, fact)| fact.subject == source.subject()) {
            said.entry(&fact.relation).or_default().push((at, figures(&fact.value)));
        }
        for (relation, said) in said {
            let agreed = said.iter().all(|(_, other)| *other == said[0].1);
            if let (true, Some((at, Some(read)))) = (agreed, said.into_iter().next()) {
                found.entry(relation).or_default().entry(read.unit).or_default().insert(document, (at, read.figures));
            }
        }
    }
    let labels = labels(facts.iter().flatten().map(|fact| fact.relation.as_str()).collect());
    let mut fields = Vec::new();
    for (relation, units) in found {
        // The unit that most documents use; the first of several in the order of the alphabet.
        let Some((unit, values)) = units.into_iter().rev().max_by_key(|(_, values)| values.len()) else { continue };
        let label = labels[relation].clone();
        let numbers: Vec<f64> = values.values().filter_map(|(_, figures)| picked(figures, Pick::Newest)).collect();
        let distinct = numbers.iter().map(|number| number.to_bits()).collect::<BTreeSet<_>>().len();
        let zeros = numbers.iter().filter(|number| **number == 0.0).count();
        let says_something = numbers.len() >= least && 5 * distinct >= 2 * numbers.len() && 4 * zeros <= numbers.len();
        if says_something && label.chars().count() <= LABEL && !words(&label).is_empty() {
            let several = values.values().any(|(_, figures)| figures.len() > 1);
            fields.push(Field { kind: kind(&label, &unit), relation: relation.into(), label, unit, values, several });
        }
    }
    fields
}

/// Whether numbers add up, from their unit and words of their name.
fn kind(label: &str, unit: &str) -> Kind {
    const UNITS: [&str; 18] = [
        "years", "months", "weeks", "days", "hours", "minutes", "seconds", "ms", "m", "ft", "cm", "mm", "°C", "°F", "Hz", "kHz", "MHz",
        "GHz",
    ];
    const WORDS: [&str; 21] = [
        "rate",
        "per",
        "percent",
        "percentage",
        "ratio",
        "index",
        "average",
        "mean",
        "median",
        "age",
        "density",
        "growth",
        "share",
        "score",
        "price",
        "temperature",
        "year",
        "speed",
        "height",
        "length",
        "id",
    ];
    let rate = |word: &str| WORDS.contains(&word) || word.strip_suffix('s').is_some_and(|word| WORDS.contains(&word));
    if unit == "year" {
        Kind::When
    } else if unit.contains(['%', '/', '‰'])
        || unit.split(' ').any(|word| word == "per")
        || UNITS.contains(&unit)
        || words(label).split('_').any(rate)
    {
        Kind::Rate
    } else {
        Kind::Amount
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::corpus;
    use super::*;
    use proptest::prelude::*;

    #[allow(clippy::type_complexity)] // what a test looks at
    fn said(value: &str) -> Option<(String, Vec<(f64, Option<i32>)>)> {
        let read = figures(value)?;
        Some((read.unit, read.figures.into_iter().map(|figure| (figure.value, figure.year)).collect()))
    }

    #[test]
    fn a_value_is_one_number_or_one_for_each_year() {
        let is = |value: &str, unit: &str, figures: &[(f64, Option<i32>)]| {
            assert_eq!(said(value), Some((unit.to_string(), figures.to_vec())), "{value}")
        };
        is("4,167 sq km (118 islands)", "sq km", &[(4167.0, None)]);
        is("$2.1 billion (2013 est.) ++ $2.5 billion (2014 est.)", "$", &[(2.5e9, Some(2014)), (2.1e9, Some(2013))]);
        is("-5.2% of GDP (2014 est.)", "% of GDP", &[(-5.2, Some(2014))]);
        is("17.4 deaths/1,000 live births", "deaths/1,000 live births", &[(17.4, None)]);
        is("1891", "year", &[(1891.0, None)]);
        for value in [
            "",
            "none",
            "Mont A 3,408 m",
            "less than 5%",
            "18-65 years",
            "5% (2013) ++ 6 km (2014)",
            "5% (2013) ++ 6% (2013)",
            "5%; arable land 3%",
            "7 (plus 14 repeaters",
            "5 km 300",
            "5 km: of these 3 are paved",
        ] {
            assert_eq!(said(value), None, "{value}");
        }
    }

    #[test]
    fn a_column_says_which_year_it_has() {
        let column = |name: &str, unit: &str| Column { name: name.into(), relation: "r".into(), unit: unit.into() };
        let value = "$2.1 billion (2013 est.) ++ $2.5 billion (2014 est.)";
        assert_eq!(read(value, &column("exports_newest", "$")), Some(2.5e9));
        assert_eq!(read(value, &column("exports_in_2013", "$")), Some(2.1e9));
        assert_eq!(read(value, &column("exports_in_2012", "$")), None);
        assert_eq!(read(value, &column("exports_value", "$")), None);
        assert_eq!(read(value, &column("exports_newest", "€")), None);
        let field = |label: &str, several| Field {
            relation: label.into(),
            label: label.into(),
            unit: String::new(),
            kind: Kind::Amount,
            values: BTreeMap::new(),
            several,
        };
        for (label, several, pick, name) in [
            ("Order", false, Pick::Newest, "order_value"),
            ("Exports: total", true, Pick::Newest, "exports_total_newest"),
            ("Sold in 2013", false, Pick::Newest, "sold_in_2013_value"),
            ("0-14 years", false, Pick::Newest, "_0_14_years"),
            ("GDP", true, Pick::Year(2013), "gdp_in_2013"),
        ] {
            assert_eq!(field(label, several).column(pick), name);
        }
    }

    #[test]
    fn a_document_that_disagrees_with_itself_has_no_value() {
        let (sources, mut facts) = corpus(6);
        let of = |facts: &[Vec<Fact>]| {
            find(&sources, facts, 3).into_iter().map(|field| (field.label.clone(), field)).collect::<BTreeMap<_, _>>()
        };
        let fields = of(&facts);
        assert_eq!(fields["Exports"].values.len(), 6);
        assert_eq!((fields["Exports"].unit.as_str(), fields["Exports"].several, fields["Exports"].kind), ("$", true, Kind::Amount));
        assert_eq!((fields["Growth rate"].kind, fields["Founded"].kind), (Kind::Rate, Kind::When));
        // `Sea` is 12 nm everywhere, and `Motto` no number.
        assert!(!fields.contains_key("Sea") && !fields.contains_key("Motto"));
        let mut again = facts[2][0].clone();
        facts[2].push(again.clone());
        assert_eq!(of(&facts)["Exports"].values.len(), 6);
        again.value = "$1 (2014)".into();
        facts[2].push(again);
        assert_eq!(of(&facts)["Exports"].values.keys().copied().collect::<Vec<_>>(), [0, 1, 3, 4, 5]);
        // What is about another subject is not about the document.
        facts[3].iter_mut().for_each(|fact| fact.subject = "Someone".into());
        assert_eq!(of(&facts)["Exports"].values.keys().copied().collect::<Vec<_>>(), [0, 1, 4, 5]);
    }

    proptest! {
        #[test]
        fn no_value_breaks_it(value in "(\\$?-?[0-9]{1,4}|[,.]|%| |km|é|\\(|\\)|\\+\\+|/|of|2014|million|;){0,14}") {
            if let Some(read) = figures(&value) {
                prop_assert!(!read.figures.is_empty() && read.figures.iter().all(|figure| figure.value.is_finite()));
            }
        }
    }
}
