use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reward::{By, RewardSettings, Rewarder};
use serde_json::{Value, json};

use super::{Rows, kinds, rewarder, run, settings};

/// Answers the n-th request, from 0, as `script` does with its body; keeps the bodies.
fn serve(script: impl Fn(usize, &Value, &mut TcpStream) -> std::io::Result<()> + Send + 'static) -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/score", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::<Value>::new()));
    let bodies = seen.clone();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut length, mut line) = (0, String::new());
            while reader.read_line(&mut line).unwrap() > 2 {
                let lower = line.to_lowercase();
                length = lower.strip_prefix("content-length:").map_or(length, |value| value.trim().parse().unwrap());
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            bodies.lock().unwrap().push(body.clone());
            let _ = script(number, &body, &mut stream);
        }
    });
    (url, seen)
}

fn answer(stream: &mut TcpStream, status: u16, body: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status} Status\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

#[test]
fn rows_are_posted_and_rewards_come_back() {
    let rows = Rows::new(600);
    let (url, seen) = serve(|_, body, stream| {
        let rewards: Vec<f64> =
            body["rows"].as_array().unwrap().iter().map(|row| row["reply"].as_str().unwrap().parse::<f64>().unwrap() / 1000.0).collect();
        answer(stream, 200, &json!({"rewards": rewards}).to_string())
    });
    let mut rewarder = rewarder(&url, settings(30.0));
    let results = run(&mut rewarder, &rows.items());
    for (at, result) in results.iter().enumerate() {
        let scored = result.as_ref().unwrap();
        assert_eq!((scored.reward, scored.by), (at as f64 / 1000.0, By::Server));
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.iter().map(|body| body["rows"].as_array().unwrap().len()).collect::<Vec<_>>(), [256, 256, 88]);
    let row = json!({"id": "r0", "task": "t", "prompt": "How many?", "reply": "0", "answers": ["0"], "rule": "exact", "truncated": false});
    assert_eq!(seen[0]["rows"][0], row);
    assert_eq!((rewarder.counts().calls, rewarder.counts().restarts), (3, 0));
}

#[test]
fn answers_of_every_form_are_read_or_refused() {
    let rows = Rows::new(3);
    for (status, body, expected) in [
        (200, "[1, 0.5, 0]", [Ok(1.0), Ok(0.5), Ok(0.0)]),
        (200, r#"{"rewards": [{"reward": 1}, {"reward": 0.5}, {"reward": 0}]}"#, [Ok(1.0), Ok(0.5), Ok(0.0)]),
        (200, r#"[{"id": "r2", "reward": 1}, {"id": "r0", "reward": 0}, {"id": "r1", "reward": 0.5}]"#, [Ok(0.0), Ok(0.5), Ok(1.0)]),
        (200, "[1, NaN, null]", [Ok(1.0), Err("not a number"), Err("not a number")]),
        (200, "[1, \"1\", true]", [Ok(1.0), Err("not a number"), Err("not a number")]),
        (200, "[1, 2, -Infinity]", [Ok(1.0), Err("out of range"), Err("not a number")]),
        (200, "[1]", [Ok(1.0), Err("missing"), Err("missing")]),
        (200, "[1, 1, 1, 1]", [Err("mismatch"); 3]),
        (200, "[]", [Err("missing"); 3]),
        (200, r#"{"scores": [1, 1, 1]}"#, [Err("down"); 3]),
        (200, "<html>", [Err("down"); 3]),
        (200, "", [Err("down"); 3]),
        (404, "nothing here", [Err("down"); 3]),
        (302, "elsewhere", [Err("down"); 3]),
    ] {
        let (url, seen) = serve(move |_, _, stream| answer(stream, status, body));
        let results = run(&mut rewarder(&url, settings(30.0)), &rows.items());
        assert_eq!(kinds(&results), expected, "{status} {body}");
        assert_eq!(seen.lock().unwrap().len(), 1, "trying again does not help: {status} {body}");
        if status == 404 {
            let text = results[0].as_ref().unwrap_err().to_string();
            assert!(text.contains(&url) && text.contains("404") && text.contains("nothing here"), "{text}");
        }
    }
}

#[test]
fn what_may_pass_is_tried_again() {
    let rows = Rows::new(2);
    let (url, seen) = serve(|number, _, stream| match number {
        0 => answer(stream, 503, "busy"),
        1 => Ok(()),
        _ => answer(stream, 200, "[1, 1]"),
    });
    let started = Instant::now();
    let mut rewarder = rewarder(&url, settings(30.0));
    assert_eq!(kinds(&run(&mut rewarder, &rows.items())), [Ok(1.0), Ok(1.0)]);
    // 0.25 and 0.5 s between.
    assert!(started.elapsed() >= Duration::from_millis(750));
    assert_eq!((rewarder.counts().calls, rewarder.counts().restarts, seen.lock().unwrap().len()), (1, 2, 3));
}

#[test]
fn a_server_that_is_down_or_silent_is_given_up() {
    let rows = Rows::new(600);
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut down = rewarder(&format!("http://{address}/score"), RewardSettings { retries: 1, ..settings(30.0) });
    let results = run(&mut down, &rows.items());
    assert_eq!(kinds(&results), [Err("down"); 600]);
    let text = results[599].as_ref().unwrap_err().to_string();
    assert!(text.contains("is the server running there?") && text.contains("after 2 attempts"), "{text}");
    assert_eq!((down.counts().calls, down.counts().failures["down"]), (1, 600));
    for slow in [0, 1] {
        // Silent from the start, or in the middle of its answer.
        let (url, _) = serve(move |_, _, stream| {
            if slow == 1 {
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[1,")?;
            }
            std::thread::sleep(Duration::from_secs(20));
            Ok(())
        });
        let started = Instant::now();
        let mut rewarder: Rewarder = rewarder(&url, settings(0.5));
        assert_eq!(kinds(&run(&mut rewarder, &rows.items()[..2])), [Err("hung"), Err("hung")]);
        assert!(started.elapsed() >= Duration::from_millis(450) && started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}
