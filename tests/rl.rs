//! Reinforcement learning by the real binary: it learns, goes on after being killed, and says what is wrong with its input.

mod tiny;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

fn longhand(args: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
    command.args(args).current_dir(folder);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Two tasks of short prompts; the reward counts the letter e.
fn prepare(steps: usize, more: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    tiny::model(folder.path());
    let row = |i: u8| {
        let task = if i % 2 == 0 { "first" } else { "second" };
        format!(r#"{{"id":"{i}","task":"{task}","prompt":"Say e {}","answers":["e"],"rule":"contain"}}"#, char::from(b'a' + i))
    };
    fs::write(folder.path().join("items.jsonl"), (0..12).map(row).collect::<Vec<_>>().join("\n")).unwrap();
    let config = format!(
        r#"
[model]
path = "model"
[data]
file = "items.jsonl"
max_length = 64
[train]
steps = {steps}
batch = 4
lr = 3e-3
dtype = "f32"
[rl]
group = 4
max_new_tokens = 8
temperature = 1.0
top_p = 1.0
{more}
[aepo]
low = 0.9
high = 1.1
[validation]
every = 5
file = "items.jsonl"
[checkpoint]
every = 3
keep = 1
[device]
kind = "cpu"
threads = 1
"#
    );
    fs::write(folder.path().join("rl.toml"), config).unwrap();
    folder
}

/// Rewards are the share of the letter e, by awk: a command is there wherever a shell is.
const SHARE: &str = r#"reward = "exec:awk '{ match($0, /\"reply\":\"[^\"]*\"/); t = substr($0, RSTART + 9, RLENGTH - 10); n = gsub(/e/, \"\", t); print (n > 8 ? 1 : n / 8) }'""#;

fn events(folder: &Path, run: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder.join(run).join("events.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// SHA-256 of each file of the newest checkpoint but for the state, whose seconds differ.
fn hashes(folder: &Path, run: &str) -> Vec<(String, String)> {
    let all = fs::read_dir(folder.join(run).join("checkpoint")).unwrap().map(|entry| entry.unwrap().path());
    let newest: PathBuf = all.filter(|path| path.is_dir()).max().unwrap();
    let manifest: Value = serde_json::from_slice(&fs::read(newest.join("manifest.json")).unwrap()).unwrap();
    let files = manifest["files"].as_object().unwrap();
    files.iter().filter(|(name, _)| !name.contains("state")).map(|(name, file)| (name.clone(), file["sha256"].to_string())).collect()
}

fn state(folder: &Path, run: &str) -> Value {
    let all = fs::read_dir(folder.join(run).join("checkpoint")).unwrap().map(|entry| entry.unwrap().path());
    let newest: PathBuf = all.filter(|path| path.is_dir()).max().unwrap();
    let state: Value = serde_json::from_slice(&fs::read(newest.join("state.json")).unwrap()).unwrap();
    state["rl"].clone()
}

#[test]
fn a_reward_command_is_learnt_and_everything_is_told() {
    let folder = prepare(20, SHARE);
    let output = longhand(&["train", "rl.toml", "--run", "run"], folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let events = events(folder.path(), "run");
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).cloned().collect::<Vec<_>>();
    let (steps, held) = (of("rl"), of("rl_validation"));
    assert_eq!(steps.len(), 20);
    assert_eq!(held.iter().map(|event| event["step"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 5, 10, 15, 20]);
    let mean = |steps: &[Value]| steps.iter().map(|step| step["reward"].as_f64().unwrap()).sum::<f64>() / steps.len() as f64;
    assert!(mean(&steps[15..]) > mean(&steps[..5]) + 0.1, "{} to {}", mean(&steps[..5]), mean(&steps[15..]));
    assert!(steps.iter().all(|step| step["mismatch"] == 0.0), "rollouts and updates say the same, to the bit");
    assert!(steps.iter().all(|step| step["tasks"].as_array().unwrap().len() == 2));
    assert!(!of("rl_sample").is_empty());
}

#[test]
fn a_run_that_is_killed_twenty_times_ends_as_one_that_was_not() {
    let folder = prepare(36, SHARE);
    let whole = longhand(&["train", "rl.toml", "--run", "whole"], folder.path()).output().unwrap();
    assert!(whole.status.success(), "{}", said(&whole));
    let began = std::time::Instant::now();
    let (mut kills, mut random) = (0u32, 12345u64);
    loop {
        let resume = folder.path().join("killed/events.jsonl").exists();
        let args: &[&str] =
            if resume { &["train", "rl.toml", "--run", "killed", "--resume"] } else { &["train", "rl.toml", "--run", "killed"] };
        let mut child = longhand(args, folder.path()).stderr(Stdio::piped()).spawn().unwrap();
        if kills == 20 {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
            break;
        }
        // Somewhere within the next few steps, wherever that is.
        let before = fs::metadata(folder.path().join("killed/events.jsonl")).map_or(0, |meta| meta.len());
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        while fs::metadata(folder.path().join("killed/events.jsonl")).map_or(0, |meta| meta.len()) <= before + random % 3000
            && child.try_wait().unwrap().is_none()
        {
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(random >> 32 & 31));
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none_or(|status| status.success()), "it ended by itself with {ended:?}");
        let _ = child.kill();
        child.wait().unwrap();
        kills += 1;
        assert!(began.elapsed() < Duration::from_secs(400), "{kills} kills took too long");
    }
    assert_eq!(hashes(folder.path(), "killed"), hashes(folder.path(), "whole"));
    assert_eq!(state(folder.path(), "killed"), state(folder.path(), "whole"), "latch and sampler");
    let told = |run: &str| {
        let steps = events(folder.path(), run).into_iter().filter(|event| event["event"] == "rl");
        steps
            .map(|step| (step["step"].clone(), step["reward"].clone(), step["entropy"].clone(), step["masking"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(told("killed"), told("whole"));
    assert!(told("whole").iter().any(|step| step.3 == true), "AEPO masks somewhere, or the latch is not tested");
}

#[test]
fn rewards_that_fail_stop_a_run_that_can_be_resumed() {
    let folder = prepare(6, "reward = \"exec:sh reward.sh\"\nreward_seconds = 2");
    let script = folder.path().join("reward.sh");
    fs::write(&script, "echo something is amiss >&2; exit 3\n").unwrap();
    let output = longhand(&["train", "rl.toml", "--run", "run"], folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("amiss") && said(&output).contains("--resume"), "{}", said(&output));
    let skipped = events(folder.path(), "run").into_iter().filter(|event| event["event"] == "rl");
    assert!(skipped.into_iter().all(|step| step["skipped"].is_string() && step["failed"] == 16));
    fs::write(&script, "while read -r row; do echo 0.5; done\n").unwrap();
    let output = longhand(&["train", "rl.toml", "--run", "run", "--resume"], folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    // A value that is no number is that row's failure alone.
    fs::write(&script, "n=0; while read -r row; do n=$((n+1)); if [ $((n % 2)) = 0 ]; then echo NaN; else echo 0.$((n % 8)); fi; done\n")
        .unwrap();
    let output = longhand(&["train", "rl.toml", "--run", "half"], folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let steps: Vec<Value> = events(folder.path(), "half").into_iter().filter(|event| event["event"] == "rl").collect();
    assert!(steps.iter().all(|step| step["failed"] == 8 && step["skipped"].is_null()), "{steps:?}");
    // One that hangs is killed.
    fs::write(&script, "sleep 60\n").unwrap();
    let began = std::time::Instant::now();
    let output = longhand(&["train", "rl.toml", "--run", "hangs"], folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(began.elapsed() < Duration::from_secs(50), "{:?}", began.elapsed());
}

#[test]
fn a_plan_tells_rollouts_and_updates_apart() {
    let folder = prepare(2, SHARE);
    let plan = longhand(&["train", "rl.toml", "--plan", "--json"], folder.path()).output().unwrap();
    assert!(plan.status.success(), "{}", said(&plan));
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    // Prompts of a few tokens share no page: 4 prompts, 4 rollouts, at most 7 rows of reply and the prompt each.
    let (rows, memory) = (plan["step_tokens"].as_f64().unwrap(), &plan["memory"]);
    assert!((4.0 * 4.0 * 8.0..4.0 * 4.0 * 64.0).contains(&rows), "{rows} rows");
    assert!(memory["rollouts' keys, values"].as_u64().unwrap() > 0);
    let seconds = |of: &str| plan[of].as_f64().unwrap();
    assert!(seconds("rollout_seconds") > 0.0 && seconds("seconds_per_step") > 0.0);
    assert!((seconds("seconds") / (2.0 * (seconds("rollout_seconds") + seconds("seconds_per_step"))) - 1.0).abs() < 1e-6);
    let none = longhand(&["train", "rl.toml", "--plan", "--no-measure", "--memory", "0.001"], folder.path()).output().unwrap();
    assert!(none.status.code() == Some(2) && said(&none).contains("GiB"), "{}", said(&none));
    // Without the prompts a plan is still made, and says so.
    fs::remove_file(folder.path().join("items.jsonl")).unwrap();
    let plan = longhand(&["train", "rl.toml", "--plan", "--no-measure"], folder.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&plan.stdout).contains("the data is not here"), "{}", said(&plan));
}

#[test]
fn bad_items_are_named() {
    let folder = prepare(3, "reward = \"rule\"");
    let run = |rows: &str| {
        fs::write(folder.path().join("items.jsonl"), rows).unwrap();
        let output = longhand(&["train", "rl.toml", "--run", "run"], folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(!folder.path().join("run").exists());
        said(&output)
    };
    assert!(run("").contains("no items"));
    assert!(run("{\"id\":\"1\"}\n").contains("line 1"));
    let row = r#"{"id":"1","task":"a","prompt":"p","answers":["x"],"rule":"contain"}"#;
    assert!(run(&format!("{row}\nnot json\n")).contains("line 2"));
    let long = row.replace("\"p\"", &format!("\"{}\"", "many words ".repeat(50)));
    assert!(run(&format!("{row}\n{long}\n")).contains("data.max_length"));
}

#[test]
fn items_are_made_rated_and_picked() {
    let folder = prepare(3, SHARE);
    let run = |args: &[&str]| {
        let output = longhand(args, folder.path()).output().unwrap();
        (output.status.code(), said(&output))
    };
    let world = ["data", "world", "--items", "10", "--words", "20-30", "--hops", "1-2", "--tiny", "--out", "world.jsonl"];
    assert_eq!(run(&world).0, Some(0));
    assert_eq!(run(&world).0, Some(2), "what is there stays");
    let items = fs::read_to_string(folder.path().join("world.jsonl")).unwrap();
    assert_eq!(items.lines().count(), 10);
    assert!(items.contains("\"multi_hop\"") && items.contains("\"numeric\""));
    let (code, words) = run(&["data", "world", "--items", "1", "--tasks", "reeding", "--out", "x.jsonl"]);
    assert!(code == Some(2) && words.contains("reading"), "{words}");

    let reward = SHARE.strip_prefix("reward = \"").unwrap().strip_suffix('"').unwrap().replace("\\\"", "\"");
    let rate = |out: &str| {
        let rest = ["--samples", "4", "--max-new-tokens", "6", "--temperature", "1", "--reward", &reward, "--out", out];
        run(&[&["data", "rate", "items.jsonl", "--model", "model"], &rest[..]].concat())
    };
    assert_eq!(rate("whole.jsonl").0, Some(0));
    let whole = fs::read_to_string(folder.path().join("whole.jsonl")).unwrap();
    assert_eq!(whole.lines().count(), 12);
    // Killed in the middle of a line: what is whole stays.
    let cut = whole.match_indices('\n').nth(6).unwrap().0 + 20;
    fs::write(folder.path().join("torn.jsonl"), &whole[..cut]).unwrap();
    assert_eq!(rate("torn.jsonl").0, Some(0));
    let torn = fs::read_to_string(folder.path().join("torn.jsonl")).unwrap();
    assert_eq!(torn.lines().count(), 12);
    assert_eq!(torn.lines().take(7).collect::<Vec<_>>(), whole.lines().take(7).collect::<Vec<_>>());
    let (code, words) = run(&["data", "pick", "whole.jsonl", "--bins", "4", "--out", "picked.jsonl"]);
    assert!(code == Some(0) && words.contains("of 12 items"), "{words}");
    let picked = fs::read_to_string(folder.path().join("picked.jsonl")).unwrap();
    assert!(picked.lines().all(|line| whole.contains(line)) && picked.lines().count() > 0);
    let (code, words) = run(&["data", "pick", "items.jsonl", "--bins", "4", "--out", "none.jsonl"]);
    assert!(code == Some(2) && words.contains("pass_rate"), "{words}");
}
