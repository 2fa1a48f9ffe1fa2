//! `longhand web`: what it serves over loopback, and what it does not.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use agent::report::unpack;
use data::{Document, ReadEvent, Sampling, Usage};

const TEXT: &str = "The mill at Ouse was sold in 1931 by Mara Voss.\n";

/// A built page, a secret beside it, a kept read, a dataset and models.
fn world() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    write("secret.txt", b"secret");
    write("app/index.html", b"<!doctype html>page");
    write("app/web_bg.wasm", b"\0asm");
    write("app/start.js", b"start");
    write("app/tiny/model.safetensors", &(0..=255).collect::<Vec<u8>>().repeat(4096));
    write("app/.git/config", b"secret");
    write("set/rows.jsonl", b"{}\n");
    write("model/config.json", b"{}");
    write("blobs/abc", b"weights");
    write("some model.gguf", b"GGUF");
    write("my-read/documents.jsonl", (serde_json::to_string(&Document::plain("a", "a.txt", TEXT)).unwrap() + "\n").as_bytes());
    let started = ReadEvent::Started {
        version: ReadEvent::VERSION,
        model: "scripted".into(),
        question: "Who sold the mill?".into(),
        documents: vec![("a".into(), "0".into(), TEXT.len())],
        window: 1000,
        chunk: 100,
        memory: 100,
        plan: 50,
        thinking: 0,
        answer: 50,
        chunks: 0,
        sampling: Sampling::GREEDY,
        style: String::new(),
    };
    let answer = ReadEvent::Answer { text: "Mara Voss.".into(), reply: String::new(), usage: Usage::default(), seconds: None, model: None };
    let lines: String = [started, answer].iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect();
    write("my-read/events.jsonl", lines.as_bytes());
    folder
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
    command.current_dir(folder).args(["web", "--no-open", "--json"]).args(args);
    command
}

/// What a call that does not serve says. One that serves after all is ended.
fn refused(folder: &Path, args: &[&str]) -> String {
    let mut child = command(folder, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let since = Instant::now();
    while child.try_wait().unwrap().is_none() && since.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!((status.code(), stdout.len()), (Some(2), 0), "{said}");
    said
}

/// A running server; it ends with this value.
struct Served {
    child: Child,
    port: u16,
    /// What follows `/`.
    query: String,
}

impl Served {
    fn start(folder: &Path, args: &[&str]) -> Self {
        let mut child = command(folder, args).args(["--port", "0"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = said["address"].as_str().unwrap().strip_prefix("http://127.0.0.1:").unwrap();
        let (port, query) = address.split_once('/').unwrap();
        Self { child, port: port.parse().unwrap(), query: query.into() }
    }

    /// Sends the text and takes all that comes until the connection ends.
    fn raw(&self, text: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut out = Vec::new();
        // A server that closes before it has read everything resets the connection after its answer.
        let _ = stream.read_to_end(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// (head, body) of one request that ends the connection.
    fn ask(&self, method: &str, path: &str, headers: &str) -> (String, String) {
        let said = self.raw(&format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n{headers}\r\n", self.port));
        let (head, body) = said.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {said}"));
        (head.to_string(), body.to_string())
    }

    fn get(&self, path: &str) -> (u16, String) {
        let (head, body) = self.ask("GET", path, "");
        (status(&head), body)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.split_once(": ").filter(|(known, _)| known.eq_ignore_ascii_case(name))).map(|(_, value)| value)
}

#[test]
fn the_page_is_served_as_browsers_need_it() {
    let folder = world();
    let served = Served::start(folder.path(), &["--app", "app"]);
    assert_eq!(served.query, "");
    for (path, media, length) in [
        ("/", "text/html; charset=utf-8", 19),
        ("/index.html?read=x", "text/html; charset=utf-8", 19),
        ("/start.js", "text/javascript; charset=utf-8", 5),
        ("/web_bg.wasm", "application/wasm", 4),
        ("/tiny/model.safetensors", "application/octet-stream", 1 << 20),
    ] {
        let (head, body) = served.ask("GET", path, "");
        assert_eq!((status(&head), header(&head, "content-type")), (200, Some(media)), "{head}");
        assert_eq!(header(&head, "content-length"), Some(length.to_string().as_str()), "{head}");
        assert_eq!(header(&head, "x-content-type-options"), Some("nosniff"));
        assert_eq!(header(&head, "cross-origin-resource-policy"), Some("same-origin"));
        let (only_head, nothing) = served.ask("HEAD", path, "");
        assert_eq!((only_head, nothing.len()), (head.clone(), 0));
        assert!(body.len() >= length, "{path}");
        // Asked again with its tag it need not be sent again.
        let (again, nothing) = served.ask("GET", path, &format!("If-None-Match: {}\r\n", header(&head, "etag").unwrap()));
        assert_eq!((status(&again), nothing.len()), (304, 0), "{again}");
    }
    assert_eq!((served.get("/nowhere.js").0, served.get("/tiny").0, served.get("/tiny/").0), (404, 404, 404));
    // Several requests on one connection, each answered in turn.
    let host = format!("Host: localhost:{}\r\n", served.port);
    let both = served.raw(&format!(
        "GET /start.js HTTP/1.1\r\n{host}\r\nHEAD /start.js HTTP/1.1\r\n{host}\r\nGET /none HTTP/1.1\r\n{host}Connection: close\r\n\r\n"
    ));
    let order: Vec<u16> = both.split("HTTP/1.1 ").skip(1).map(|part| part[..3].parse().unwrap()).collect();
    assert_eq!((order, both.matches("\r\n\r\nstart").count()), (vec![200, 200, 404], 1), "{both}");
}

#[test]
fn weights_come_in_parts() {
    let folder = world();
    let digits: String = (0..1000).map(|n| format!("{n:03}")).collect();
    fs::write(folder.path().join("app/digits.gguf"), &digits).unwrap();
    let served = Served::start(folder.path(), &["--app", "app"]);
    let part = |range: &str| {
        let (head, body) = served.ask("GET", "/digits.gguf", &format!("Range: {range}\r\n"));
        (status(&head), header(&head, "content-range").unwrap_or_default().to_string(), body)
    };
    assert_eq!(part("bytes=3-8"), (206, "bytes 3-8/3000".into(), "001002".into()));
    assert_eq!(part("bytes=2994-"), (206, "bytes 2994-2999/3000".into(), "998999".into()));
    assert_eq!(part("bytes=-3"), (206, "bytes 2997-2999/3000".into(), "999".into()));
    assert_eq!(part("bytes=2997-9000"), (206, "bytes 2997-2999/3000".into(), "999".into()));
    let (code, range, _) = part("bytes=3000-");
    assert_eq!((code, range.as_str()), (416, "bytes */3000"));
    assert_eq!(part("bytes=0-2,6-8"), (200, String::new(), digits.clone()));
    let (head, body) = served.ask("HEAD", "/digits.gguf", "Range: bytes=0-9\r\n");
    assert_eq!((status(&head), header(&head, "content-length"), body.len()), (206, Some("10"), 0), "{head}");
    // A part of what has changed since is not wanted.
    let tag = header(&head, "etag").unwrap().to_string();
    let since = |tag: &str| served.ask("GET", "/digits.gguf", &format!("Range: bytes=0-2\r\nIf-Range: {tag}\r\n")).1;
    assert_eq!((since(&tag), since("\"other\"")), ("000".into(), digits.clone()));
    fs::write(folder.path().join("app/digits.gguf"), &digits[..2997]).unwrap();
    assert_eq!(since(&tag).len(), 2997);
}

#[test]
fn nothing_beside_what_was_named_is_served() {
    let folder = world();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("../secret.txt", folder.path().join("app/link.txt")).unwrap();
        std::os::unix::fs::symlink("..", folder.path().join("app/up")).unwrap();
        std::os::unix::fs::symlink("../secret.txt", folder.path().join("set/link.txt")).unwrap();
    }
    let served = Served::start(folder.path(), &["--app", "app", "set", "--model", "model"]);
    let absolute = folder.path().join("secret.txt").display().to_string();
    for path in [
        "/../secret.txt",
        "/tiny/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/data/1/../secret.txt",
        "/data/1/%2e%2e/secret.txt",
        "/models/1/../../secret.txt",
        "/link.txt",
        "/up/secret.txt",
        "/data/1/link.txt",
        "/.git/config",
        "/%2egit/config",
        "/models/2/config.json",
        "/data/1",
        "/data/1/",
        "/secret.txt%00.html",
        &format!("/{absolute}"),
        &absolute,
    ] {
        let (code, body) = served.get(path);
        assert_eq!((code, body.contains("secret")), (404, false), "{path}: {body}");
    }
    assert_eq!(served.get("/data/1/rows.jsonl"), (200, "{}\n".into()));
}

#[test]
fn other_hosts_pages_and_writers_are_refused() {
    let folder = world();
    let served = Served::start(folder.path(), &["--app", "app"]);
    let with = |host: &str| status(&served.raw(&format!("GET / HTTP/1.1\r\n{host}Connection: close\r\n\r\n")));
    for host in [
        "Host: evil.example\r\n",
        "Host: 127.0.0.1.evil.example:80\r\n",
        "Host: localhost.evil.example\r\n",
        "",
        "Host: 127.0.0.1\r\nHost: evil.example\r\n",
    ] {
        assert_eq!(with(host), 403, "{host}");
    }
    assert_eq!((with("Host: localhost\r\n"), with("Host: 127.0.0.1:1\r\n")), (200, 200));
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let (head, _) = served.ask(method, "/", "");
        assert_eq!((status(&head), header(&head, "allow")), (405, Some("GET, HEAD")), "{method}");
        assert_eq!(header(&head, "access-control-allow-origin"), None);
    }
    // A body is not taken for the next request.
    let body = "GET /start.js HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let said = served.raw(&format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    assert_eq!((said.matches("HTTP/1.1 ").count(), status(&said)), (1, 405), "{said}");
    for bad in ["nonsense\r\n\r\n", "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET / HTTP/1.1\r\n: x\r\n\r\n"] {
        assert_eq!(status(&served.raw(bad)), 400, "{bad}");
    }
    assert_eq!(status(&served.raw(&format!("GET / HTTP/1.1\r\nX: {}\r\n", "x".repeat(20_000)))), 400);
    // Only this machine can reach it.
    assert!(TcpStream::connect(("127.0.0.2", served.port)).is_err() || !cfg!(target_os = "linux"));
    assert_eq!(served.get("/").0, 200);
}

#[test]
fn reads_datasets_and_models_have_their_addresses() {
    let folder = world();
    let packed = folder.path().join("packed.longhand");
    let export = Command::new(env!("CARGO_BIN_EXE_longhand"))
        .current_dir(folder.path())
        .args(["export", "my-read", "--longhand", "packed.longhand"])
        .output()
        .unwrap();
    assert!(export.status.success());
    #[cfg(unix)]
    std::os::unix::fs::symlink("../blobs/abc", folder.path().join("model/model.safetensors")).unwrap();
    let args = ["--app", "app", "my-read", "set", "packed.longhand", "--model", "model"];
    let served = Served::start(folder.path(), &args);
    assert_eq!(served.query, "?read=runs/1.longhand&dataset=data/1/&read=runs/2.longhand&model=models/1/");
    let (head, first) = served.ask("GET", "/runs/1.longhand", "");
    assert_eq!((status(&head), header(&head, "content-type")), (200, Some("application/jsonl")));
    assert_eq!((&first, served.get("/runs/2.longhand").1), (&fs::read_to_string(&packed).unwrap(), first.clone()));
    assert_eq!(unpack(&first).unwrap().documents[0].text.to_string(), TEXT);
    assert_eq!(served.ask("GET", "/runs/1.longhand", "Range: bytes=2-9\r\n").1, "longhand");
    assert_eq!((served.get("/data/1/rows.jsonl").0, served.get("/models/1/config.json").0), (200, 200));
    // The hub's cache is links into a folder of its own.
    #[cfg(unix)]
    {
        let (head, body) = served.ask("GET", "/models/1/model.safetensors", "");
        assert_eq!((header(&head, "content-type"), body.as_str()), (Some("application/octet-stream"), "weights"));
    }
    // What is asked of the read later is there at once.
    let log = folder.path().join("my-read/events.jsonl");
    fs::copy(&log, folder.path().join("my-read/events-2.jsonl")).unwrap();
    assert_eq!(unpack(&served.get("/runs/1.longhand").1).unwrap().logs.len(), 2);
    let named = Served::start(folder.path(), &["--app", "app", "--model", "some model.gguf"]);
    assert_eq!((named.query.as_str(), named.get("/models/1/model.gguf")), ("?model=models/1/model.gguf", (200, "GGUF".into())));
    fs::create_dir(folder.path().join("alone")).unwrap();
    fs::write(folder.path().join("alone/a-b_1.gguf"), "GGUF").unwrap();
    assert_eq!(Served::start(folder.path(), &["--app", "app", "--model", "alone"]).query, "?model=models/1/a-b_1.gguf");
}

#[test]
fn what_cannot_be_served_is_said() {
    let folder = world();
    let path = folder.path();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = refused(path, &["--app", "app", "--port", &port]);
    assert!(said.contains(&format!("cannot listen on port {port}")) && said.contains("--port"), "{said}");
    let said = refused(path, &["--app", "model"]);
    assert!(said.contains("no index.html") && said.contains("cargo xtask trunk"), "{said}");
    fs::write(path.join("app/Cargo.toml"), "").unwrap();
    assert!(refused(path, &["--app", "app"]).contains("source, not the built page"));
    fs::remove_file(path.join("app/Cargo.toml")).unwrap();
    assert!(refused(path, &["--app", "app", "model"]).contains("no kept read and no dataset"));
    assert!(refused(path, &["--app", "app", "nowhere"]).contains("no kept read"));
    fs::write(path.join("other.longhand"), "{\"longhand\":\"read\",\"version\":7}\n").unwrap();
    let said = refused(path, &["--app", "app", "other.longhand"]);
    assert!(said.contains("other.longhand") && said.contains("version 7"), "{said}");
    assert!(refused(path, &["--app", "app", "--model", "secret.txt"]).contains("is no model"));
    assert!(refused(path, &["--app", "app", "--model", "set"]).contains("name the file"));
}
