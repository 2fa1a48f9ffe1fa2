//! The other ways to read: what truncation, retrieval and MemAgent's prompt show the model, and that a log of one is not gone on
//! with by another.

// Each test binary uses its own part of it.
#[allow(dead_code)]
mod common;

use agent::{Mode, Progress, ReadError, ReadSettings, Reading};
use common::{Scripted, document, prose, tokenizer};
use data::{Document, MemoryOutcome, ReadEvent, Sampling, StopReason};

const ASK: &str = "How many boats in 1850? Answer with one number.";
const WINDOW: usize = 3000;

fn settings(mode: Mode) -> ReadSettings {
    ReadSettings {
        chunk: 600,
        memory: 300,
        plan: 60,
        answer: 100,
        mode,
        sampling: Sampling::PAPER,
        ..ReadSettings::for_window(WINDOW, false)
    }
}

fn read(
    model: &Scripted,
    documents: &[Document],
    settings: &ReadSettings,
    past: &[ReadEvent],
) -> (Result<Reading, ReadError>, Vec<ReadEvent>) {
    let mut log = past.to_vec();
    let mut quiet = |_: Progress<'_>| {};
    let reading = pollster::block_on(agent::read(model, &tokenizer(), documents, ASK, settings, past, &mut log, &mut quiet));
    (reading, log)
}

const INVENTED: &str = "- a note “fifteen purple elephants marched”";

fn saying() -> Scripted {
    Scripted::saying(WINDOW, "kept", StopReason::Eos)
}

#[test]
fn truncation_shows_both_ends_and_says_what_it_left_out() {
    let documents = [document("a", prose(9000))];
    let model = saying();
    let (reading, log) = read(&model, &documents, &settings(Mode::Truncate), &[]);
    let reading = reading.unwrap();
    let (text, prompt) = (&*documents[0].text, model.prompt(0));
    assert_eq!(model.calls(), 1);
    assert!(prompt.contains(&text[..400]) && prompt.contains(&text[text.len() - 400..]) && prompt.contains("[…]"));
    assert!(!prompt.contains(&text[4400..4500]));
    assert_eq!(reading.skipped.len(), 1);
    let left_out = &reading.skipped[0];
    assert_eq!(reading.coverage.0 + left_out.end - left_out.start, text.len());
    assert!(matches!(&log[1], ReadEvent::Selected { spans } if spans[0].start == 0 && spans[spans.len() - 1].end == text.len()));
    // Both ends have the same room, and it is used.
    assert!(left_out.start.abs_diff(text.len() - left_out.end) < 130, "{left_out:?}");
    assert!(prompt.len() + 100 + 300 > WINDOW, "{}", prompt.len());
}

/// Documents that are far larger than the window give both ends too, of whatever they are made.
#[test]
fn truncation_of_much_text_looks_at_its_ends() {
    let long = prose(400_000);
    let ends = [&long[..500], &long[long.len() - 500..]];
    let shelves = [
        vec![document("a", long.clone())],
        vec![document("a", long.clone()), document("b", "short"), document("c", long.clone())],
        vec![
            document("first", long[..700].to_string()),
            document("a", "字".repeat(90_000)),
            document("last", long[long.len() - 700..].to_string()),
        ],
        vec![document("a", format!("{}{}{}", &long[..600], " ".repeat(300_000), &long[long.len() - 600..]))],
    ];
    for documents in shelves {
        let model = saying();
        let (reading, log) = read(&model, &documents, &settings(Mode::Truncate), &[]);
        let reading = reading.unwrap();
        let ids: Vec<&str> = documents.iter().map(|document| document.id.as_str()).collect();
        let prompt = model.prompt(0);
        assert!(ends.iter().all(|end| prompt.contains(end)), "{ids:?}");
        let ReadEvent::Selected { spans } = &log[1] else { panic!("{:?}", log[1]) };
        let place = |doc: &str| documents.iter().position(|document| document.id == doc);
        assert!(spans.windows(2).all(|pair| (place(&pair[0].doc), pair[0].end) <= (place(&pair[1].doc), pair[1].start)), "{spans:?}");
        assert_eq!(reading.coverage.0, spans.iter().map(|span| span.end - span.start).sum::<usize>());
        // Both have the same room, and it is used.
        assert!(prompt.len() + 100 + 300 > WINDOW && prompt.len() < WINDOW, "{ids:?}: {}", prompt.len());
    }
}

#[test]
fn retrieval_shows_what_the_question_names_in_the_documents_order() {
    let mut text = prose(6000);
    text += "\n\nNobody knows how many boats in 1850 sailed; the keeper of boats in 1850 wrote twelve boats.\n\n";
    text += &prose(6000);
    let documents = [document("a", text), document("b", "A note of no use whatever to anyone.")];
    let model = saying();
    let (reading, log) = read(&model, &documents, &settings(Mode::Retrieve), &[]);
    let reading = reading.unwrap();
    assert!(model.prompt(0).contains("wrote twelve boats"));
    let ReadEvent::Selected { spans } = &log[1] else { panic!("{:?}", log[1]) };
    assert!(spans.windows(2).all(|pair| pair[0].doc < pair[1].doc || pair[0].end <= pair[1].start));
    assert!(reading.coverage.0 < reading.coverage.1 && !reading.skipped.is_empty());
    assert_eq!(reading.coverage.0, spans.iter().map(|span| span.end - span.start).sum::<usize>());
}

#[test]
fn memagent_takes_the_whole_reply_as_memory_and_boxes_its_answer() {
    let documents = [document("a", prose(2500))];
    let model = Scripted::saying(WINDOW, "Updated memory: first note\nsecond note", StopReason::Eos);
    let (reading, log) = read(&model, &documents, &settings(Mode::MemAgent), &[]);
    let reading = reading.unwrap();
    assert_eq!((reading.memory.as_str(), reading.plan.as_str()), ("first note\nsecond note", ""));
    assert!(model.prompt(1).contains("<memory>\nfirst note\nsecond note\n</memory>") && !model.prompt(1).contains("<plan>"));
    assert!(model.prompt(model.calls() - 1).contains("\\boxed{}"));
    assert_eq!(reading.coverage, (documents[0].text.len(), documents[0].text.len()));
    assert!(log.len() > 5);
}

#[test]
fn quotes_are_asked_for_only_when_wanted() {
    let documents = [document("a", prose(2500))];
    for quotes in [false, true] {
        let model = Scripted::saying(WINDOW, INVENTED, StopReason::Eos);
        let memory = ReadSettings { quotes, chunk: 300, ..settings(Mode::Memory) };
        let (reading, log) = read(&model, &documents, &memory, &[]);
        assert_eq!(model.prompt(0).contains("one quote that proves it"), quotes);
        // The note brings a quote that stands nowhere in the document.
        assert_eq!(reading.unwrap().memory, if quotes { "" } else { INVENTED });
        let dropped = |event: &ReadEvent| matches!(event, ReadEvent::Chunk { outcome: MemoryOutcome::Unproven { removed: 1 }, .. });
        assert_eq!(log.iter().any(dropped), quotes);
    }
}

#[test]
fn a_log_of_one_mode_is_not_gone_on_with_by_another() {
    let documents = [document("a", prose(5000))];
    let modes = [Mode::Memory, Mode::MemAgent, Mode::Truncate, Mode::Retrieve];
    for first in modes {
        let (_, log) = read(&saying(), &documents, &settings(first), &[]);
        for second in modes {
            let model = saying();
            let (reading, after) = read(&model, &documents, &settings(second), &log);
            assert_eq!(model.calls(), 0, "{first:?} {second:?}");
            match first == second {
                true => assert_eq!((reading.is_ok(), after.len()), (true, log.len())),
                false => assert!(matches!(reading, Err(ReadError::OtherRead("the mode"))), "{first:?} {second:?}: {reading:?}"),
            }
        }
    }
}
