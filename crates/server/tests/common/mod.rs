//! A server that does as it is told, and a clock that does not wait.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use data::{BoxFuture, ChatError, ChatModel, ChatReply, ChatRequest, Message, Sampling};
use serde_json::{Value, json};
use server::{Client, ClientSettings, Clock};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    pub headers: Vec<String>,
    pub body: Value,
}

/// Answers each request by calling `script` with its number, from 0.
pub struct Server {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    /// Connections that the client closed before the script was through.
    pub broken: Arc<AtomicUsize>,
}

impl Server {
    pub fn start(script: impl Fn(usize, &Request, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (requests, broken) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (seen, breaks, script) = (requests.clone(), broken.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, breaks, script) = (seen.clone(), breaks.clone(), script.clone());
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    stream.set_nodelay(true).unwrap();
                    let Some(request) = read(&stream) else { return };
                    let number = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(request.clone());
                        seen.len() - 1
                    };
                    if script(number, &request, &mut stream).is_err() {
                        breaks.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        Self { url, requests, broken }
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn settings(&self) -> ClientSettings {
        let mut settings = ClientSettings::new(&self.url).unwrap();
        settings.model = Some("m".into());
        settings.window = Some(4096);
        settings
    }

    pub fn client(&self) -> Client {
        Client::connect(self.settings(), None).unwrap()
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_string());
    }
    let length = |line: &String| line.to_lowercase().strip_prefix("content-length:").and_then(|length| length.trim().parse().ok());
    let mut body = vec![0; lines.iter().find_map(length).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let line = lines.remove(0);
    Some(Request { line, headers: lines, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
}

/// A whole answer.
pub fn answer(stream: &mut TcpStream, status: u16, headers: &str, body: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status} Status\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())?;
    stream.flush()
}

/// The head of a stream, whose body ends with the connection.
pub fn stream_head(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
}

/// An event with a piece of text.
pub fn delta(text: &str) -> String {
    format!(
        "data: {}\n\n",
        json!({"id": "x", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]})
    )
}

/// The events that end a reply.
pub fn ending(finish: &str, usage: Option<(usize, usize)>) -> String {
    let mut text = format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}));
    if let Some((prompt, completion)) = usage {
        text += &format!(
            "data: {}\n\n",
            json!({"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}})
        );
    }
    text + "data: [DONE]\n\n"
}

/// A reply in a stream.
pub fn stream(out: &mut TcpStream, texts: &[&str]) -> std::io::Result<()> {
    stream_head(out)?;
    for text in texts {
        out.write_all(delta(text).as_bytes())?;
    }
    out.write_all(ending("stop", Some((7, texts.len()))).as_bytes())
}

pub fn request(text: &str) -> ChatRequest {
    ChatRequest::new(vec![Message::user(text)], Sampling::GREEDY, 100)
}

/// Runs a call; the reply and the texts as they came.
pub fn chat(model: &dyn ChatModel, request: &ChatRequest) -> (Result<ChatReply, ChatError>, Vec<String>) {
    let mut texts = Vec::new();
    let mut on_text = |text: &str| texts.push(text.to_string());
    let outcome = pollster::block_on(model.chat(request, &mut on_text));
    (outcome, texts)
}

/// Sleeps take no time; they are written down and the clock goes forward by them. No jitter.
#[derive(Default)]
pub struct QuickClock {
    pub slept: Mutex<Vec<Duration>>,
}

impl Clock for QuickClock {
    fn now(&self) -> Instant {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(Instant::now) + self.slept.lock().unwrap().iter().sum::<Duration>()
    }

    fn date(&self) -> SystemTime {
        // Sun, 06 Nov 1994 08:49:37 GMT, the date of the standard's examples.
        SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.slept.lock().unwrap().push(duration);
        Box::pin(std::future::ready(()))
    }

    fn jitter(&self) -> f64 {
        1.0
    }
}
