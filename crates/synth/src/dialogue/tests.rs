use super::*;
use crate::context::tests::source;
use data::Span;

/// Documents of some lines `key: value` each, with a fact for each line.
fn corpus() -> (Vec<Source>, Vec<Vec<Fact>>) {
    let names = ["Ahr", "Bode", "Cher", "Drau", "Elbe", "Fulda", "Gera", "Havel", "Inn", "Jagst"];
    let colours = ["amber", "beige", "coral", "denim", "ebony", "fawn", "grey", "hazel", "ivory", "jade"];
    let (mut sources, mut facts) = (Vec::new(), Vec::new());
    for (at, (name, colour)) in names.iter().zip(colours).enumerate() {
        let mut lines = vec![("Sign › colour".to_string(), colour.to_string()), ("Sign › shape".into(), "round".into())];
        for (number, key) in ["length", "depth", "width", "slope", "course"].into_iter().enumerate() {
            lines.push((format!("Water › {key}"), format!("{} units of {key}", 7 * at + number)));
            lines.push((format!("Towns › {key} of the bridge"), format!("about {}", 100 * at + number)));
        }
        let mut text = String::new();
        let mut of_it = Vec::new();
        for (relation, value) in lines {
            text += &format!("{relation}: ");
            let span = Span { doc: format!("d{at}"), start: text.len(), end: text.len() + value.len() };
            let id = crate::hash::id("fact", [span.doc.as_str(), &relation, &value, &span.start.to_string()]);
            text += &format!("{value}\n");
            of_it.push(Fact { id, subject: name.to_string(), relation, value, span, call: None });
        }
        sources.push(source(&format!("d{at}"), name, &text));
        facts.push(of_it);
    }
    (sources, facts)
}

fn made(count: usize, tokens: (usize, usize)) -> (Vec<Candidate>, Vec<Reject>) {
    let (sources, facts) = corpus();
    dialogues(&sources, &facts, &DialogueSettings { count, tokens }, &Tokenizer::approximate(), &mut Random::new(&[11]))
}

#[test]
fn the_reply_is_found_from_the_documents_and_in_no_other_way() {
    let (made, rejected) = made(60, (1_000, 3_000));
    assert!(rejected.len() < 6, "{rejected:?}");
    let (mut shapes, mut lures) = (BTreeSet::new(), 0);
    for candidate in &made {
        let turns = talk::turns(&candidate.own).unwrap();
        let (answer, derivation) = (&candidate.answers[0], &candidate.derivation);
        assert_eq!(derive(derivation, &candidate.own, &candidate.question).as_ref(), Ok(answer));
        let (code, reply) = answer.split_once(' ').unwrap();
        assert!(code.len() == CODE && candidate.question.contains(&format!("Write {code} and")));
        assert_eq!(turns.iter().filter(|(_, assistant)| &candidate.own[assistant.clone()] == reply).count(), 1);
        assert_eq!((candidate.gold.len(), candidate.hops), (3, 4));
        for hidden in &derivation.obfuscation {
            let fact = derivation.facts.iter().find(|fact| fact.id == hidden.fact).unwrap();
            assert!(candidate.question.contains(&hidden.to) && !candidate.question.contains(&hidden.from), "{}", candidate.question);
            assert!(!normal(&candidate.own).contains(&normal(&fact.value)), "the conversation gives it away: {}", fact.value);
        }
        let told: Vec<&Fact> = derivation.facts.iter().filter(|fact| reply.contains(&fact.value) && fact.span.doc != "own").collect();
        assert!(!told.is_empty());
        let tokens = Tokenizer::approximate().count(&candidate.own).unwrap();
        assert!((850..=3_000).contains(&tokens), "{tokens}");
        let counted = derivation.facts.iter().filter(|fact| fact.relation.starts_with("user")).count();
        shapes.insert((candidate.question.contains("Leave out") || candidate.question.contains("look for the first"), counted));
        // Counting all such requests, not only those after the one named, ends elsewhere.
        let last = derivation.facts.iter().rev().nth(1).unwrap();
        let wordings = turns.iter().filter(|(user, _)| user.start < last.span.start).count();
        lures += usize::from(wordings > counted);
    }
    assert!(shapes.len() >= 5 && lures > 50, "{shapes:?} {lures}");
}

#[test]
fn a_changed_turn_description_or_ordinal_is_noticed() {
    let (made, _) = made(20, (1_000, 2_000));
    for candidate in &made {
        let (own, question, derivation) = (&candidate.own, &candidate.question, &candidate.derivation);
        let wrong =
            |own: &str, question: &str, derivation: &Derivation| derive(derivation, own, question).as_ref() != Ok(&candidate.answers[0]);
        let reply = candidate.answers[0].split_once(' ').unwrap().1;
        assert!(wrong(&own.replacen(reply, &reply.replacen(' ', "  ", 1), 1), question, derivation));
        let (nth, other) = [("first", "second"), ("second", "third"), ("third", "fourth"), ("fourth", "fifth")]
            .into_iter()
            .find(|(nth, _)| question.contains(&format!("the {nth} time.")) || question.contains(&format!("the {nth} of these")))
            .unwrap();
        assert!(wrong(own, &question.replace(&format!("the {nth} "), &format!("the {other} ")), derivation));
        let mut changed = derivation.clone();
        changed.facts[0].value.push('x');
        assert!(wrong(own, question, &changed));
        let mut changed = derivation.clone();
        changed.obfuscation.swap(0, 1);
        // Of two that belong together the order is that of the question.
        assert!(wrong(own, question, &changed));
        let request = derivation.facts.iter().find(|fact| fact.relation.starts_with("user")).unwrap();
        assert!(wrong(&own.replacen(&request.value, "Good morning, and what then?", 1), question, derivation));
    }
}

#[test]
fn lengths_are_what_is_asked_for_and_seeds_decide() {
    let (long, rejected) = made(3, (20_000, 20_000));
    assert!(rejected.is_empty(), "{rejected:?}");
    for candidate in &long {
        let tokens = Tokenizer::approximate().count(&candidate.own).unwrap();
        assert!((18_500..=20_000).contains(&tokens), "{tokens}");
    }
    assert_eq!(made(3, (20_000, 20_000)).0, long);
}

#[test]
fn a_corpus_without_descriptions_says_so() {
    let (sources, facts) = corpus();
    let few = dialogues(
        &sources[..3],
        &facts[..3],
        &DialogueSettings { count: 2, tokens: (500, 500) },
        &Tokenizer::approximate(),
        &mut Random::new(&[1]),
    );
    assert!(few.0.is_empty() && few.1.len() == 2 && few.1[0].reason.starts_with("3 documents"), "{:?}", few.1);
    let none = dialogues(&[], &[], &DialogueSettings { count: 1, tokens: (500, 500) }, &Tokenizer::approximate(), &mut Random::new(&[1]));
    assert!(none.1[0].reason.starts_with("0 documents"));
}
