//! The model that tries questions, behind a cache of its calls in the dataset's folder.

use std::fs;
use std::path::Path;

use ::synth::{Said, Trial, TrialError, TrialSettings, Tried};
use agent::together;
use anyhow::{Context, Result, ensure};
use data::{BoxFuture, ChatError, ChatModel, ChatReply, ChatRequest, Message, OnToken};
use serde::Deserialize;
use serde_json::{Value, json};
use server::{Budget, Cache, Cached, Client, ClientSettings, Key};

use super::used::Meter;
use crate::args::MachineArgs;
use crate::load;

/// The folder of calls within a dataset's.
pub const CALLS: &str = "calls";
/// What the calls' folder says of the model, so that they can be read without it.
const ABOUT: &str = "model.json";

/// `[model]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// `openai:URL#NAME`, or a model of this machine as `--model` names it.
    pub name: String,
    /// Tokens of prompt and reply together; what the model or the server says unless told.
    pub window: Option<usize>,
    /// A server's calls, at most.
    pub max_calls: Option<u64>,
    /// A server's tokens, prompts and replies together, at most.
    pub max_tokens: Option<u64>,
    /// What it costs, for the estimate.
    pub price: Option<Price>,
}

/// The price of a million tokens, in whatever money.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of prompts.
    pub prompt: f64,
    /// Of replies.
    pub reply: f64,
}

/// A model that is there, or what it once said.
pub struct Asked {
    model: Box<dyn ChatModel>,
    settings: TrialSettings,
    /// Whether it can hold its reply to a JSON schema. Others are asked for JSON in words alone. A call's key has the schema in it or not,
    /// so that a replay must know what was sent.
    schema: bool,
    /// What the calls took.
    pub meter: Meter,
}

impl Asked {
    /// Opens what the configuration names; with `replay` nothing but the calls that are kept.
    pub fn open(settings: &ModelSettings, trial: &TrialSettings, machine: &MachineArgs, out: &Path, replay: bool) -> Result<Self> {
        let (calls, meter) = (out.join(CALLS), Meter::default());
        let mut schema = settings.name.starts_with("openai:");
        let model: Box<dyn ChatModel> = if replay {
            let path = calls.join(ABOUT);
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}: no call is kept there", path.display()))?;
            let about: Value = serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
            let name = about["name"].as_str().with_context(|| format!("{} has no name", path.display()))?.to_string();
            let window = about["window"].as_u64().with_context(|| format!("{} has no window", path.display()))? as usize;
            // Calls kept before this was written down were sent with a schema to servers alone.
            schema = about["schema"].as_bool().unwrap_or(schema);
            Box::new(Cached::new(Absent { name, window }, Cache::open(&calls)?))
        } else if settings.name.starts_with("openai:") {
            ensure!(machine.is_default(), "--device, --adapter, --threads, --exact and --kv are for models on this machine");
            let mut client = ClientSettings::parse(&settings.name)?;
            client.window = settings.window;
            client.budget = Budget { tokens: settings.max_tokens, calls: settings.max_calls };
            // Kept here and not by the client, which shortens requests first: so a call has one key, whether it is made or replayed.
            Box::new(Cached::new(meter.made(Client::connect(client, None)?), Cache::open(&calls)?))
        } else {
            let bound = settings.max_calls.is_some() || settings.max_tokens.is_some();
            ensure!(!bound, "max_calls and max_tokens bound what a server may cost; {} runs here", settings.name);
            let engine = load::chat(&settings.name, machine, settings.window, trial.tries.max(trial.closed_book))?;
            schema = engine.holds_schemas();
            Box::new(Cached::new(meter.made(engine), Cache::open(&calls)?))
        };
        if !replay {
            fs::create_dir_all(&calls)?;
            let about = json!({"name": model.name(), "window": model.window(), "schema": schema});
            fs::write(calls.join(ABOUT), format!("{about:#}\n"))?;
        }
        Ok(Self { model, settings: trial.clone(), schema, meter })
    }

    /// The model, behind its cache.
    pub fn model(&self) -> &dyn ChatModel {
        &*self.model
    }

    /// Whether it can hold its reply to a JSON schema.
    pub fn schema(&self) -> bool {
        self.schema
    }

    /// The key of a call in the cache.
    pub fn key(&self) -> impl Fn(&ChatRequest) -> String + Sync + use<> {
        let name = self.model.name();
        move |request| Key::new(&name, request).to_string()
    }

    /// Makes calls in a role, all at once.
    pub fn call(&self, role: &'static str, requests: &[ChatRequest]) -> Vec<Result<Said, ChatError>> {
        let name = self.model.name();
        let schema = |request: &ChatRequest| if self.schema { request.schema.clone() } else { None };
        let requests: Vec<ChatRequest> =
            requests.iter().map(|request| ChatRequest { schema: schema(request), ..request.clone() }).collect();
        let mut sinks: Vec<_> = requests.iter().map(|_| |_: &str| {}).collect();
        let calls = requests.iter().zip(&mut sinks).map(|(request, sink)| self.model.chat(request, sink)).collect();
        let said = |request: &ChatRequest, reply: ChatReply| {
            self.meter.reply(role, request, &reply);
            Said { call: Key::new(&name, request).to_string(), reply: reply.text }
        };
        let replies = self.meter.timed(role, || pollster::block_on(together(calls)));
        requests.iter().zip(replies).map(|(request, reply)| reply.map(|reply| said(request, reply))).collect()
    }

    /// Tries a candidate.
    pub fn ask(&self, tried: Tried) -> Result<(), TrialError> {
        let name = self.model.name();
        let key = move |request: &ChatRequest| Key::new(&name, request).to_string();
        let on = |role, request: &ChatRequest, reply: &ChatReply| self.meter.reply(role, request, reply);
        let trial = Trial { model: &*self.model, settings: &self.settings, key: &key, on: &on };
        self.meter.timed("trial", || pollster::block_on(trial.run(tried.candidate, tried.evidence, tried.contexts)))
    }
}

/// A model that is not there: what is not kept cannot be had.
pub struct Absent {
    pub name: String,
    pub window: usize,
}

impl ChatModel for Absent {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn window(&self) -> usize {
        self.window
    }

    fn count_prompt(&self, messages: &[Message]) -> Result<usize, ChatError> {
        let count = |message: &Message| tokenizer::Tokenizer::approximate().count(&message.content);
        messages.iter().map(count).sum::<Result<usize, _>>().map_err(|error| ChatError::Invalid(error.to_string()))
    }

    fn chat<'a>(&'a self, _: &'a ChatRequest, _: OnToken<'a>) -> BoxFuture<'a, Result<ChatReply, ChatError>> {
        Box::pin(async { Err(ChatError::Failed("a call that is not kept: with --replay no model is asked".into())) })
    }
}
