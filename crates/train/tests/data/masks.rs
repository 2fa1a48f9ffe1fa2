//! Loss falls on what the model is asked to write, and on nothing else.

use data::Message;
use serde_json::Value;
use tokenizer::{ChatTemplate, Tokenizer};
use train::sft::{ChatFormat, Example, Unfit};

use crate::common::{CHATML, OPENS, STRIPS, chat, counted, fixture, tokenizer, truth, turns};

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// What differs from Transformers' assistant mask.
fn differences(chat: &ChatFormat, fault: impl Fn(&mut Example)) -> Vec<String> {
    let mut wrong = Vec::new();
    let truth = truth("chatml.json");
    let cases = truth["cases"].as_array().unwrap();
    assert!(cases.len() >= 10);
    for case in cases {
        let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
        let mut outcome = chat.examples(&messages, 0).unwrap();
        assert!(outcome.unfit.is_empty() && outcome.altered.is_empty() && !outcome.trailing);
        outcome.examples.iter_mut().for_each(&fault);
        let mask = case["mask"].as_array().unwrap().iter().map(|m| m.as_u64() == Some(1)).collect();
        let want = Example { ids: ids(&case["ids"]), loss_mask: mask };
        if outcome.examples != [want] {
            wrong.push(format!("{messages:?}: {outcome:?}"));
        }
    }
    wrong
}

#[test]
fn masks_are_those_of_transformers() {
    let template = truth("chatml.json")["template"].as_str().unwrap().to_string();
    let chat = chat(&template);
    assert_eq!(differences(&chat, |_| ()), Vec::<String>::new());
    // Planted faults: one token less, one more, and the mask moved by one.
    assert!(!differences(&chat, |e| *e.loss_mask.iter_mut().rev().find(|m| **m).unwrap() = false).is_empty());
    assert!(!differences(&chat, |e| *e.loss_mask.last_mut().unwrap() = true).is_empty());
    assert!(!differences(&chat, |e| e.loss_mask.rotate_right(1)).is_empty());
}

#[test]
fn a_hand_worked_conversation() {
    let (chat, tokenizer) = (chat(CHATML), tokenizer());
    let outcome = chat.examples(&turns(&["Hi", "Yes.", "No?", "No."]), 0).unwrap();
    let [example] = outcome.examples.as_slice() else { panic!("{outcome:?}") };
    let special = |text: &str| vec![tokenizer.id(text).unwrap()];
    let text = |text: &str| tokenizer.encode(text).unwrap();
    let mut want = Example { ids: vec![], loss_mask: vec![] };
    for (ids, counts) in [
        (special("<|im_start|>"), false),
        (text("user\nHi"), false),
        (special("<|im_end|>"), false),
        (text("\n"), false),
        (special("<|im_start|>"), false),
        (text("assistant\n"), false),
        (text("Yes."), true),
        (special("<|im_end|>"), true),
        (text("\n"), false),
        (special("<|im_start|>"), false),
        (text("user\nNo?"), false),
        (special("<|im_end|>"), false),
        (text("\n"), false),
        (special("<|im_start|>"), false),
        (text("assistant\n"), false),
        (text("No."), true),
        (special("<|im_end|>"), true),
        (text("\n"), false),
    ] {
        want.loss_mask.extend(vec![counts; ids.len()]);
        want.ids.extend(ids);
    }
    assert_eq!(*example, want);
    assert_eq!((example.loss_tokens(), outcome.rewritten.len(), outcome.cut.len()), (text("Yes.").len() + text("No.").len() + 2, 0, 0));
    // The answer alone, where the row says which that is.
    let from = chat.examples(&turns(&["Hi", "Yes.", "No?", "No."]), 3).unwrap();
    assert_eq!(counted(&tokenizer, &from.examples[0]), ["No.<|im_end|>"]);
    assert_eq!(from.examples[0].ids, want.ids);
}

#[test]
fn a_reply_that_would_share_a_token_with_its_prompt_is_cut_from_it() {
    let (chat, tokenizer) = (chat(CHATML), tokenizer());
    // "\n\n" is one token: whole, the prompt's last token would be gone.
    let whole = tokenizer.encode("assistant\n\nIt lists.").unwrap();
    let prompt = tokenizer.encode("assistant\n").unwrap();
    assert!(!whole.starts_with(&prompt));
    let outcome = chat.examples(&turns(&["What?", "\nIt lists."]), 0).unwrap();
    assert_eq!((outcome.cut.as_slice(), outcome.examples.len()), ([1].as_slice(), 1));
    let example = &outcome.examples[0];
    assert_eq!(counted(&tokenizer, example), ["\nIt lists.<|im_end|>"]);
    let before: Vec<u32> = example.ids.iter().zip(&example.loss_mask).take_while(|(_, counts)| !**counts).map(|(&id, _)| id).collect();
    assert!(before.ends_with(&prompt));
    assert_eq!(
        tokenizer.decode(&example.ids, false).unwrap(),
        "<|im_start|>user\nWhat?<|im_end|>\n<|im_start|>assistant\n\nIt lists.<|im_end|>\n"
    );
    // In a later turn's prompt the same reply stands as one text, so the turn has an example of its own.
    let outcome = chat.examples(&turns(&["What?", "\nIt lists.", "And?", "No."]), 0).unwrap();
    assert_eq!((outcome.rewritten.as_slice(), outcome.examples.len()), ([1].as_slice(), 2));
    assert_eq!(counted(&tokenizer, &outcome.examples[0]), ["\nIt lists.<|im_end|>"]);
    assert_eq!(counted(&tokenizer, &outcome.examples[1]), ["No.<|im_end|>"]);
}

#[test]
fn a_prompt_that_opens_the_thinking_leaves_the_rest_to_the_reply() {
    let (chat, tokenizer) = (chat(OPENS), tokenizer());
    let outcome = chat.examples(&turns(&["What?", "It lists."]), 0).unwrap();
    assert_eq!(outcome.cut, [1]);
    assert_eq!(counted(&tokenizer, &outcome.examples[0]), ["\n</think>\n\nIt lists.<|im_end|>"]);
    let outcome = chat.examples(&turns(&["What?", "<think>\nA table.\n</think>\n\nIt lists."]), 0).unwrap();
    assert_eq!(counted(&tokenizer, &outcome.examples[0]), ["A table.\n</think>\n\nIt lists.<|im_end|>"]);
}

#[test]
fn turns_that_are_rewritten_later_have_examples_of_their_own() {
    let (chat, tokenizer) = (chat(STRIPS), tokenizer());
    let thought = |thought: &str, text: &str| format!("<think>\n{thought}\n</think>\n\n{text}");
    let (first, second) = (thought("A.", "The Nile."), thought("B.", "The Amazon."));
    let messages = turns(&["Which?", &first, "And?", &second, "So?", "6400 km."]);
    let outcome = chat.examples(&messages, 0).unwrap();
    assert_eq!((outcome.rewritten.as_slice(), outcome.altered.len(), outcome.unfit.len()), ([1, 3].as_slice(), 0, 0));
    let all: Vec<Vec<String>> = outcome.examples.iter().map(|example| counted(&tokenizer, example)).collect();
    let end = |text: &str| vec![format!("{text}<|im_end|>")];
    assert_eq!(all, [end(&first), end(&second), end("<think>\n\n</think>\n\n6400 km.")]);
    // Each stands after what the model sees then.
    let text = tokenizer.decode(&outcome.examples[2].ids, false).unwrap();
    assert!(text.contains("assistant\nThe Nile.<|im_end|>") && !text.contains("A."), "{text}");
}

#[test]
fn what_a_message_spells_stays_text() {
    let (chat, tokenizer) = (chat(CHATML), tokenizer());
    let reply = "say <|im_end|>\n<|im_start|>user\nno";
    let outcome = chat.examples(&turns(&["<|im_end|>", reply]), 0).unwrap();
    let example = &outcome.examples[0];
    assert_eq!(counted(&tokenizer, example), [format!("{reply}<|im_end|>")]);
    assert_eq!(example.ids.iter().filter(|&&id| id == tokenizer.id("<|im_end|>").unwrap()).count(), 2);
    // The same where the reply has to be cut from the prompt.
    let reply = format!("\n{reply}");
    let outcome = chat.examples(&turns(&["<|im_end|>", &reply]), 0).unwrap();
    assert_eq!(outcome.cut, [1]);
    assert_eq!(counted(&tokenizer, &outcome.examples[0]), [format!("{reply}<|im_end|>")]);
    assert_eq!(outcome.examples[0].ids.iter().filter(|&&id| id == tokenizer.id("<|im_end|>").unwrap()).count(), 2);
}

#[test]
fn templates_that_would_mislabel_are_told() {
    let messages = turns(&["What?", "It lists."]);
    // The prompt opens a thinking that the reply then does not have.
    let rewrites = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}\
                    {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}";
    assert_eq!(chat(rewrites).examples(&messages, 0).unwrap().unfit, [(1, Unfit::Prompt)]);
    let endless = "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}";
    assert_eq!(chat(endless).examples(&messages, 0).unwrap().unfit, [(1, Unfit::NoEnd)]);
    let goes_on = CHATML.replace("<|im_end|>\\n' }}{% endfor %}", "<|im_end|>\\nthe end' }}{% endfor %}");
    assert_ne!(goes_on, CHATML);
    assert_eq!(chat(&goes_on).examples(&messages, 0).unwrap().unfit, [(1, Unfit::NoEnd)]);
    // A reply that loses words, and turns after the last reply.
    let short = CHATML.replace("m.content", "m.content[:2]");
    let outcome = chat(&short).examples(&messages, 0).unwrap();
    assert_eq!((outcome.altered.as_slice(), outcome.examples.len()), ([1].as_slice(), 1));
    let outcome = chat(CHATML).examples(&turns(&["What?", "It lists.", "More?"]), 0).unwrap();
    assert!(outcome.trailing && outcome.examples == chat(CHATML).examples(&messages, 0).unwrap().examples);
    let refuses = "{{ raise_exception('no') }}";
    assert!(chat(refuses).examples(&messages, 0).is_err());
    // A vocabulary larger than the model's.
    let small = ChatFormat::from_parts(tokenizer(), ChatTemplate::new(CHATML, None, None).unwrap(), vec![2], 300);
    assert!(small.examples(&messages, 0).is_err());
}

/// Qwen3's own tokenizer and template, where `LONGHAND_MODELS` has them.
#[test]
fn qwen3_masks_are_those_of_transformers() {
    let Some(folder) = std::env::var_os("LONGHAND_MODELS").map(|folder| std::path::PathBuf::from(folder).join("qwen3-tokenizer")) else {
        println!("not run: LONGHAND_MODELS is not set, Qwen3's masks are not tested");
        return;
    };
    let (Ok(json), Ok(config)) = (std::fs::read(folder.join("tokenizer.json")), std::fs::read(folder.join("tokenizer_config.json"))) else {
        println!("not run: {} has no tokenizer", folder.display());
        return;
    };
    let config: Value = serde_json::from_slice(&config).unwrap();
    let tokenizer = Tokenizer::from_json(&json).unwrap();
    let template = ChatTemplate::new(config["chat_template"].as_str().unwrap(), None, config["eos_token"].as_str()).unwrap();
    let end = tokenizer.id("<|im_end|>").unwrap();
    let chat = ChatFormat::from_parts(tokenizer, template, vec![end], 151_936);
    let (mut checked, mut split) = (0, 0);
    for case in truth("qwen3.json")["cases"].as_array().unwrap() {
        let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
        let outcome = chat.examples(&messages, 0).unwrap();
        assert!(outcome.unfit.is_empty(), "{outcome:?}");
        let turns = case["turns"].as_array().unwrap();
        split += outcome.rewritten.len();
        let mut counted = 0;
        for turn in turns {
            let (ids, start) = (ids(&turn["ids"]), turn["start"].as_u64().unwrap() as usize);
            let stop = start + ids[start..].iter().position(|&id| id == end).unwrap();
            // Exactly one example counts these tokens after these.
            let holds = |e: &&Example| {
                e.ids.starts_with(&ids[..=stop]) && e.loss_mask[start..=stop].iter().all(|&counts| counts) && !e.loss_mask[start - 1]
            };
            assert_eq!(outcome.examples.iter().filter(holds).count(), 1, "{messages:?}");
            counted += stop + 1 - start;
            checked += 1;
        }
        assert_eq!(outcome.examples.iter().map(Example::loss_tokens).sum::<usize>(), counted, "{messages:?}");
    }
    assert!(checked >= 12 && split >= 3, "{checked} {split}");
    assert!(fixture("qwen3.json").exists());
}
