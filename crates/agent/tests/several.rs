//! Several questions in one pass, outlines, questions to notes, and parts that are read again.

mod common;

use agent::{Ask, Mode, Notes, Progress, ReadError, ReadSettings, Reading, Sources};
use common::{Scripted, document, is_update, part, prose, tokenizer};
use data::{ChatError, ChatModel, Document, ReadEvent, Sampling, Span, StopReason};

const WINDOW: usize = 4000;
const QUESTIONS: [&str; 3] = ["How many boats in 1850?", "Which river? Answer with one word.", "When did it begin?"];

fn settings(mode: Mode) -> ReadSettings {
    let sampling = Sampling::PAPER;
    ReadSettings {
        window: WINDOW,
        chunk: 500,
        memory: 300,
        plan: 60,
        thinking: 0,
        answer: 100,
        mode,
        quotes: false,
        begin: true,
        short: false,
        sampling,
    }
}

type Logs = Vec<Vec<ReadEvent>>;

fn read_all(
    model: &Scripted,
    documents: &[Document],
    questions: &[&str],
    mode: Mode,
    past: &Logs,
) -> (Result<Vec<Reading>, ReadError>, Logs) {
    let mut logs: Logs = questions.iter().enumerate().map(|(at, _)| past.get(at).cloned().unwrap_or_default()).collect();
    let before = logs.clone();
    let asks = logs.iter_mut().zip(questions).zip(&before).map(|((log, question), past)| Ask::new(question, past, log)).collect();
    let readings = pollster::block_on(agent::read_all(model, &tokenizer(), documents, asks, &settings(mode), &mut |_: Progress<'_>| {}));
    (readings, logs)
}

#[test]
fn questions_are_read_together_as_each_would_be_alone() {
    let documents = [document("a", prose(1700)), document("b", prose(600))];
    for mode in [Mode::Memory, Mode::MemAgent, Mode::Truncate, Mode::Retrieve] {
        let together = Scripted::digesting(WINDOW);
        let (readings, logs) = read_all(&together, &documents, &QUESTIONS, mode, &vec![]);
        let readings = readings.unwrap();
        for (at, question) in QUESTIONS.iter().enumerate() {
            let (alone, log) = read_all(&Scripted::digesting(WINDOW), &documents, &[question], mode, &vec![]);
            assert_eq!((&readings[at], &logs[at]), (&alone.unwrap()[0], &log[0]), "{mode:?} {question}");
        }
        if mode == Mode::Memory {
            // Every question sees a section before any sees the next.
            let sections = together.sections();
            assert!(sections.chunks(3).all(|turn| turn[0] == turn[1] && turn[1] == turn[2]) && sections[0] != sections[3]);
        }
    }
}

#[test]
fn one_questions_failure_keeps_the_others_turns_and_resumes() {
    let documents = [document("a", prose(1700))];
    let (whole, logs) = read_all(&Scripted::digesting(WINDOW), &documents, &QUESTIONS, Mode::Memory, &vec![]);
    // The second question's second turn fails.
    let model = Scripted::new(WINDOW, |turn, request| {
        if turn == 4 {
            return Err(ChatError::Failed("device lost".into()));
        }
        let reply = pollster::block_on(Scripted::digesting(WINDOW).chat(request, &mut |_| {}))?;
        Ok((reply.text, reply.stop))
    });
    let (failed, kept) = read_all(&model, &documents, &QUESTIONS, Mode::Memory, &vec![]);
    assert_eq!(failed.unwrap_err().to_string(), "the model failed: device lost");
    assert_eq!(kept.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2, 3]);
    let rest = Scripted::digesting(WINDOW);
    let (again, after) = read_all(&rest, &documents, &QUESTIONS, Mode::Memory, &kept);
    assert_eq!((again.unwrap(), &after), (whole.unwrap(), &logs));
    let calls: usize = logs.iter().map(|log| log.len() - 1).sum();
    assert_eq!(rest.calls(), calls - 5, "no turn is made twice");
}

/// Says what a section holds, in the form of an outline.
fn outliner(continues: bool) -> Scripted {
    let mut model = Scripted::new(WINDOW, |_, request| {
        let prompt = &request.messages[0].content;
        if !is_update(request) {
            return Ok(("A list of boats.".into(), StopReason::Eos));
        }
        let first = part(prompt, "section").trim().to_string();
        let first = first[first.find("In the year").unwrap_or(0)..].split_inclusive('.').next().unwrap_or_default().to_string();
        let year: String = first.chars().filter(char::is_ascii_digit).take(4).collect();
        let lines = [format!(" {first}"), " Ouse; Thames".into(), format!(" {year}: a year; 1066: none of it"), " 99999 boats".into()];
        let text = match request.messages.get(1) {
            None => {
                ["Summary:", "People:", "Dates:", "Figures:"].iter().zip(&lines).map(|(label, line)| format!("{label}{line}\n")).collect()
            }
            Some(begun) => lines[begun.content.matches('\n').count()].clone(),
        };
        Ok((text.lines().next().filter(|_| request.messages.len() > 1).unwrap_or(&text).to_string(), StopReason::Eos))
    });
    model.continues = continues;
    model
}

#[test]
fn an_outline_lists_what_stands_in_the_sections() {
    let documents = [document("a", prose(900)), document("b", prose(600))];
    let mut texts = vec![];
    for continues in [false, true] {
        let model = outliner(continues);
        let (reading, logs) = read_all(&model, &documents, &[""], Mode::Outline, &vec![]);
        let reading = reading.unwrap().remove(0);
        let total = documents.iter().map(|d| d.text.len()).sum();
        assert_eq!((reading.coverage, reading.skipped.len()), ((total, total), 0));
        let text = &reading.answer;
        assert!(text.starts_with("A list of boats.\n\n## Parts\n\n1. (a.txt, line 1) In the year 1800"), "{text}");
        // Names and dates the sections do not hold are left out; a name that stands in all of them is listed once.
        assert!(text.contains("## People\n\n- Ouse\n\n## Dates\n\n- 1800: a year\n"), "{text}");
        assert!(!text.contains("Thames") && !text.contains("1066") && !text.contains("99999"), "{text}");
        assert!(matches!(&logs[0][0], ReadEvent::Started { style, question, .. } if style == "outline" && question.is_empty()));
        let chunks = logs[0].iter().filter(|event| matches!(event, ReadEvent::Chunk { .. })).count();
        assert_eq!(model.calls(), chunks * if continues { 4 } else { 1 } + 1);
        // Cut anywhere, it goes on to the same end.
        for kept in 0..logs[0].len() {
            let (again, after) = read_all(&outliner(continues), &documents, &[""], Mode::Outline, &vec![logs[0][..kept].to_vec()]);
            assert_eq!((&again.unwrap()[0], &after[0]), (&reading, &logs[0]));
        }
        texts.push(reading.answer);
    }
    assert_eq!(texts[0], texts[1]);
    // Another read's log is refused.
    let (_, logs) = read_all(&outliner(false), &documents, &[""], Mode::Outline, &vec![]);
    let (refused, _) = read_all(&Scripted::digesting(WINDOW), &documents, &["Which river?"], Mode::Memory, &logs);
    assert!(matches!(refused.unwrap_err(), ReadError::OtherRead(_)));
}

#[test]
fn later_questions_are_answered_from_notes_without_reading() {
    let text = format!("{}The Ouse froze in 1895, said Ada Lovelace.\n", prose(1500));
    let documents = [document("a", text)];
    let model = Scripted::saying(WINDOW, common::reply("- The Ouse froze in 1895, said Ada Lovelace.", "p"), StopReason::Eos);
    let (_, logs) = read_all(&model, &documents, &["What froze?"], Mode::Memory, &vec![]);
    let notes = Notes::gather(logs.iter().map(Vec::as_slice));
    let sources = Sources::new(&documents);
    let evidence = notes.evidence("When did the Ouse freeze, by Ada Lovelace?", &sources);
    assert!(evidence.is_enough(), "{evidence:?}");
    assert!(!notes.evidence("How many boats were carried?", &sources).is_enough());
    let model = Scripted::saying(WINDOW, "never", StopReason::Eos);
    let (text, mut log) = (evidence.text(), vec![]);
    let ask = Ask { notes: &text, ..Ask::new("When did the Ouse freeze? Answer with a year.", &[], &mut log) };
    let quiet = &mut |_: Progress<'_>| {};
    let readings =
        pollster::block_on(agent::read_all(&model, &tokenizer(), &documents, vec![ask], &settings(Mode::Memory), quiet)).unwrap();
    assert_eq!((model.calls(), &*readings[0].answer, readings[0].coverage.0), (1, "done", 0));
    assert!(model.prompt(0).contains("- The Ouse froze in 1895") && model.prompt(0).contains("Answer with a year.\nYour answer:"));
    assert!(matches!(&log[..], [ReadEvent::Started { style, chunks: 0, .. }, ReadEvent::Answer { .. }] if style == "ask"));
}

#[test]
fn parts_are_read_again_beginning_with_the_notes() {
    let documents = [document("a", prose(1700)), document("b", prose(900))];
    let span = |doc: &str, start, end| Span { doc: doc.into(), start, end };
    // The second part is longer than a chunk.
    let border = documents[1].text.find("In the year 1805").unwrap();
    let sections = [span("a", 0, documents[0].text.find("In the year 1804").unwrap()), span("b", border, documents[1].text.len())];
    let again = |past: &[ReadEvent], model: &Scripted| {
        let mut log = past.to_vec();
        let ask = Ask { sections: &sections, notes: "- begun", ..Ask::new("Which river?", past, &mut log) };
        let quiet = &mut |_: Progress<'_>| {};
        let reading = pollster::block_on(agent::read_all(model, &tokenizer(), &documents, vec![ask], &settings(Mode::Auto), quiet));
        (reading.map(|mut readings| readings.remove(0)), log)
    };
    let model = Scripted::digesting(WINDOW);
    let (reading, log) = again(&[], &model);
    let reading = reading.unwrap();
    let read: usize = sections.iter().map(|span| span.end - span.start).sum();
    assert_eq!(reading.coverage, (read, documents.iter().map(|d| d.text.len()).sum()));
    assert!(
        matches!(&log[..2], [ReadEvent::Started { style, .. }, ReadEvent::Selected { spans }] if style == "reread" && *spans == sections)
    );
    assert!(model.prompt(0).contains("- begun") && !model.prompt(1).contains("- begun"));
    let shown: String = model.sections().iter().map(|text| text.split_once("]\n").unwrap().1.trim_end_matches('\n').to_string()).collect();
    let wanted: String = [&documents[0].text[..sections[0].end], &documents[1].text[border..]].concat();
    assert_eq!(shown.replace('\n', ""), wanted.replace('\n', ""));
    for kept in 0..log.len() {
        let (resumed, after) = again(&log[..kept], &Scripted::digesting(WINDOW));
        // A log torn between its first two lines lacks the list of parts, which the chunks repeat.
        let after: Vec<_> = after.into_iter().filter(|event| kept != 1 || !matches!(event, ReadEvent::Selected { .. })).collect();
        let whole: Vec<_> = log.iter().filter(|event| kept != 1 || !matches!(event, ReadEvent::Selected { .. })).cloned().collect();
        assert_eq!((resumed.unwrap(), after), (reading.clone(), whole));
    }
    let other = span("zzz", 0, 1);
    let mut log = vec![];
    let ask = Ask { sections: &[other], ..Ask::new("Which river?", &[], &mut log) };
    let quiet = &mut |_: Progress<'_>| {};
    let refused = pollster::block_on(agent::read_all(&model, &tokenizer(), &documents, vec![ask], &settings(Mode::Auto), quiet));
    assert!(matches!(refused.unwrap_err(), ReadError::OtherRead(_)));
}
