//! What a failed attempt means: whether to try again, when, and what to tell a person.

use std::time::{Duration, SystemTime};

use data::ChatError;
use serde_json::Value;

use crate::http::Head;
use crate::wire::{Dialect, Refusal};

/// A failed attempt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    /// For the caller, if nothing else helps.
    pub error: ChatError,
    /// The same request may succeed later, and nothing was paid yet.
    pub passing: bool,
    /// The server has too much to do.
    pub congested: bool,
    /// How long the server asks to be left alone.
    pub wait: Option<Duration>,
    /// The answer began and ended without a word. Some servers only say why when they are not asked to stream.
    pub empty: bool,
    /// The server does not know a part of the request, and there is another way to say it.
    pub adapt: Option<Adapt>,
}

/// See [`Dialect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adapt {
    CompletionBound,
    NoOptions,
    ObjectSchema,
}

/// Where and what was asked, for messages.
#[derive(Clone, Debug)]
pub(crate) struct Asked<'a> {
    pub url: &'a str,
    pub model: &'a str,
    pub has_key: bool,
    pub has_schema: bool,
    /// The server's window, as far as known.
    pub window: usize,
    pub dialect: Dialect,
}

impl Failure {
    fn lasting(error: ChatError) -> Self {
        Self { error, passing: false, congested: false, wait: None, empty: false, adapt: None }
    }

    fn passing(message: String) -> Self {
        Self { passing: true, ..Self::lasting(ChatError::Failed(message)) }
    }

    /// There was no answer: the connection failed before one.
    pub fn connection(asked: &Asked, why: &str) -> Self {
        Self::passing(format!("{} cannot be reached: {why}", asked.url))
    }

    /// The server was silent for too long. Trying again would have it read the prompt once more, so it is left to the caller.
    pub fn silence(asked: &Asked, waited: Duration, tokens: usize) -> Self {
        let (what, bound) = if tokens == 0 { ("sent nothing", "first byte") } else { ("stopped sending", "bytes between") };
        let message = format!(
            "{} {what} for {} s after {tokens} tokens of the reply: allow it more time ({bound}) or fewer calls at once",
            asked.url,
            waited.as_secs_f32()
        );
        Self { congested: true, ..Self::lasting(ChatError::Failed(message)) }
    }

    /// The answer broke off in the middle.
    pub fn broken(asked: &Asked, why: &str, tokens: usize) -> Self {
        let message = format!("the reply of {} broke off after about {tokens} tokens: {why}", asked.url);
        // What has been paid for is not asked for again unasked.
        if tokens == 0 { Self { empty: true, ..Self::passing(message) } } else { Self::lasting(ChatError::Failed(message)) }
    }

    /// The stream ended in good order, but the reply did not: llama-cpp-python drops a reply for the next request so.
    pub fn interrupted(asked: &Asked, tokens: usize) -> Self {
        let why = "the server ended it without a reason, as llama-cpp-python does when another request comes (--interrupt_requests false forbids it)";
        Self { congested: true, empty: false, ..Self::broken(asked, why, tokens) }
    }

    /// An event or body that is no reply.
    pub fn refusal(asked: &Asked, refusal: &Refusal, paid: bool) -> Self {
        match refusal {
            Refusal::Filtered => Self::lasting(ChatError::Invalid(format!("a filter of {} stopped the reply", asked.url))),
            Refusal::Garbage(text) => {
                let text = excerpt(text);
                Self::lasting(ChatError::Failed(format!(
                    "{} answered with what is no chat reply: {text}: does the address end with /v1?",
                    asked.url
                )))
            }
            Refusal::Error(value) => {
                let inner = error_object(value);
                // Inside a stream there is no status; some servers put it into the object.
                let code = [&inner["code"], &inner["status"], &inner["status_code"]].into_iter().find_map(status_number);
                let named = ["rate_limit", "overloaded", "server_error", "internal", "unavailable", "timeout"];
                let kind = format!("{} {}", inner["type"], inner["code"]).to_lowercase();
                let guessed = if named.iter().any(|name| kind.contains(name)) { 503 } else { 500 };
                let head = Head { status: code.unwrap_or(guessed), ..Head::default() };
                let mut failure = Self::status(asked, &head, &value.to_string(), SystemTime::UNIX_EPOCH);
                failure.passing &= !paid;
                failure
            }
        }
    }

    /// An answer whose status is not 2xx. `now` is for a `Retry-After` that names a date.
    pub fn status(asked: &Asked, head: &Head, body: &str, now: SystemTime) -> Self {
        let said = said(body);
        let parsed: Value = serde_json::from_str(body).unwrap_or(Value::Null);
        let inner = error_object(&parsed);
        let lower = said.to_lowercase();
        let kind = format!("{} {}", inner["type"], inner["code"]);
        let url = asked.url;
        if kind.contains("insufficient_quota") || head.status == 402 || lower.contains("exceeded your current quota") {
            return Self::lasting(ChatError::Budget(format!("the account at {url} has nothing left: {said}")));
        }
        if is_too_long(&kind, &lower) {
            return Self::lasting(match lengths(inner, &lower, asked.window) {
                Some((prompt, window)) => ChatError::TooLong { prompt, window },
                None => ChatError::Invalid(format!("prompt and reply do not fit {url}'s window: {said}")),
            });
        }
        // llama-cpp-python calls a field it does not know its own failure.
        let adapt = matches!(head.status, 400 | 422 | 500).then(|| adapt(asked, body)).flatten();
        let lasting = |error| Self { adapt, ..Self::lasting(error) };
        match head.status {
            300..=399 => {
                let to = head.location.as_deref().map(|to| format!(" to {}", excerpt(to))).unwrap_or_default();
                lasting(ChatError::Invalid(format!("{url} redirects{to}: give the address that it leads to")))
            }
            401 | 403 if asked.has_key => lasting(ChatError::Invalid(format!(
                "{url} refuses the API key ({}): {said}; check LONGHAND_API_KEY or OPENAI_API_KEY, and that it may use `{}`",
                head.status, asked.model
            ))),
            401 | 403 => lasting(ChatError::Invalid(format!(
                "{url} wants an API key ({}): {said}; set LONGHAND_API_KEY (OPENAI_API_KEY is sent over https and to this machine only)",
                head.status
            ))),
            404 => lasting(ChatError::Invalid(format!(
                "{url} does not know the model `{}` or the path (404): {said}; list its models, and check that the address ends with /v1",
                asked.model
            ))),
            408 | 409 | 425 | 429 | 500..=599 => Self {
                congested: matches!(head.status, 408 | 429 | 503 | 504),
                adapt,
                wait: head.retry_after.as_deref().and_then(|text| retry_after(text, now)),
                ..Self::passing(format!("{url} failed ({}): {said}", head.status))
            },
            status => lasting(ChatError::Invalid(format!("{url} refuses the request ({status}): {said}"))),
        }
    }
}

/// `Retry-After`: seconds, or a date.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        if seconds.is_nan() {
            return None;
        }
        return Duration::try_from_secs_f64(seconds.max(0.0)).ok();
    }
    httpdate::parse_http_date(text).ok().map(|date| date.duration_since(now).unwrap_or_default())
}

/// The error in a body, whichever way it is wrapped.
fn error_object(value: &Value) -> &Value {
    match value.get("error") {
        Some(error) if !error.is_null() => error,
        _ => value,
    }
}

fn status_number(value: &Value) -> Option<u16> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u16::try_from(number).ok().filter(|status| (400..600).contains(status))
}

/// What a body says, in a line: the message of an error object, the words of a page, or the text itself.
pub(crate) fn said(body: &str) -> String {
    let body = body.trim();
    if body.is_empty() {
        return "no explanation".into();
    }
    if let Ok(value) = serde_json::from_str::<Value>(body) {
        let inner = error_object(&value);
        let message = match inner {
            Value::String(text) => Some(text.clone()),
            _ => [&inner["message"], &inner["detail"], &inner["msg"]].into_iter().find_map(|value| match value {
                Value::String(text) => Some(text.clone()),
                // FastAPI lists what it did not like.
                Value::Array(faults) if !faults.is_empty() => Some(faults.iter().map(fault).collect::<Vec<_>>().join("; ")),
                _ => None,
            }),
        };
        return excerpt(&message.unwrap_or_else(|| value.to_string()));
    }
    if body.starts_with('<') { excerpt(&format!("a web page: {}", words(body))) } else { excerpt(body) }
}

fn fault(value: &Value) -> String {
    let place: Vec<String> =
        value["loc"].as_array().into_iter().flatten().map(|part| part.to_string().trim_matches('"').to_string()).collect();
    match value["msg"].as_str() {
        Some(message) if !place.is_empty() => format!("{}: {message}", place.join(".")),
        Some(message) => message.to_string(),
        None => value.to_string(),
    }
}

/// A page without its tags.
fn words(page: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in page.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                text.push(' ');
            }
            c if !inside => text.push(c),
            _ => {}
        }
    }
    text
}

/// One line of at most 300 characters.
fn excerpt(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn is_too_long(kind: &str, lower: &str) -> bool {
    let kinds = ["context_length_exceeded", "exceed_context_size"];
    let phrases = [
        "maximum context length",
        "context window of",
        "exceeds the available context size",
        "exceed context window",
        "longer than the model's context length",
    ];
    kinds.iter().any(|known| kind.contains(known)) || phrases.iter().any(|phrase| lower.contains(phrase))
}

/// The tokens asked for and the window, from a refusal that names both.
fn lengths(inner: &Value, lower: &str, known: usize) -> Option<(usize, usize)> {
    let count = |value: &Value| value.as_u64().and_then(|count| usize::try_from(count).ok());
    if let (Some(prompt), Some(window)) = (count(&inner["n_prompt_tokens"]), count(&inner["n_ctx"])) {
        return Some((prompt, window));
    }
    let numbers: Vec<usize> =
        lower.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).filter(|&number| number > 9).collect();
    // "maximum context length is W tokens, you requested N (P in the prompt, R in the reply)", in all sorts of orders: what was asked
    // for is the largest number; the window is the one that is known, or the one after the word "context".
    let asked = *numbers.iter().max()?;
    let after = lower.find("context").map(|at| &lower[at..]).and_then(|rest| {
        rest.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).find(|&number: &usize| number > 9)
    });
    let window = numbers.iter().copied().find(|&number| number == known).or(after)?;
    (asked > window).then_some((asked, window))
}

/// Another way to say what the server did not understand.
fn adapt(asked: &Asked, body: &str) -> Option<Adapt> {
    let dialect = asked.dialect;
    if !dialect.completion_bound && body.contains("max_completion_tokens") {
        return Some(Adapt::CompletionBound);
    }
    if !dialect.no_options && body.contains("stream_options") {
        return Some(Adapt::NoOptions);
    }
    if asked.has_schema && !dialect.object_schema && (body.contains("response_format") || body.contains("json_object")) {
        return Some(Adapt::ObjectSchema);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked = Asked {
        url: "http://h/v1",
        model: "m",
        has_key: false,
        has_schema: true,
        window: 4096,
        dialect: Dialect { completion_bound: false, no_options: false, object_schema: false },
    };

    fn status(status: u16, body: &str) -> Failure {
        Failure::status(&ASKED, &Head { status, ..Head::default() }, body, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:00 GMT").unwrap();
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(" 1.5 ", now), Some(Duration::from_millis(1500)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(37)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:48:37 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("-3", now), Some(Duration::ZERO));
        for nonsense in ["", "soon", "1e999", "NaN", "inf"] {
            assert_eq!(retry_after(nonsense, now), None, "{nonsense}");
        }
    }

    #[test]
    fn statuses_that_pass_and_statuses_that_last() {
        for passing in [408, 409, 425, 429, 500, 502, 503, 504, 529] {
            assert!(status(passing, "").passing, "{passing}");
        }
        for lasting in [301, 400, 401, 402, 403, 404, 405, 413, 422] {
            assert!(!status(lasting, "").passing, "{lasting}");
        }
        let quota = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#;
        for (code, body) in [(429, quota), (429, r#"{"error":{"message":"no credits","code":"insufficient_quota"}}"#), (402, "pay")] {
            assert!(matches!(status(code, body), Failure { error: ChatError::Budget(_), passing: false, congested: false, .. }), "{body}");
        }
        assert!(status(429, r#"{"error":{"message":"quota of requests per minute","code":"rate_limit_exceeded"}}"#).passing);
    }

    #[test]
    fn the_servers_own_words_are_passed_on() {
        assert_eq!(said(r#"{"error":{"message":"boom","type":"x"}}"#), "boom");
        assert_eq!(said(r#"{"error":"model \"m\" not found"}"#), "model \"m\" not found");
        assert_eq!(said(r#"{"object":"error","message":"boom"}"#), "boom");
        assert_eq!(said(r#"{"detail":[{"loc":["body","top_k"],"msg":"too small"},{"msg":"b"}]}"#), "body.top_k: too small; b");
        assert_eq!(said(r#"{"detail":"Not Found"}"#), "Not Found");
        assert_eq!(said("<html><head><title>502 Bad\n Gateway</title></head></html>"), "a web page: 502 Bad Gateway");
        assert_eq!(said(" \n"), "no explanation");
        assert_eq!(said(&"x".repeat(1000)).chars().count(), 301);
        let ChatError::Invalid(message) = status(404, r#"{"error":"model not found"}"#).error else { panic!() };
        assert!(message.contains("model not found") && message.contains("/v1"), "{message}");
    }

    #[test]
    fn a_prompt_that_is_too_long_is_told_in_tokens() {
        let too_long = |prompt, window| ChatError::TooLong { prompt, window };
        for (body, expected) in [
            // vLLM
            (
                r#"{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the messages, 1000 in the completion).","type":"BadRequestError","code":400}"#,
                too_long(5000, 4096),
            ),
            // llama.cpp
            (
                r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error","n_prompt_tokens":9000,"n_ctx":2048}}"#,
                too_long(9000, 2048),
            ),
            // SGLang
            (r#"{"message":"The input (9000 tokens) is longer than the model's context length (8192 tokens)."}"#, too_long(9000, 8192)),
            // llama-cpp-python
            (
                r#"{"error":{"message":"Requested tokens (3000) exceed context window of 2048","type":"internal_server_error"}}"#,
                too_long(3000, 2048),
            ),
        ] {
            assert_eq!(status(400, body).error, expected);
            // Some servers call it their own failure. It does not pass either.
            assert!(!status(500, body).passing);
        }
        let vague = status(400, r#"{"error":{"message":"too much","code":"context_length_exceeded"}}"#);
        assert!(matches!(vague.error, ChatError::Invalid(_)), "{vague:?}");
    }

    #[test]
    fn another_way_to_say_it_is_tried_once() {
        let body = r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."}}"#;
        assert_eq!(status(400, body).adapt, Some(Adapt::CompletionBound));
        let known = Asked { dialect: Dialect { completion_bound: true, ..Dialect::default() }, ..ASKED };
        assert_eq!(Failure::status(&known, &Head { status: 400, ..Head::default() }, body, SystemTime::UNIX_EPOCH).adapt, None);
        assert_eq!(status(422, r#"{"detail":[{"loc":["body","stream_options"],"msg":"extra"}]}"#).adapt, Some(Adapt::NoOptions));
        assert_eq!(status(422, "Input should be 'text' or 'json_object'").adapt, Some(Adapt::ObjectSchema));
        assert_eq!(status(500, "Input should be 'text' or 'json_object'").adapt, Some(Adapt::ObjectSchema));
        assert_eq!(status(503, "max_completion_tokens").adapt, None);
    }

    #[test]
    fn errors_inside_a_stream_pass_unless_tokens_were_paid() {
        let error = |body: &str, paid| Failure::refusal(&ASKED, &Refusal::Error(serde_json::from_str(body).unwrap()), paid);
        assert!(error(r#"{"error":{"message":"busy","code":429}}"#, false).congested);
        assert!(error(r#"{"error":{"message":"busy","type":"overloaded_error"}}"#, false).passing);
        assert!(!error(r#"{"error":{"message":"busy","code":503}}"#, true).passing);
        assert!(!error(r#"{"error":{"message":"no","code":"400"}}"#, false).passing);
    }

    proptest::proptest! {
        #[test]
        fn any_answer_is_sorted(code in 0u16..1000, body in "(?s).{0,200}", after in "\\PC{0,20}") {
            let head = Head { status: code, retry_after: Some(after), location: None };
            let _ = Failure::status(&ASKED, &head, &body, SystemTime::now());
        }
    }
}
