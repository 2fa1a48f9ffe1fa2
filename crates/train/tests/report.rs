//! The page of a run: all of it is in the page, nothing is loaded, and no text of a model or a configuration becomes markup.

use std::path::Path;
use std::process::Command;

use data::{Machine, StopCause, TrainEvent, TrainStart, TrainStep};
use serde_json::Value;
use train::run::report;

const HOSTILE: &str =
    "</script><script>document.title='owned'</script><img src=x onerror=document.title='owned'><!-- {{data}} & \u{2028}\u{202e}";

fn start() -> TrainEvent {
    TrainEvent::Started(TrainStart {
        version: 1,
        time: 1_764_000_000,
        longhand: "0.1.0".into(),
        config: format!("# {HOSTILE}\n[train]\nlr = 1e-4\n"),
        seed: 7,
        machine: Machine { system: "linux x86_64".into(), device: "a GPU".into(), threads: 16, memory: 80 << 30 },
        model: format!("Qwen3-0.6B {HOSTILE}"),
        parameters: 596_049_920,
        trained: 596_049_920,
        steps: 2000,
    })
}

fn step(step: u64, loss: f32) -> TrainEvent {
    let wave = (step as f32 * 0.7).sin();
    TrainEvent::Step(TrainStep {
        step,
        loss,
        grad_norm: 1.0 + 0.5 * wave + 40.0 / step as f32,
        lr: 1e-4 * (step as f32 / 100.0).min(1.0) * (1.0 - step as f32 / 2500.0),
        tokens: 8192,
        loss_tokens: 4000,
        seconds: 2.0,
        tokens_per_second: 4096.0 + 60.0 * wave,
        peak_memory: (9 << 30) + step * 100_000,
        mfu: Some(0.31),
    })
}

/// 1500 of 2000 steps, with a spike at step 776 and a NaN at step 900; resumed once.
fn events() -> Vec<TrainEvent> {
    let mut events = vec![start()];
    for n in 0..=1500u64 {
        let smooth = 1.6 + 2.0 * (-(n as f32) / 300.0).exp();
        let noise = 0.15 * ((n * 7919 % 101) as f32 / 50.0 - 1.0);
        let loss = if n == 900 { f32::NAN } else { smooth + noise + if n == 776 { 3.0 } else { 0.0 } };
        if n > 0 {
            events.push(step(n, loss));
        }
        if n % 250 == 0 {
            let loss = smooth + 0.05;
            events.push(TrainEvent::Validation { step: n, loss, tokens: 20_000, perplexity: loss.exp(), seconds: 12.0 });
            let completion = format!("The mill stood by the river.\nIt was sold in {} for {n} crowns.\n{HOSTILE}", 1900 + n / 250);
            events.push(TrainEvent::Sample { step: n, prompt: format!("Tell of the mill.\n{HOSTILE}"), completion });
            events.push(TrainEvent::Sample {
                step: n,
                prompt: "Name three rivers.".into(),
                completion: "The Ouse, the Cam".repeat(n as usize / 500 + 1),
            });
        }
        if n == 1000 {
            events.push(TrainEvent::Checkpoint { step: n, folder: "step-001000".into(), bytes: 7_152_599_040, seconds: 20.0 });
            let machine = Machine { device: format!("another GPU {HOSTILE}"), ..Machine::default() };
            events.push(TrainEvent::Resumed {
                step: n,
                time: 1_764_003_000,
                longhand: "0.1.0".into(),
                machine,
                lost_steps: 40,
                lost_seconds: 80.0,
            });
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

#[test]
fn the_page_is_made_from_the_log_alone() {
    let data = embedded(&report::html(&events()));
    assert_eq!((&data["taken"], &data["steps"], &data["resumed"]), (&1500.into(), &2000.into(), &serde_json::json!([1000])));
    // 1500 steps of 2 s, 7 validations of 12 s, a checkpoint of 20 s, and 80 s lost.
    assert_eq!(fact(&data, "Time used"), "53m 04s, 1m 20s of it lost to kills");
    assert!(fact(&data, "Time left").starts_with("about 1"), "{}", fact(&data, "Time left"));
    assert_eq!(fact(&data, "Tokens"), "12,288,000, 6,000,000 of them with loss");
    assert_eq!(fact(&data, "Best validation"), "1.6635 after step 1,500; 3.6500 before training");
    assert_eq!(fact(&data, "Last checkpoint"), "step-001000, 6.7 GiB");
    assert_eq!(data["warnings"][0], "Loss or gradient is not finite at step 900.");
    assert!(data["warnings"][1].as_str().unwrap().contains("Resumed after step 1,000 on \u{2068}another GPU"));
    assert_eq!(data["validations"][0], serde_json::json!(["0", "3.6500", "38.47", "20,000"]));
    let mut done = events();
    done.push(TrainEvent::Stopped { step: 1500, reason: StopCause::Finished, time: 0 });
    let data = embedded(&report::html(&done));
    assert_eq!((data["status"].as_str(), fact(&data, "Time left").as_str()), (Some("finished"), ""));
}

#[test]
fn curves_keep_their_spikes_gaps_and_ends() {
    let data = embedded(&report::html(&events()));
    let titles: Vec<&str> = data["charts"].as_array().unwrap().iter().map(|chart| chart["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Loss", "Gradient norm", "Learning rate", "Tokens per second", "Peak memory"]);
    let loss = data["charts"][0]["series"][0]["points"].as_array().unwrap();
    assert!(loss.len() <= 5 * 600 && loss.len() > 600, "{}", loss.len());
    assert_eq!((&loss[0][0], &loss[loss.len() - 1][0]), (&1.into(), &1500.into()));
    let highest = loss.iter().max_by(|a, b| a[1].as_f64().unwrap_or(0.0).total_cmp(&b[1].as_f64().unwrap_or(0.0))).unwrap();
    assert_eq!(highest[0], 776);
    assert_eq!(loss.iter().filter(|point| point[1].is_null()).map(|point| point[0].as_u64().unwrap()).collect::<Vec<_>>(), [900]);
    assert!(loss.windows(2).all(|two| two[0][0].as_u64() < two[1][0].as_u64()));
    // The smoothed curve is near the truth, starts with the first value, and has no gap.
    let smoothed = data["charts"][0]["series"][1]["points"].as_array().unwrap();
    assert_eq!(smoothed[0], loss[0]);
    assert!((smoothed.last().unwrap()[1].as_f64().unwrap() - 1.62).abs() < 0.05, "{:?}", smoothed.last());
    assert!(smoothed.iter().all(|point| point[1].is_f64()));
    let validation = data["charts"][0]["series"][2]["points"].as_array().unwrap();
    assert_eq!((validation.len(), &validation[0][0]), (7, &0.into()));
}

#[test]
fn completions_are_compared_with_the_ones_before() {
    let data = embedded(&report::html(&events()));
    let completions = data["samples"][0]["completions"].as_array().unwrap();
    assert_eq!((data["samples"].as_array().unwrap().len(), completions.len()), (2, 7));
    let side = |turn: &Value, signs: [i64; 2]| -> String {
        let pieces = turn["pieces"].as_array().unwrap().iter().filter(|piece| signs.contains(&piece[1].as_i64().unwrap()));
        pieces.map(|piece| piece[0].as_str().unwrap()).collect()
    };
    for two in completions.windows(2) {
        assert_eq!(side(&two[1], [0, -1]), side(&two[0], [0, 1]));
        assert_ne!(side(&two[1], [1, 1]), "");
    }
    assert!(side(&completions[6], [1, 1]).contains("1906"));
    // Many are thinned; the first and the last stay.
    let many: Vec<TrainEvent> = std::iter::once(start())
        .chain((0..500).map(|step| TrainEvent::Sample { step, prompt: "p".into(), completion: format!("{step}") }))
        .collect();
    let data = embedded(&report::html(&many));
    let completions = data["samples"][0]["completions"].as_array().unwrap();
    assert_eq!((completions.len(), &completions[0]["step"], &completions[59]["step"]), (60, &0.into(), &499.into()));
}

#[test]
fn nothing_is_loaded_and_no_text_becomes_markup() {
    let page = report::html(&events());
    // The hostile text is there, and only inside the data, with no `<` in it.
    let (before, rest) = page.split_once(r#"id="data">"#).unwrap();
    let (data, after) = rest.split_once("</script>").unwrap();
    assert!(data.contains("owned") && !data.contains('<'));
    let shell = format!("{before}{after}");
    assert!(!shell.contains("owned") && !shell.contains("onerror"));
    assert_eq!(shell.matches("<script").count(), 2);
    // Only the name of the SVG namespace looks like an address.
    assert_eq!(page.matches("://").count(), 1);
    assert!(page.contains("default-src 'none'") && !shell.contains("src=") && !shell.contains("href=") && !shell.contains("url("));
    assert!(!shell.contains("innerHTML") && !shell.contains("eval("));
    assert!(shell.contains("prefers-color-scheme: dark"));
}

#[test]
fn a_run_without_steps_has_a_page_too() {
    assert_eq!(embedded(&report::html(&[]))["status"], "not begun");
    let data = embedded(&report::html(&[start()]));
    assert_eq!((&data["taken"], data["charts"][0]["series"][0]["points"].as_array().unwrap().len()), (&0.into(), 0));
}

#[test]
#[ignore = "needs Chromium: LONGHAND_CHROMIUM=chromium cargo test -p longhand-train --test report -- --ignored"]
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
        String::from_utf8(output.stdout).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let drawn = dom(folder.path(), &events());
    // Loss has three curves, the other four charts one each; a gap begins a curve anew.
    assert_eq!(drawn.matches("class=\"curve ").count(), 7, "{drawn}");
    let faint = drawn.split("class=\"curve faint\" d=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(faint.matches('M').count(), 2);
    assert_eq!(drawn.matches("<article>").count(), 2);
    assert!(!drawn.contains("<img") && !drawn.contains("<title>owned") && drawn.contains("&lt;img src=x"));
    assert!(!drawn.contains("NaN") && !drawn.contains("undefined"));
    let empty = dom(folder.path(), &[start()]);
    assert_eq!(empty.matches("nothing yet").count(), 5 + 1, "five charts, and the script that says so");
}
