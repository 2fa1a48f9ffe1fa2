use std::path::PathBuf;
use std::time::Duration;

use crate::ServerError;

/// How to reach a server and what a run may take from it.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientSettings {
    /// What stands before `/chat/completions`: `http://127.0.0.1:8080/v1`.
    pub base_url: String,
    /// The model's name at the server; `None` where it serves exactly one.
    pub model: Option<String>,
    /// Sent as a bearer token.
    pub api_key: Option<ApiKey>,
    /// Prompt plus reply, in tokens; `None` asks the server.
    pub window: Option<usize>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// Attempts after the first, for failures that may pass and cost nothing.
    pub max_retries: u32,
    /// The longest wait between two attempts. A server that asks for more ends the call.
    pub max_wait: Duration,
    /// Calls at a time.
    pub concurrency: Concurrency,
    /// What may be spent.
    pub budget: Budget,
    /// Where replies are kept, so that no call is paid for twice; `None` keeps none.
    pub cache: Option<PathBuf>,
}

/// How long to wait for what. There is no bound on a whole reply: as long as tokens come, it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Finding the host and connecting.
    pub connect: Duration,
    /// From the request to the reply's first event. The server reads the whole prompt in it, and may have others before.
    pub first_byte: Duration,
    /// From one event to the next. Comments that only keep the connection open do not count.
    pub between_bytes: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), first_byte: Duration::from_secs(600), between_bytes: Duration::from_secs(120) }
    }
}

/// Calls at a time: grows by one with each success, halves when the server says it has too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// At first.
    pub start: usize,
    /// Never below; at least 1.
    pub min: usize,
    /// Never above.
    pub max: usize,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self { start: 4, min: 1, max: 64 }
    }
}

/// What may be spent; `None` is without bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Prompt and completion tokens together. A call is refused when what is spent and the prompts under way leave no room for its
    /// prompt; replies under way are finished, so the total may end up higher by them.
    pub tokens: Option<u64>,
    /// Calls the server answers.
    pub calls: Option<u64>,
}

/// A secret: `Debug` does not show it, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// A key as it stands in a header. White space around it is dropped.
    pub fn new(key: &str) -> Result<Self, ServerError> {
        let key = key.trim();
        if key.is_empty() || !key.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
            return Err(ServerError::Key);
        }
        Ok(Self(key.to_string()))
    }

    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey(hidden)")
    }
}

impl ClientSettings {
    /// Defaults for a server at `base_url`, with no key.
    pub fn new(base_url: &str) -> Result<Self, ServerError> {
        Ok(Self {
            base_url: address(base_url)?,
            model: None,
            api_key: None,
            window: None,
            timeouts: Timeouts::default(),
            max_retries: 5,
            max_wait: Duration::from_secs(120),
            concurrency: Concurrency::default(),
            budget: Budget::default(),
            cache: None,
        })
    }

    /// Reads the command line's form `openai:URL#NAME`, e.g. `openai:http://127.0.0.1:8080/v1#qwen3-4b`. `#NAME` may be left out
    /// where the server lists one model only. The key comes from the environment, see [`with_key`](Self::with_key).
    pub fn parse(text: &str) -> Result<Self, ServerError> {
        Self::parse_with(text, |name| std::env::var(name).ok())
    }

    /// [`parse`](Self::parse) with an environment of the caller's.
    pub fn parse_with(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, ServerError> {
        let Some(rest) = text.strip_prefix("openai:") else { return Err(ServerError::Form(text.to_string())) };
        let (url, model) = match rest.split_once('#') {
            Some((_, "")) => return Err(ServerError::Name(text.to_string())),
            Some((url, name)) => (url, Some(name.to_string())),
            None => (rest, None),
        };
        let mut settings = Self::new(url)?;
        settings.model = model;
        settings.with_key(variable)
    }

    /// Takes the key from `LONGHAND_API_KEY`, which is sent wherever the address points, or else from `OPENAI_API_KEY`, which
    /// is sent over https and to this machine only: it may be there for another program, and must not cross a network in the clear.
    pub fn with_key(mut self, variable: impl Fn(&str) -> Option<String>) -> Result<Self, ServerError> {
        let set = |name| variable(name).filter(|value| !value.trim().is_empty());
        let shared = || set("OPENAI_API_KEY").filter(|_| self.base_url.starts_with("https://") || is_local(&self.base_url));
        self.api_key = match set("LONGHAND_API_KEY").or_else(shared) {
            Some(key) => Some(ApiKey::new(&key)?),
            None => None,
        };
        Ok(self)
    }
}

/// An address without the slashes at its end, and without the path of a call if someone copied one along.
fn address(url: &str) -> Result<String, ServerError> {
    let wrong = |why| ServerError::Address { url: without_password(url), why };
    let Some(rest) = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")) else {
        return Err(wrong("it must begin with http:// or https://"));
    };
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err(wrong("a name or password does not belong in it; put the key in LONGHAND_API_KEY"));
    }
    if url.contains(['?', '#']) {
        return Err(wrong("it must end with a path such as /v1, without `?` or `#`"));
    }
    let parsed: Option<ureq::http::Uri> = url.parse().ok();
    if parsed.and_then(|uri| uri.host().map(|host| !host.is_empty())) != Some(true) {
        return Err(wrong("there is no host in it, or a character that must not be"));
    }
    let url = url.trim_end_matches('/');
    Ok(url.strip_suffix("/chat/completions").unwrap_or(url).trim_end_matches('/').to_string())
}

/// A message must not repeat what may be a password.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_string() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://…{}", &rest[at..]),
        None => url.to_string(),
    }
}

/// Whether an address is this machine's own.
pub(crate) fn is_local(url: &str) -> bool {
    let Ok(uri) = url.parse::<ureq::http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ClientSettings, String> {
        ClientSettings::parse_with(text, |_| None).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_lines_form_is_read() {
        let settings = parse("openai:http://127.0.0.1:8080/v1#qwen3-4b").unwrap();
        assert_eq!((settings.base_url.as_str(), settings.model.as_deref()), ("http://127.0.0.1:8080/v1", Some("qwen3-4b")));
        assert_eq!(parse("openai:https://api.example.com/v1/").unwrap().model, None);
        for same in ["http://h/v1", "http://h/v1/", "http://h/v1//", "http://h/v1/chat/completions", "http://h/v1/chat/completions/"] {
            assert_eq!(parse(&format!("openai:{same}")).unwrap().base_url, "http://h/v1");
        }
        // Names have slashes and colons.
        assert_eq!(parse("openai:http://[::1]:11434/v1#hf.co/Qwen/Qwen3:4b").unwrap().model.as_deref(), Some("hf.co/Qwen/Qwen3:4b"));
    }

    #[test]
    fn what_is_no_such_form_says_why() {
        for (text, says) in [
            ("http://h/v1", "openai:URL#NAME"),
            ("openai:h:8080/v1", "http:// or https://"),
            ("openai:ftp://h/v1", "http:// or https://"),
            ("openai:http://", "no host"),
            ("openai:http:///v1", "no host"),
            ("openai:http://h h/v1", "must not be"),
            ("openai:http://h/v1#", "name after `#`"),
            ("openai:http://h/v1?api-version=1", "without `?`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        let error = parse("openai:https://me:hunter2@h/v1").unwrap_err();
        assert!(error.contains("LONGHAND_API_KEY") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_key_goes_where_it_may_and_is_never_shown() {
        let key = |url: &str, variables: &[(&str, &str)]| {
            let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string());
            ClientSettings::parse_with(&format!("openai:{url}"), variable).map(|settings| {
                assert!(!format!("{settings:?}").contains("secret"), "{settings:?}");
                settings.api_key.map(|key| key.secret().to_string())
            })
        };
        let openai = [("OPENAI_API_KEY", "secret-o")];
        let both = [("OPENAI_API_KEY", "secret-o"), ("LONGHAND_API_KEY", " secret-l\n")];
        assert_eq!(key("https://h/v1", &openai).unwrap().as_deref(), Some("secret-o"));
        assert_eq!(key("http://127.0.0.1/v1", &openai).unwrap().as_deref(), Some("secret-o"));
        assert_eq!(key("http://[::1]:80/v1", &openai).unwrap().as_deref(), Some("secret-o"));
        assert_eq!(key("http://localhost:80/v1", &openai).unwrap().as_deref(), Some("secret-o"));
        assert_eq!(key("http://h/v1", &openai).unwrap(), None);
        assert_eq!(key("http://localhost.h/v1", &openai).unwrap(), None);
        assert_eq!(key("http://h/v1", &both).unwrap().as_deref(), Some("secret-l"));
        assert_eq!(key("https://h/v1", &[("LONGHAND_API_KEY", " ")]).unwrap(), None);
        let error = key("https://h/v1", &[("LONGHAND_API_KEY", "secret\r\nx: y")]).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
