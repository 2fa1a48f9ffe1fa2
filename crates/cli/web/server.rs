//! Connections: a thread for each, requests one after the other, only for this machine and only to be read.

use std::io::{BufReader, Read, Result, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::request::{Head, Range, Request};
use super::site::Site;

/// Connections at once. A browser opens six.
const MOST: usize = 64;
/// How long a connection may be idle, and a reader not take what is sent.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of every answer: nobody guesses its type, no page of another origin takes it in, and it is asked for again so that a rebuilt page is seen.
const ALWAYS: &str =
    "X-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\nCache-Control: no-cache\r\nAccept-Ranges: bytes\r\n";

/// Answers until the process ends.
pub fn serve(listener: &TcpListener, site: Site) {
    let site = Arc::new(site);
    for stream in listener.incoming().flatten() {
        if Arc::strong_count(&site) > MOST {
            continue;
        }
        let site = site.clone();
        // A connection that breaks is its browser's affair.
        std::thread::spawn(move || drop(converse(stream, &site)));
    }
}

fn converse(stream: TcpStream, site: &Site) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = &stream;
    loop {
        let request = match Request::read(&mut reader)? {
            Head::End => return Ok(()),
            Head::Bad(why) => return refuse(&mut stream, "400 Bad Request", why, false, true),
            Head::Request(request) => request,
        };
        answer(&mut stream, &request, site)?;
        if !request.goes_on {
            return Ok(());
        }
    }
}

fn answer(out: &mut impl Write, request: &Request, site: &Site) -> Result<()> {
    let (goes_on, body) = (request.goes_on, request.method != "HEAD");
    if !request.is_for_this_machine() {
        return refuse(out, "403 Forbidden", "this server answers to 127.0.0.1 and localhost only", goes_on, body);
    }
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return refuse(out, "405 Method Not Allowed\r\nAllow: GET, HEAD", "only to be read", goes_on, body);
    }
    let mut found = match site.find(&request.path) {
        Ok(Some(found)) => found,
        Ok(None) => return refuse(out, "404 Not Found", "nothing lies here", goes_on, body),
        Err(error) => return refuse(out, "503 Service Unavailable", &format!("{error:#}"), goes_on, body),
    };
    let mut head = format!("{ALWAYS}ETag: {}\r\nContent-Type: {}\r\n", found.tag, found.media);
    if !goes_on {
        head.push_str("Connection: close\r\n");
    }
    if request.header("if-none-match") == Some(&found.tag) {
        return out.write_all(format!("HTTP/1.1 304 Not Modified\r\n{head}\r\n").as_bytes());
    }
    let length = found.length;
    let (status, from, to) = match request.range(length, &found.tag) {
        Range::All => ("200 OK", 0, length),
        Range::Part(from, to) => {
            head.push_str(&format!("Content-Range: bytes {from}-{}/{length}\r\n", to - 1));
            ("206 Partial Content", from, to)
        }
        Range::Outside => {
            let status = format!("416 Range Not Satisfiable\r\nContent-Range: bytes */{length}");
            return refuse(out, &status, "there are no such bytes", goes_on, body);
        }
    };
    out.write_all(format!("HTTP/1.1 {status}\r\n{head}Content-Length: {}\r\n\r\n", to - from).as_bytes())?;
    if body {
        found.bytes.seek(SeekFrom::Start(from))?;
        let sent = std::io::copy(&mut found.bytes.take(to - from), out)?;
        // A file that shrank meanwhile: the connection ends, since what follows would be taken for its rest.
        if sent < to - from {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    out.flush()
}

/// An answer in words; `status` may bring headers of its own.
fn refuse(out: &mut impl Write, status: &str, why: &str, goes_on: bool, body: bool) -> Result<()> {
    let (end, text) = (if goes_on { "" } else { "Connection: close\r\n" }, format!("{why}\n"));
    let head =
        format!("HTTP/1.1 {status}\r\n{ALWAYS}{end}Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n", text.len());
    out.write_all(head.as_bytes())?;
    if body {
        out.write_all(text.as_bytes())?;
    }
    out.flush()
}
