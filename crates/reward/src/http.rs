//! `http:URL`: rows posted to a server, rewards in its answer.

use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;

use crate::wire::{self, Entry};

const CONNECT: Duration = Duration::from_secs(10);
const FIRST_WAIT: Duration = Duration::from_millis(250);
const MOST_BYTES: u64 = 64 << 20;

/// Why there are no rewards.
#[derive(Clone, Debug, PartialEq)]
pub enum Trouble {
    Hung,
    Down(String),
    Cancelled,
}

/// Posts `{"rows": […]}`; `{"rewards": […]}` or a list comes back. Blocks for at most `limit`, retries included: a connection that
/// fails, 429 and 5xx are tried again up to `retries` times. The second value counts them.
pub fn post(url: &str, rows: &[String], limit: Duration, retries: u32, cancelled: &dyn Fn() -> bool) -> (Result<Vec<Entry>, Trouble>, u32) {
    let started = Instant::now();
    let body = format!("{{\"rows\":[{}]}}", rows.join(","));
    let agent = agent(url);
    let mut tries = 0;
    loop {
        let left = limit.saturating_sub(started.elapsed());
        let (why, passing) = match attempt(&agent, url, &body, left) {
            Ok(entries) => return (Ok(entries), tries),
            Err(Refused::Time) => return (Err(Trouble::Hung), tries),
            Err(Refused::For { why, passing }) => (why, passing),
        };
        if cancelled() {
            return (Err(Trouble::Cancelled), tries);
        }
        let wait = FIRST_WAIT * 2u32.pow(tries.min(6));
        if !passing || tries == retries || started.elapsed() + wait >= limit {
            let attempts = if tries > 0 { format!(" (after {} attempts)", tries + 1) } else { String::new() };
            return (Err(Trouble::Down(format!("{why}{attempts}"))), tries);
        }
        std::thread::sleep(wait);
        tries += 1;
    }
}

enum Refused {
    Time,
    For { why: String, passing: bool },
}

fn agent(url: &str) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        // A redirect would carry prompts and replies somewhere nobody named.
        .max_redirects(0)
        .timeout_connect(Some(CONNECT))
        .user_agent(concat!("longhand/", env!("CARGO_PKG_VERSION")));
    let host = url.split_once("://").map_or("", |(_, rest)| rest);
    let local = ["localhost", "127.", "[::1]"].iter().any(|name| host.starts_with(name));
    // A server on this machine is not behind a proxy, whatever the environment names.
    let config = if local { config.proxy(None) } else { config };
    config.build().into()
}

fn attempt(agent: &Agent, url: &str, body: &str, left: Duration) -> Result<Vec<Entry>, Refused> {
    let failed = |error: ureq::Error| match error {
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
            Refused::For { why: format!("{url} cannot be reached: timed out"), passing: true }
        }
        ureq::Error::Timeout(_) => Refused::Time,
        ureq::Error::HostNotFound => Refused::For { why: format!("{url}: there is no such host; is the address right?"), passing: true },
        ureq::Error::BadUri(why) => Refused::For { why: format!("{url} is no address: {why}"), passing: false },
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            Refused::For { why: format!("{url}: connection refused; is the server running there?"), passing: true }
        }
        error => Refused::For { why: format!("{url}: {error}"), passing: true },
    };
    let request = agent.post(url).header("content-type", "application/json").header("accept", "application/json");
    let mut response = request.config().timeout_global(Some(left.max(Duration::from_millis(1)))).build().send(body).map_err(failed)?;
    let status = response.status().as_u16();
    let bytes = response.body_mut().with_config().limit(MOST_BYTES).read_to_vec().map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes);
    let shown = || text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect::<String>();
    if !(200..300).contains(&status) {
        return Err(Refused::For {
            why: format!("{url} answers with status {status}: {}", shown()),
            passing: status == 429 || status >= 500,
        });
    }
    let value = wire::parse(&text).unwrap_or(Value::Null);
    let list = match &value {
        Value::Array(list) => Some(list),
        Value::Object(map) => map.get("rewards").and_then(Value::as_array),
        _ => None,
    };
    match list {
        Some(list) => Ok(list.iter().map(Entry::value).collect()),
        None => {
            let why = format!("{url} answers with `{}`, not with {{\"rewards\": […]}} or a list of numbers", shown());
            Err(Refused::For { why, passing: false })
        }
    }
}
