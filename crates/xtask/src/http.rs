//! As much of HTTP/1.1 as the tools need: a first line, headers, and a body whose length is said.

use std::io::{BufRead, Error, ErrorKind, Result};

/// A request or an answer.
#[derive(Debug, PartialEq)]
pub struct Message {
    /// `GET /path HTTP/1.1` or `HTTP/1.1 200 OK`.
    pub first: String,
    headers: Vec<(String, String)>,
    /// As many bytes as `Content-Length` says, without it none.
    pub body: Vec<u8>,
}

impl Message {
    /// The next one of a connection; `None` where the other side has finished.
    pub fn read(reader: &mut impl BufRead) -> Result<Option<Self>> {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        let mut message = Self { first: first.trim_end().into(), headers: Vec::new(), body: Vec::new() };
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| Error::new(ErrorKind::InvalidData, "a header without a colon"))?;
            message.headers.push((name.into(), value.trim().into()));
        }
        if message.header("transfer-encoding").is_some() {
            return Err(Error::new(ErrorKind::InvalidData, "a body of unknown length"));
        }
        let length = message.header("content-length").unwrap_or("0").parse().map_err(|_| ErrorKind::InvalidData)?;
        message.body = vec![0; length];
        reader.read_exact(&mut message.body)?;
        Ok(Some(message))
    }

    /// The first header of this name, in whatever case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_one_after_the_other_or_refused() {
        let mut bytes = &b"POST /a HTTP/1.1\r\nContent-LENGTH: 5\r\nX:  y \r\n\r\nhelloGET /b HTTP/1.1\n\n"[..];
        let first = Message::read(&mut bytes).unwrap().unwrap();
        assert_eq!((first.first.as_str(), first.header("x"), first.body.as_slice()), ("POST /a HTTP/1.1", Some("y"), &b"hello"[..]));
        assert_eq!(Message::read(&mut bytes).unwrap().unwrap().first, "GET /b HTTP/1.1");
        assert_eq!(Message::read(&mut bytes).unwrap(), None);
        let refused = [
            "GET / HTTP/1.1\r\nHost: x\r\n",
            "GET / H\r\nno colon\r\n\r\n",
            "P\r\nContent-Length: 9\r\n\r\nshort",
            "P\r\nContent-Length: x\r\n\r\n",
        ];
        for text in refused.into_iter().chain(["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]) {
            assert!(Message::read(&mut text.as_bytes()).is_err(), "{text}");
        }
    }
}
