//! The client against a made-up driver. The real one has a scenario of its own, `app::driven`.

use std::io::{BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::http::Message;

type Asked = Receiver<(String, Value)>;

/// A driver that gives these answers, one after the other; what it was asked. The first two are for the start of the session.
fn fake(answers: Vec<(u16, Value)>) -> (Driver, Asked) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, asked) = channel();
    let begin = [(200, json!({ "sessionId": "s1", "capabilities": {} })), (200, Value::Null)];
    std::thread::spawn(move || {
        for (status, value) in begin.into_iter().chain(answers) {
            let mut stream = listener.accept().unwrap().0;
            let message = Message::read(&mut BufReader::new(stream.try_clone().unwrap())).unwrap().unwrap();
            let words: Vec<&str> = message.first.split(' ').collect();
            let _ = sender.send((words[..2].join(" "), serde_json::from_slice(&message.body).unwrap_or(Value::Null)));
            let body = json!({ "value": value }).to_string();
            write!(stream, "HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    let mut driver = Driver { child: None, address, session: String::new() };
    driver.begin(json!({ "browserName": "fake" })).unwrap();
    let (first, capabilities) = asked.recv().unwrap();
    assert_eq!((first.as_str(), &capabilities["capabilities"]["alwaysMatch"]["browserName"]), ("POST /session", &json!("fake")));
    assert_eq!(asked.recv().unwrap().0, "POST /session/s1/timeouts");
    (driver, asked)
}

fn element(id: &str) -> Value {
    json!({ "element-6066-11e4-a52e-4f735466cecf": id })
}

fn refusal(kind: &str, text: &str) -> (u16, Value) {
    (404, json!({ "error": kind, "message": text, "stacktrace": "" }))
}

#[test]
fn selectors_go_through_shadow_roots() {
    let shadow = json!({ "shadow-6066-11e4-a52e-4f735466cecf": "r7" });
    let (driver, asked) =
        fake(vec![(200, json!([element("e1")])), (200, shadow), (200, json!([element("e2"), element("e3")])), (200, json!("hello"))]);
    assert_eq!(driver.find("my-element >>> p").unwrap().text().unwrap(), "hello");
    let commands: Vec<String> = asked.try_iter().map(|(line, body)| format!("{line} {}", body["value"])).collect();
    let expected = [
        "POST /session/s1/elements \"my-element\"",
        "GET /session/s1/element/e1/shadow null",
        "POST /session/s1/shadow/r7/elements \"p\"",
        "GET /session/s1/element/e2/text null",
    ];
    assert_eq!(commands, expected);
}

#[test]
fn faults_keep_the_browsers_text() {
    let (driver, _asked) = fake(vec![
        refusal("javascript error", "x is not defined"),
        (200, json!([])),
        (200, json!({ "problem": "Error: late" })),
        (200, json!("Ab!")),
        (500, Value::Null),
    ]);
    let fault = driver.script("x", &[]).unwrap_err();
    assert_eq!(fault.kind, "javascript error");
    assert!(fault.text.contains("x is not defined") && fault.text.contains("/execute/sync"), "{fault}");
    assert_eq!(driver.find("p").err().unwrap().kind, "no such element");
    assert_eq!(driver.script_async("throw 1", &[]).unwrap_err(), Fault::new("javascript error", "Error: late"));
    assert!(driver.screenshot().unwrap_err().text.contains("'!' is no letter of Base64"));
    assert!(driver.open("http://a.test").unwrap_err().text.contains("500"));
    // The made-up driver has ended.
    assert_eq!(driver.reload().unwrap_err().kind, "no answer");
}

#[test]
fn waiting_ends_with_what_was_seen_last_and_bears_only_what_may_pass() {
    let (driver, _asked) = fake(vec![
        refusal("stale element reference", "gone"),
        (200, json!([])),
        (200, json!([element("e1")])),
        refusal("invalid selector", "p["),
    ]);
    let long = Duration::from_secs(60);
    assert!(driver.wait("a paragraph", long, || driver.find("p").map(Some)).is_ok());
    assert_eq!(driver.wait("a paragraph", long, || driver.find("p[").map(Some)).err().unwrap().kind, "invalid selector");
    let fault = driver.wait::<()>("rain", Duration::ZERO, || Ok(None)).unwrap_err();
    assert_eq!((fault.kind.as_str(), fault.text.contains("rain")), ("timeout", true));
}

#[test]
fn base64_and_the_port_are_read() {
    for (text, expected) in [("", &b""[..]), ("TQ==", b"M"), ("TWE=", b"Ma"), ("TWFu", b"Man"), ("+/8A", &[0xfb, 0xff, 0x00])] {
        assert_eq!(wire::bytes(&json!(text)).unwrap(), expected, "{text}");
    }
    assert!(wire::bytes(&Value::Null).is_err());
    let said = |text: &'static str| port(BufReader::new(text.as_bytes()));
    assert_eq!(said("Starting on port 0\nChromeDriver was started successfully on port 39111.\n"), Some(39111));
    assert_eq!(said("Starting on port 0\n"), None);
}
