//! The small server on loopback that browsers under test talk to: folders with headers of their own, parts of files, a record of
//! every request. A browser that has it as its proxy as well sends nothing that is not in the record.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use crate::http::Message;

/// Hosts of Chromium's updates, clock, accounts and start page.
const CHROMIUMS_OWN: [&str; 6] = [
    "accounts.google.com",
    "clients2.google.com",
    "content-autofill.googleapis.com",
    "optimizationguide-pa.googleapis.com",
    "start.duckduckgo.com",
    "update.googleapis.com",
];

/// Paths that begin alike, the folder they lie in, and what is sent along with its files.
#[derive(Clone)]
pub struct Route {
    start: String,
    folder: PathBuf,
    headers: String,
}

impl Route {
    /// What follows `start` in a path is looked up in `folder`.
    pub fn new(start: &str, folder: impl Into<PathBuf>) -> Self {
        Self { start: start.into(), folder: folder.into(), headers: String::new() }
    }

    /// Sends this header with every file.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }
}

/// One request, as it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// `GET`; `CONNECT` where a proxy is asked for a way to another host.
    pub method: String,
    /// A path of this server, query included; of a request to another host the whole address.
    pub path: String,
    /// What was sent.
    pub body: Vec<u8>,
}

impl Request {
    /// Whether it was meant for another host.
    pub fn is_foreign(&self) -> bool {
        !self.path.starts_with('/')
    }

    /// Whether Chromium asks that by itself, whatever page is open: what no flag of it turns off.
    pub fn is_chromiums_own(&self) -> bool {
        let host = self.path.trim_start_matches("http://").split(['/', ':']).next().unwrap_or_default();
        self.is_foreign() && CHROMIUMS_OWN.contains(&host)
    }
}

/// Serves folders and collects what the page posts.
pub struct Server {
    /// `http://127.0.0.1:PORT`
    pub address: String,
    /// The bodies of `POST /report`, in order.
    pub reports: Receiver<String>,
    shared: Arc<Shared>,
}

/// What the threads of all connections know.
struct Shared {
    address: String,
    routes: Vec<Route>,
    requests: Mutex<Vec<Request>>,
    silent: AtomicBool,
}

impl Server {
    /// The first route that fits a path wins.
    pub fn start(routes: Vec<Route>) -> Result<Self, String> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|problem| format!("no loopback port: {problem}"))?;
        let address = format!("http://{}", listener.local_addr().map_err(|problem| problem.to_string())?);
        let (sender, reports) = channel();
        let shared = Shared { address: address.clone(), routes, requests: Mutex::default(), silent: AtomicBool::new(false) };
        let shared = Arc::new(shared);
        let of_threads = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, sender) = (of_threads.clone(), sender.clone());
                std::thread::spawn(move || drop(serve(stream, &shared, &sender)));
            }
        });
        Ok(Self { address, reports, shared })
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().expect("no thread panics with the record").clone()
    }

    /// A silent server breaks every connection at its next request, as if the network were gone. It goes on recording.
    pub fn set_silent(&self, silent: bool) {
        self.shared.silent.store(silent, Ordering::SeqCst);
    }
}

/// Answers one connection, one request after the other.
fn serve(stream: TcpStream, shared: &Shared, reports: &Sender<String>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(message) = Message::read(&mut reader)? {
        let mut words = message.first.split_whitespace();
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        // To its proxy a browser gives whole addresses, ours too.
        let path = target.strip_prefix(shared.address.as_str()).filter(|path| path.starts_with('/')).unwrap_or(target);
        let request = Request { method: method.into(), path: path.into(), body: message.body.clone() };
        let is_foreign = request.is_foreign();
        shared.requests.lock().expect("no thread panics with the record").push(request);
        if shared.silent.load(Ordering::SeqCst) {
            return Ok(());
        }
        let answer = match (method, path) {
            _ if is_foreign => Answer::plain("502 Bad Gateway"),
            ("POST", "/report") => {
                let _ = reports.send(String::from_utf8_lossy(&message.body).into_owned());
                Answer::plain("200 OK")
            }
            ("GET" | "HEAD", path) => file(path, message.header("range"), &shared.routes).unwrap_or(Answer::plain("404 Not Found")),
            _ => Answer::plain("404 Not Found"),
        };
        let mut stream = &stream;
        let length = answer.body.len();
        let head = format!("HTTP/1.1 {}\r\n{}Content-Length: {length}\r\nCache-Control: no-store\r\n\r\n", answer.status, answer.headers);
        stream.write_all(head.as_bytes())?;
        if method != "HEAD" {
            stream.write_all(&answer.body)?;
        }
    }
    Ok(())
}

struct Answer {
    status: &'static str,
    headers: String,
    body: Vec<u8>,
}

impl Answer {
    fn plain(status: &'static str) -> Self {
        Self { status, headers: "Content-Type: text/plain\r\n".into(), body: Vec::new() }
    }
}

/// A file or the part of it that is asked for.
fn file(path: &str, range: Option<&str>, routes: &[Route]) -> Option<Answer> {
    let (path, headers) = locate(path, routes)?;
    let mut file = File::open(&path).ok().filter(|file| file.metadata().is_ok_and(|about| about.is_file()))?;
    let length = file.metadata().ok()?.len();
    let mut headers = format!("{headers}Content-Type: {}\r\nAccept-Ranges: bytes\r\n", media_type(&path));
    let part = match range.map(|range| part(range, length)) {
        Some(Some(part)) => part,
        Some(None) => {
            headers.push_str(&format!("Content-Range: bytes */{length}\r\n"));
            return Some(Answer { status: "416 Range Not Satisfiable", headers, body: Vec::new() });
        }
        None => 0..length,
    };
    if range.is_some() {
        headers.push_str(&format!("Content-Range: bytes {}-{}/{length}\r\n", part.start, part.end - 1));
    }
    let mut body = Vec::new();
    file.seek(SeekFrom::Start(part.start)).ok()?;
    file.take(part.end - part.start).read_to_end(&mut body).ok()?;
    Some(Answer { status: if range.is_some() { "206 Partial Content" } else { "200 OK" }, headers, body })
}

/// The bytes that `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-COUNT` names in a file of this length.
fn part(range: &str, length: u64) -> Option<Range<u64>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let part = match (first, last) {
        ("", count) => length.saturating_sub(count.parse().ok()?)..length,
        (first, "") => first.parse().ok()?..length,
        (first, last) => first.parse().ok()?..last.parse::<u64>().ok()?.saturating_add(1).min(length),
    };
    (part.start < part.end).then_some(part)
}

/// The file a path names, and its route's headers. Nothing outside the routes' folders. The name of a folder means its `index.html`.
fn locate<'a>(path: &str, routes: &'a [Route]) -> Option<(PathBuf, &'a str)> {
    let path = path.split(['?', '#']).next()?;
    let route = routes.iter().find(|route| path.starts_with(&route.start))?;
    let rest = path[route.start.len()..].trim_start_matches('/');
    let rest = if rest.is_empty() || rest.ends_with('/') { format!("{rest}index.html") } else { rest.into() };
    let plain = rest.split('/').all(|part| !part.is_empty() && part != ".." && part != "." && !part.contains(['\\', ':', '%']));
    plain.then(|| (route.folder.join(rest), route.headers.as_str()))
}

fn media_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell;

    #[test]
    fn only_the_routes_folders_are_served() {
        let routes = [Route::new("/pkg/", "/p"), Route::new("/", "/w")];
        let place = |path: &str| locate(path, &routes).map(|(file, _)| file);
        assert_eq!(place("/pkg/a.js?x=1"), Some("/p/a.js".into()));
        assert_eq!(place("/gate.html"), Some("/w/gate.html".into()));
        assert_eq!(place("/pkg/"), Some("/p/index.html".into()));
        assert_eq!(place("/"), Some("/w/index.html".into()));
        for refused in ["/../etc/passwd", "/pkg/../../a", "/pkg/..", "/a//b", "/%2e%2e/a", "no-slash"] {
            assert_eq!(place(refused), None, "{refused}");
        }
    }

    #[test]
    fn parts_of_files_are_what_was_asked() {
        assert_eq!(part("bytes=0-3", 10), Some(0..4));
        assert_eq!(part("bytes=4-", 10), Some(4..10));
        assert_eq!(part("bytes=-3", 10), Some(7..10));
        assert_eq!(part("bytes=-30", 10), Some(0..10));
        assert_eq!(part("bytes=8-99", 10), Some(8..10));
        for refused in ["bytes=10-", "bytes=5-4", "bytes=-0", "bytes=0-1,3-4", "lines=0-1", "bytes=x-", "bytes=0", "bytes=-"] {
            assert_eq!(part(refused, 10), None, "{refused}");
        }
    }

    fn ask(server: &Server, request: &str) -> String {
        let mut stream = TcpStream::connect(server.address.trim_start_matches("http://")).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn the_server_answers_collects_and_records() {
        let folder = shell::root().join("crates/xtask");
        let strict = Route::new("/strict/", &folder).with("Content-Security-Policy", "default-src 'none'");
        let server = Server::start(vec![strict, Route::new("/", folder)]).unwrap();
        let whole = ask(&server, "GET /Cargo.toml HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(whole.contains("name = \"xtask\"") && !whole.contains("Content-Security-Policy"));
        assert!(ask(&server, "GET /strict/Cargo.toml HTTP/1.1\r\n\r\n").contains("\r\nContent-Security-Policy: default-src 'none'\r\n"));
        assert!(ask(&server, "GET /absent HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(ask(&server, "GET /src/ HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(!ask(&server, "HEAD /Cargo.toml HTTP/1.1\r\n\r\n").contains("name = "));
        let some = ask(&server, "GET /Cargo.toml HTTP/1.1\r\nRange: bytes=1-7\r\n\r\n");
        assert!(some.starts_with("HTTP/1.1 206") && some.contains("Content-Range: bytes 1-7/") && some.ends_with("\r\n\r\npackage"));
        assert!(ask(&server, "GET /Cargo.toml HTTP/1.1\r\nRange: bytes=9999999-\r\n\r\n").starts_with("HTTP/1.1 416"));
        assert!(ask(&server, "POST /report HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello").starts_with("HTTP/1.1 200"));
        assert_eq!(server.reports.recv().unwrap(), "hello");
        let last = server.requests().pop().unwrap();
        assert_eq!(last, Request { method: "POST".into(), path: "/report".into(), body: b"hello".into() });
        assert_eq!(server.requests().len(), 8);
    }

    #[test]
    fn as_a_proxy_it_lets_nothing_through_and_keeps_it_on_record() {
        let server = Server::start(vec![Route::new("/", shell::root().join("crates/xtask"))]).unwrap();
        assert!(ask(&server, &format!("GET {}/Cargo.toml HTTP/1.1\r\n\r\n", server.address)).contains("name = \"xtask\""));
        assert!(ask(&server, "POST http://else.test/a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi").starts_with("HTTP/1.1 502"));
        assert!(ask(&server, "CONNECT else.test:443 HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 502"));
        assert!(ask(&server, &format!("GET {}0.test/ HTTP/1.1\r\n\r\n", server.address)).starts_with("HTTP/1.1 502"));
        let foreign: Vec<Request> = server.requests().into_iter().filter(Request::is_foreign).collect();
        assert_eq!(foreign.len(), 3);
        assert!(foreign.iter().all(|request| !request.is_chromiums_own()));
        let own = |path: &str| Request { path: path.into(), ..foreign[0].clone() }.is_chromiums_own();
        assert!(own("update.googleapis.com:443") && own("http://clients2.google.com/time") && !own("/update.googleapis.com"));
        assert!(!own("a.update.googleapis.com:443") && !own("http://else.test/update.googleapis.com"));
        assert_eq!(foreign[0], Request { method: "POST".into(), path: "http://else.test/a".into(), body: b"hi".into() });
        assert_eq!(foreign[1].path, "else.test:443");
    }

    #[test]
    fn a_silent_server_records_and_says_nothing() {
        let server = Server::start(vec![Route::new("/", shell::root().join("crates/xtask"))]).unwrap();
        server.set_silent(true);
        assert_eq!(ask(&server, "GET /Cargo.toml HTTP/1.1\r\n\r\n"), "");
        server.set_silent(false);
        assert!(ask(&server, "GET /Cargo.toml HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200"));
        assert_eq!(server.requests().len(), 2);
    }
}
