//! The event log as a file: whole lines survive anything, a torn one is dropped, a full disk is said.

// Each test binary uses its own part of the binary's modules.
#[path = "../crates/cli/log.rs"]
#[allow(dead_code)]
mod log;

use std::fs;
use std::path::Path;

use agent::EventSink;
use data::{ReadEvent, Usage};

fn answer(text: &str) -> ReadEvent {
    ReadEvent::Answer { text: text.into(), reply: "line\none".into(), usage: Usage::default(), seconds: Some(1.5), model: None }
}

fn filled(path: &Path) -> Vec<ReadEvent> {
    let events = vec![answer("a"), answer("é"), answer("c")];
    let (mut sink, past) = log::open(path).unwrap();
    assert!(past.is_empty());
    for event in &events {
        sink.append(event).unwrap();
    }
    events
}

#[test]
fn what_was_appended_is_read_back_and_gone_on_from() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let mut events = filled(&path);
    let (mut sink, past) = log::open(&path).unwrap();
    assert_eq!(past, events);
    events.push(answer("d"));
    sink.append(&events[3]).unwrap();
    drop(sink);
    assert_eq!(log::open(&path).unwrap().1, events);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 4);
}

#[test]
fn a_log_cut_anywhere_keeps_its_whole_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let events = filled(&path);
    let bytes = fs::read(&path).unwrap();
    for cut in 0..=bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        let whole = bytes[..cut].iter().filter(|&&byte| byte == b'\n').count();
        let (mut sink, past) = log::open(&path).unwrap();
        assert_eq!(past, events[..whole], "cut {cut}");
        sink.append(&events[0]).unwrap();
        drop(sink);
        assert_eq!(log::open(&path).unwrap().1.len(), whole + 1, "cut {cut}");
    }
    // Blocks that a power loss left unwritten.
    fs::write(&path, [&bytes[..], &[0; 512]].concat()).unwrap();
    assert_eq!(log::open(&path).unwrap().1, events);
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn somebody_elses_file_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let good = serde_json::to_string(&answer("a")).unwrap();
    for text in [
        "a diary\n",
        "{\"x\": 1}\n",
        "no end",
        "{\"event\":\"unheard_of\"}\n",
        &format!("{good}\nbroken\n{good}\n"),
        &format!("{good}\n{{\"event\":\"later\"}}\n"),
    ] {
        fs::write(&path, text).unwrap();
        let error = format!("{:#}", log::open(&path).err().unwrap());
        assert!(error.contains("is not a log this version can go on from") && error.contains("line "), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    assert!(log::open(dir.path()).is_err());
    assert!(log::open(&dir.path().join("no/such/dir")).is_err());
}

#[test]
fn two_writers_are_one_too_many() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let first = log::open(&path).unwrap();
    assert!(log::open(&path).err().unwrap().to_string().contains("another longhand"));
    drop(first);
    log::open(&path).unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_said() {
    let path = Path::new("/dev/full");
    if !path.exists() {
        eprintln!("not run: there is no /dev/full here");
        return;
    }
    assert!(log::open(path).err().unwrap().to_string().contains("not a regular file"));
    let file = fs::OpenOptions::new().append(true).open(path).unwrap();
    let error = log::FileLog::new(file, path, 0).append(&answer("a")).unwrap_err();
    assert!(error.contains("/dev/full") && error.contains("make room"), "{error}");
}
