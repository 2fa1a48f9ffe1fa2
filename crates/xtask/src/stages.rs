//! `cargo xtask test`: every test, in stages. All stages run whatever fails; the end says what failed and how long each took.

use std::time::{Duration, Instant};

use crate::{Options, app, gate, setup, shell, wasm};

/// The stages in order.
pub const STAGES: [&str; 8] = ["setup", "format", "lint", "test", "wasm", "browser", "app", "cube"];

/// Runs only when it is named: minutes of building for a feature that is off.
const ON_REQUEST: &str = "cube";

/// What a stage found.
#[derive(Default)]
pub struct Outcome {
    /// Checks that passed, where the stage counts them.
    pub passed: usize,
    /// What failed, a line each.
    pub failures: Vec<String>,
    /// Checks that did not run.
    pub skipped: usize,
}

impl Outcome {
    /// A stage that is one check.
    fn of(done: bool, what: &str) -> Self {
        if done { Self { passed: 1, ..Self::default() } } else { Self { failures: vec![what.into()], ..Self::default() } }
    }
}

/// Runs the stages. True when nothing failed.
pub fn run(options: &Options) -> bool {
    let start = Instant::now();
    let mut rows = Vec::new();
    for stage in STAGES.into_iter().filter(|stage| options.wants(stage) && (*stage != ON_REQUEST || options.names(stage))) {
        println!("\n── {stage} ──");
        let begin = Instant::now();
        let outcome = match stage {
            "setup" => {
                let all = Options { verb: "setup".into(), yes: options.yes, ..Options::default() };
                Outcome::of(setup::run(&all), "something is not installed")
            }
            "format" => Outcome::of(shell::run(shell::cargo().args(["fmt", "--all", "--check"])), "cargo fmt --all --check"),
            "lint" => Outcome::of(lint(), "cargo clippy"),
            "test" => test(&["--workspace"]),
            "wasm" => wasm_stage(),
            "browser" => gate::check(),
            "app" => app::check(&Options { verb: "web-app".into(), ..Options::default() }),
            "cube" => test(&["-p", "longhand-kernels", "--features", "cube", "--test", "cube"]),
            _ => unreachable!("a stage of STAGES"),
        };
        rows.push((stage, outcome, begin.elapsed()));
    }
    summary(&rows, start.elapsed())
}

fn lint() -> bool {
    shell::run(shell::cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
}

/// The build for wasm32, and the tests of what writes its modules, which the workspace's tests leave out with all that it stands on.
fn wasm_stage() -> Outcome {
    let built = Outcome::of(wasm::build().is_ok(), "the wasm32 build");
    let tested = test(&["-p", "xtask", "--features", "bindgen", "--bin", "bindgen"]);
    Outcome { passed: built.passed + tested.passed, failures: [built.failures, tested.failures].concat(), skipped: tested.skipped }
}

/// One `cargo test` over `what`; the GPU half must run.
fn test(what: &[&str]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut command = shell::cargo();
    command.args(["test", "--no-fail-fast"]).args(what).env("REQUIRE_GPU", "1");
    let done = shell::run_lines(&mut command, |line| count(line, &mut outcome));
    if !done && outcome.failures.is_empty() {
        outcome.failures.push("cargo test did not finish".into());
    }
    outcome
}

/// Adds one line of the test runner's output.
fn count(line: &str, outcome: &mut Outcome) {
    if let Some(name) = line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED")) {
        outcome.failures.push(format!("test {name}"));
    }
    let Some(result) = line.strip_prefix("test result: ") else { return };
    for part in result.split(['.', ';']) {
        let mut words = part.split_whitespace();
        let Some(number) = words.next().and_then(|word| word.parse::<usize>().ok()) else { continue };
        match words.next() {
            Some("passed") => outcome.passed += number,
            Some("ignored") => outcome.skipped += number,
            _ => {}
        }
    }
}

/// The table, the failures and the closing line.
fn summary(rows: &[(&str, Outcome, Duration)], total: Duration) -> bool {
    println!("\n{:<10}{:>8}{:>8}{:>9}", "stage", "passed", "failed", "time");
    for (stage, outcome, time) in rows {
        println!("{stage:<10}{:>8}{:>8}{:>9}", outcome.passed, outcome.failures.len(), clock(*time));
    }
    println!("{:<26}{:>9}", "all", clock(total));
    let sum = |part: fn(&Outcome) -> usize| rows.iter().map(|(_, outcome, _)| part(outcome)).sum::<usize>();
    let (passed, failed, skipped) = (sum(|o| o.passed), sum(|o| o.failures.len()), sum(|o| o.skipped));
    if failed > 0 {
        println!("\nFailed:");
        for (stage, outcome, _) in rows {
            outcome.failures.iter().for_each(|failure| println!("  {stage}: {failure}"));
        }
    }
    println!();
    match skipped {
        0 => println!("{passed} passed, {failed} failed"),
        _ => println!("{passed} passed, {failed} failed, {skipped} skipped"),
    }
    failed == 0
}

/// Minutes and seconds.
fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_runners_lines_are_counted() {
        let mut outcome = Outcome::default();
        for line in [
            "running 3 tests",
            "test matmul::tests::tails ... FAILED",
            "test result: FAILED. 11 passed; 1 failed; 2 ignored; 0 measured; 3 filtered out; finished in 0.21s",
            "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.5s",
            "test says 9 passed",
        ] {
            count(line, &mut outcome);
        }
        assert_eq!((outcome.passed, outcome.skipped), (15, 2));
        assert_eq!(outcome.failures, ["test matmul::tests::tails"]);
        assert_eq!(clock(Duration::from_secs(605)), "10:05");
    }
}
