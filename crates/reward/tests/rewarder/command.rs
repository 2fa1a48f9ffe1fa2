use std::process::Command;
use std::time::{Duration, Instant};

use reward::{Failure, RewardSettings, Scored};

use super::{Rows, kinds, rewarder, run, settings};

/// The replies are numbers; this gives them back, divided by 1000.
const ECHO: &str = r#"exec:sed -E 's/.*"reply":"([0-9]+)".*/\1e-3/'"#;

#[test]
fn each_row_gets_its_own_reward_whatever_the_batches() {
    let rows = Rows::new(1000);
    for batch in [1, 7, 256, 5000] {
        let count = if batch == 1 { 40 } else { 1000 };
        let mut rewarder = rewarder(ECHO, RewardSettings { rows: batch, ..settings(60.0) });
        let results = run(&mut rewarder, &rows.items()[..count]);
        for (at, result) in results.iter().enumerate() {
            assert_eq!(result.as_ref().unwrap().reward, at as f64 / 1000.0);
        }
        let counts = rewarder.counts();
        assert_eq!((counts.calls, counts.restarts, counts.items), (count.div_ceil(batch) as u64, 0, count as u64));
    }
}

#[test]
fn a_hundred_thousand_rows_pass_through() {
    let rows = Rows::new(100_000);
    // Rewards up to 99.999.
    let mut rewarder = rewarder(ECHO, RewardSettings { rows: 100_000, range: 0.0..=100.0, ..settings(120.0) });
    let results = run(&mut rewarder, &rows.items());
    assert!(
        results
            .iter()
            .enumerate()
            .all(|(at, result)| *result.as_ref().map(|scored| &scored.reward).unwrap() == format!("{at}e-3").parse::<f64>().unwrap())
    );
    assert_eq!(rewarder.counts().calls, 1);
}

#[test]
fn a_command_that_hangs_is_ended_with_its_children() {
    let rows = Rows::new(3);
    let mark = format!("{}.25", 40_000 + std::process::id());
    let sleeping =
        || Command::new("pgrep").args(["-f", &format!("sleep {mark}")]).output().map(|out| !out.stdout.is_empty()).unwrap_or(false);
    for command in [
        format!("sleep {mark}"),
        format!("sleep {mark} & sleep {mark} & echo 1 >&2; wait"),
        format!("trap '' TERM INT HUP; (trap '' TERM; sleep {mark}) & cat >/dev/null; sleep {mark}"),
    ] {
        let started = Instant::now();
        let mut rewarder = rewarder(&format!("exec:{command}"), settings(0.4));
        let results = run(&mut rewarder, &rows.items());
        let took = started.elapsed();
        assert_eq!(kinds(&results), [Err("hung"); 3], "{command}");
        assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(5), "{command}: {took:?}");
        let text = results[0].as_ref().unwrap_err().to_string();
        assert!(text.contains("0.4 s"), "{text}");
        std::thread::sleep(Duration::from_millis(50));
        assert!(!sleeping(), "{command}");
    }
    // What was answered before counts.
    let answered = run(&mut rewarder(&format!("exec:echo 1; printf 0.; sleep {mark}"), settings(0.5)), &rows.items());
    assert_eq!(kinds(&answered), [Ok(1.0), Err("hung"), Err("hung")]);
    // Nobody waits for what a command left running.
    let started = Instant::now();
    let left = run(&mut rewarder(&format!("exec:sleep {mark} & printf '1\\n0.5\\n1'"), settings(30.0)), &rows.items());
    assert_eq!(kinds(&left), [Ok(1.0), Ok(0.5), Ok(1.0)]);
    assert!(started.elapsed() < Duration::from_secs(5) && !sleeping());
}

#[test]
fn a_command_that_dies_keeps_what_it_answered() {
    let rows = Rows::new(4);
    let mut rewarder = rewarder("exec:read a; echo 1; read b; echo 0.5; echo one >&2; echo 'no file x' >&2; exit 3", settings(60.0));
    for _ in 0..2 {
        let results = run(&mut rewarder, &rows.items());
        assert_eq!(kinds(&results), [Ok(1.0), Ok(0.5), Err("died"), Err("died")]);
        assert_eq!(results[2], Err(Failure::Died { status: "exit code 3".into(), stderr: "one\nno file x".into() }));
    }
    assert_eq!((rewarder.counts().calls, rewarder.counts().restarts), (2, 1));
    assert_eq!(rewarder.counts().failures["died"], 4);
    for (command, status) in [("kill -9 $$", "signal 9"), ("no-such-command-here", "127"), ("exit 1", "exit code 1")] {
        let results = run(&mut super::rewarder(&format!("exec:{command}"), settings(60.0)), &rows.items());
        let Err(Failure::Died { status: said, .. }) = &results[0] else { panic!("{results:?}") };
        assert!(said.contains(status), "{said}");
        assert_eq!(kinds(&results), [Err("died"); 4]);
    }
    // Only the last lines of a long complaint, whole.
    let long = run(&mut super::rewarder("exec:seq 1 200000 >&2; exit 1", settings(60.0)), &rows.items());
    let Err(Failure::Died { stderr, .. }) = &long[3] else { panic!() };
    assert_eq!(stderr, "199996\n199997\n199998\n199999\n200000");
    // A number that was not finished is not one.
    assert_eq!(kinds(&run(&mut super::rewarder("exec:echo 1; printf 0.2; exit 1", settings(60.0)), &rows.items()))[1], Err("died"));
}

#[test]
fn what_is_no_reward_fails_its_row_only() {
    let rows = Rows::new(3);
    for (command, expected) in [
        ("printf '1\\nNaN\\n0\\n'", [Ok(1.0), Err("not a number"), Ok(0.0)]),
        ("printf '1\\n-inf\\n0\\n'", [Ok(1.0), Err("not a number"), Ok(0.0)]),
        ("printf '1\\nabc\\n0\\n'", [Ok(1.0), Err("not a number"), Ok(0.0)]),
        ("printf '1\\n7\\n-1e9'", [Ok(1.0), Err("out of range"), Err("out of range")]),
        ("echo '{\"reward\": NaN}'; echo 1; echo 1", [Err("not a number"), Ok(1.0), Ok(1.0)]),
        ("echo '{\"id\":\"r2\",\"reward\":1}'; echo log; echo '{\"id\":\"r0\",\"reward\":0}'", [Ok(0.0), Err("missing"), Ok(1.0)]),
        ("echo 1; echo 1", [Ok(1.0), Ok(1.0), Err("missing")]),
        ("cat >/dev/null", [Err("missing"); 3]),
        ("true", [Err("missing"); 3]),
        ("echo loading; echo 1; echo 1; echo 1", [Err("mismatch"); 3]),
        ("printf '\\377\\376\\n1\\n1\\n'", [Err("not a number"), Ok(1.0), Ok(1.0)]),
        ("printf '\\r\\n1\\r\\n\\r\\n1\\r\\n1\\r\\n'", [Ok(1.0); 3]),
    ] {
        let mut rewarder = rewarder(&format!("exec:{command}"), settings(60.0));
        assert_eq!(kinds(&run(&mut rewarder, &rows.items())), expected, "{command}");
    }
    let text = |command: &str| run(&mut rewarder(command, settings(60.0)), &rows.items())[1].as_ref().unwrap_err().to_string();
    assert!(text("exec:printf '1\\nNaN\\n0\\n'").contains("row r1: `NaN`"));
    assert!(text("exec:printf '1\\n7\\n0\\n'").contains("7 is not between 0 and 1"));
    let mut wide = rewarder("exec:printf '7\\n-2\\n11\\n'", RewardSettings { range: -2.0..=10.0, ..settings(60.0) });
    assert_eq!(kinds(&run(&mut wide, &rows.items())), [Ok(7.0), Ok(-2.0), Err("out of range")]);
}

#[test]
fn pipes_that_are_full_block_nobody() {
    // Each row is larger than a pipe holds.
    let reply = "x".repeat(300_000);
    let answers = ["0".to_string()];
    let items = vec![super::item("a", &reply, &answers); 20];
    for command in [
        // Says all before it reads anything; reads nothing at all; closes its ends; talks on standard error the while.
        "i=0; while [ $i -lt 20 ]; do echo 1; echo '                                                  ' ; i=$((i+1)); done; cat >/dev/null",
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do echo 1; done",
        "exec <&-; yes 1 | head -20",
        "seq 1 100000 >&2; yes 1 | head -20; cat >/dev/null; seq 1 100000 >&2",
    ] {
        let results = run(&mut rewarder(&format!("exec:{command}"), settings(30.0)), &items);
        assert_eq!(kinds(&results), [Ok(1.0); 20], "{command}");
    }
    let blank = "exec:head -c 3000000 /dev/zero | tr '\\0' '\\n'; yes 1 | head -20; cat >/dev/null";
    assert_eq!(kinds(&run(&mut rewarder(blank, settings(30.0)), &items)), [Ok(1.0); 20]);
    for endless in ["exec:yes 1", "exec:yes", "exec:cat /dev/zero"] {
        let started = Instant::now();
        let results = run(&mut rewarder(endless, settings(60.0)), &items);
        assert_eq!(kinds(&results), [Err("mismatch"); 20], "{endless}");
        assert!(started.elapsed() < Duration::from_secs(30), "{endless}");
    }
}

#[test]
fn rows_are_not_tried_for_ever() {
    let rows = Rows::new(100);
    let started = Instant::now();
    let mut rewarder = rewarder("exec:sleep 60", RewardSettings { rows: 10, ..settings(0.2) });
    assert_eq!(kinds(&run(&mut rewarder, &rows.items())), [Err("hung"); 100]);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!((rewarder.counts().calls, rewarder.counts().restarts), (3, 2));
    // One bad row harms its own batch only.
    let mut picky = super::rewarder(
        "exec:while read row; do case $row in *r55*) exit 9;; esac; echo 1; done",
        RewardSettings { rows: 10, ..settings(60.0) },
    );
    let results = kinds(&run(&mut picky, &rows.items()));
    let failed: Vec<usize> = (0..100).filter(|&at| results[at].is_err()).collect();
    assert_eq!(failed, [55, 56, 57, 58, 59]);
    assert_eq!(run(&mut picky, &[]), Vec::<Result<Scored, Failure>>::new());
}

#[test]
fn a_call_that_is_dropped_ends_its_command() {
    let rows = Rows::new(1);
    let mark = format!("{}.5", 50_000 + std::process::id());
    let sleeping =
        || Command::new("pgrep").args(["-f", &format!("sleep {mark}")]).output().map(|out| !out.stdout.is_empty()).unwrap_or(false);
    let mut rewarder = rewarder(&format!("exec:sleep {mark}"), settings(60.0));
    let items = rows.items();
    let mut call = Box::pin(rewarder.score(&items));
    let waker = std::task::Waker::noop();
    assert!(call.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    let until = |wanted: bool| {
        let started = Instant::now();
        while sleeping() != wanted {
            assert!(started.elapsed() < Duration::from_secs(5), "{wanted}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    until(true);
    drop(call);
    until(false);
}
