//! The browser gate: `web/` in a real browser. Chromium's own compiler takes every shader variant, WebGPU gives a tiny model's known
//! tokens, and a planted fault of each kind is caught, for a gate that cannot fail proves nothing.
//!
//! The page `tests/browser/gate.html` does the work and posts what it saw; the judging is here.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::browser::Browser;
use crate::server::{Route, Server};
use crate::stages::Outcome;
use crate::{shell, wasm};

/// The longest silence: one shader compile or one decode on a slow machine.
const SILENCE: Duration = Duration::from_secs(240);

/// `cargo xtask web-gate`.
pub fn run() -> bool {
    let outcome = check();
    println!();
    outcome.failures.iter().for_each(|failure| println!("failed: {failure}"));
    println!("{} passed, {} failed", outcome.passed, outcome.failures.len());
    outcome.failures.is_empty()
}

/// Builds the page, opens it, judges what it reports.
pub fn check() -> Outcome {
    let mut gate = Gate::default();
    if let Err(problem) = drive(&mut gate) {
        gate.fail("the page", problem);
    }
    gate.finish()
}

fn drive(gate: &mut Gate) -> Result<(), String> {
    let folder = shell::target_dir().join("web-gate");
    wasm::bindgen(&wasm::build()?, &folder.join("pkg"))?;
    let root = shell::root();
    let server = Server::start(vec![
        Route::new("/pkg/", folder.join("pkg")),
        Route::new("/golden/", root.join("tests/golden")),
        Route::new("/", root.join("tests/browser")),
    ])?;
    let start = Instant::now();
    let mut browser = Browser::open(&format!("{}/gate.html", server.address), &folder)?;
    let mut heard = start;
    loop {
        if let Ok(body) = server.reports.recv_timeout(Duration::from_secs(1)) {
            let now = Instant::now();
            gate.took = now - heard;
            heard = now;
            let report = serde_json::from_str(&body).map_err(|problem| format!("a report that is no JSON ({problem}): {body}"))?;
            if gate.take(&report) {
                println!("browser: finished in {:.1} s", start.elapsed().as_secs_f64());
                return Ok(());
            }
        } else if browser.has_ended() {
            return Err(format!("Chromium ended early. Its last lines:\n{}", browser.log_tail()));
        } else if heard.elapsed() > SILENCE {
            return Err(format!("no word from the page for {} s. Chromium's last lines:\n{}", SILENCE.as_secs(), browser.log_tail()));
        }
    }
}

/// What the page reported so far.
#[derive(Default)]
struct Gate {
    passed: usize,
    failures: Vec<String>,
    skipped: usize,
    /// Between the last two reports.
    took: Duration,
    /// Spent in the compiler.
    compiling: Duration,
    /// How many shader variants the page said it would try, and how many it did.
    variants: (usize, usize),
    /// Planted faults that were caught.
    caught: Vec<String>,
}

/// Every fault the page plants.
const PLANTED: [&str; 4] = ["syntax", "uniformity", "expectation", "log-probability"];

/// Nats that a token's log-probability may be off.
const OFF: f64 = 1e-4;

/// Two tokens whose logits differ by less may change places.
const CLOSE: f64 = 1e-3;

impl Gate {
    fn pass(&mut self, name: &str) {
        println!("browser: {name}: ok");
        self.passed += 1;
    }

    fn fail(&mut self, name: &str, why: String) {
        println!("browser: {name}: FAILED: {why}");
        self.failures.push(format!("{name}: {why}"));
    }

    /// Judges one report; true when it was the last.
    fn take(&mut self, report: &Value) -> bool {
        let name = report["name"].as_str().unwrap_or("?");
        match report["kind"].as_str().unwrap_or_default() {
            "machine" => match report["adapter"].as_object() {
                Some(adapter) => {
                    let words: Vec<&str> = adapter.values().filter_map(Value::as_str).filter(|word| !word.is_empty()).collect();
                    self.pass(&format!("WebGPU adapter: {}", words.join(" ")));
                }
                None => self.fail("adapter", "this Chromium offers no WebGPU adapter".into()),
            },
            "variants" => self.variants.0 = report["count"].as_u64().unwrap_or(0) as usize,
            "shader" => {
                self.variants.1 += 1;
                self.compiling += self.took;
                match (report["skipped"].as_str(), complaints(report)) {
                    (Some(why), _) => {
                        println!("browser: shader {name}: not run: {why}");
                        self.skipped += 1;
                    }
                    (None, None) => self.passed += 1,
                    (None, Some(errors)) => self.fail(&format!("shader {name}"), errors),
                }
            }
            "planted shader" => match complaints(report) {
                Some(errors) => {
                    println!("browser: planted {name}: refused with: {}", errors.lines().next().unwrap_or_default());
                    self.caught.push(name.into());
                }
                None => self.fail(&format!("planted {name}"), "the compiler took a broken shader".into()),
            },
            "decode" => match decode(report) {
                Ok(said) => {
                    self.pass(&format!("decode {name} ({:.1} s){said}", self.took.as_secs_f64()));
                    let mut wrong = report.clone();
                    if plant(&mut wrong) && decode(&wrong).is_err() {
                        self.caught.push("expectation".into());
                    }
                }
                Err(why) => self.fail(&format!("decode {name}"), why),
            },
            "score" => match score(report) {
                Ok(off) => {
                    self.pass(&format!("log-probabilities {name}: at most {off:.1e} off"));
                    let mut wrong = report.clone();
                    let first = wrong["expected"][0].as_f64().unwrap_or(f64::NAN);
                    wrong["expected"][0] = Value::from(first + 2.0 * OFF);
                    if score(&wrong).is_err() {
                        self.caught.push("log-probability".into());
                    }
                }
                Err(why) => self.fail(&format!("log-probabilities {name}"), why),
            },
            "failed" => {
                self.fail("the page", report["text"].as_str().unwrap_or_default().into());
                return true;
            }
            "done" => return true,
            other => self.fail("the page", format!("a report of unknown kind '{other}'")),
        }
        false
    }

    fn finish(mut self) -> Outcome {
        let (announced, tried) = self.variants;
        if announced == 0 || tried != announced {
            self.fail("shaders", format!("{tried} of {announced} variants were tried"));
        }
        println!("browser: {tried} shader variants compiled in {:.1} s", self.compiling.as_secs_f64());
        for fault in PLANTED {
            if self.caught.iter().any(|name| name == fault) {
                self.pass(&format!("planted {fault} is caught"));
            } else {
                self.fail(&format!("planted {fault}"), "was not caught".into());
            }
        }
        Outcome { passed: self.passed, failures: self.failures, skipped: self.skipped }
    }
}

/// The compiler's errors, or `None`. A report without the list of errors is an error itself.
fn complaints(report: &Value) -> Option<String> {
    let Some(errors) = report["errors"].as_array() else { return Some("no list of errors in the report".into()) };
    let lines: Vec<&str> = errors.iter().map(|error| error.as_str().unwrap_or("?")).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Whether the decoded ids are the known ones, or first differ where two tokens were as good; what is to be said of it.
fn decode(report: &Value) -> Result<String, String> {
    if let Some(error) = report["error"].as_str() {
        return Err(error.into());
    }
    let ids = |name: &str| report[name].as_array().filter(|ids| !ids.is_empty()).ok_or(format!("no {name} in the report"));
    let (ids, expected) = (ids("ids")?, ids("expected")?);
    let differ = || Err(format!("decoded {ids:?}, known are {expected:?}"));
    let Some(first) = ids.iter().zip(expected).position(|(id, known)| id != known) else {
        return if ids.len() == expected.len() { Ok(String::new()) } else { differ() };
    };
    match report["gap"][first].as_f64() {
        Some(gap) if gap < CLOSE => Ok(format!("; differs from token {first}, where the best two are {gap:.1e} apart")),
        _ => differ(),
    }
}

/// How far a log-probability is off at most.
fn score(report: &Value) -> Result<f64, String> {
    let numbers = |name: &str| -> Result<Vec<f64>, String> {
        let list = report[name].as_array().filter(|list| !list.is_empty()).ok_or(format!("no {name} in the report"))?;
        // What is no number in JSON was no number before.
        Ok(list.iter().map(|number| number.as_f64().unwrap_or(f64::NAN)).collect())
    };
    let (found, expected) = (numbers("logprobs")?, numbers("expected")?);
    if found.len() != expected.len() {
        return Err(format!("{} log-probabilities, {} are known", found.len(), expected.len()));
    }
    let off: Vec<f64> = found.iter().zip(&expected).map(|(found, expected)| (found - expected).abs()).collect();
    if off.iter().any(|off| off.is_nan()) {
        return Err("there are some that are no numbers".into());
    }
    let most = off.into_iter().fold(0.0, f64::max);
    if most <= OFF { Ok(most) } else { Err(format!("off by {most:e}, allowed is {OFF:e}")) }
}

/// Changes the last expected id.
fn plant(report: &mut Value) -> bool {
    let Some(last) = report["expected"].as_array_mut().and_then(|ids| ids.last_mut()) else { return false };
    *last = Value::from(last.as_u64().unwrap_or(0) + 1);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judge(reports: &[Value]) -> Outcome {
        let mut gate = Gate::default();
        for report in reports {
            gate.take(report);
        }
        gate.finish()
    }

    fn good() -> Vec<Value> {
        vec![
            json!({"kind": "machine", "adapter": {"vendor": "google", "device": ""}}),
            json!({"kind": "variants", "count": 2}),
            json!({"kind": "shader", "name": "a", "errors": []}),
            json!({"kind": "shader", "name": "b", "errors": [], "skipped": "no shader-f16"}),
            json!({"kind": "planted shader", "name": "syntax", "errors": ["1:1 no"]}),
            json!({"kind": "planted shader", "name": "uniformity", "errors": ["1:1 no"]}),
            json!({"kind": "decode", "name": "tiny", "ids": [1, 2], "expected": [1, 2], "gap": [0.5, 0.5]}),
            json!({"kind": "score", "name": "tiny", "logprobs": [-1.0, -2.0], "expected": [-1.00005, -2.0]}),
        ]
    }

    #[test]
    fn a_clean_run_passes_and_every_fault_fails_it() {
        let outcome = judge(&good());
        assert_eq!((outcome.passed, outcome.failures.len(), outcome.skipped), (8, 0, 1));
        let faults = [
            (0, json!({"kind": "machine"})),
            (1, json!({"kind": "variants", "count": 3})),
            (2, json!({"kind": "shader", "name": "a", "errors": ["2:3 bad"]})),
            (2, json!({"kind": "shader", "name": "a"})),
            (4, json!({"kind": "planted shader", "name": "syntax", "errors": []})),
            (6, json!({"kind": "decode", "name": "tiny", "ids": [1, 3], "expected": [1, 2]})),
            (6, json!({"kind": "decode", "name": "tiny", "ids": [], "expected": []})),
            (6, json!({"kind": "decode", "name": "tiny", "error": "no adapter"})),
            (6, json!({"kind": "decode", "name": "tiny", "ids": [1], "expected": [1, 2], "gap": [0.5, 0.5]})),
            (7, json!({"kind": "score", "name": "tiny", "logprobs": [-1.0, -2.0], "expected": [-1.0, -2.00011]})),
            (7, json!({"kind": "score", "name": "tiny", "logprobs": [-1.0, null], "expected": [-1.0, -2.0]})),
            (7, json!({"kind": "score", "name": "tiny", "logprobs": [-1.0], "expected": [-1.0, -2.0]})),
            (6, json!({"kind": "failed", "text": "panicked"})),
        ];
        for (index, fault) in faults {
            let mut reports = good();
            reports[index] = fault.clone();
            assert!(!judge(&reports).failures.is_empty(), "{fault}");
        }
        assert!(!judge(&[]).failures.is_empty());
        let other = |gap: f64| decode(&json!({"ids": [1, 3, 5], "expected": [1, 2, 4], "gap": [0.5, gap, 0.5]}));
        assert!(other(0.0009).unwrap().contains("differs from token 1") && other(0.0011).is_err());
    }
}
