//! What the browser wrote down: the console, and the network as its developer tools see it.

use serde_json::{Value, json};

use super::{Driver, Fault};

/// A request as the developer tools report it.
#[derive(Debug, PartialEq)]
pub struct Sent {
    /// `GET`
    pub method: String,
    /// The whole address.
    pub address: String,
    /// The body, where it is text.
    pub body: Option<String>,
}

impl Driver {
    /// The lines that came to the console since the last call: `LEVEL: text`, what the browser itself objects to among them.
    pub fn console(&self) -> Result<Vec<String>, Fault> {
        let entries = self.log("browser")?;
        let line = |entry: &Value| format!("{}: {}", entry["level"].as_str().unwrap_or("?"), entry["message"].as_str().unwrap_or("?"));
        Ok(entries.iter().map(line).collect())
    }

    /// The requests since the last call. Those of workers may be missing; a `Server` that is the browser's proxy has them all.
    pub fn sent(&self) -> Result<Vec<Sent>, Fault> {
        Ok(self.log("performance")?.iter().filter_map(sent).collect())
    }

    fn log(&self, kind: &str) -> Result<Vec<Value>, Fault> {
        Ok(self.post("/se/log", json!({ "type": kind }))?.as_array().cloned().unwrap_or_default())
    }
}

/// The request in an entry of the performance log.
fn sent(entry: &Value) -> Option<Sent> {
    let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
    let event = &message["message"];
    let request = &event["params"]["request"];
    let text = |name: &str| request[name].as_str().map(String::from);
    (event["method"] == "Network.requestWillBeSent").then_some(())?;
    Some(Sent { method: text("method")?, address: text("url")?, body: text("postData") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_from_the_performance_log() {
        let event = |method: &str| {
            let request = json!({ "method": "POST", "url": "http://a.test/b", "postData": "hello" });
            json!({ "message": json!({ "message": { "method": method, "params": { "request": request } } }).to_string() })
        };
        let expected = Sent { method: "POST".into(), address: "http://a.test/b".into(), body: Some("hello".into()) };
        assert_eq!(sent(&event("Network.requestWillBeSent")), Some(expected));
        assert_eq!(sent(&event("Network.dataReceived")), None);
        assert_eq!(sent(&json!({ "message": "no JSON" })), None);
    }
}
