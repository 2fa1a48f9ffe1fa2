use std::path::Path;
use std::process::Command;

use reward::Item;
use serde_json::json;

use super::{item, kinds, rewarder, run, settings};

/// The guide's blocks of one language.
fn blocks(language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reward.md");
    let text = std::fs::read_to_string(path).unwrap().replace("\r\n", "\n");
    let open = format!("```{language}\n");
    text.split(&open).skip(1).map(|rest| rest.split_once("\n```").unwrap().0.to_string()).collect()
}

/// What the guide says to write works, as it stands there.
#[cfg(unix)]
#[test]
fn the_guides_command_gives_rewards() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("not run: there is no python3");
        return;
    }
    let script = blocks("python").into_iter().find(|block| block.contains("for line in sys.stdin")).unwrap();
    assert!(script.lines().count() <= 12, "ten lines or so");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reward.py");
    std::fs::write(&path, script).unwrap();
    let extra = json!({"unit": "km"}).as_object().unwrap().clone();
    let answers = ["42".to_string()];
    let ask = |reply| Item { extra: Some(&extra), ..item("a", reply, &answers) };
    let items = [
        ask("<think>40?</think>The answer is 42 km."),
        ask("<think>40?</think>The answer is 42."),
        ask("<think>40?</think>The answer is 41 km."),
        ask("<think>The answer is 42 km."),
    ];
    let mut rewarder = rewarder(&format!("exec:python3 {}", path.display()), settings(60.0));
    let results = run(&mut rewarder, &items);
    assert_eq!(kinds(&results), [Ok(1.0), Ok(0.5), Ok(0.0), Ok(0.0)], "{results:?}");
}

/// The server of the guide answers what is posted to it.
#[cfg(unix)]
#[test]
fn the_guides_server_gives_rewards() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("not run: there is no python3");
        return;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script = blocks("python").into_iter().find(|block| block.contains("http.server")).unwrap();
    assert!(script.contains("9000"));
    let script = script.replace("9000", &port.to_string());
    let mut server = Command::new("python3").args(["-c", &script]).stderr(std::process::Stdio::null()).spawn().unwrap();
    let answers = ["42".to_string()];
    let items = [item("a", "It is 42.", &answers), item("a", "No idea.", &answers)];
    // It takes a moment to start; the retries wait for it.
    let settings = reward::RewardSettings { retries: 6, ..settings(30.0) };
    let results = run(&mut rewarder(&format!("http://127.0.0.1:{port}/score"), settings), &items);
    let _ = server.kill();
    let _ = server.wait();
    assert_eq!(kinds(&results), [Ok(1.0), Ok(0.0)], "{results:?}");
}

/// The row that the guide shows is the row that is written.
#[test]
fn the_guides_row_is_the_row() {
    let shown: serde_json::Value = serde_json::from_str(&blocks("json").remove(0)).unwrap();
    let keys: Vec<&String> = shown.as_object().unwrap().keys().collect();
    assert_eq!(keys[..7], ["id", "task", "prompt", "reply", "answers", "rule", "truncated"]);
}
