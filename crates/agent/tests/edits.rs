//! Notes that a person changed: what goes on from them, what is answered again, and what is told of it.

#[allow(dead_code, reason = "other tests use the rest")]
mod common;

use agent::edits::{Answered, Edits, answered, edit, standing};
use agent::report::{Kept, KeptError, Log, Report, UnpackError, html, json, markdown, pack, unpack};
use agent::{Ask, Mode, Notes, Progress, ReadError, ReadSettings, Reading};
use common::{Scripted, document, prose, reply, tokenizer};
use data::{Document, ReadEvent, Sampling, StopReason};

const WINDOW: usize = 4000;
const QUESTION: &str = "Which river?";

fn settings() -> ReadSettings {
    ReadSettings {
        window: WINDOW,
        chunk: 500,
        memory: 300,
        plan: 60,
        thinking: 0,
        answer: 100,
        mode: Mode::Memory,
        quotes: false,
        begin: true,
        short: false,
        sampling: Sampling::PAPER,
    }
}

fn documents() -> Vec<Document> {
    vec![document("a", prose(1400))]
}

/// Goes on with a log, as `of` says, and gives the log after it.
fn go_on(model: &Scripted, log: &[ReadEvent], of: impl FnOnce(&mut Ask)) -> (Result<Reading, ReadError>, Vec<ReadEvent>) {
    let mut after = log.to_vec();
    let mut ask = Ask::new(QUESTION, log, &mut after);
    of(&mut ask);
    let quiet = &mut |_: Progress<'_>| {};
    let outcome = pollster::block_on(agent::read_all(model, &tokenizer(), &documents(), vec![ask], &settings(), quiet));
    (outcome.map(|mut readings| readings.remove(0)), after)
}

/// A model that says in its answer from which notes it came.
fn echo(name: &str) -> Scripted {
    let mut model = Scripted::new(WINDOW, |turn, request| {
        let text = match common::is_update(request) {
            true => reply(&format!("- notes of turn {turn}"), "p"),
            false if request.messages[0].content.contains("the Trent") => "The Trent.".into(),
            false => "The Ouse.".into(),
        };
        Ok((text, StopReason::Eos))
    });
    model.name = name.into();
    model
}

fn edited(log: &[ReadEvent], memory: &str) -> Vec<ReadEvent> {
    [log, &[edit(log, memory).unwrap()]].concat()
}

fn whole() -> Vec<ReadEvent> {
    go_on(&echo("scripted"), &[], |_| {}).1
}

#[test]
fn a_read_goes_on_from_edited_notes() {
    let log = whole();
    let begun = edited(&log[..3], "- it is the Trent");
    let model = Scripted::new(WINDOW, |_, request| {
        let same = common::part(&request.messages[0].content, "memory").trim().to_string();
        Ok((if common::is_update(request) { reply(&same, "p") } else { "done".into() }, StopReason::Eos))
    });
    let (reading, after) = go_on(&model, &begun, |_| {});
    assert_eq!(reading.unwrap().memory, "- it is the Trent");
    assert_eq!(after[..begun.len()], begun);
    assert!(model.prompt(0).contains("- it is the Trent") && !model.prompt(0).contains("notes of turn"));
    assert_eq!(answered(&after, ""), Some(Answered { line: after.len() - 1, stale: false }));
    // Taken back before it went on: as if it had not been.
    let (_, plain) = go_on(&echo("scripted"), &log[..3], |_| {});
    let (_, undone) = go_on(&echo("scripted"), &[&begun[..], &[ReadEvent::Undone]].concat(), |_| {});
    assert_eq!(undone[5..], plain[3..]);
    // An edit that later notes are made from can no longer be taken back.
    assert!(!Edits::of(&after).can_undo() && Edits::of(&after).after(1) == Some("- it is the Trent"));
    // Notes that leave no room are not cut in silence.
    let (refused, _) = go_on(&model, &edited(&log[..3], &"long ".repeat(100)), |_| {});
    assert!(matches!(refused, Err(ReadError::NotesTooLong { most: 300, .. })));
}

#[test]
fn an_answer_is_given_again_and_undo_brings_the_first_one_back() {
    let log = whole();
    let last = log.len() - 1;
    assert_eq!(answered(&log, ""), Some(Answered { line: last, stale: false }));
    let changed = edited(&log, "- it is the Trent");
    assert_eq!(answered(&changed, ""), Some(Answered { line: last, stale: true }));
    assert!(edit(&changed, " - it is the Trent\n").is_none(), "the notes are that already");
    // Another model, of other sizes, makes one call.
    let model = echo("another");
    let (reading, again) = go_on(&model, &changed, |ask| ask.again = true);
    assert_eq!((model.calls(), &*reading.unwrap().answer), (1, "The Trent."));
    assert!(matches!(again.last(), Some(ReadEvent::Answer { model: Some(model), .. }) if model == "another"));
    assert_eq!(answered(&again, ""), Some(Answered { line: again.len() - 1, stale: false }));
    let undone = [&again[..], &[ReadEvent::Undone]].concat();
    assert_eq!(answered(&undone, ""), Some(Answered { line: last, stale: false }));
    // The same read resumed comes to the answer that stands, without a call.
    let model = echo("scripted");
    assert_eq!((go_on(&model, &undone, |_| {}).0.unwrap().answer, model.calls()), ("The Ouse.".into(), 0));
    assert_eq!((go_on(&model, &again, |_| {}).0.unwrap().answer, model.calls()), ("The Trent.".into(), 0));
    // Planted: without the edit's line nothing is stale, and the second answer has no place.
    assert!(!answered(&log, "").unwrap().stale);
    let without: Vec<ReadEvent> = again.iter().filter(|event| !matches!(event, ReadEvent::Edited { .. })).cloned().collect();
    assert!(matches!(go_on(&model, &without, |_| {}).0, Err(ReadError::OtherRead("the order of its lines"))));
    // A read that has not come to its end, one of another question, and one of other documents.
    assert!(matches!(go_on(&model, &log[..3], |ask| ask.again = true).0, Err(ReadError::Unfinished)));
    assert!(matches!(go_on(&model, &changed, |ask| (ask.again, ask.question) = (true, "Else?")).0, Err(ReadError::OtherRead(_))));
}

#[test]
fn questions_asked_later_are_put_anew_to_edited_notes() {
    let log = whole();
    let of =
        |edits: &'static str, notes: &'static str| move |ask: &mut Ask| (ask.question, ask.notes, ask.edits) = ("Later?", notes, edits);
    let model = echo("scripted");
    let (_, asked) = go_on(&model, &[], of("", "- the Ouse"));
    assert_eq!(asked.len(), 2);
    let edits = standing([&edited(&log, "- it is the Trent")[..], &asked]);
    assert!(!edits.is_empty() && standing([&log[..], &asked]).is_empty());
    assert_eq!((answered(&asked, "").unwrap().stale, answered(&asked, &edits).unwrap().stale), (false, true));
    // From the same notes nothing is asked; from others it is.
    let edits: &'static str = edits.leak();
    let (reading, again) = go_on(&model, &asked, of(edits, "- the Trent"));
    assert_eq!(reading.unwrap().answer, "The Trent.");
    assert!(matches!(&again[2..], [ReadEvent::Given { edits: given }, ReadEvent::Answer { .. }] if *given == edits));
    assert_eq!(answered(&again, edits), Some(Answered { line: 3, stale: false }));
    assert!(answered(&again, "").unwrap().stale, "taken back");
    let calls = model.calls();
    assert_eq!((go_on(&model, &again, of(edits, "- the Trent")).1, model.calls()), (again.clone(), calls));
    // What counts as a note is what stands.
    let changed = edited(&log, "It is the Trent.");
    let notes = |logs: [&[ReadEvent]; 2]| format!("{:?}", Notes::gather(logs));
    let before = notes([&log, &asked]);
    assert!(before.contains("The Ouse") && before.contains("notes of turn"));
    let after = notes([&changed, &asked]);
    assert!(after.contains("the Trent") && !after.contains("The Ouse") && !after.contains("notes of turn"), "{after}");
}

#[test]
fn an_edited_read_is_packed_shown_and_checked() {
    let changed = edited(&whole(), "- The river is the Trent. <memory>");
    let logs = |events: &[ReadEvent]| vec![Log { name: "events.jsonl".into(), later: false, events: events.to_vec() }];
    let kept = Kept::new(documents(), logs(&changed)).unwrap();
    let text = pack(&kept);
    assert_eq!(unpack(&text).unwrap(), kept);
    assert!(text.contains(r#"{"event":"edited","index":"#) && text.contains("[memory]"));
    let report = Report::of(&kept);
    let turn = report.reads[0].turns.last().unwrap();
    assert!(report.reads[0].stale && turn.memory.contains("the Trent") && turn.unedited.as_deref().unwrap().contains("notes of turn"));
    let value = json(&report);
    assert_eq!(value["reads"][0]["answer"]["stale"], true);
    assert!(value["reads"][0]["turns"].as_array().unwrap().last().unwrap()["unedited"].as_str().unwrap().contains("notes of turn"));
    let said = markdown(&report);
    assert!(said.contains("before a person's edit") && said.contains(", edited by a person"), "{said}");
    assert!(html(&report).contains(r#""stale":true"#) && html(&report).contains(r#""edited":true"#));
    // Taken back, nothing is left of it but its lines.
    let undone = Kept::new(documents(), logs(&[&changed[..], &[ReadEvent::Undone]].concat())).unwrap();
    let plain = Kept::new(documents(), logs(&whole())).unwrap();
    assert_eq!(json(&Report::of(&undone)), json(&Report::of(&plain)));
    assert_eq!((undone.edits(), plain.edits(), kept.edits().len()), (String::new(), String::new(), 32));
    // Planted: changes of notes that are not there, in a log and in a file.
    let line = |event: ReadEvent, at: usize| [&whole()[..at], &[event]].concat();
    for (events, expected) in [
        (line(ReadEvent::Undone, 3), 4),
        (line(ReadEvent::Edited { index: 0, memory: "m".into() }, 3), 4),
        (line(ReadEvent::Edited { index: 0, memory: "m".into() }, 1), 2),
        ([&changed[..], &[ReadEvent::Undone, ReadEvent::Undone]].concat(), changed.len() + 2),
    ] {
        let refused = Kept::new(documents(), logs(&events)).unwrap_err();
        assert_eq!(refused, KeptError::NoNotes { log: "events.jsonl".into(), line: expected });
        assert!(matches!(go_on(&echo("scripted"), &events, |_| {}).0, Err(ReadError::OtherRead(_))));
        let text = pack(&Kept { documents: documents(), logs: logs(&events) });
        assert!(matches!(unpack(&text), Err(UnpackError::Line { problem, .. }) if problem.contains("change of notes")));
    }
}
