use std::fmt;
use std::str::FromStr;

use crate::{Rule, UnknownRule};

/// Where rewards come from: `rule`, a rule's name, `exec:CMD`, or a server's address.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Each item's own rule.
    Own,
    /// One rule for all items.
    Rule(Rule),
    /// A command run through the shell: rows of JSON in, a reward a line out.
    Command(String),
    /// A server that rows are posted to.
    Server(String),
}

/// Why a text names no source of rewards.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SourceError {
    /// `exec:` and nothing after it.
    #[error("`exec:` names no command: write for example exec:python3 reward.py")]
    NoCommand,
    /// `http:` with something else than an address after it.
    #[error("`{0}` is no server's address: write for example http://127.0.0.1:9000/score")]
    Address(String),
    /// Neither a source nor a rule.
    #[error("`{0}` is no source of rewards: write `rule` for each row's own rule, a rule's name ({names}), exec:COMMAND, or http://ADDRESS", names = Rule::NAMES.join(", "))]
    Unknown(String),
    /// A rule's name with something wrong about it.
    #[error(transparent)]
    Rule(UnknownRule),
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let text = text.trim();
        if text == "rule" {
            return Ok(Self::Own);
        }
        if let Some(command) = text.strip_prefix("exec:").map(str::trim) {
            return if command.is_empty() { Err(SourceError::NoCommand) } else { Ok(Self::Command(command.into())) };
        }
        if text.starts_with("http:") || text.starts_with("https:") {
            // `http:URL` may be said with the scheme once or twice.
            let url = text.strip_prefix("http:").filter(|rest| rest.starts_with("http")).unwrap_or(text);
            let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
            return match host {
                Some(host) if !host.is_empty() && !host.starts_with('/') && !host.contains(char::is_whitespace) => {
                    Ok(Self::Server(url.into()))
                }
                _ => Err(SourceError::Address(text.into())),
            };
        }
        text.parse().map(Self::Rule).map_err(|error| {
            if Rule::NAMES.iter().any(|name| text.split(':').next() == Some(name)) {
                SourceError::Rule(error)
            } else {
                SourceError::Unknown(text.into())
            }
        })
    }
}

impl fmt::Display for Source {
    /// What [`FromStr`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("rule"),
            Self::Rule(rule) => rule.fmt(f),
            Self::Command(command) => write!(f, "exec:{command}"),
            Self::Server(url) => f.write_str(url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_and_written() {
        for text in ["rule", "contain", "numeric:0.01", "exec:python3 reward.py --fast", "http://127.0.0.1:9000/score", "https://h/x"] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        assert_eq!("http:http://h/x".parse(), Ok(Source::Server("http://h/x".into())));
        assert_eq!("http:https://h/x".parse(), Ok(Source::Server("https://h/x".into())));
    }

    #[test]
    fn what_is_no_source_is_told_what_to_write() {
        for (text, says) in [
            ("exec: ", "python3 reward.py"),
            ("http:", "http://127.0.0.1"),
            ("http:///x", "http://127.0.0.1"),
            ("https://a b", "http://127.0.0.1"),
            ("contains", "exec:COMMAND"),
            ("numeric:-1", "tolerance"),
            ("", "exec:COMMAND"),
        ] {
            let error = text.parse::<Source>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
