//! Requests on threads of their own, their answers through channels.

use std::io::Read;
use std::sync::Mutex;
use std::time::Duration;

use ureq::Agent;
use ureq::http::header::{LOCATION, RETRY_AFTER};

use crate::settings::ApiKey;

/// What a request's thread reports, in this order: a head, pieces of the body, its end. An error ends it at any point.
#[derive(Debug)]
pub(crate) enum Part {
    Head(Head),
    Bytes(Vec<u8>),
    End,
    Broken(String),
}

/// An answer's status and what of its headers matters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub status: u16,
    pub retry_after: Option<String>,
    pub location: Option<String>,
}

/// Sends requests. Each has a connection to itself, which the next one takes over.
pub(crate) struct Http {
    idle: Mutex<Vec<Agent>>,
    connect: Duration,
    local: bool,
    key: Option<ApiKey>,
}

impl Http {
    /// `local`: the server is on this machine, whatever proxy the environment names.
    pub fn new(connect: Duration, local: bool, key: Option<ApiKey>) -> Self {
        Self { idle: Mutex::default(), connect, local, key }
    }

    /// Sends `body` (JSON), or asks with GET where there is none.
    pub fn send(&self, url: &str, body: Option<Vec<u8>>) -> Exchange<'_> {
        let agent = self.idle.lock().ok().and_then(|mut idle| idle.pop()).unwrap_or_else(|| self.agent());
        // Bounded: a reader that falls behind holds the server back instead of filling the memory.
        let (sender, parts) = async_channel::bounded(64);
        let (theirs, url, key) = (agent.clone(), url.to_string(), self.key.clone());
        let on_thread = sender.clone();
        let work = move || {
            if let Err(error) = exchange(&theirs, &url, key.as_ref(), body, &on_thread) {
                let _ = on_thread.send_blocking(Part::Broken(describe(&error)));
            }
        };
        if let Err(error) = std::thread::Builder::new().name("request".into()).spawn(work) {
            let _ = sender.try_send(Part::Broken(format!("no thread could be started: {error}")));
        }
        Exchange { parts, agent: Some(agent), http: self }
    }

    fn agent(&self) -> Agent {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A redirect would carry the key and the document somewhere nobody named.
            .max_redirects(0)
            .timeout_resolve(Some(self.connect))
            .timeout_connect(Some(self.connect))
            .user_agent(concat!("longhand/", env!("CARGO_PKG_VERSION")));
        let config = if self.local { config.proxy(None) } else { config };
        config.build().into()
    }
}

/// A request under way. Dropped before its end, it closes the connection, which tells the server to stop.
pub(crate) struct Exchange<'a> {
    parts: async_channel::Receiver<Part>,
    agent: Option<Agent>,
    http: &'a Http,
}

impl Exchange<'_> {
    /// What comes next. After [`Part::End`] and [`Part::Broken`] nothing does.
    pub async fn next(&mut self) -> Part {
        let part = self.parts.recv().await.unwrap_or_else(|_| Part::Broken("the request's thread ended early".into()));
        if let (Part::End, Some(agent)) = (&part, self.agent.take_if(|_| matches!(part, Part::End)))
            && let Ok(mut idle) = self.http.idle.lock()
        {
            idle.push(agent);
        }
        part
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.parts.close();
        if let Some(agent) = self.agent.take() {
            agent.shutdown();
        }
    }
}

fn exchange(
    agent: &Agent,
    url: &str,
    key: Option<&ApiKey>,
    body: Option<Vec<u8>>,
    parts: &async_channel::Sender<Part>,
) -> Result<(), ureq::Error> {
    let bearer = key.map(|key| format!("Bearer {}", key.secret()));
    let mut response = match body {
        Some(body) => {
            let mut request =
                agent.post(url).header("content-type", "application/json").header("accept", "text/event-stream, application/json");
            if let Some(bearer) = &bearer {
                request = request.header("authorization", bearer);
            }
            request.send(&body[..])?
        }
        None => {
            let mut request = agent.get(url).header("accept", "application/json");
            if let Some(bearer) = &bearer {
                request = request.header("authorization", bearer);
            }
            request.call()?
        }
    };
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_string);
    let head = Head { status: response.status().as_u16(), retry_after: header(RETRY_AFTER), location: header(LOCATION) };
    if parts.send_blocking(Part::Head(head)).is_err() {
        return Ok(());
    }
    let mut reader = response.body_mut().as_reader();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = reader.read(&mut buffer)?;
        let part = if count == 0 { Part::End } else { Part::Bytes(buffer[..count].to_vec()) };
        // Nobody listens any more: leave, and the connection closes.
        if parts.send_blocking(part).is_err() || count == 0 {
            return Ok(());
        }
    }
}

/// A connection's failure in words. The key is in none of the library's errors.
fn describe(error: &ureq::Error) -> String {
    use std::io::ErrorKind;
    match error {
        ureq::Error::HostNotFound => "there is no such host: is the address right, and the network up?".into(),
        ureq::Error::Io(io) if io.kind() == ErrorKind::ConnectionRefused => "connection refused: is the server running there?".into(),
        ureq::Error::Timeout(which) => format!("timed out ({which})"),
        ureq::Error::Io(io) => match io.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
                "the server closed the connection".into()
            }
            _ => io.to_string(),
        },
        other => other.to_string(),
    }
}
