//! What a server tells of itself.

use std::time::Duration;

use serde_json::{Value, json};

use crate::ServerError;
use crate::clock::Deadline;
use crate::failure::said;
use crate::http::{Http, Part};
use crate::settings::{ApiKey, ClientSettings, is_local};

/// How long a server may take to say what it has.
const PATIENCE: Duration = Duration::from_secs(20);

/// A model in a server's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedModel {
    /// Its name there.
    pub name: String,
    /// Prompt plus reply in tokens, where the list tells.
    pub window: Option<usize>,
}

/// The models a server lists at `base_url` (`http://127.0.0.1:8080/v1`). Blocks until it has answered.
pub fn models(base_url: &str, key: Option<&ApiKey>) -> Result<Vec<ServedModel>, ServerError> {
    let settings = ClientSettings::new(base_url)?;
    list(&Ask::new(&settings.base_url, key.cloned(), settings.timeouts.connect))
}

/// The model's name and window: from the settings, else from the server.
pub(crate) fn find(settings: &ClientSettings) -> Result<(String, usize), ServerError> {
    if let (Some(model), Some(window)) = (&settings.model, settings.window) {
        return Ok((model.clone(), window));
    }
    let url = settings.base_url.clone();
    let ask = Ask::new(&url, settings.api_key.clone(), settings.timeouts.connect);
    let listed = list(&ask);
    let name = match (&settings.model, &listed) {
        (Some(name), _) => name.clone(),
        (None, Err(error)) => return Err(error.clone()),
        (None, Ok(models)) => match &models[..] {
            [only] => only.name.clone(),
            models => return Err(ServerError::Choose { url, names: models.iter().map(|model| model.name.clone()).collect() }),
        },
    };
    if let Some(window) = settings.window {
        return Ok((name, window));
    }
    let entry = listed.as_ref().ok().and_then(|models| models.iter().find(|model| same(&model.name, &name)));
    if let Some(window) = entry.and_then(|model| model.window) {
        return Ok((name, window));
    }
    let mut hint = String::new();
    if let Some(window) = llama_cpp(&ask).or_else(|| ollama(&ask, &name, &mut hint)) {
        return Ok((name, window));
    }
    // A list without the model tells more than a missing window.
    if let (Ok(models), None) = (&listed, entry)
        && !models.is_empty()
    {
        return Err(ServerError::NoModel { url, name, names: models.iter().map(|model| model.name.clone()).collect() });
    }
    if let Err(error) = &listed {
        hint = format!(" ({error})");
    }
    Err(ServerError::NoWindow { url, name, hint })
}

fn list(ask: &Ask) -> Result<Vec<ServedModel>, ServerError> {
    let no_list = |why: String| ServerError::NoList { url: ask.base.to_string(), why };
    let answer = ask.json(&format!("{}/models", ask.base), None).map_err(no_list)?;
    let Some(entries) = answer["data"].as_array().or_else(|| answer.as_array()) else {
        return Err(no_list(format!("{} is no list: does the address end with /v1?", said(&answer.to_string()))));
    };
    let model = |entry: &Value| Some(ServedModel { name: entry["id"].as_str()?.to_string(), window: listed_window(entry) });
    Ok(entries.iter().filter_map(model).collect())
}

/// vLLM and SGLang say `max_model_len`; others have names of their own for it. (llama.cpp's `meta.n_ctx_train` is what the model was
/// trained for, not what the server gives it.)
fn listed_window(entry: &Value) -> Option<usize> {
    let names = ["max_model_len", "context_window", "context_length", "max_context_length"];
    names.into_iter().find_map(|name| count(&entry[name]))
}

/// llama.cpp: `/props`, beside `/v1`. The window is that of one of its slots.
fn llama_cpp(ask: &Ask) -> Option<usize> {
    let props = ask.json(&format!("{}/props", ask.root()), None).ok()?;
    count(&props["default_generation_settings"]["n_ctx"]).or_else(|| count(&props["n_ctx"]))
}

/// Ollama gives a model the `num_ctx` of its Modelfile, else a setting of the server's, which shows once the model is loaded. What
/// the model itself could take is no guide: Ollama cuts longer prompts without a word.
fn ollama(ask: &Ask, model: &str, hint: &mut String) -> Option<usize> {
    let root = ask.root();
    let show = ask.json(&format!("{root}/api/show"), Some(json!({"model": model}))).ok()?;
    let parameter = show["parameters"].as_str().and_then(|text| {
        text.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("num_ctx")).then(|| words.next()?.parse().ok())?
        })
    });
    if let Some(window) = parameter.filter(|&window: &usize| window > 0) {
        return Some(window);
    }
    let running = ask.json(&format!("{root}/api/ps"), None).ok();
    let running = running.as_ref().and_then(|running| running["models"].as_array());
    let named =
        |entry: &&Value| [&entry["name"], &entry["model"]].into_iter().any(|name| name.as_str().is_some_and(|name| same(name, model)));
    if let Some(window) = running.and_then(|models| models.iter().find(named)).and_then(|entry| count(&entry["context_length"])) {
        return Some(window);
    }
    let most = show["model_info"].as_object().and_then(|info| info.iter().find(|(name, _)| name.ends_with(".context_length")));
    let most = most.and_then(|(_, value)| count(value)).map(|most| format!("; the model could take {most}")).unwrap_or_default();
    *hint = format!(" (Ollama gives it what OLLAMA_CONTEXT_LENGTH or num_ctx says{most})");
    None
}

/// Whether a listed name is the one asked for. Ollama takes `qwen3` for `qwen3:latest`.
fn same(listed: &str, asked: &str) -> bool {
    listed == asked || listed.strip_suffix(":latest") == Some(asked)
}

fn count(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|count| usize::try_from(count).ok()).filter(|&count| count > 0)
}

/// Small questions to one server.
struct Ask<'a> {
    base: &'a str,
    http: Http,
}

impl<'a> Ask<'a> {
    fn new(base: &'a str, key: Option<ApiKey>, connect: Duration) -> Self {
        Self { base, http: Http::new(connect, is_local(base), key) }
    }

    /// The address without its `/v1`.
    fn root(&self) -> &str {
        self.base.strip_suffix("/v1").unwrap_or(self.base)
    }

    /// A JSON answer, or why there is none.
    fn json(&self, url: &str, body: Option<Value>) -> Result<Value, String> {
        let body = body.map(|body| body.to_string().into_bytes());
        let mut exchange = self.http.send(url, body);
        let mut deadline = Deadline::after(PATIENCE);
        let (mut status, mut bytes) = (0, Vec::new());
        loop {
            let part = pollster::block_on(deadline.before(exchange.next()));
            match part {
                None => return Err(format!("it did not answer within {} s", PATIENCE.as_secs())),
                Some(Part::Head(head)) => status = head.status,
                Some(Part::Broken(why)) => return Err(why),
                Some(Part::End) => break,
                Some(Part::Bytes(more)) => {
                    bytes.extend_from_slice(&more);
                    if bytes.len() > 16 << 20 {
                        return Err("its answer has no end".into());
                    }
                }
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        if !(200..300).contains(&status) {
            let key = if matches!(status, 401 | 403) { "; set LONGHAND_API_KEY" } else { "" };
            return Err(format!("it answered {status}: {}{key}", said(&text)));
        }
        serde_json::from_str(&text).map_err(|_| format!("it did not answer with JSON: {}", said(&text)))
    }
}
