//! Questions over facts of prose, in words.

use world::Random;

use super::describe::Clause;
use super::ending::Ending;
use super::paths::Path;
use super::web::{End, Web};
use crate::walk::Compute;

const LETTERS: [&str; 10] = ["A", "B", "C", "D", "E", "F", "G", "H", "J", "K"];
/// How often two entities are told of in one sentence.
const NESTED: f64 = 0.5;

/// The question. Whom a step leads to is told by whom it leaves, and the first by what is said of it. `noun`: what documents are about.
pub fn question(web: &Web, path: &Path, start: &[Clause], ending: &Ending, noun: &str, random: &mut Random) -> String {
    let called = |at: usize| {
        let entity = &web.entities[path.entities[at]];
        match entity.home {
            _ if entity.person => "person",
            Some(_) if noun != "document" => noun,
            _ => "entity",
        }
    };
    let texts: Vec<&str> = start.iter().map(|clause| clause.text.as_str()).collect();
    let first = format!("the {} {}", called(0), joined(&texts));
    let step = |at: usize, from: &str| {
        let (step, person) = (&path.steps[at], web.entities[path.entities[at + 1]].person);
        format!("the {} {}", called(at + 1), web.spoken(step.fact).describe(step.end, person, from))
    };
    let told = path.entities.len() - usize::from(*ending == Ending::Last);
    let single = matches!(ending, Ending::Last | Ending::Value(_));
    if single && told == 1 {
        return asked(web, path, ending, &|_| first.clone());
    }
    if single && told == 2 && web.spoken(path.steps[0].fact).ends(path.steps[0].end) && random.chance(NESTED) {
        let nested = step(0, &first);
        return asked(web, path, ending, &|_| nested.clone());
    }
    // Initials end with the sentence's own full stop.
    let ended = |text: String| if text.ends_with('.') { text } else { text + "." };
    let mut text = ended(format!("Let A be {first}"));
    for at in 1..told {
        text.push_str(&ended(format!(" Let {} be {}", LETTERS[at], step(at - 1, LETTERS[at - 1]))));
    }
    format!("{text} {}", asked(web, path, ending, &|at| LETTERS[at].to_string()))
}

/// `whose …, who … and who …`
fn joined(texts: &[&str]) -> String {
    match texts.split_last() {
        Some((last, [])) => last.to_string(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

fn asked(web: &Web, path: &Path, ending: &Ending, name: &dyn Fn(usize) -> String) -> String {
    let last = path.entities.len() - 1;
    match ending {
        Ending::Last => {
            let (step, from) = (&path.steps[last - 1], name(last - 1));
            match step.end {
                End::Value => web.spoken(step.fact).ask(&from),
                End::Subject => web.spoken(step.fact).ask_whom(web.entities[path.entities[last]].person, &from),
            }
        }
        Ending::Value(fact) => web.spoken(*fact).ask(&name(last)),
        Ending::Both(one, other) => {
            let (one, other) = (web.spoken(*one).ask(&name(last)), web.spoken(*other).ask(&name(last)));
            let second = other[..1].to_lowercase() + &other[1..];
            format!("{one} And {second} Answer with both, in this order, with a comma between them.")
        }
        Ending::Compared { compute, of } => {
            let [one, other] = of.map(|(place, fact)| web.spoken(fact).year(&name(place)));
            match compute {
                Compute::Years => format!("How many years lie between {one} and {other}?"),
                _ => {
                    let order = if *compute == Compute::Earlier { "earlier" } else { "later" };
                    let [one_is, other_is] = of.map(|(place, _)| name(place));
                    format!("Which is {order}: {one}, or {other}? Answer with the name of {one_is} or of {other_is}.")
                }
            }
        }
    }
}
