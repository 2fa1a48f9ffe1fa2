use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use data::{BoxFuture, ChatError, ChatModel, ChatReply, ChatRequest, Message, OnToken, StopReason, Usage};
use serde_json::Value;
use tokenizer::Tokenizer;

use crate::cache::{Cache, Key};
use crate::clock::{Clock, Deadline, SystemClock};
use crate::discover;
use crate::failure::{Adapt, Asked, Failure};
use crate::gate::Gate;
use crate::http::{Head, Http, Part};
use crate::settings::is_local;
use crate::sse::{self, Event};
use crate::totals::{Account, Ledger, Totals};
use crate::wire::{self, Dialect, Refusal, Reply};
use crate::{ClientSettings, ServerError};

/// The largest body that is read whole.
const LARGEST: usize = 64 << 20;
/// What a chat template adds per message and around them; more than those we know do.
const PER_MESSAGE: usize = 8;
const AROUND: usize = 32;

/// A model behind an OpenAI-compatible server. Cheap to clone; clones share limits, budget, totals and cache.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    settings: ClientSettings,
    model: String,
    window: usize,
    tokenizer: Tokenizer,
    http: Http,
    url: String,
    gate: Arc<Gate>,
    ledger: Arc<Ledger>,
    cache: Option<Cache>,
    dialect: Mutex<Dialect>,
    clock: Arc<dyn Clock>,
}

impl Client {
    /// Asks the server what `settings` leave open (the model's name, the window) and opens the cache. Blocks for as long as that
    /// takes. `tokenizer` counts prompts before they are sent; without one, [`Tokenizer::approximate`] does.
    pub fn connect(settings: ClientSettings, tokenizer: Option<Tokenizer>) -> Result<Self, ServerError> {
        Self::connect_with(settings, tokenizer, Arc::new(SystemClock))
    }

    /// [`connect`](Self::connect) with a clock of the caller's for the waits between attempts.
    pub fn connect_with(settings: ClientSettings, tokenizer: Option<Tokenizer>, clock: Arc<dyn Clock>) -> Result<Self, ServerError> {
        let (model, window) = discover::find(&settings)?;
        let cache = settings.cache.as_deref().map(Cache::open).transpose()?;
        Ok(Self(Arc::new(Inner {
            model,
            window,
            tokenizer: tokenizer.unwrap_or_else(Tokenizer::approximate),
            http: Http::new(settings.timeouts.connect, is_local(&settings.base_url), settings.api_key.clone()),
            url: format!("{}/chat/completions", settings.base_url),
            gate: Gate::new(settings.concurrency),
            ledger: Ledger::new(settings.budget),
            cache,
            dialect: Mutex::default(),
            clock,
            settings,
        })))
    }

    /// What was spent so far.
    pub fn totals(&self) -> Totals {
        self.0.ledger.totals()
    }

    /// The model's name at the server.
    pub fn model(&self) -> &str {
        &self.0.model
    }

    /// The server's address.
    pub fn base_url(&self) -> &str {
        &self.0.settings.base_url
    }

    /// Calls that may run at a time, now.
    pub fn concurrency(&self) -> usize {
        self.0.gate.limit()
    }

    /// What counts prompts.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.0.tokenizer
    }

    /// Where replies are kept.
    pub fn cache(&self) -> Option<&Cache> {
        self.0.cache.as_ref()
    }
}

impl ChatModel for Client {
    /// The model's name at the server: `qwen3-4b (server)`. The address is not in it, so that a read can go on at another.
    fn name(&self) -> String {
        format!("{} (server)", self.0.model)
    }

    fn window(&self) -> usize {
        self.0.window
    }

    /// An upper bound rather than a count: the server's template is not known here, and its tokenizer only if it was given.
    fn count_prompt(&self, messages: &[Message]) -> Result<usize, ChatError> {
        self.0.count(messages)
    }

    /// Continues the conversation. A reply from the cache comes as one text. Dropped, the future closes the connection.
    fn chat<'a>(&'a self, request: &'a ChatRequest, on_text: OnToken<'a>) -> BoxFuture<'a, Result<ChatReply, ChatError>> {
        Box::pin(self.0.chat(request, on_text))
    }
}

impl Inner {
    fn count(&self, messages: &[Message]) -> Result<usize, ChatError> {
        let mut count = AROUND;
        for message in messages {
            let tokens = self.tokenizer.count(&message.content).map_err(|error| ChatError::Invalid(error.to_string()))?;
            count += tokens + PER_MESSAGE;
        }
        Ok(count)
    }

    async fn chat(&self, request: &ChatRequest, on_text: OnToken<'_>) -> Result<ChatReply, ChatError> {
        let prompt = self.count(&request.messages)?;
        let room = self.window.saturating_sub(prompt);
        if room == 0 && !self.tokenizer.is_approximate() {
            return Err(ChatError::TooLong { prompt, window: self.window });
        }
        let mut request = request.clone();
        // Servers refuse a bound that the window cannot hold, where the local engine stops at the window. If only the estimate has no
        // room, the server shall say.
        if room > 0 {
            request.max_tokens = request.max_tokens.min(room);
        }
        let outcome = match &self.cache {
            None => self.call(&request, prompt, on_text).await,
            Some(cache) => {
                let call = self.call(&request, prompt, &mut *on_text);
                let (outcome, shared) = cache.fetch(Key::new(&self.model, &request), &self.model, call).await;
                if shared && let Ok(reply) = &outcome {
                    self.ledger.update(|totals| totals.cached += 1);
                    on_text(&reply.text);
                }
                outcome
            }
        };
        if outcome.is_err() {
            self.ledger.update(|totals| totals.failures += 1);
        }
        outcome
    }

    /// Attempts until one succeeds, one fails for good, or there were enough.
    async fn call(&self, request: &ChatRequest, prompt: usize, on_text: OnToken<'_>) -> Result<ChatReply, ChatError> {
        let mut account = self.ledger.open(prompt)?;
        let (mut tries, mut again, mut stream) = (0, false, true);
        loop {
            let slot = self.gate.enter(again).await;
            again = true;
            while let Some(left) = self.gate.closed_for(self.clock.now()) {
                self.clock.sleep(left).await;
            }
            let failure = match self.attempt(request, prompt, stream, &mut account, &mut *on_text).await {
                Ok((reply, told)) => {
                    slot.succeeded();
                    account.settle(reply.usage, told);
                    return Ok(reply);
                }
                Err(failure) => failure,
            };
            if failure.congested {
                slot.congested(failure.wait.map(|wait| self.clock.now() + wait.min(self.settings.max_wait)));
            } else {
                drop(slot);
            }
            if let Some(adapt) = failure.adapt.filter(|_| account.received == 0) {
                // Each is learnt once, so this comes to an end.
                self.learn(adapt);
                continue;
            }
            if !failure.passing || tries == self.settings.max_retries {
                return Err(after(failure.error, tries));
            }
            let wait = match failure.wait {
                Some(wait) if wait > self.settings.max_wait => {
                    let asks =
                        format!("and asks to wait {} s, more than the {} s allowed", wait.as_secs(), self.settings.max_wait.as_secs());
                    return Err(ChatError::Failed(format!("{} {asks}", failure.error)));
                }
                // At least what was asked for, and not all calls at the same moment.
                Some(wait) => wait + self.backoff(0),
                None => self.backoff(tries).min(self.settings.max_wait),
            };
            tries += 1;
            stream = !failure.empty;
            self.ledger.update(|totals| totals.retries += 1);
            self.clock.sleep(wait).await;
        }
    }

    /// Between half and all of 1, 2, 4 … 64 seconds.
    fn backoff(&self, tries: u32) -> Duration {
        Duration::from_secs(1 << tries.min(6)).mul_f64(0.5 + 0.5 * self.clock.jitter().clamp(0.0, 1.0))
    }

    /// One request. `true` beside the reply: the server counted the tokens.
    async fn attempt(
        &self,
        request: &ChatRequest,
        prompt: usize,
        stream: bool,
        account: &mut Account,
        on_text: OnToken<'_>,
    ) -> Result<(ChatReply, bool), Failure> {
        let dialect = *self.dialect.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = Asked {
            url: &self.settings.base_url,
            model: &self.model,
            has_key: self.settings.api_key.is_some(),
            has_schema: request.schema.is_some(),
            window: self.window,
            dialect,
        };
        let timeouts = self.settings.timeouts;
        let mut exchange = self.http.send(&self.url, Some(wire::body(request, &self.model, dialect, stream)));
        let mut deadline = Deadline::after(timeouts.connect.saturating_add(timeouts.first_byte));
        let mut body = Body::default();
        let mut head: Option<Head> = None;
        loop {
            let waited = if body.events == 0 { timeouts.first_byte } else { timeouts.between_bytes };
            let Some(part) = deadline.before(exchange.next()).await else {
                // It may have read the prompt and be charging for it.
                account.answered = true;
                return Err(Failure::silence(&asked, waited, account.tokens()));
            };
            match part {
                Part::Head(found) => head = Some(found),
                Part::Broken(why) if head.is_none() => return Err(Failure::connection(&asked, &why)),
                // All there is to know has come.
                Part::Broken(_) if body.reply.stop.is_some() && body.reply.usage.is_some() => break,
                Part::Broken(why) => return Err(Failure::broken(&asked, &why, account.tokens())),
                Part::End => break,
                Part::Bytes(bytes) => match &head {
                    Some(head) if !(200..300).contains(&head.status) => {
                        body.raw.extend_from_slice(&bytes);
                        if body.raw.len() > 1 << 20 {
                            break;
                        }
                    }
                    _ => {
                        let events = body.events;
                        let taken = body.take(&bytes);
                        account.received = body.reply.text.len();
                        let new = body.news();
                        if !new.is_empty() {
                            on_text(new);
                        }
                        account.answered |= account.received > 0;
                        taken.map_err(|refusal| Failure::refusal(&asked, &refusal, account.received > 0))?;
                        account.answered |= body.events > 0;
                        if body.events > events {
                            deadline.put_off(timeouts.between_bytes);
                        }
                        if body.reply.done && body.plain != Some(true) {
                            // Some servers keep the connection open after `[DONE]`; its end is worth a moment, for the next call.
                            let mut moment = Deadline::after(Duration::from_millis(50));
                            while let Some(Part::Bytes(_)) = moment.before(exchange.next()).await {}
                            break;
                        }
                    }
                },
            }
        }
        drop(exchange);
        let Some(head) = head else { return Err(Failure::connection(&asked, "it closed the connection without an answer")) };
        if !(200..300).contains(&head.status) {
            let text = String::from_utf8_lossy(&body.raw);
            return Err(Failure::status(&asked, &head, &self.without_key(&text), self.clock.date()));
        }
        let ended = body.end();
        account.received = body.reply.text.len();
        let new = body.news();
        if !new.is_empty() {
            on_text(new);
        }
        ended.map_err(|refusal| Failure::refusal(&asked, &refusal, account.received > 0))?;
        let reply = body.reply;
        let stop = match (reply.stop, reply.done) {
            (Some(stop), _) => stop,
            (None, true) if body.plain == Some(true) => StopReason::Eos,
            (None, true) => return Err(Failure::interrupted(&asked, account.tokens())),
            (None, false) => return Err(Failure::broken(&asked, "it ended without a reason", account.tokens())),
        };
        let told = reply.usage.is_some();
        let usage = match reply.usage {
            Some(usage) => usage,
            None => {
                let completion_tokens = self.tokenizer.count(&reply.text).unwrap_or(account.tokens());
                Usage { prompt_tokens: prompt, completion_tokens }
            }
        };
        Ok((ChatReply { text: reply.text, token_ids: vec![], logprobs: vec![], stop, usage }, told))
    }

    fn learn(&self, adapt: Adapt) {
        let mut dialect = self.dialect.lock().unwrap_or_else(PoisonError::into_inner);
        match adapt {
            Adapt::CompletionBound => dialect.completion_bound = true,
            Adapt::NoOptions => dialect.no_options = true,
            Adapt::ObjectSchema => dialect.object_schema = true,
        }
    }

    /// A server may repeat the key it refuses.
    fn without_key(&self, text: &str) -> String {
        match &self.settings.api_key {
            Some(key) => text.replace(key.secret(), "(the key)"),
            None => text.to_string(),
        }
    }
}

/// An error, with the number of attempts it took.
fn after(error: ChatError, retries: u32) -> ChatError {
    match error {
        ChatError::Failed(message) if retries > 0 => ChatError::Failed(format!("{message} (after {} attempts)", retries + 1)),
        error => error,
    }
}

/// A body as it comes: a stream of events, or JSON from a server that does not stream.
#[derive(Default)]
struct Body {
    /// `true`: JSON or a page, to be read whole. Known from the first byte that is not blank, because content types lie.
    plain: Option<bool>,
    raw: Vec<u8>,
    parser: sse::Parser,
    reply: Reply,
    events: usize,
    /// How much of the reply's text was handed on.
    shown: usize,
}

impl Body {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if self.plain.is_none() {
            self.plain = bytes.iter().find(|byte| !byte.is_ascii_whitespace()).map(|byte| matches!(byte, b'{' | b'[' | b'<'));
        }
        if self.plain == Some(true) {
            self.raw.extend_from_slice(bytes);
            // Bytes are all there is to see of a reply in one piece.
            self.events += 1;
            return if self.raw.len() > LARGEST { Err(Refusal::Garbage("an endless body".into())) } else { Ok(()) };
        }
        let mut events = Vec::new();
        let fits = self.parser.push(bytes, &mut events);
        self.events(&events)?;
        fits.map_err(|_| Refusal::Garbage("an endless line".into()))
    }

    /// Nothing more comes.
    fn end(&mut self) -> Result<(), Refusal> {
        if self.plain == Some(true) {
            let text = String::from_utf8_lossy(&self.raw);
            return match serde_json::from_str::<Value>(&text) {
                Ok(value) => self.reply.take_whole(&value),
                Err(_) => Err(Refusal::Garbage(text.into_owned())),
            };
        }
        let mut events = Vec::new();
        let fits = self.parser.finish(&mut events);
        self.events(&events)?;
        fits.map_err(|_| Refusal::Garbage("an endless line".into()))
    }

    fn events(&mut self, events: &[Event]) -> Result<(), Refusal> {
        for event in events {
            self.events += 1;
            self.reply.take_event(&event.name, &event.data)?;
            if self.reply.done {
                break;
            }
        }
        Ok(())
    }

    /// The text that was not handed on yet.
    fn news(&mut self) -> &str {
        let from = std::mem::replace(&mut self.shown, self.reply.text.len());
        &self.reply.text[from..]
    }
}
