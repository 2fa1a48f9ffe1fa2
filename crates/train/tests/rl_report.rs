//! The page of a run of reinforcement learning: what was drawn, what it was worth, what a person should look at.

use std::path::Path;
use std::process::Command;

use data::{AlarmKind, Machine, RlSample, RlStep, RlValidation, SampleRank, StopCause, TaskStep, TrainEvent, TrainStart};
use serde_json::{Value, json};
use train::run::report;

const HOSTILE: &str = "</script><img src=x onerror=document.title='owned'><!-- {{data}} \u{202e}";
const TASKS: [&str; 3] = ["count", "find <b>", "order"];
/// Steps of the planted run; 120 were to be taken.
const TAKEN: u64 = 100;

fn start(steps: u64) -> TrainEvent {
    TrainEvent::Started(TrainStart {
        version: 1,
        time: 1_764_000_000,
        longhand: "0.1.0".into(),
        config: format!("# {HOSTILE}\n[rl]\ngroup = 8\n"),
        seed: 7,
        machine: Machine { system: "linux x86_64".into(), device: "a GPU".into(), threads: 16, memory: 80 << 30 },
        model: "Qwen3-0.6B".into(),
        parameters: 596_049_920,
        trained: 596_049_920,
        steps,
    })
}

fn noise(n: u64) -> f32 {
    (n * 7919 % 101) as f32 / 100.0 - 0.5
}

fn task(name: &str, n: u64, number: u64) -> TaskStep {
    let level = 0.2 + 0.1 * number as f32;
    TaskStep {
        task: name.into(),
        // The third is drawn in every second step.
        rollouts: if number == 2 && n % 2 == 1 { 0 } else { 24 },
        reward: level + 0.4 * n as f32 / TAKEN as f32 + 0.1 * noise(n + number),
        deviation: 0.4,
        entropy: 0.2,
        tokens: 50.0 + 20.0 * number as f32 + 0.3 * n as f32,
        zero_variance: 0.25,
        truncated: 0.04,
        masked: if masking(n) { 0.4 } else { 0.0 },
    }
}

/// AEPO masks from step 41 to 55, and from 81 to 90.
fn masking(n: u64) -> bool {
    (41..=55).contains(&n) || (81..=90).contains(&n)
}

fn step(n: u64) -> RlStep {
    let failed = match n {
        7 => 5,
        60 => 64,
        _ => 0,
    };
    let skipped = match n {
        60 => Some("no rollout has a reward"),
        3 | 9 => Some("no group has rewards that differ"),
        _ => None,
    };
    RlStep {
        step: n,
        reward: if failed == 64 { 0.0 } else { 0.3 + 0.4 * n as f32 / TAKEN as f32 + 0.15 * noise(n) },
        entropy: if masking(n) { 0.3 } else { 0.2 + 0.05 * noise(n) },
        thresholds: (n > 10).then_some((0.13, 0.28)),
        masking: masking(n),
        rollouts: 64,
        negatives: 30,
        masked: if masking(n) { 30 } else { 0 },
        groups: 8,
        zero_variance: 2 + u64::from(skipped.is_some()) * 6,
        truncated: n % 5,
        failed,
        failure: (failed > 0).then(|| format!("the command said: {HOSTILE}\nand more")),
        skipped: skipped.map(String::from),
        tasks: TASKS.iter().zip(0..).map(|(name, number)| task(name, n, number)).collect(),
        grad_norm: if skipped.is_some() { 0.0 } else { 0.8 + noise(n).abs() },
        lr: 1e-6 * (n as f32 / 10.0).min(1.0),
        prompt_tokens: 800,
        completion_tokens: 3648 + 20 * n,
        mismatch: if skipped.is_some() { 0.0 } else { 1e-6 * (1.0 + noise(n)) },
        rollout_seconds: 7.0 + noise(n),
        reward_seconds: 0.5,
        update_seconds: 2.5,
        peak_memory: 3_300_000_000 + n * 1_000_000,
        ..RlStep::default()
    }
}

fn held_out(n: u64) -> TrainEvent {
    let reward = |number: u64| 0.2 + 0.1 * number as f32 + 0.3 * (n as f32 / 80.0).min(1.0) - if n > 90 { 0.05 } else { 0.0 };
    let tasks: Vec<TaskStep> =
        TASKS.iter().zip(0..).map(|(name, number)| TaskStep { reward: reward(number), ..task(name, 2, number) }).collect();
    TrainEvent::RlValidation(RlValidation { step: n, reward: reward(1), prompts: 150, margin: 0.04, tasks, seconds: 30.0 })
}

fn sample(n: u64, rank: SampleRank) -> TrainEvent {
    let best = rank == SampleRank::Best;
    TrainEvent::RlSample(RlSample {
        step: n,
        rank,
        task: TASKS[1].into(),
        prompt: format!("Where is the mill of step {n}?\n{HOSTILE}"),
        completion: if best { "By the river.".into() } else { "I went to look, and looked, and looked. ".repeat(30) },
        reward: f32::from(u8::from(best)),
        tokens: if best { 4 } else { 300 },
        truncated: !best,
    })
}

fn alarm(step: u64, kind: AlarmKind, message: &str) -> TrainEvent {
    TrainEvent::Alarm { step, kind, message: message.into() }
}

/// A run with everything that a run can have.
fn events() -> Vec<TrainEvent> {
    let mut events = vec![start(120), held_out(0)];
    for n in 1..=TAKEN {
        events.push(TrainEvent::Rl(step(n)));
        match n {
            31 => events.push(alarm(n, AlarmKind::EntropyHigh, "entropy is 0.700, it began at 0.200: the policy runs away")),
            60 => events.push(alarm(n, AlarmKind::NoReward, &format!("64 of 64 rollouts have no reward: {HOSTILE}"))),
            75 => events.push(alarm(n, AlarmKind::EntropyHigh, "entropy is 0.800, it began at 0.200: the policy runs away.")),
            _ => {}
        }
        if n % 10 == 0 {
            events.extend([held_out(n), sample(n, SampleRank::Best), sample(n, SampleRank::Worst)]);
            events.push(TrainEvent::Checkpoint { step: n, folder: format!("step-{n:06}"), bytes: 7_152_599_040, seconds: 4.0 });
        }
        if n == 50 {
            let machine = Machine { device: "another GPU".into(), ..Machine::default() };
            let longhand = "0.1.0".into();
            events.push(TrainEvent::Resumed { step: n, time: 1_764_003_000, longhand, machine, lost_steps: 3, lost_seconds: 30.0 });
        }
    }
    events
}

/// The data in the page, as a browser would find it: up to the first end of a script element.
fn embedded(page: &str) -> Value {
    let (_, rest) = page.split_once(r#"<script type="application/json" id="data">"#).unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

fn fact(data: &Value, name: &str) -> String {
    let facts = data["facts"].as_array().unwrap();
    facts.iter().find(|fact| fact[0] == name).map_or(String::new(), |fact| fact[1].as_str().unwrap().to_string())
}

fn chart<'a>(data: &'a Value, title: &str) -> &'a Value {
    data["charts"].as_array().unwrap().iter().find(|chart| chart["title"] == title).unwrap_or_else(|| panic!("no chart {title}"))
}

/// (step, value) of a curve; NaN where it has a gap.
fn points(data: &Value, title: &str, name: &str) -> Vec<(u64, f64)> {
    let all = chart(data, title)["series"].as_array().unwrap();
    let series = all.iter().find(|series| series["name"] == name).unwrap_or_else(|| panic!("no curve {name} of {title}"));
    series["points"].as_array().unwrap().iter().map(|point| (point[0].as_u64().unwrap(), point[1].as_f64().unwrap_or(f64::NAN))).collect()
}

fn short(steps: u64) -> Vec<TrainEvent> {
    std::iter::once(start(steps)).chain((1..=steps).map(|n| TrainEvent::Rl(step(n)))).collect()
}

#[test]
fn the_page_says_how_it_went() {
    let data = embedded(&report::html(&events()));
    assert_eq!((&data["taken"], &data["steps"], &data["resumed"]), (&100.into(), &120.into(), &json!([50])));
    // 100 steps of about 10 s, 11 validations of 30 s, 10 checkpoints of 4 s, and 30 s lost.
    assert_eq!(fact(&data, "Time used"), "23m 21s, 30s of it lost to kills");
    assert_eq!(fact(&data, "Time went to"), "rollouts 51 %, validations 24 %, updates 18 %, rewards 4 %, checkpoints 3 %");
    assert_eq!(fact(&data, "Time left"), "about 4m 28s");
    assert_eq!(fact(&data, "Best held-out reward"), "0.600 ± 0.040 after step 80; 0.300 ± 0.040 before training");
    assert_eq!(fact(&data, "Rollouts"), "6,400, 3 % of them cut off");
    assert_eq!(fact(&data, "Tokens"), "465,800 drawn (665 a second), 80,000 of prompts");
    let without = fact(&data, "Without a reward");
    assert!(without.starts_with("69 of 6,400 rollouts; the first at step 7: the command said: </script>") && without.ends_with("and more"));
    let nothing = "3 of 100: no group has rewards that differ (2), no rollout has a reward (1)";
    assert_eq!(fact(&data, "Steps that changed nothing"), nothing);
    assert_eq!(fact(&data, "Negatives masked"), "750 of 3,000; masking in 25 of 100 steps");
    assert_eq!(fact(&data, "Last checkpoint"), "step-000100, 6.7 GiB");
    assert!(fact(&data, "Reward").contains(" in the last 10 steps; 0.3"), "{}", fact(&data, "Reward"));
    assert_eq!((fact(&data, "Loss"), fact(&data, "Best validation")), (String::new(), String::new()));
}

#[test]
fn alarms_stand_on_top_each_kind_once() {
    let data = embedded(&report::html(&events()));
    let warnings: Vec<&str> = data["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap()).collect();
    let again = "At step 31: entropy is 0.700, it began at 0.200: the policy runs away. It rang again at step 75: entropy is 0.800";
    assert!(warnings[0].starts_with(again), "{}", warnings[0]);
    assert!(!warnings.iter().any(|warning| warning.contains('\u{202e}')) && !fact(&data, "Without a reward").contains('\u{202e}'));
    assert!(warnings[0].ends_with("runs away."), "{}", warnings[0]);
    assert!(warnings[1].starts_with("At step 60: 64 of 64 rollouts have no reward: </script>"), "{}", warnings[1]);
    assert!(warnings[2].starts_with("Resumed after step 50"), "{}", warnings[2]);
    assert_eq!(warnings.len(), 3);
    let mut wrong = short(3);
    if let TrainEvent::Rl(step) = &mut wrong[2] {
        step.grad_norm = f32::NAN;
    }
    assert_eq!(embedded(&report::html(&wrong))["warnings"], json!(["Reward, entropy or gradient is not finite at step 2."]));
}

#[test]
fn curves_show_what_was_measured_and_nothing_else() {
    let data = embedded(&report::html(&events()));
    let titles: Vec<&str> = data["charts"].as_array().unwrap().iter().map(|chart| chart["title"].as_str().unwrap()).collect();
    assert_eq!(
        titles,
        [
            "Reward",
            "Entropy",
            "Tokens of a completion",
            "Shares, smoothed",
            "Gradient norm",
            "Learning rate",
            "Seconds of a step",
            "Tokens per second of rollouts",
            "Mismatch",
            "Peak memory"
        ]
    );
    // Where no rollout has a reward there is none, and where nothing was updated no gradient.
    let every = |title, name| points(&data, title, name).into_iter().map(|(step, _)| step).collect::<Vec<u64>>();
    assert_eq!(every("Reward", "each step"), (1..=100).filter(|n| *n != 60).collect::<Vec<u64>>());
    assert_eq!(every("Gradient norm", "Gradient norm"), (1..=100).filter(|n| ![3, 9, 60].contains(n)).collect::<Vec<u64>>());
    assert_eq!(every("Mismatch", "Mismatch").len(), 97);
    // A task has a point only where something of it was drawn.
    assert_eq!(every("Reward", "order"), (2..=100).step_by(2).filter(|n| *n != 60).collect::<Vec<u64>>());
    assert_eq!(every("Tokens of a completion", "find <b>").len(), 99);
    assert_eq!(chart(&data, "Reward")["series"][4]["name"], "all");
    let held = &chart(&data, "Reward")["series"][5];
    assert_eq!((&held["name"], held["points"].as_array().unwrap().len()), (&json!("held-out"), 11));
    assert_eq!((held["points"][0][0].as_u64(), held["points"][0][2].as_f64().map(|margin| margin as f32)), (Some(0), Some(0.04)));
    // Thresholds are lines with two ends; stretches of masking are shaded.
    assert_eq!(points(&data, "Entropy", "high").iter().map(|point| point.0).collect::<Vec<u64>>(), [11, 100]);
    assert!((points(&data, "Entropy", "low")[0].1 - 0.13).abs() < 1e-6);
    assert_eq!(chart(&data, "Entropy")["shade"], json!([[41, 55], [81, 90]]));
    assert_eq!(points(&data, "Entropy", "entropy").len(), 100);
    assert!((points(&data, "Shares, smoothed", "groups with one reward").last().unwrap().1 - 0.25).abs() < 0.01);
    assert_eq!(points(&data, "Shares, smoothed", "rollouts without a reward").len(), 100);
}

#[test]
fn time_is_stacked_and_long_runs_are_thinned() {
    let data = embedded(&report::html(&short(4)));
    let seconds = |name| points(&data, "Seconds of a step", name);
    assert_eq!(chart(&data, "Seconds of a step")["stack"], true);
    assert_eq!(seconds("rewards"), [(1, 0.5), (2, 0.5), (3, 0.5), (4, 0.5)]);
    assert!((seconds("rollouts")[0].1 - f64::from(step(1).rollout_seconds)).abs() < 1e-6);
    // Few steps: what was measured, not a mean of it, and no curve beside it.
    assert_eq!(points(&data, "Reward", "all").len(), 4);
    assert!((points(&data, "Reward", "all")[1].1 - f64::from(step(2).reward)).abs() < 1e-6);
    assert!(!chart(&data, "Shares")["series"].as_array().unwrap().iter().any(|series| series["name"] == "rollouts without a reward"));
    let mut long = short(5000);
    if let TrainEvent::Rl(step) = &mut long[777] {
        step.update_seconds = f32::NAN;
    }
    let data = embedded(&report::html(&long));
    for name in ["rollouts", "rewards", "update"] {
        let all = points(&data, "Seconds of a step", name);
        assert!(all.len() <= 600 && all.last().unwrap().0 == 5000 && all.iter().all(|point| point.1.is_finite()), "{name}: {}", all.len());
    }
    assert!((points(&data, "Seconds of a step", "rollouts").iter().map(|point| point.1).sum::<f64>() / 556.0 - 7.0).abs() < 0.1);
    assert!(report::html(&long).len() < 2 << 20);
}

#[test]
fn tasks_and_held_out_rewards_stand_in_tables() {
    let data = embedded(&report::html(&events()));
    let tasks = &data["tables"][0];
    assert_eq!((&tasks["title"], tasks["rows"].as_array().unwrap().len()), (&json!("Tasks"), 3));
    let row = tasks["rows"][2].as_array().unwrap();
    assert_eq!(tasks["head"].as_array().unwrap().len(), row.len());
    assert_eq!((&row[0], &row[1]), (&json!("order"), &json!("1,200")));
    assert_eq!([&row[4], &row[5], &row[6]], ["0.400", "0.700", "0.650"]);
    assert_eq!([&row[9], &row[10], &row[11]], ["4 %", "25 %", "20 %"]);
    let held = &data["tables"][1];
    assert_eq!(held["head"], json!(["after step", "reward", "±", "prompts", "count", "find <b>", "order"]));
    assert_eq!(held["rows"][0], json!(["0", "0.300", "0.040", "150", "0.200", "0.300", "0.400"]));
    assert_eq!(held["rows"].as_array().unwrap().len(), 11);
}

#[test]
fn one_task_is_not_told_apart_from_all() {
    let mut events = short(60);
    for event in &mut events {
        if let TrainEvent::Rl(step) = event {
            step.tasks.truncate(1);
        }
    }
    let data = embedded(&report::html(&events));
    let names = |title| -> Vec<String> {
        chart(&data, title)["series"].as_array().unwrap().iter().map(|series| series["name"].as_str().unwrap().to_string()).collect()
    };
    assert_eq!(names("Reward"), ["each step", "smoothed", "held-out"]);
    assert_eq!(names("Tokens of a completion"), ["each step", "smoothed"]);
    assert_eq!(data["tables"].as_array().unwrap().len(), 1);
}

#[test]
fn rollouts_are_shown_by_step_and_thinned() {
    let data = embedded(&report::html(&events()));
    let shown = data["rollouts"].as_array().unwrap();
    assert_eq!(shown.len(), 10);
    assert_eq!((&shown[9]["step"], shown[9]["rollouts"].as_array().unwrap().len()), (&json!(100), 2));
    let worst = &shown[9]["rollouts"][1];
    assert_eq!((&worst["rank"], &worst["truncated"], &worst["tokens"]), (&json!("worst"), &json!(true), &json!(300)));
    let many: Vec<TrainEvent> = std::iter::once(start(500)).chain((1..=500).map(|n| sample(n, SampleRank::Best))).collect();
    let shown = embedded(&report::html(&many))["rollouts"].clone();
    assert_eq!((shown.as_array().unwrap().len(), &shown[0]["step"], &shown[59]["step"]), (60, &json!(1), &json!(500)));
}

#[test]
fn a_run_that_has_hardly_begun_has_a_page_too() {
    let data = embedded(&report::html(&[start(9), held_out(0)]));
    assert_eq!(fact(&data, "Best held-out reward"), "0.300 ± 0.040 after step 0");
    assert_eq!((fact(&data, "Rollouts").as_str(), fact(&data, "Tokens").as_str()), ("0, 0 % of them cut off", "0 drawn, 0 of prompts"));
    assert_eq!(data["tables"].as_array().unwrap().len(), 1);
    // Rewards that are all the same have a margin of rounding.
    let same = TrainEvent::RlValidation(RlValidation { reward: 1.0, margin: 5e-17, ..RlValidation::default() });
    assert_eq!(fact(&embedded(&report::html(&[start(9), same])), "Best held-out reward"), "1.000 after step 0");
    let empty = TrainEvent::Rl(RlStep { step: 1, ..RlStep::default() });
    let held = TrainEvent::RlValidation(RlValidation { step: 1, reward: f32::NAN, margin: f32::NAN, ..RlValidation::default() });
    let stopped = TrainEvent::Stopped { step: 1, reason: StopCause::Finished, time: 0 };
    let data = embedded(&report::html(&[start(1), empty, held, stopped]));
    assert_eq!((&data["status"], fact(&data, "Best held-out reward")), (&json!("finished"), String::new()));
    assert_eq!(data["tables"][0]["rows"][0], json!(["1", "NaN", "–", "0"]));
}

#[test]
fn no_text_becomes_markup() {
    let page = report::html(&events());
    let (before, rest) = page.split_once(r#"id="data">"#).unwrap();
    let (data, after) = rest.split_once("</script>").unwrap();
    assert!(data.contains("owned") && !data.contains('<'));
    let shell = format!("{before}{after}");
    assert!(!shell.contains("owned") && !shell.contains("onerror") && !shell.contains("innerHTML"));
}

#[test]
#[ignore = "needs Chromium: LONGHAND_CHROMIUM=chromium cargo test -p longhand-train --test rl_report -- --ignored"]
fn a_browser_draws_it() {
    let browser = std::env::var("LONGHAND_CHROMIUM").expect("LONGHAND_CHROMIUM names a browser with Chromium's engine");
    let dom = |folder: &Path, events: &[TrainEvent]| {
        let page = folder.join("report.html");
        std::fs::write(&page, report::html(events)).unwrap();
        let profile = format!("--user-data-dir={}", folder.join("profile").display());
        let output = Command::new(&browser)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--window-size=1200,900", &profile])
            .arg(format!("file://{}", page.display()))
            .output()
            .unwrap();
        let dom = String::from_utf8(output.stdout).unwrap();
        let drawn = dom.split_once("<main>").unwrap().1.split_once("</main>").unwrap().0.to_string();
        assert!(!drawn.contains("NaN,") && !drawn.contains("undefined") && !drawn.contains("\"NaN"));
        assert!(!drawn.contains("<img") && !dom.contains("<title>owned"));
        drawn
    };
    let folder = tempfile::tempdir().unwrap();
    let drawn = dom(folder.path(), &events());
    // Six of rewards, three of entropy, five of lengths, four shares, and five charts of one; three areas of time.
    assert_eq!(drawn.matches("class=\"curve ").count(), 6 + 3 + 5 + 4 + 5);
    assert_eq!(drawn.matches("class=\"area ").count(), 3);
    assert_eq!(drawn.matches("class=\"margin\"").count(), 11);
    assert_eq!(drawn.matches("class=\"shade\" x=").count(), 2);
    assert_eq!(drawn.matches("<table>").count(), 2 + 1, "two, and the empty one of losses");
    assert!(drawn.contains("best: reward 1, 4 tokens, task <bdi>find &lt;b&gt;</bdi>"));
    assert!(drawn.contains("worst: reward 0, 300 tokens, cut off, task "));
    let begun = dom(folder.path(), &[start(9), held_out(0)]);
    assert_eq!((begun.matches("nothing yet").count(), begun.matches("class=\"curve ").count()), (9, 1));
}
