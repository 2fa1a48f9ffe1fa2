//! One command and its answer.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::Fault;
use crate::http::Message;

/// Sends a command on a connection of its own; the answer's value.
pub fn call(address: &str, method: &str, path: &str, body: &Value, patience: Duration) -> Result<Value, Fault> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let message = exchange(address, method, path, &body, patience)
        .map_err(|problem| Fault::new("no answer", format!("{method} {path}: {problem}")))?
        .ok_or_else(|| Fault::new("no answer", format!("{method} {path}: the driver closed the connection")))?;
    let answer: Value = serde_json::from_slice(&message.body)
        .map_err(|problem| Fault::new("unknown error", format!("{method} {path}: {}, and no JSON: {problem}", message.first)))?;
    let value = answer["value"].clone();
    match value["error"].as_str() {
        Some(kind) => {
            let asked: String = body.chars().take(200).collect();
            Err(Fault::new(kind, format!("{}\n  asked: {method} {path} {asked}", value["message"].as_str().unwrap_or_default().trim_end())))
        }
        None if message.first.split(' ').nth(1) != Some("200") => {
            Err(Fault::new("unknown error", format!("{method} {path}: {}", message.first)))
        }
        None => Ok(value),
    }
}

fn exchange(address: &str, method: &str, path: &str, body: &str, patience: Duration) -> std::io::Result<Option<Message>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(patience))?;
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes())?;
    Message::read(&mut BufReader::new(stream))
}

/// The bytes of a Base64 string.
pub fn bytes(value: &Value) -> Result<Vec<u8>, Fault> {
    let text = value.as_str().ok_or_else(|| Fault::new("unknown error", "no Base64 where some was due"))?;
    let (mut out, mut held, mut bits) = (Vec::with_capacity(text.len() / 4 * 3), 0u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let digit = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return Err(Fault::new("unknown error", format!("'{}' is no letter of Base64", letter as char))),
        };
        held = held << 6 | digit as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits) as u8);
        }
    }
    Ok(out)
}
