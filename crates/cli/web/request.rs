//! One request of HTTP/1.1, as far as a page on loopback needs it: a head without a body.

use std::io::{BufRead, ErrorKind, Read, Result};

/// The most bytes of a request's head.
const MOST: u64 = 16 << 10;

/// What was asked.
pub struct Request {
    /// `GET`…
    pub method: String,
    /// Begins with `/`; without the query.
    pub path: String,
    /// Names in small letters.
    headers: Vec<(String, String)>,
    /// Another may follow on this connection.
    pub goes_on: bool,
}

/// What came.
pub enum Head {
    /// A request.
    Request(Request),
    /// The other side is done.
    End,
    /// No request that can be answered; why.
    Bad(&'static str),
}

impl Request {
    /// Reads the next one.
    pub fn read(reader: &mut impl BufRead) -> Result<Head> {
        let mut head = reader.take(MOST);
        let mut line = || -> Result<Option<String>> {
            let mut bytes = Vec::new();
            head.read_until(b'\n', &mut bytes)?;
            if bytes.pop() != Some(b'\n') {
                return Ok(None);
            }
            let text = String::from_utf8(bytes).map_err(|_| ErrorKind::InvalidData)?;
            Ok(Some(text.trim_end_matches('\r').to_string()))
        };
        let Some(first) = line()? else { return Ok(Head::End) };
        let words: Vec<&str> = first.split(' ').collect();
        let &[method, target, version @ ("HTTP/1.1" | "HTTP/1.0")] = words.as_slice() else { return Ok(Head::Bad("no HTTP/1.1")) };
        if !target.starts_with('/') {
            return Ok(Head::Bad("the path does not begin with /"));
        }
        let mut headers = Vec::new();
        loop {
            let Some(line) = line()? else { return Ok(Head::Bad("a head without an end, or a long one")) };
            if line.is_empty() {
                break;
            }
            match line.split_once(':') {
                Some((name, value)) if !name.is_empty() && !name.contains(char::is_whitespace) => {
                    headers.push((name.to_ascii_lowercase(), value.trim().to_string()));
                }
                _ => return Ok(Head::Bad("a header without a name")),
            }
        }
        let path = target.split(['?', '#']).next().unwrap_or_default().to_string();
        let mut request = Self { method: method.into(), path, headers, goes_on: version == "HTTP/1.1" };
        // What follows a body cannot be told from it without reading it.
        let body = request.header("transfer-encoding").is_some() || request.header("content-length").is_some_and(|length| length != "0");
        request.goes_on &= !body && !request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        Ok(Head::Request(request))
    }

    /// The value of a header that is there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        values.next().filter(|_| values.next().is_none()).map(|(_, value)| value.as_str())
    }

    /// Whether it was sent to this machine by name: a page of another host whose name was made to mean this address (DNS rebinding) says
    /// that host's name.
    pub fn is_for_this_machine(&self) -> bool {
        let host = self.header("host").unwrap_or_default();
        let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())).map_or(host, |(name, _)| name);
        name == "127.0.0.1" || name.eq_ignore_ascii_case("localhost")
    }

    /// Which bytes of `length` are wanted.
    pub fn range(&self, length: u64, tag: &str) -> Range {
        // A part of what is no longer that is not wanted.
        let same = self.header("if-range").is_none_or(|known| known == tag);
        let Some(range) = self.header("range").and_then(|range| range.strip_prefix("bytes=")).filter(|_| same) else { return Range::All };
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
        let Some((from, to)) = range.split_once('-') else { return Range::All };
        let wanted = match (number(from), number(to)) {
            (Some(from), Some(to)) if from <= to => (from, to.saturating_add(1).min(length)),
            (Some(from), None) if to.is_empty() => (from, length),
            (None, Some(last)) if from.is_empty() => (length - last.min(length), length),
            // Several at once, and what is no range: the whole is a right answer to both.
            _ => return Range::All,
        };
        if wanted.0 < wanted.1 { Range::Part(wanted.0, wanted.1) } else { Range::Outside }
    }
}

/// Bytes of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Range {
    /// Without a range that we know.
    All,
    /// From, up to.
    Part(u64, u64),
    /// There are none such.
    Outside,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &str) -> Option<Request> {
        let text = format!("GET /a%20b?x#y HTTP/1.1\r\n{headers}\r\n");
        match Request::read(&mut text.as_bytes()).unwrap() {
            Head::Request(request) => Some(request),
            _ => None,
        }
    }

    #[test]
    fn ranges_are_cut_to_what_is_there() {
        let range = |said: &str| request(&format!("Range: {said}\r\n")).unwrap().range(10, "\"t\"");
        assert_eq!(range("bytes=0-0"), Range::Part(0, 1));
        assert_eq!(range("bytes=3-"), Range::Part(3, 10));
        assert_eq!(range("bytes=3-99999999999999999999"), Range::All);
        assert_eq!(range("bytes=3-18446744073709551615"), Range::Part(3, 10));
        assert_eq!(range("bytes=-4"), Range::Part(6, 10));
        assert_eq!(range("bytes=-40"), Range::Part(0, 10));
        assert_eq!((range("bytes=10-"), range("bytes=-0"), range("bytes=10-12")), (Range::Outside, Range::Outside, Range::Outside));
        for none in ["bytes=4-3", "bytes=0-1,3-4", "bytes=", "bytes=-", "bytes=+1-2", "lines=0-1", "bytes=a-b"] {
            assert_eq!(range(none), Range::All, "{none}");
        }
        let with = |tag: &str| request(&format!("Range: bytes=1-\r\nIf-Range: {tag}\r\n")).unwrap().range(10, "\"t\"");
        assert_eq!((with("\"t\""), with("\"u\"")), (Range::Part(1, 10), Range::All));
    }

    #[test]
    fn only_this_machine_by_name_is_asked() {
        let host = |headers: &str| request(headers).unwrap().is_for_this_machine();
        for ours in ["127.0.0.1", "127.0.0.1:8420", "localhost:1", "LOCALHOST"] {
            assert!(host(&format!("Host: {ours}\r\n")), "{ours}");
        }
        for other in ["evil.example:8420", "127.0.0.1.evil.example", "localhost.evil.example:80", "127.0.0.2", "evil.example:127.0.0.1", ""]
        {
            assert!(!host(&format!("Host: {other}\r\n")), "{other}");
        }
        assert!(!host("") && !host("Host: 127.0.0.1\r\nHost: evil.example\r\n"));
    }

    #[test]
    fn what_is_no_request_is_none() {
        assert_eq!(request("").unwrap().path, "/a%20b");
        assert!(request(" Host: x\r\n").is_none() && request("Host\r\n").is_none());
        assert!(request(&format!("X: {}\r\n", "x".repeat(20_000))).is_none());
        for (headers, goes_on) in
            [("", true), ("Connection: Close\r\n", false), ("Content-Length: 3\r\n", false), ("Content-Length: 0\r\n", true)]
        {
            assert_eq!(request(headers).unwrap().goes_on, goes_on, "{headers}");
        }
        for bad in ["GET http://evil.example/ HTTP/1.1\r\n\r\n", "GET / HTTP/2\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n", "\r\n"] {
            assert!(matches!(Request::read(&mut bad.as_bytes()).unwrap(), Head::Bad(_)), "{bad}");
        }
        assert!(matches!(Request::read(&mut &b""[..]).unwrap(), Head::End));
    }
}
