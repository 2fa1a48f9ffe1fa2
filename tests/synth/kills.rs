//! A run that asks a model and is killed at random moments, by the real binary: the same dataset, and no kept call twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::scripted::{Scripted, mark};
use super::{longhand, run, said, walk};

/// Calls that a client has at a server at a time, at most.
const AT_ONCE: usize = 64;

/// Everything but how long it took.
fn dataset(set: &Path) -> Vec<String> {
    let text = |name: &str| fs::read_to_string(set.join(name)).unwrap();
    let mut report: Value = serde_json::from_str(&text("report.json")).unwrap();
    report.as_object_mut().unwrap().remove("seconds").unwrap();
    assert_eq!(report["sha256"], format!("{:x}", Sha256::digest(text("rows.jsonl"))));
    let mut out: Vec<String> = ["rows.jsonl", "rejects.jsonl", "documents.jsonl", "README.md", "synth.toml"].map(text).into();
    out.push(report.to_string());
    out
}

/// The marks of the requests whose replies are kept.
fn kept(set: &Path) -> BTreeSet<String> {
    let is_call = |path: &std::path::PathBuf| path.extension().is_some_and(|ending| ending == "json") && !path.ends_with("model.json");
    let calls = walk(&set.join("calls")).into_iter().filter(is_call).map(|path| fs::read_to_string(path).unwrap());
    let of = |text: String| {
        let at = text.find("mark-").unwrap();
        text[at..at + "mark-".len() + 16].to_string()
    };
    calls.map(of).collect()
}

/// Kills a run so often, at moments that are spread over its calls.
fn kills_change_nothing(kills: usize) {
    let script = Scripted::start();
    let folder = script.folder.path();
    let config = script.config(2, 3);
    script.learn(&config);
    fs::write(folder.join("synth.toml"), &config).unwrap();
    let (before, begun) = (script.server.requests().len(), Instant::now());
    script.delay.store(10, Ordering::SeqCst);
    let output = run(&["synth", "run", "synth.toml", "--out", "whole", "--json"], folder);
    assert!(output.status.success(), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let asked: Vec<String> = script.server.requests()[before..].iter().map(mark).collect();
    let all: BTreeSet<String> = asked.iter().cloned().collect();
    assert_eq!((all.len(), &kept(&folder.join("whole"))), (asked.len(), &all), "each call once, and all are kept");
    // Every engine and every check of a model is in it, and each has dropped something.
    for role in ["schema", "facts", "fields", "propose", "solve", "verify", "closed_book", "with_evidence", "robust"] {
        assert!(report["model"][role]["calls"].as_u64() > Some(0), "{role}: {}", report["model"]);
    }
    assert!(report["groups"].as_array().unwrap().iter().all(|group| group["kept"].as_u64() > Some(0)), "{}", said(&output));
    let took = begun.elapsed();

    let mut state = 20_261_130_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut moments: Vec<usize> = (0..kills).map(|_| random(all.len() * 95 / 100)).collect();
    moments.sort_unstable();
    let set = folder.join("killed");
    // Requests of the runs that were killed; whose replies were kept when the last one was; those under way at a kill.
    let (first, mut known, mut lost) = (script.server.requests().len(), BTreeSet::new(), Vec::new());
    let mut seen = first;
    for moment in moments {
        let mut child = longhand(&["synth", "run", "synth.toml", "--out", "killed"], folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let wait = Duration::from_millis(random(30) as u64);
        // So many calls are kept or under way.
        while script.asked.load(Ordering::SeqCst) - seen + known.len() < moment && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(wait);
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed after {moment} of {} calls", all.len());
        child.kill().unwrap();
        child.wait().unwrap();
        // Until the server has seen all that was sent.
        let mut quiet = 0;
        while quiet < 20 {
            quiet = if script.open.load(Ordering::SeqCst) == 0 { quiet + 1 } else { 0 };
            std::thread::sleep(Duration::from_millis(2));
        }
        let asked: Vec<String> = script.server.requests()[seen..].iter().map(mark).collect();
        seen += asked.len();
        let again: Vec<&String> = asked.iter().filter(|mark| known.contains(*mark)).collect();
        assert!(again.is_empty(), "{} calls were kept and made again", again.len());
        assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), asked.len(), "one run asks nothing twice");
        known = kept(&set);
        lost.push(asked.iter().filter(|mark| !known.contains(*mark)).count());
        assert!(lost[lost.len() - 1] <= AT_ONCE, "{lost:?}");
    }
    let output = run(&["synth", "run", "synth.toml", "--out", "killed"], folder);
    assert!(output.status.success(), "{}", said(&output));
    let asked: Vec<String> = script.server.requests()[first..].iter().map(mark).collect();
    assert!(script.server.requests()[seen..].iter().all(|request| !known.contains(&mark(request))));
    // The same calls, each once, and once more for each kill at which it was under way.
    assert_eq!(asked.iter().cloned().collect::<BTreeSet<_>>(), all);
    assert_eq!(asked.len(), all.len() + lost.iter().sum::<usize>(), "{lost:?}");
    assert_eq!(kept(&set), all);
    for (one, other) in dataset(&set).iter().zip(dataset(&folder.join("whole"))) {
        assert!(*one == other, "{} and {}", &one[..one.len().min(500)], &other[..other.len().min(500)]);
    }
    println!(
        "{kills} kills in {} calls: SHA-256 {}; under way at the kills, and made again: {lost:?}; {:.1} s undisturbed, {:.1} s in all",
        all.len(),
        report["sha256"].as_str().unwrap(),
        took.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
}

#[test]
fn four_kills_change_nothing() {
    kills_change_nothing(4);
}

#[test]
#[ignore = "a minute; cargo test --release --test synth -- --ignored twenty_kills"]
fn twenty_kills_change_nothing() {
    kills_change_nothing(20);
}
