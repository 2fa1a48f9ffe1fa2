//! A question with four options.

use std::collections::BTreeSet;
use std::str::FromStr;

use data::Check;
use reward::Rule;
use world::Random;

use crate::candidate::{Candidate, Reject};
use crate::graph::Graph;
use crate::measure::{Measure, measures};
use crate::overlap::{normal, words};
use crate::prose;
use crate::walk::answer::answer;

/// The options' letters.
const LETTERS: [char; 4] = ['A', 'B', 'C', 'D'];
/// Characters of an option: longer ones are texts.
const LONGEST: usize = 160;
/// Of how many nearest values the wrong options are drawn.
const NEAREST: usize = 9;

/// What could stand in the answer's place: where it is what an entity is called, whatever else has the chain's last relation; else what
/// the last fact's relation has elsewhere.
pub fn others(candidate: &Candidate, graph: &Graph) -> Vec<String> {
    let derivation = &candidate.derivation;
    // Of two facts asked for together no other pair is known.
    if prose::pair(&candidate.answers).len() > 1 {
        return Vec::new();
    }
    let (Some(right), Some(last)) = (candidate.answers.first(), derivation.facts.last()) else { return Vec::new() };
    if !derivation.edges.iter().any(|edge| edge.to == *right || edge.from == *right) {
        return graph.elsewhere(last);
    }
    let said: BTreeSet<&str> = graph.facts.iter().filter(|fact| fact.relation == last.relation).map(|fact| fact.subject.as_str()).collect();
    said.into_iter().map(str::to_string).collect()
}

/// The same question with options (A) to (D), of which the wrong ones are drawn from `others`. The derivation stays as it is; which
/// letter is right says the check `options`.
///
/// Wrong options look like the right one: where that is one figure or one name, only the figure or name that a value gives; numbers of
/// the same unit and near, names of about as many words. None equals it or has it in itself, nor the other way round, as the reward
/// compares texts.
pub fn multiple_choice(candidate: &Candidate, others: &[String], random: &mut Random) -> Result<Candidate, Reject> {
    let no = |reason: String| Reject { check: "options", reason };
    let right = candidate.answers.first().map(|answer| answer.trim()).unwrap_or_default();
    if !fits(right) || candidate.rule == "mrcr" || candidate.rule == "letter" {
        return Err(no("its answer is no text of one short line".into()));
    }
    let rule = Rule::from_str(&candidate.rule).map_err(|error| no(error.to_string()))?;
    // A value that is one figure, without its remarks.
    let kind = answer(right).filter(|answer| answer.text == right).map(|answer| answer.number);
    let bare = |other: &String| match kind {
        Some(number) => answer(other).filter(|answer| answer.number == number).map(|answer| answer.text),
        None => Some(other.trim().to_string()),
    };
    // The nearest first: each is compared with the few that are taken, not with all that a large corpus has.
    let mut others: Vec<(f64, String)> = others
        .iter()
        .filter_map(bare)
        .filter(|other| fits(other) && alike(right, other))
        .map(|other| (distance(right, &other), other))
        .collect();
    others.sort_by(|(a, one), (b, other)| a.total_cmp(b).then(one.cmp(other)));
    others.dedup();
    let mut wrong: Vec<&str> = Vec::new();
    for (_, other) in &others {
        let mut known = candidate.answers.iter().map(String::as_str).chain(wrong.iter().copied());
        if !known.any(|known| clashes(rule, known, other)) {
            wrong.push(other);
        }
        if wrong.len() == NEAREST {
            break;
        }
    }
    if wrong.len() < LETTERS.len() - 1 {
        return Err(no(format!("{} of the relation's other values look like it and differ from it: 3 are needed", wrong.len())));
    }
    random.shuffle(&mut wrong);
    wrong.truncate(LETTERS.len() - 1);
    let at = random.below(LETTERS.len());
    wrong.insert(at, right);
    let lines = LETTERS.iter().zip(&wrong).map(|(letter, option)| format!("\n({letter}) {option}"));
    let mut derivation = candidate.derivation.clone();
    derivation.checks.push(Check { name: "options".into(), passed: Some(true), detail: format!("({}) {right}", LETTERS[at]) });
    Ok(Candidate {
        task: "multiple_choice".into(),
        question: lines.fold(candidate.question.clone(), |question, line| question + &line),
        answers: vec![LETTERS[at].to_string()],
        rule: "letter".into(),
        derivation,
        ..candidate.clone()
    })
}

/// A question without its options.
pub(crate) fn stem(question: &str) -> &str {
    let options = options(question);
    if options.is_empty() { question } else { question.rsplitn(LETTERS.len() + 1, '\n').last().unwrap_or(question) }
}

/// What (A) to (D) stand for; empty where a question has no such lines at its end.
pub(crate) fn options(question: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = question.rsplitn(LETTERS.len() + 1, '\n').take(LETTERS.len()).collect();
    lines.reverse();
    let found: Option<Vec<&str>> = lines.into_iter().zip(LETTERS).map(|(line, letter)| option(line, letter)).collect();
    found.filter(|found| found.len() == LETTERS.len()).unwrap_or_default()
}

fn option(line: &str, letter: char) -> Option<&str> {
    line.strip_prefix('(')?.strip_prefix(letter)?.strip_prefix(") ")
}

/// Whether it can stand behind a letter: words of one line.
fn fits(text: &str) -> bool {
    !text.contains('\n') && text.chars().count() <= LONGEST && normal(text).len() > 1
}

/// Whether one would be taken for the other: equal, or one within the other, or numbers too near to tell apart.
fn clashes(rule: Rule, right: &str, other: &str) -> bool {
    let said = |text: &str| format!("The answer is {text}");
    let holds = |rule: Rule, reply: &str, gold: &str| rule.score(&said(reply), &[gold.to_string()]) > 0.0;
    let either = |rule: Rule| holds(rule, other, right) || holds(rule, right, other);
    let (a, b) = (normal(right), normal(other));
    a.contains(&b) || b.contains(&a) || either(Rule::Contain) || either(rule)
}

/// Whether both are numbers of one unit, or neither is a number.
fn alike(right: &str, other: &str) -> bool {
    match (number(right), number(other)) {
        (Some(right), Some(other)) => right.unit == other.unit,
        (right, other) => right.is_none() && other.is_none(),
    }
}

/// How unlike the right one an option is: numbers by their ratio, other texts by their words and length.
fn distance(right: &str, other: &str) -> f64 {
    match (number(right), number(other)) {
        (Some(right), Some(other)) => (right.value - other.value).abs() / right.value.abs().max(other.value.abs()).max(f64::MIN_POSITIVE),
        _ => {
            let apart = |of: &dyn Fn(&str) -> usize| of(right).abs_diff(of(other)) as f64;
            apart(&|text| words(text).len()) + 0.1 * apart(&|text| text.chars().count())
        }
    }
}

/// The number that a text is, apart from the words about it: none for a text of words that has a number in it.
fn number(text: &str) -> Option<Measure> {
    let first = measures(text).into_iter().next()?;
    let before = text.get(..first.start)?;
    (words(before).is_empty()).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::candidate;

    fn asked(answer: &str, rule: &str) -> Candidate {
        Candidate { rule: rule.into(), ..candidate(&["d"], "Which one is it?", answer) }
    }

    fn others(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| text.to_string()).collect()
    }

    #[test]
    fn the_letter_is_that_of_the_right_option_and_every_letter_comes() {
        let names = others(&[
            "Oslo",
            "The Berlin",
            "berlin.",
            "East Berlin",
            "Paris",
            "Rome",
            "Oslo",
            "Vienna",
            "A text of far more words than one",
            "7 km",
            "Bern 12 km",
        ]);
        let mut letters = std::collections::BTreeSet::new();
        for seed in 0..40 {
            let made = multiple_choice(&asked("Berlin", "contain"), &names, &mut Random::new(&[seed])).unwrap();
            let options = options(&made.question);
            let at = LETTERS.iter().position(|letter| made.answers == [letter.to_string()]).unwrap();
            assert_eq!((options.len(), options[at], stem(&made.question)), (4, "Berlin", "Which one is it?"));
            assert_eq!(options.iter().filter(|option| normal(option).contains(" berlin ")).count(), 1, "{options:?}");
            assert!(options.iter().all(|option| option.split(' ').count() == 1), "{options:?}");
            assert_eq!((made.rule.as_str(), made.task.as_str()), ("letter", "multiple_choice"));
            assert_eq!(made.derivation.checks.last().unwrap().detail, format!("({}) Berlin", LETTERS[at]));
            assert_eq!(Rule::Letter.score(&format!("The correct answer is ({})", LETTERS[at]), &made.answers), 1.0);
            letters.insert(made.answers);
        }
        assert_eq!(letters.len(), 4);
    }

    #[test]
    fn wrong_numbers_have_the_unit_and_are_near_but_not_the_same() {
        let lengths = others(&[
            "4,450 km",
            "4,500 km (2014 est.)",
            "4,380 km",
            "9 km",
            "4,440",
            "4.45 thousand km",
            "81%",
            "4,451 km",
            "5,100 km",
            "120,000 km",
        ]);
        let made = multiple_choice(&asked("4,450 km", "numeric"), &lengths, &mut Random::new(&[3])).unwrap();
        let found = options(&made.question);
        assert!(found.iter().all(|option| option.ends_with(" km")), "{found:?}");
        assert!(!found.contains(&"4,451 km"), "within the rule's tolerance: {found:?}");
    }

    #[test]
    fn too_few_others_are_a_rejection_with_its_number() {
        let reject =
            multiple_choice(&asked("Berlin", "contain"), &others(&["Oslo", "Rome", "Berlin"]), &mut Random::new(&[1])).unwrap_err();
        assert!(reject.check == "options" && reject.reason.starts_with("2 of"), "{reject:?}");
        assert!(multiple_choice(&asked("a\nb", "contain"), &[], &mut Random::new(&[1])).is_err());
        assert!(multiple_choice(&asked("…", "contain"), &others(&["a b", "c d", "e f"]), &mut Random::new(&[1])).is_err());
        assert_eq!(options("Which?\n(A) x\n(B) y\n(C) z"), [""; 0]);
        assert_eq!(stem("One\n(A) x"), "One\n(A) x");
    }
}
