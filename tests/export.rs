//! `longhand export`: a kept read as page, Markdown and JSON, from hostile documents too.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use data::{Document, MemoryOutcome, ReadEvent, Sampling, Usage};
use serde_json::Value;

const TEXT: &str = "About 1,600 marines remain in Nicaragua at the request of that government.\n\n</script><script>alert(1)</script> <!-- é 汉字\n\nThe mill at Ouse was sold in 1931 by Mara Voss.\n";

fn export(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_longhand")).arg("export").args(args).output().unwrap()
}

/// A read of two sections that ended, in `folder`.
fn kept(folder: &Path) {
    let document = Document::plain("a", "a.txt", TEXT);
    let middle = TEXT.find("</script>").unwrap();
    let started = ReadEvent::Started {
        version: ReadEvent::VERSION,
        model: "scripted".into(),
        question: "Who sold the mill? </script>".into(),
        documents: vec![("a".into(), "0".into(), TEXT.len())],
        window: 1000,
        chunk: 100,
        memory: 100,
        plan: 50,
        thinking: 0,
        answer: 50,
        chunks: 2,
        sampling: Sampling::GREEDY,
        style: String::new(),
    };
    let chunk = |index, start, end, memory: &str| ReadEvent::Chunk {
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
        seconds: None,
    };
    let events = [
        started,
        chunk(0, 0, middle, "Nothing found yet"),
        chunk(1, middle, TEXT.len(), "- The mill at Ouse was sold in 1931 by Mara Voss."),
        ReadEvent::Answer {
            text: "Mara Voss sold it in 1931. The price was 900 pounds.".into(),
            reply: String::new(),
            usage: Usage::default(),
            seconds: None,
        },
    ];
    let lines = |values: &[String]| values.iter().map(|line| format!("{line}\n")).collect::<String>();
    fs::write(folder.join("events.jsonl"), lines(&events.map(|event| serde_json::to_string(&event).unwrap()))).unwrap();
    fs::write(folder.join("documents.jsonl"), lines(&[serde_json::to_string(&document).unwrap()])).unwrap();
}

/// The data inside a page.
fn page_data(html: &str) -> Value {
    let start = html.find("<script type=\"application/json\" id=\"data\">").unwrap();
    let data = &html[start..][html[start..].find('>').unwrap() + 1..];
    serde_json::from_str(&data[..data.find("</script>").unwrap()]).unwrap()
}

#[test]
fn a_page_holds_source_notes_coverage_and_citations() {
    let folder = tempfile::tempdir().unwrap();
    kept(folder.path());
    let out = folder.path().join("out.html");
    let output = export(&[folder.path().to_str().unwrap(), "--html", out.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let html = fs::read_to_string(&out).unwrap();
    // Nothing of a document is markup, and nothing is loaded from anywhere.
    assert_eq!(html.matches("alert(1)").count(), 1);
    assert_eq!(html.matches("</script>").count(), 2);
    assert!(!html.contains("http://") && !html.contains("https://") && html.contains("default-src 'none'"));
    let data = page_data(&html);
    let parts = data["documents"][0]["parts"].as_array().unwrap();
    assert_eq!(parts.iter().map(|part| part["text"].as_str().unwrap()).collect::<String>(), TEXT);
    assert!(parts.iter().all(|part| part["read"] == true));
    assert_eq!((data["covered"].as_u64(), data["turns"].as_array().unwrap().len()), (Some(TEXT.len() as u64), 2));
    let note = data["turns"][1]["memory"].as_array().unwrap().iter().find(|part| part["class"] == "quoted").expect("a quoted note");
    let mark = note["mark"].as_u64().unwrap();
    let source: String = parts
        .iter()
        .filter(|part| part["marks"].as_array().unwrap().iter().any(|m| m.as_u64() == Some(mark)))
        .map(|part| part["text"].as_str().unwrap())
        .collect();
    assert!(source.contains("sold in 1931 by Mara Voss"), "{source}");
    let invented = data["answer"].as_array().unwrap().iter().find(|part| part["text"].as_str().unwrap().contains("900")).unwrap();
    assert_eq!((invented["class"].as_str(), invented["mark"].as_u64()), (Some("none"), None));
}

#[test]
fn markdown_and_json_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    kept(folder.path());
    let run = folder.path().to_str().unwrap();
    let md = String::from_utf8(export(&[run, "--md", "-"]).stdout).unwrap();
    assert!(md.contains("The price was 900 pounds.\n  no source found") && md.contains("100.0 % of"), "{md}");
    let json: Value = serde_json::from_slice(&export(&[run, "--json", "-"]).stdout).unwrap();
    assert_eq!(json["answer"]["text"], "Mara Voss sold it in 1931. The price was 900 pounds.");
    assert_eq!(json["turns"][1]["citations"][0]["place"], "a.txt, line 5");
}

#[test]
fn a_read_that_stopped_half_way_is_shown_as_such() {
    let folder = tempfile::tempdir().unwrap();
    kept(folder.path());
    let log = folder.path().join("events.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.lines().take(2).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let json: Value = serde_json::from_slice(&export(&[folder.path().to_str().unwrap(), "--json", "-"]).stdout).unwrap();
    assert_eq!(json["answer"], Value::Null);
    assert_eq!(json["coverage"]["skipped"][0]["end"], TEXT.len());
}

#[test]
fn what_is_no_kept_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().to_str().unwrap().to_string();
    let refused = |words: &str| {
        let output = export(&[&run, "--html", "-"]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{message}");
        assert!(message.contains(words), "{message}");
    };
    refused("only a read with `--save DIR` can be exported");
    kept(folder.path());
    fs::write(folder.path().join("documents.jsonl"), "{\"id\":\"a\"}\n").unwrap();
    refused("line 1");
    kept(folder.path());
    fs::write(folder.path().join("documents.jsonl"), serde_json::to_string(&Document::plain("a", "a.txt", "other")).unwrap()).unwrap();
    refused("holds other documents");
    assert_eq!(export(&[&run]).status.code(), Some(2));
}
