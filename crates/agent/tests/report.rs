//! Kept reads: packed into one file, unpacked from any text, and shown whatever stands in them.

use agent::report::{Kept, KeptError, Log, Report, UnpackError, html, json, markdown, pack, unpack};
use data::{Document, Mark, MemoryOutcome, Place, ReadEvent, Sampling, Span, Usage};
use proptest::prelude::*;

const TEXT: &str = "About 1,600 marines remain in Nicaragua.\nÄ 汉字 line.\nThe mill at Ouse was sold in 1931 by Mara Voss.\n";
/// Between the lines.
const MIDDLE: usize = 41;

fn documents() -> Vec<Document> {
    let marked =
        Document { marks: vec![Mark { start: 3, place: Place::Page { page: 2 } }], ..Document::plain("b", "b.pdf", "Other words.") };
    vec![Document::plain("a", "a.txt", TEXT), marked]
}

fn started(question: &str, chunks: usize, style: &str) -> ReadEvent {
    ReadEvent::Started {
        version: ReadEvent::VERSION,
        model: "scripted".into(),
        question: question.into(),
        documents: documents().iter().map(|document| (document.id.clone(), "0".into(), document.text.len())).collect(),
        window: 1000,
        chunk: 100,
        memory: 100,
        plan: 50,
        thinking: 0,
        answer: 50,
        chunks,
        sampling: Sampling { temperature: 0.7, ..Sampling::GREEDY },
        style: style.into(),
    }
}

fn chunk(index: usize, (start, end): (usize, usize), memory: &str) -> ReadEvent {
    ReadEvent::Chunk {
        index,
        doc: "a".into(),
        start,
        end,
        tokens: 20,
        reply: memory.into(),
        memory: memory.into(),
        plan: "go on".into(),
        outcome: MemoryOutcome::Updated,
        usage: Usage::default(),
        seconds: Some(0.1),
    }
}

fn answer(text: &str) -> ReadEvent {
    ReadEvent::Answer { text: text.into(), reply: "\u{2028}\r\n".into(), usage: Usage::default(), seconds: None, model: None }
}

fn log(name: &str, events: Vec<ReadEvent>) -> Log {
    Log { name: name.into(), later: name.starts_with("asks/"), events }
}

/// Every kind of line: sections, quotes, an outline, what was selected, a question asked later.
fn kept() -> Kept {
    let quotes = "- The mill was sold “The mill at Ouse was sold in 1931”\n- A ship sank “never said by anybody”";
    let read = |style: &str, question: &str| {
        vec![
            started(question, 2, style),
            chunk(0, (0, MIDDLE), "- 1,600 marines remain."),
            chunk(1, (MIDDLE, TEXT.len()), quotes),
            answer("# Sold\n- The mill at Ouse was sold in 1931 by Mara Voss.\n```\n<b>\n```"),
        ]
    };
    let selected = Span { doc: "a".into(), start: 0, end: MIDDLE };
    let logs = vec![
        log("events.jsonl", read("", "Who?")),
        log("events-2.jsonl", read("quotes", "Who else?")),
        log("events-3.jsonl", read("outline", "")),
        log(
            "asks/reread-1.jsonl",
            vec![started("How many?", 0, "reread"), ReadEvent::Selected { spans: vec![selected] }, answer("1,600.")],
        ),
    ];
    Kept::new(documents(), logs).unwrap()
}

/// Everything that can be made of a kept read.
fn shown(kept: &Kept) -> [String; 3] {
    let report = Report::of(kept);
    let _ = (kept.chunks(), kept.read(), kept.seconds_per_token());
    [html(&report), markdown(&report), json(&report).to_string()]
}

#[test]
fn a_packed_read_is_the_same_read_and_its_lines_are_the_logs() {
    let kept = kept();
    let text = pack(&kept);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], format!(r#"{{"longhand":"read","version":1,"lines":{}}}"#, lines.len() - 1));
    assert_eq!(lines[1], format!(r#"{{"document":{}}}"#, serde_json::to_string(&kept.documents[0]).unwrap()));
    assert_eq!(lines[3], r#"{"log":"events.jsonl","later":false}"#);
    let events: Vec<String> = kept.logs[0].events.iter().map(|event| serde_json::to_string(event).unwrap()).collect();
    assert_eq!(lines[4..8], events);
    assert!(lines[4].contains(r#""temperature":0.7,"#) && lines[5].contains(r#""seconds":0.1}"#), "{} {}", lines[4], lines[5]);
    let again = unpack(&text).unwrap();
    assert_eq!((&again, pack(&again)), (&kept, text.clone()));
    assert_eq!(shown(&again), shown(&kept));
    // As another system ends lines, and with fields of a time to come.
    let other = text.replace('\n', "\r\n").replace(r#","later":"#, r#","colour":"red","later":"#);
    assert_eq!(unpack(&other).unwrap(), kept);
    // Without the number of lines nothing can be said of a cut, but the read is there.
    assert_eq!(unpack(&text.replacen(&format!(r#","lines":{}"#, lines.len() - 1), "", 1)).unwrap(), kept);
}

#[test]
fn a_file_that_was_cut_off_anywhere_is_refused() {
    let text = pack(&kept());
    for (at, _) in text.char_indices().filter(|(at, _)| at + 1 < text.len()) {
        let error = unpack(&text[..at]).expect_err(&text[..at]);
        match error {
            UnpackError::NoRead => assert!(!text[..at].contains('\n')),
            UnpackError::Lines { expected, found } => assert!(found < expected),
            // The last line is there, but not all of it.
            UnpackError::Line { line, ref problem } => {
                assert!(line == text.lines().count() && problem.contains("EOF"), "{error}");
            }
            _ => panic!("{error}"),
        }
    }
    assert_eq!(unpack(text.trim_end()).unwrap(), kept());
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let text = pack(&kept());
    let lines: Vec<&str> = text.lines().collect();
    // The file with line `number` (from 1) in other words; `None` leaves it out, and the number of lines is put right.
    let with = |number: usize, line: Option<&str>| {
        let mut lines: Vec<String> = lines.iter().map(|line| line.to_string()).collect();
        match line {
            Some(line) => lines[number - 1] = line.into(),
            None => drop(lines.remove(number - 1)),
        }
        lines[0] = lines[0].replace(&format!(":{}}}", text.lines().count() - 1), &format!(":{}}}", lines.len() - 1));
        lines.join("\n")
    };
    let said = |text: &str| unpack(text).map(|_| ()).unwrap_err().to_string();
    let newer = said(&lines[0].replace("\"version\":1", "\"version\":2"));
    assert!(newer.contains("version 2") && newer.contains("version 1") && newer.contains("newer"), "{newer}");
    for none in
        ["", "\n", "{}", "[]", "hello", "{\"longhand\":\"data\",\"version\":1}", "{\"longhand\":\"read\",\"version\":0}", "{\"version\":1}"]
    {
        assert_eq!(unpack(none), Err(UnpackError::NoRead), "{none}");
    }
    assert_eq!(unpack(r#"{"longhand":"read","version":1}"#), Err(UnpackError::NoLog));
    let cases = [
        (3, Some("{\"docu"), "line 3: EOF"),
        (3, Some("{\"document\":{\"id\":\"b\"}}"), "line 3: missing field `source`"),
        (3, Some("[1]"), "line 3: invalid type"),
        (3, Some("{\"id\":\"b\"}"), "line 3: neither a document, a log nor an event"),
        (3, Some(""), "line 3: EOF"),
        // Without the second document every log is of others; the first is the third line.
        (3, None, "line 4: events.jsonl was made from other documents"),
        (4, None, "line 4: an event before the log"),
        (4, Some("{\"log\":\"events.jsonl\"}"), "line 4: a log that does not say"),
        (4, Some("{\"log\":7,\"later\":true}"), "line 4: invalid type"),
        (5, None, "line 5: events.jsonl holds no read"),
        (6, Some("{\"event\":\"danced\"}"), "line 6: unknown variant `danced`"),
        (9, Some(lines[3]), "line 9: a second log with the name events.jsonl"),
        (9, Some(lines[1]), "line 9: a document after a log"),
        (7, Some(&lines[6].replace("\"start\":41", "\"start\":400")), "line 7: bytes 400.."),
        (7, Some(&lines[6].replace("\"start\":41", "\"start\":42")), "line 7: bytes 42.."), // within a letter
        (7, Some(&lines[6].replace("\"doc\":\"a\"", "\"doc\":\"c\"")), "no part of the document c"),
        (7, Some(&lines[6].replace("\"start\":41", "\"start\":-1")), "line 7: invalid value"),
        (lines.len() - 1, Some(&lines[lines.len() - 2].replace("\"end\":41", "\"end\":4100")), "bytes 0..4100"),
    ];
    for (number, line, expected) in cases {
        let error = said(&with(number, line));
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert_eq!(
        said(&format!("{text}{}\n", lines[4])),
        format!("the file has {} lines after its first, and not {}: it was cut off, or joined with another", lines.len(), lines.len() - 1)
    );
}

#[test]
fn logs_and_documents_must_belong_together() {
    let new = |events: Vec<ReadEvent>| Kept::new(documents(), vec![log("events.jsonl", events)]);
    assert_eq!(new(Vec::new()), Err(KeptError::NoLog));
    assert_eq!(new(vec![answer("x")]), Err(KeptError::NoRead { log: "events.jsonl".into() }));
    assert_eq!(Kept::new(Vec::new(), kept().logs), Err(KeptError::OtherDocuments { log: "events.jsonl".into() }));
    let beyond = new(vec![started("Q", 1, ""), chunk(0, (0, TEXT.len() + 1), "m")]);
    assert!(matches!(beyond, Err(KeptError::Outside { line: 2, .. })), "{beyond:?}");
    // A question whose read never began is none.
    let begun = Kept::new(documents(), vec![log("events.jsonl", vec![started("Q", 1, "")]), log("events-2.jsonl", Vec::new())]).unwrap();
    assert_eq!(begun.logs.len(), 1);
}

/// Bytes of a file changed, cut, doubled; lines swapped.
fn mutated(text: &str, changes: &[(u8, usize, usize, u8)]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for &(kind, at, other, value) in changes {
        if bytes.is_empty() {
            break;
        }
        let (at, other) = (at % bytes.len(), other % bytes.len());
        match kind {
            0 => bytes[at] = value,
            1 => bytes.truncate(at),
            2 => bytes.insert(at, value),
            3 => drop(bytes.drain(at.min(other)..at.max(other).min(at.min(other) + 40))),
            4 => bytes[at] = b"0123456789"[usize::from(value % 10)],
            _ => {
                let mut lines: Vec<Vec<u8>> = bytes.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
                let count = lines.len();
                lines.swap(at % count, other % count);
                bytes = lines.join(&b'\n');
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Numbers are where a file can be wrong and still be read: each of them in turn becomes another, the largest, and one too large.
#[test]
fn a_file_with_any_number_in_it_changed_is_read_or_refused() {
    let mut kept = kept();
    kept.logs.retain(|log| log.name != "events.jsonl" && log.name != "events-3.jsonl");
    let text = pack(&kept);
    let (mut read, mut refused) = (0, 0);
    let digit = |at: usize| text.as_bytes()[at].is_ascii_digit();
    for start in (1..text.len()).filter(|&at| digit(at) && !digit(at - 1)) {
        let end = (start..text.len()).find(|&at| !digit(at)).unwrap_or(text.len());
        for number in ["7", "18446744073709551615", "99999999999999999999"] {
            match unpack(&format!("{}{number}{}", &text[..start], &text[end..])) {
                Ok(kept) => {
                    shown(&kept);
                    read += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(read > 50 && refused > 50, "{read} {refused}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_unpacking_or_showing_panic(changes in prop::collection::vec((0..6_u8, any::<usize>(), any::<usize>(), any::<u8>()), 1..6)) {
        let text = pack(&kept());
        if let Ok(kept) = unpack(&mutated(&text, &changes)) {
            shown(&kept);
            // What was read of a file is a read: packed again it is the same.
            prop_assert_eq!(unpack(&pack(&kept)), Ok(kept));
        }
    }

    #[test]
    fn any_text_is_refused_or_read(text in "\\PC*", lines in prop::collection::vec("\\{\"(document|log|event)\":[^\n]*\\}", 0..4)) {
        prop_assert_eq!(unpack(&text), Err(UnpackError::NoRead));
        let file = format!("{{\"longhand\":\"read\",\"version\":1}}\n{}", lines.join("\n"));
        let _ = unpack(&file).map(|kept| shown(&kept));
    }
}
