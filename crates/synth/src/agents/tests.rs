use super::*;
use crate::context::tests::source;
use proptest::prelude::*;
use serde_json::{Value, json};

#[path = "tests/rows.rs"]
mod rows;

/// Mills with a keeper and wheels each, and text to read past.
fn mill(at: usize) -> (String, String) {
    let keeper = ["Ann", "Bob", "Cid", "Dot", "Eve", "Fay", "Gus", "Hal", "Ida", "Jon", "Kit", "Lea"][at % 12];
    let filler = "The river ran past it and nothing else was written of that year. ".repeat(2 + at % 3);
    (
        format!("Mill {}", 100 + at),
        format!("Its keeper was {keeper} {at}, they say.\n{filler}\nIt had {} wheels\nin all. It stood.", 3 + 2 * at),
    )
}

fn sources() -> Vec<Source> {
    (0..24).map(|at| source(&format!("d{at}"), &mill(at).0, &mill(at).1)).collect()
}

/// The documents of a prompt: number and text.
fn documents(prompt: &str) -> Vec<(usize, &str)> {
    let text = prompt.split("<text>\n").nth(1).unwrap().split("\n</text>").next().unwrap();
    text.split("\n\nDoc ")
        .map(|part| part.trim_start_matches("Doc "))
        .map(|part| (part.split(':').next().unwrap().parse().unwrap(), part))
        .collect()
}

fn wheels(text: &str) -> usize {
    text.split("It had ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
}

fn keeper(text: &str) -> &str {
    text.split("Its keeper was ").nth(1).unwrap().split(',').next().unwrap()
}

/// A proposer that adds up the wheels of all that it sees.
fn proposal(prompt: &str) -> Value {
    let documents = documents(prompt);
    let sum: usize = documents.iter().map(|(_, text)| wheels(text)).sum();
    let keepers: Vec<&str> = documents.iter().map(|(_, text)| keeper(text)).collect();
    let evidence: Vec<Value> = documents
        .iter()
        .map(|(number, text)| json!({"document": number, "quote": format!("It had {} wheels in all.", wheels(text))}))
        .collect();
    json!({
        "reasoning": "added up", "evidence": evidence, "answer": format!("{sum} wheels"),
        "question": format!("How many wheels had the mills that {} kept, taken together?", keepers.join(" and ")),
    })
}

/// A solver that adds up those of the keepers that are asked for.
fn solution(prompt: &str) -> String {
    let question = prompt.split("</text>").nth(1).unwrap();
    let asked = documents(prompt).into_iter().filter(|(_, text)| question.contains(&format!("{} ", keeper(text))));
    format!("Therefore, the answer is ({} wheels).", asked.map(|(_, text)| wheels(text)).sum::<usize>())
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Propose,
    Solve,
    Verify,
}

fn role(request: &ChatRequest) -> Role {
    match request.messages[0].content.starts_with("Two answers to one question") {
        _ if request.schema.is_some() => Role::Propose,
        true => Role::Verify,
        false => Role::Solve,
    }
}

/// A model that does as it is told: `says` has the role, the prompt and the call's number within its role.
struct Script<'a> {
    says: &'a dyn Fn(Role, &str, usize) -> Result<String, ChatError>,
    asked: Vec<ChatRequest>,
}

impl Script<'_> {
    fn answer(&mut self, requests: &[ChatRequest]) -> Vec<Result<Said, ChatError>> {
        let one = |request: &ChatRequest| {
            let kind = role(request);
            let number = self.asked.iter().filter(|asked| role(asked) == kind).count();
            self.asked.push(request.clone());
            let reply = (self.says)(kind, &request.messages[0].content, number)?;
            Ok(Said { call: format!("{kind:?} {number}"), reply })
        };
        requests.iter().map(one).collect()
    }

    fn prompts(&self, kind: Role) -> Vec<&str> {
        self.asked.iter().filter(|request| role(request) == kind).map(|request| request.messages[0].content.as_str()).collect()
    }
}

fn settings() -> AgentSettings {
    let base = AgentSettings { documents: 2, tasks: vec![Task::Numeric], rounds: 1, tries: 3, votes: 4, ..AgentSettings::default() };
    AgentSettings { cluster: Choice::Random, ..base }
}

/// What comes of so many questions, and all that was asked.
fn proposed(
    settings: &AgentSettings,
    count: usize,
    says: &dyn Fn(Role, &str, usize) -> Result<String, ChatError>,
) -> (Result<Made, String>, Vec<ChatRequest>) {
    let (sources, tokenizer) = (sources(), Tokenizer::approximate());
    let shelf = Shelf::new(&sources, &tokenizer).unwrap();
    let agents = Agents::new(&sources, &shelf, &tokenizer, settings, (500, 1_000));
    let mut script = Script { says, asked: Vec::new() };
    let made = agents.propose(count, &mut Random::new(&[5]), &mut |_, requests| script.answer(requests));
    (made, script.asked)
}

/// The honest model.
fn honest(role: Role, prompt: &str, _: usize) -> Result<String, ChatError> {
    Ok(match role {
        Role::Propose => proposal(prompt).to_string(),
        Role::Solve => solution(prompt),
        Role::Verify => "[[NO]]".into(),
    })
}

#[test]
fn a_question_that_most_solvers_answer_is_kept_with_all_that_was_said() {
    let (made, asked) = proposed(&settings(), 1, &honest);
    let made = made.unwrap();
    let candidate = &made.kept[0];
    assert_eq!((made.kept.len(), made.dropped.len(), made.tried.len(), asked.len()), (1, 0, 0, 4));
    let derivation = &candidate.derivation;
    assert_eq!((candidate.task.as_str(), candidate.rule.as_str(), derivation.paradigm.as_str()), ("numeric", "numeric", "calculation"));
    assert_eq!((candidate.gold.len(), candidate.hops, derivation.facts.len()), (2, 2, 2));
    let fact = &derivation.facts[0];
    assert!(fact.value.contains("wheels\nin all") && fact.subject.starts_with("Mill "), "{fact:?}");
    let calls: Vec<_> = derivation.transcripts.iter().map(|said| (said.role.as_str(), said.call.as_str())).collect();
    assert_eq!(calls, [("propose", "Propose 0"), ("solve", "Solve 0"), ("solve", "Solve 1"), ("solve", "Solve 2")]);
    let check = |name: &str| derivation.checks.iter().find(|check| check.name == name).map(|check| check.detail.as_str());
    assert_eq!(check("verifier"), Some("3 of 3 solvers came to the proposer's answer, 3 of them by the rule; 0 votes were cast"));
    assert_eq!(check("grounding"), Some("2 quotes of 2 of 2 documents, 2 but for white space"));
    // Solvers see others as well, and each has a seed of its own.
    let solvers: Vec<_> = asked.iter().filter(|request| role(request) == Role::Solve).collect();
    assert!(documents(&solvers[0].messages[0].content).len() > 4);
    assert_eq!(solvers.iter().map(|request| request.sampling.seed).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn a_reply_of_the_wrong_form_is_asked_for_once_more() {
    let once = |role: Role, prompt: &str, number: usize| match role {
        Role::Propose if number == 0 => Ok("I would ask {\"question\": 7}".into()),
        _ => honest(role, prompt, number),
    };
    let (made, asked) = proposed(&settings(), 1, &once);
    let made = made.unwrap();
    assert_eq!(made.kept[0].derivation.transcripts.iter().filter(|said| said.role == "propose").count(), 2);
    assert!(made.tried.is_empty());
    assert_ne!(asked[0].sampling.seed, asked[1].sampling.seed);
    assert_eq!(asked[0].messages, asked[1].messages);
    let never = |role: Role, prompt: &str, number: usize| match role {
        Role::Propose => Ok("{".into()),
        _ => honest(role, prompt, number),
    };
    let (made, asked) = proposed(&settings(), 1, &never);
    let made = made.unwrap();
    assert_eq!((made.kept.len(), made.tried[0].check, asked.len()), (0, "format", 2));
    assert_eq!(made.tried[0].reason, "there is no JSON object");
}

#[test]
fn what_is_quoted_must_stand_there() {
    let liar = |role: Role, prompt: &str, number: usize| match role {
        Role::Propose => {
            let mut said = proposal(prompt);
            said["evidence"][1]["quote"] = json!("It had 1000 wheels");
            Ok(said.to_string())
        }
        _ => honest(role, prompt, number),
    };
    let (made, asked) = proposed(&settings(), 1, &liar);
    let made = made.unwrap();
    let (candidate, reject) = &made.dropped[0];
    assert!(reject.check == "grounding" && reject.reason.starts_with("“It had 1000 wheels” does not stand in d"), "{reject:?}");
    assert!(made.kept.is_empty() && candidate.question.starts_with("How many") && asked.len() == 1, "no solver is asked");
}

/// Solvers of which the first is right; the verifier says yes so often of four times.
fn doubted(yes: usize) -> impl Fn(Role, &str, usize) -> Result<String, ChatError> {
    move |role, prompt, number| match role {
        Role::Solve if number > 0 => Ok("The answer is more than it seems, 41".into()),
        Role::Verify => Ok(if number < yes { "[[YES]]".into() } else { "They differ. [[NO]]".into() }),
        _ => honest(role, prompt, number),
    }
}

#[test]
fn the_verifier_decides_where_the_rule_says_no() {
    for (yes, kept, said) in [(0, 0, "1 of 3"), (2, 0, "1 of 3"), (3, 1, "3 of 3"), (4, 1, "3 of 3")] {
        let (made, asked) = proposed(&settings(), 1, &doubted(yes));
        let made = made.unwrap();
        let script = Script { says: &honest, asked };
        let votes = script.prompts(Role::Verify);
        assert_eq!((votes.len(), made.kept.len()), (4, kept), "{yes} of 4 votes, and equal answers are compared once");
        assert!(votes[0].contains("more than it seems, 41") && votes[0].contains(" wheels\n</answer_2>"), "{}", votes[0]);
        let detail = format!("{said} solvers came to the proposer's answer, 1 of them by the rule; 4 votes were cast");
        match made.dropped.first() {
            Some((candidate, reject)) => {
                assert_eq!((reject.check, &reject.reason), ("verifier", &detail));
                assert_eq!(candidate.derivation.transcripts.len(), 1 + 3 + 4);
            }
            None => assert_eq!(made.kept[0].derivation.checks.last().unwrap().detail, detail),
        }
    }
}

#[test]
fn a_later_visit_is_shown_what_was_solved_before_and_new_documents() {
    let settings = AgentSettings { rounds: 3, ..settings() };
    let (made, asked) = proposed(&settings, 3, &honest);
    assert_eq!(made.unwrap().kept.len(), 3);
    let script = Script { says: &honest, asked };
    let prompts = script.prompts(Role::Propose);
    let texts =
        |at: usize| documents(prompts[at]).into_iter().map(|(_, text)| text.split_once('\n').unwrap().1.to_string()).collect::<Vec<_>>();
    assert_eq!([texts(0).len(), texts(1).len(), texts(2).len()], [2, 4, 6]);
    assert!(texts(1)[..2] == texts(0)[..] && texts(2)[..4] == texts(1)[..], "the buffered questions' documents are there again");
    let question = |at: usize| proposal(prompts[at])["question"].as_str().unwrap().to_string();
    assert!(!prompts[0].contains("<examples>") && prompts[1].contains(&question(0)) && prompts[1].contains("clearly harder"));
    assert!(prompts[2].contains(&question(0)) && prompts[2].contains(&question(1)));
    // A question that nobody solved is no example, and its documents do not come again.
    let (made, asked) = proposed(&settings, 3, &|role, prompt, number| match role {
        Role::Solve => Ok("The answer is 1".into()),
        _ => honest(role, prompt, number),
    });
    assert_eq!(made.unwrap().dropped.len(), 3);
    let script = Script { says: &honest, asked };
    let prompts = script.prompts(Role::Propose);
    assert!(prompts.iter().all(|prompt| documents(prompt).len() == 2 && !prompt.contains("<examples>")));
    assert_eq!(prompts.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
}

#[test]
fn a_choice_has_its_wrong_answers_from_the_proposer() {
    let settings = AgentSettings { tasks: vec![Task::MultipleChoice], ..settings() };
    let chooser = |options: Value| {
        move |role: Role, prompt: &str, _: usize| {
            Ok(match role {
                Role::Propose => {
                    let mut said = proposal(prompt);
                    said["options"] = options.clone();
                    said.to_string()
                }
                Role::Solve => {
                    let right = solution(prompt);
                    let right = right.split('(').nth(1).unwrap().split(')').next().unwrap();
                    let line = prompt.lines().find(|line| line.ends_with(&format!(") {right}"))).unwrap();
                    format!("The correct answer is {}", &line[..3])
                }
                Role::Verify => panic!("a letter is not voted on"),
            })
        }
    };
    let (made, _) = proposed(&settings, 1, &chooser(json!(["1 wheels", "2 wheels", "900 wheels"])));
    let made = made.unwrap();
    let candidate = &made.kept[0];
    assert_eq!((candidate.task.as_str(), candidate.rule.as_str(), candidate.answers[0].len()), ("multiple_choice", "letter", 1));
    assert_eq!(crate::choice::options(&candidate.question).len(), 4);
    let (made, _) = proposed(&settings, 1, &chooser(json!(["1 wheels", "2 wheels", "Oslo"])));
    assert_eq!(made.unwrap().dropped[0].1.check, "options");
}

#[test]
fn a_prompt_that_is_too_long_is_a_reject_and_a_model_that_is_down_ends_it() {
    for (at, check) in [(Role::Propose, "tried"), (Role::Solve, "dropped")] {
        let (made, _) = proposed(&settings(), 1, &|role, prompt, number| {
            if role == at { Err(ChatError::TooLong { prompt: 9, window: 8 }) } else { honest(role, prompt, number) }
        });
        let made = made.unwrap();
        let reject = if check == "tried" { &made.tried[0] } else { &made.dropped[0].1 };
        assert_eq!((reject.check, made.kept.len()), ("window", 0));
        let (made, _) = proposed(&settings(), 1, &|role, prompt, number| {
            if role == at { Err(ChatError::Failed("it is down".into())) } else { honest(role, prompt, number) }
        });
        assert_eq!(made.unwrap_err(), "it is down");
    }
    let (sources, tokenizer) = (sources(), Tokenizer::approximate());
    let (shelf, settings) = (Shelf::new(&sources, &tokenizer).unwrap(), settings());
    let agents = Agents::new(&sources, &shelf, &tokenizer, &settings, (500, 1_000));
    assert!(agents.propose(1, &mut Random::new(&[5]), &mut |_, _| Vec::new()).unwrap_err().contains("0 replies came to 1 calls"));
    // Documents that are too long for any context.
    let agents = Agents::new(&sources, &shelf, &tokenizer, &settings, (20, 30));
    let made = agents.propose(1, &mut Random::new(&[5]), &mut |_, _| Vec::new()).unwrap();
    assert!(made.tried[0].check == "cluster" && made.tried[0].reason.contains("at most 15 tokens"), "{:?}", made.tried);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever models say, nothing panics, and what is kept stands in the documents.
    #[test]
    fn any_reply_is_survived(
        replies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 3),
        cut in 0usize..400,
        quote in "\\PC{0,20}",
        task in 0usize..4,
    ) {
        let text = |at: usize| String::from_utf8_lossy(&replies[at]).into_owned();
        let tasks = vec![[Task::MultiHop, Task::Reading, Task::Numeric, Task::MultipleChoice][task]];
        let settings = AgentSettings { tasks, rounds: 2, ..settings() };
        let (made, _) = proposed(&settings, 2, &|role, prompt, number| Ok(match role {
            Role::Propose => {
                let mut said = proposal(prompt);
                said["options"] = json!([quote, text(1), "7 wheels"]);
                if number % 2 == 1 {
                    said["evidence"][0]["quote"] = quote.clone().into();
                }
                let said = said.to_string();
                format!("{}{}{}", text(0), &said[..said.floor_char_boundary(cut)], if number % 3 == 0 { &said[said.floor_char_boundary(cut)..] } else { "" })
            }
            Role::Solve if number % 3 == 0 => text(1),
            Role::Solve => format!("The answer is {}{}", text(2), quote),
            Role::Verify => format!("[[{}]]{}", if number % 2 == 0 { "YES" } else { "NO" }, text(2)),
        }));
        for candidate in made.unwrap().kept {
            let sources = sources();
            for fact in &candidate.derivation.facts {
                let source = sources.iter().find(|source| source.document.id == fact.span.doc).unwrap();
                prop_assert_eq!(&source.document.text[fact.span.start..fact.span.end], fact.value.as_str());
            }
        }
    }
}
