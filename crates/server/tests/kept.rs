//! The cache: nothing is paid for twice, and nothing wrong is kept.

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Server, answer, chat, delta, ending, request, stream, stream_head};
use data::{ChatModel, ChatReply, JsonSchema, StopReason, Usage};
use serde_json::json;
use server::{Cache, Cached, Client, Key};

fn client(server: &Server, folder: &Path) -> Client {
    let mut settings = server.settings();
    settings.cache = Some(folder.to_path_buf());
    settings.max_retries = 0;
    Client::connect(settings, None).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let inner = |entry: std::fs::DirEntry| if entry.path().is_dir() { files(&entry.path()) } else { vec![entry.path()] };
    std::fs::read_dir(folder).unwrap().flat_map(|entry| inner(entry.unwrap())).collect()
}

#[test]
fn a_run_that_starts_again_asks_for_nothing_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|number, _, out| stream(out, &["reply ", &number.to_string()]));
    let first = chat(&client(&server, folder.path()), &request("hi")).0.unwrap();
    assert_eq!((first.text.as_str(), server.requests().len()), ("reply 0", 1));
    // Another process, and another address.
    let moved = Server::start(|_, _, out| stream(out, &["another"]));
    for server in [&server, &moved] {
        let again = client(server, folder.path());
        let (reply, texts) = chat(&again, &request("hi"));
        assert_eq!((reply.unwrap(), texts), (first.clone(), vec!["reply 0".to_string()]));
        let totals = again.totals();
        assert_eq!((totals.calls, totals.cached, totals.tokens()), (0, 1, 0));
    }
    assert_eq!((server.requests().len(), moved.requests().len()), (1, 0));
    // Anything else that is asked is another call.
    let again = client(&server, folder.path());
    let mut others = vec![request("ho"); 4];
    others[1].messages[0] = data::Message::system("hi");
    (others[2].max_tokens, others[3].sampling.seed) = (99, 1);
    others.push(request("hi"));
    others[4].schema = Some(JsonSchema { name: "n".into(), schema: json!({}) });
    for other in &others {
        chat(&again, other).0.unwrap();
    }
    assert_eq!(server.requests().len(), 6);
    assert_ne!(Key::new("m", &request("hi")), Key::new("n", &request("hi")));
    let key = Key::new("m", &request("hi"));
    assert_eq!(Key::parse(&key.to_string()), Some(key));
    assert!(["", "ab", &"g".repeat(64), &"é".repeat(32), &"0".repeat(65), &"0".repeat(66)].iter().all(|text| Key::parse(text).is_none()));
}

#[test]
fn failures_are_never_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|number, _, out| match number {
        0 => answer(out, 500, "", "oops"),
        1 => answer(out, 400, "", "no"),
        2 => answer(out, 200, "", "garbage"),
        3 => {
            stream_head(out)?;
            out.write_all(delta("cut").as_bytes())
        }
        4 => {
            stream_head(out)?;
            out.write_all(delta("then an error").as_bytes())?;
            out.write_all(b"data: {\"error\":{\"message\":\"x\"}}\n\n")
        }
        // Interrupted by the server.
        5 => {
            stream_head(out)?;
            out.write_all(delta("interrupted").as_bytes())?;
            out.write_all(b"data: [DONE]\n\n")
        }
        // Nothing said: a reply, but not one to keep.
        6 => {
            stream_head(out)?;
            out.write_all(ending("stop", None).as_bytes())
        }
        _ => stream(out, &["at last"]),
    });
    let client = client(&server, folder.path());
    for number in 0..7 {
        assert_eq!(chat(&client, &request("hi")).0.is_ok(), number == 6, "{number}");
        assert_eq!(files(folder.path()), Vec::<PathBuf>::new(), "{number}");
    }
    assert_eq!(chat(&client, &request("hi")).0.unwrap().text, "at last");
    assert_eq!(chat(&client, &request("hi")).0.unwrap().text, "at last");
    assert_eq!((server.requests().len(), files(folder.path()).len()), (8, 1));
}

#[test]
fn a_damaged_file_is_asked_for_anew() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _, out| stream(out, &["the reply"]));
    let client = client(&server, folder.path());
    chat(&client, &request("hi")).0.unwrap();
    let file = files(folder.path()).remove(0);
    let whole = std::fs::read(&file).unwrap();
    let text = String::from_utf8(whole.clone()).unwrap();
    let damaged = [
        vec![],
        whole[..whole.len() / 2].to_vec(),
        // Still JSON, and still a reply.
        text.replace("the reply", "the lie").into_bytes(),
        text.replace("\"version\":1", "\"version\":2").into_bytes(),
        vec![0xff; 100],
        b"null".to_vec(),
    ];
    for (number, bytes) in damaged.iter().enumerate() {
        assert_ne!(*bytes, whole, "{number}");
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(chat(&client, &request("hi")).0.unwrap().text, "the reply");
        assert_eq!(server.requests().len(), number + 2);
        assert_eq!(std::fs::read(&file).unwrap(), whole, "it was written anew");
    }
    // A file of another call, moved here.
    let other = Key::new("m", &request("ho"));
    std::fs::create_dir_all(folder.path().join(&other.to_string()[..2])).unwrap();
    std::fs::write(folder.path().join(&other.to_string()[..2]).join(format!("{other}.json")), &whole).unwrap();
    assert_eq!(Cache::open(folder.path()).unwrap().get(&other), None);
}

#[test]
fn calls_that_are_alike_share_one_request() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _, out| {
        std::thread::sleep(Duration::from_millis(150));
        stream(out, &["sha", "red"])
    });
    let client = client(&server, folder.path());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let (reply, texts) = chat(&client, &request("hi"));
                assert_eq!((reply.unwrap().text.as_str(), texts.concat().as_str()), ("shared", "shared"));
            });
        }
    });
    let totals = client.totals();
    assert_eq!((server.requests().len(), totals.calls, totals.cached), (1, 1, 7));
}

#[test]
fn calls_that_are_alike_share_a_failure_and_outlive_the_one_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|number, _, out| {
        std::thread::sleep(Duration::from_millis(200));
        if number == 0 { stream(out, &["never read"]) } else { answer(out, 500, "", "oops") }
    });
    let client = client(&server, folder.path());
    let request = request("hi");
    let mut on_text = |_: &str| {};
    let mut first = client.chat(&request, &mut on_text);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    while server.requests().is_empty() {
        assert!(first.as_mut().poll(&mut context).is_pending());
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let (reply, _) = chat(&client, &request);
                assert!(reply.unwrap_err().to_string().contains("oops"));
            });
        }
        std::thread::sleep(Duration::from_millis(50));
        // One of the four takes over; it fails for all.
        drop(first);
    });
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn any_model_can_stand_behind_a_cache() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _, out| stream(out, &["x"]));
    let model = Cached::new(server.client(), Cache::open(folder.path()).unwrap());
    for _ in 0..3 {
        assert_eq!(chat(&model, &request("hi")).1.concat(), "x");
    }
    assert_eq!((server.requests().len(), model.hits(), model.name().as_str()), (1, 2, "m (server)"));
    assert_eq!(model.count_prompt(&request("hi").messages), model.inner().count_prompt(&request("hi").messages));
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Cache::open(&file).err().unwrap().to_string();
    assert!(error.contains("file"), "{error}");
}

#[test]
fn a_reply_that_cannot_be_kept_is_given_out_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let key = Key::new("m", &request("hi"));
    // A file where the folder of this key would be.
    std::fs::write(folder.path().join(&key.to_string()[..2]), "").unwrap();
    let reply = ChatReply { text: "x".into(), token_ids: vec![1], logprobs: vec![-0.1], stop: StopReason::Eos, usage: Usage::default() };
    let (outcome, shared) = pollster::block_on(cache.fetch(key, "m", async { Ok(reply.clone()) }));
    assert_eq!((outcome, shared), (Ok(reply.clone()), false));
    assert!(cache.trouble().is_some_and(|trouble| trouble.contains("could not be kept")));
    std::fs::remove_file(folder.path().join(&key.to_string()[..2])).unwrap();
    cache.put(&key, "m", &reply).unwrap();
    assert_eq!(cache.get(&key), Some(reply));
}

/// Digits that a reader of JSON may round another way must not make a kept reply unknown.
#[test]
fn log_probabilities_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    for seed in 0..300_u64 {
        let logprobs: Vec<f32> =
            (0..8_u64).map(|at| -1.0 / (1.0 + (seed * 8 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15) as f32 / 1e9)).collect();
        let reply = ChatReply { text: "a".into(), token_ids: vec![1], logprobs, stop: StopReason::Eos, usage: Usage::default() };
        let key = Key::new(&seed.to_string(), &request("hi"));
        cache.put(&key, "m", &reply).unwrap();
        assert_eq!(cache.get(&key), Some(reply));
    }
}
