//! What servers tell of themselves.

mod common;

use common::{Server, answer};
use data::ChatModel;
use serde_json::{Value, json};
use server::{Client, ServerError, models};

/// A server with these answers by path; everything else is 404.
fn serving(paths: Vec<(&'static str, Value)>) -> Server {
    Server::start(move |_, request, out| {
        let path = request.line.split(' ').nth(1).unwrap_or_default();
        match paths.iter().find(|(known, _)| *known == path) {
            Some((_, body)) => answer(out, 200, "content-type: application/json\r\n", &body.to_string()),
            None => answer(out, 404, "", "{\"error\":\"not found\"}"),
        }
    })
}

fn connect(server: &Server, model: Option<&str>) -> Result<(String, usize), ServerError> {
    let mut settings = server.settings();
    (settings.model, settings.window) = (model.map(str::to_string), None);
    Client::connect(settings, None).map(|client| (client.model().to_string(), client.window()))
}

fn list(names: &[&str]) -> Value {
    json!({"object": "list", "data": names.iter().map(|name| json!({"id": name, "object": "model"})).collect::<Vec<_>>()})
}

#[test]
fn vllm_and_sglang_tell_in_the_list() {
    let server = serving(vec![(
        "/v1/models",
        json!({"object": "list", "data": [{"id": "Qwen/Qwen3-4B", "object": "model", "max_model_len": 40960}]}),
    )]);
    assert_eq!(connect(&server, None).unwrap(), ("Qwen/Qwen3-4B".to_string(), 40960));
    assert_eq!(connect(&server, Some("Qwen/Qwen3-4B")).unwrap().1, 40960);
    let listed = models(&server.url, None).unwrap();
    assert_eq!((listed[0].name.as_str(), listed[0].window, listed.len()), ("Qwen/Qwen3-4B", Some(40960), 1));
    let error = connect(&server, Some("qwen3-4b")).unwrap_err();
    assert!(matches!(error, ServerError::NoModel { .. }) && error.to_string().contains("`Qwen/Qwen3-4B`"), "{error}");
}

#[test]
fn llama_cpp_tells_in_its_props() {
    let listed = json!({"object": "list", "data": [{"id": "model.gguf", "meta": {"n_ctx_train": 131072}}]});
    let server = serving(vec![("/v1/models", listed.clone()), ("/props", json!({"default_generation_settings": {"n_ctx": 8192}}))]);
    assert_eq!(connect(&server, None).unwrap(), ("model.gguf".to_string(), 8192));
    let server = serving(vec![("/v1/models", listed), ("/props", json!({"n_ctx": 4096}))]);
    assert_eq!(connect(&server, None).unwrap().1, 4096);
}

#[test]
fn ollama_tells_what_it_will_use_or_nothing() {
    let listed = list(&["qwen3:4b", "llama3.2:latest"]);
    let info = json!({"model_info": {"general.architecture": "qwen3", "qwen3.context_length": 40960}});
    let mut show = info.clone();
    show["parameters"] = "stop \"<|im_end|>\"\nnum_ctx                        16384\n".into();
    let server = serving(vec![("/v1/models", listed.clone()), ("/api/show", show)]);
    assert_eq!(connect(&server, Some("qwen3:4b")).unwrap().1, 16384);
    let running = json!({"models": [{"name": "qwen3:4b", "model": "qwen3:4b", "context_length": 4096}]});
    let server = serving(vec![("/v1/models", listed.clone()), ("/api/show", info.clone()), ("/api/ps", running)]);
    assert_eq!(connect(&server, Some("qwen3:4b")).unwrap().1, 4096);
    let server = serving(vec![("/v1/models", listed), ("/api/show", info)]);
    let error = connect(&server, Some("qwen3:4b")).unwrap_err().to_string();
    assert!(error.contains("could take 40960") && error.contains("give the window"), "{error}");
}

#[test]
fn a_server_that_tells_nothing_must_be_told() {
    let server = serving(vec![("/v1/models", list(&["gpt-x"]))]);
    let error = connect(&server, None).unwrap_err();
    assert!(matches!(error, ServerError::NoWindow { .. }) && error.to_string().contains("give the window"), "{error}");
    let server = serving(vec![("/v1/models", list(&["a", "b"]))]);
    let error = connect(&server, None).unwrap_err();
    assert!(matches!(error, ServerError::Choose { .. }) && error.to_string().contains("`a`, `b`"), "{error}");
    // Given both, nothing is asked.
    let settings = server.settings();
    let before = server.requests().len();
    assert_eq!(Client::connect(settings, None).unwrap().window(), 4096);
    assert_eq!(server.requests().len(), before);
}

#[test]
fn what_is_no_list_says_what_it_is() {
    for (status, body, says) in [
        (404, "404 page not found", "404"),
        (401, "{\"error\":{\"message\":\"no key\"}}", "LONGHAND_API_KEY"),
        (200, "<html><body>Sign in</body></html>", "Sign in"),
        (200, "{\"hello\": 1}", "/v1"),
        (200, "", "no explanation"),
    ] {
        let server = Server::start(move |_, _, out| answer(out, status, "", body));
        let error = connect(&server, None).unwrap_err();
        assert!(matches!(error, ServerError::NoList { .. }) && error.to_string().contains(says), "{error}");
    }
    let server = serving(vec![("/v1/models", list(&[]))]);
    let error = connect(&server, None).unwrap_err().to_string();
    assert!(error.contains("no models"), "{error}");
}
