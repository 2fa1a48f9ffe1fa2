//! Continuous batching: sequences join and leave a running batch; each step decodes every running sequence by one token and
//! fills the rest of the step with prompt pieces of those still being read.

mod routes;

use std::collections::{HashMap, VecDeque};

use kernels::attention::{Batch, KvCache, KvDType, KvShape, PAGE_TOKENS, Span};
use kernels::sample::{self, Drawn, SampleOutput, SampleParams};
use kernels::{DType, Tensor, embedding};

use crate::constrain::Constraint;
use crate::error::{ModelError, Result};
use crate::forward::Workspace;
use crate::pages::PagePool;
use crate::weights::Model;
use routes::RouteStore;

/// Sizes of an engine, fixed at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// Tokens of prompt and reply one sequence may have.
    pub window: usize,
    /// Positions the cache holds over all sequences.
    pub cache_positions: usize,
    /// Rows a step computes at most.
    pub step_rows: usize,
    /// Sequences that run at once.
    pub max_sequences: usize,
    /// Storage of keys and values.
    pub kv: KvDType,
    /// Keep the experts that every cached position chose, for training to choose them again ([`Generated::routes`]). Nothing to keep in
    /// a dense model.
    pub record_routes: bool,
}

impl EngineSettings {
    /// One sequence of `window` tokens.
    pub fn single(window: usize, kv: KvDType) -> Self {
        Self { window, cache_positions: window, step_rows: 512, max_sequences: 1, kv, record_routes: false }
    }
}

/// A prompt to continue.
#[derive(Clone, Debug)]
pub struct Request {
    /// Token ids.
    pub prompt: Vec<u32>,
    /// Upper bound of new tokens.
    pub max_new_tokens: usize,
    /// How tokens are chosen.
    pub sampling: data::Sampling,
    /// Tokens that end the reply (they are not part of it).
    pub stop_ids: Vec<u32>,
}

/// One generated token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Token {
    /// Which sequence.
    pub sequence: u64,
    /// Its id.
    pub id: u32,
    /// Log-probability at the sampling temperature over the full vocabulary, whatever a constraint allowed.
    pub logprob: f32,
    /// Entropy of that distribution, nats.
    pub entropy: f32,
    /// What sampling kept: the tokens whose logit is not below it, of those a constraint allows ([`kernels::sample`]).
    pub cut: f32,
    /// Their share of the full distribution.
    pub mass: f32,
    /// Log-probability among them.
    pub nucleus_logprob: f32,
    /// Set on the sequence's last event. With `Eos` the id is the stop token.
    pub stop: Option<data::StopReason>,
}

/// A finished reply.
#[derive(Clone, Debug, Default)]
pub struct Generated {
    /// New token ids, the stop token not included.
    pub ids: Vec<u32>,
    /// Their log-probabilities.
    pub logprobs: Vec<f32>,
    /// Entropies where they were drawn, nats.
    pub entropies: Vec<f32>,
    /// What sampling kept of each distribution, and log-probabilities among that: see [`Token`].
    pub cuts: Vec<f32>,
    /// The kept tokens' share of each full distribution.
    pub masses: Vec<f32>,
    /// Log-probabilities among the kept tokens.
    pub nucleus_logprobs: Vec<f32>,
    /// Why it ended.
    pub stop: Option<data::StopReason>,
    /// The stop token that ended it, if one did.
    pub stop_token: Option<Token>,
    /// With [`EngineSettings::record_routes`] and a mixture of experts: by layer (empty for a dense one), [R, k] expert numbers, best
    /// first, of every position a forward ran on: prompt and reply but for the token drawn last (a stop token, or the reply's last).
    /// That one predicts nothing, so a training pass leaves it out: [`LossRows::without_last`](crate::train::LossRows::without_last),
    /// [`Model::pack_routes`].
    pub routes: Vec<Vec<u16>>,
}

struct Sequence {
    id: u64,
    tokens: Vec<u32>,
    prompt: usize,
    /// Positions whose keys and values are in the cache.
    cached: usize,
    pages: Vec<u32>,
    request: Request,
    /// The form the reply is held to, as far as it has come.
    constraint: Option<Constraint>,
}

/// The rows of one step.
struct Plan {
    ids: Vec<u32>,
    spans: Vec<Span>,
    /// Running index of each span's sequence.
    owners: Vec<usize>,
    /// (running index, row) of the rows whose next token is to be drawn.
    finishing: Vec<(usize, usize)>,
}

/// A model with its cache and the sequences it is working on.
pub struct Engine {
    /// The model.
    pub model: std::sync::Arc<Model>,
    settings: EngineSettings,
    cache: KvCache,
    pool: PagePool,
    space: Workspace,
    picked: Tensor,
    logits: Tensor,
    output: SampleOutput,
    routes: Option<RouteStore>,
    /// Routes of sequences that ended, until they are taken.
    ended: HashMap<u64, Vec<Vec<u16>>>,
    running: Vec<Sequence>,
    waiting: VecDeque<Sequence>,
    next_id: u64,
}

impl Engine {
    /// Allocates the cache and activations. Errors when `window` is past the model's positions or memory runs out.
    pub fn new(model: std::sync::Arc<Model>, settings: EngineSettings) -> Result<Self> {
        if settings.window > model.max_positions || settings.window == 0 || settings.step_rows == 0 || settings.max_sequences == 0 {
            return Err(ModelError::Request(format!("a window of {} does not fit {} positions", settings.window, model.max_positions)));
        }
        let config = &model.config;
        let pages = settings.cache_positions.div_ceil(PAGE_TOKENS);
        let shape = KvShape { layers: config.layers, kv_heads: config.kv_heads, head_dim: config.head_dim, pages, dtype: settings.kv };
        let rows = settings.step_rows.max(settings.max_sequences);
        let device = &model.device;
        let mut space = Workspace::of(&model, rows)?;
        let routes = if settings.record_routes { RouteStore::new(config, pages)? } else { None };
        if routes.is_some() {
            space.record_routes(&model)?;
        }
        Ok(Self {
            cache: KvCache::new(device, shape)?,
            pool: PagePool::new(pages),
            space,
            routes,
            ended: HashMap::new(),
            picked: device.zeros(&[settings.max_sequences, config.hidden], DType::F32)?,
            logits: device.zeros(&[settings.max_sequences, config.vocab], DType::F32)?,
            output: SampleOutput::new(device, settings.max_sequences)?,
            running: Vec::new(),
            waiting: VecDeque::new(),
            next_id: 0,
            settings,
            model,
        })
    }

    /// Its sizes.
    pub fn settings(&self) -> &EngineSettings {
        &self.settings
    }

    /// Queues a prompt; its tokens come out of [`Engine::step`] under the returned number.
    pub fn submit(&mut self, request: Request) -> Result<u64> {
        self.submit_constrained(request, None)
    }

    /// As [`Engine::submit`], for a reply that is held to a form. It ends with one of the request's stop tokens where the form is complete,
    /// and nowhere else. Requests themselves have no constraint, so that what training draws never has one.
    pub fn submit_constrained(&mut self, request: Request, constraint: Option<Constraint>) -> Result<u64> {
        let vocab = self.model.config.vocab;
        if let Some((index, id)) = request.prompt.iter().enumerate().find(|&(_, &id)| id as usize >= vocab) {
            return Err(ModelError::Request(format!("token {id} at position {index} is out of range: the vocabulary has {vocab}")));
        }
        if request.prompt.is_empty() {
            return Err(ModelError::Request("an empty prompt has nothing to continue".into()));
        }
        let total = request.prompt.len() + request.max_new_tokens;
        if request.prompt.len() >= self.settings.window
            || total.div_ceil(PAGE_TOKENS) > self.pool.capacity()
            || total > self.settings.window
        {
            return Err(ModelError::TooLong { prompt: request.prompt.len(), new: request.max_new_tokens, window: self.settings.window });
        }
        if let Some(constraint) = &constraint {
            let width = constraint.vocabulary().width();
            if width != vocab {
                return Err(ModelError::Request(format!("a constraint over {width} tokens, the model has {vocab}")));
            }
            constraint.check_stops(&request.stop_ids)?;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.waiting.push_back(Sequence {
            id,
            tokens: request.prompt.clone(),
            prompt: request.prompt.len(),
            cached: 0,
            pages: Vec::new(),
            request,
            constraint,
        });
        Ok(id)
    }

    /// Whether nothing is queued or running.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Tokens of `sequence` whose keys and values are cached, and its prompt length; `None` once it has ended.
    pub fn progress(&self, sequence: u64) -> Option<(usize, usize)> {
        self.running.iter().chain(&self.waiting).find(|s| s.id == sequence).map(|s| (s.cached, s.prompt))
    }

    /// The routes of a sequence that has ended, as [`Generated::routes`]; `None` if none were recorded. They are kept until taken, or
    /// until [`Engine::cancel`] or [`Engine::clear`].
    pub fn take_routes(&mut self, sequence: u64) -> Option<Vec<Vec<u16>>> {
        self.ended.remove(&sequence)
    }

    /// Drops a sequence.
    pub fn cancel(&mut self, sequence: u64) {
        self.ended.remove(&sequence);
        self.waiting.retain(|s| s.id != sequence);
        if let Some(index) = self.running.iter().position(|s| s.id == sequence) {
            let sequence = self.running.remove(index);
            self.pool.release(&sequence.pages);
        }
    }

    /// Drops every sequence.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.ended.clear();
        for sequence in self.running.drain(..) {
            self.pool.release(&sequence.pages);
        }
    }

    /// One forward pass. Returns the tokens it drew, in order of submission; none while prompts are still being read.
    pub async fn step(&mut self) -> Result<Vec<Token>> {
        self.admit();
        let Plan { ids, spans, owners, finishing } = self.plan();
        if spans.is_empty() {
            return Ok(Vec::new());
        }
        let model = self.model.clone();
        let device = &model.device;
        let batch = Batch::new(device, spans, self.pool.capacity())?;
        model.forward(&mut self.space, &mut self.cache, &ids, &batch)?;
        let mut drawn = Vec::new();
        if !finishing.is_empty() {
            let rows: Vec<u32> = finishing.iter().map(|&(_, row)| row as u32).collect();
            let index = device.u32_tensor(&[rows.len()], &rows)?;
            embedding::gather(device, &self.space.normed, &index, &mut self.picked, rows.len())?;
            model.logits(&self.picked, &mut self.logits, rows.len())?;
            let params: Vec<SampleParams> = finishing.iter().map(|&(number, _)| self.running[number].params()).collect();
            let masks: Vec<Option<Vec<u32>>> = finishing.iter().map(|&(number, _)| self.running[number].mask()).collect();
            let masks: Vec<Option<&[u32]>> = masks.iter().map(Option::as_deref).collect();
            sample::forward_masked(device, &self.logits, &params, &masks, &mut self.output)?;
            drawn = self.output.read(device, rows.len()).await?;
        } else {
            device.submit()?;
        }
        if let Some(routes) = &mut self.routes {
            let (words, stride) = self.space.read_routes(device, batch.rows).await?;
            routes.keep(&words, stride, &batch.spans);
        }
        self.advance(&owners, &batch);
        let accepted = finishing.iter().zip(drawn).map(|(&(number, _), drawn)| self.running[number].accept(drawn));
        let tokens = accepted.collect::<Result<Vec<_>>>()?;
        self.retire(&tokens);
        Ok(tokens)
    }

    /// Moves waiting sequences into the batch while there is room for all the tokens they may need.
    fn admit(&mut self) {
        while self.running.len() < self.settings.max_sequences {
            let Some(sequence) = self.waiting.front() else { break };
            if self.running.iter().any(|other| other.is_reading_the_same(sequence)) {
                break; // its first pages can be shared once they are computed
            }
            let needed = (sequence.prompt + sequence.request.max_new_tokens).div_ceil(PAGE_TOKENS);
            // The last prompt token is always computed: its logits are wanted.
            let shared = self.pool.share_prefix(&sequence.tokens, (sequence.prompt - 1) / PAGE_TOKENS);
            if self.pool.available() < needed - shared.len() {
                self.pool.release(&shared);
                break;
            }
            let mut pages = shared;
            let cached = pages.len() * PAGE_TOKENS;
            while pages.len() < needed {
                pages.extend(self.pool.take());
            }
            let Some(mut sequence) = self.waiting.pop_front() else { break };
            sequence.pages = pages;
            sequence.cached = cached;
            self.running.push(sequence);
        }
    }

    /// This step's rows: a row for each decoding sequence, then prompt pieces while there is room.
    fn plan(&self) -> Plan {
        let (mut ids, mut spans, mut owners, mut finishing) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let decoding = self.running.iter().filter(|s| s.tokens.len() - s.cached == 1).count();
        let mut prompt_room = self.space.rows - decoding.min(self.space.rows);
        for (number, sequence) in self.running.iter().enumerate() {
            let left = sequence.tokens.len() - sequence.cached;
            let rows = if left == 1 { 1 } else { left.min(prompt_room) };
            if rows == 0 {
                continue;
            }
            if left > 1 {
                prompt_room -= rows;
            }
            let end = sequence.cached + rows;
            spans.push(Span { row: ids.len(), rows, past: sequence.cached, pages: sequence.pages[..end.div_ceil(PAGE_TOKENS)].to_vec() });
            owners.push(number);
            ids.extend_from_slice(&sequence.tokens[sequence.cached..end]);
            if end == sequence.tokens.len() {
                finishing.push((number, ids.len() - 1));
            }
        }
        Plan { ids, spans, owners, finishing }
    }

    /// Notes what the cache now holds and publishes pages that became full.
    fn advance(&mut self, owners: &[usize], batch: &Batch) {
        for (&owner, span) in owners.iter().zip(&batch.spans) {
            let sequence = &mut self.running[owner];
            let before = sequence.cached / PAGE_TOKENS;
            sequence.cached += span.rows;
            for page in before..sequence.cached / PAGE_TOKENS {
                let tokens = &sequence.tokens[page * PAGE_TOKENS..(page + 1) * PAGE_TOKENS];
                self.pool.publish(sequence.pages[page], page.checked_sub(1).map(|p| sequence.pages[p]), tokens);
            }
        }
    }

    fn retire(&mut self, tokens: &[Token]) {
        for token in tokens.iter().filter(|token| token.stop.is_some()) {
            let sequence = self.running.iter().find(|sequence| sequence.id == token.sequence);
            let routes = self.routes.as_ref().zip(sequence).map(|(routes, sequence)| routes.of(&sequence.pages, sequence.cached));
            self.cancel(token.sequence);
            self.ended.extend(routes.map(|routes| (token.sequence, routes)));
        }
    }

    /// Runs one prompt to its end; `on_token` sees each token. Other queued sequences advance alongside, their tokens are lost:
    /// use [`Engine::step`] for batches.
    pub async fn generate(&mut self, request: Request, mut on_token: impl FnMut(&Token)) -> Result<Generated> {
        let mut all = self.generate_all(vec![request], |_, token| on_token(token)).await?;
        Ok(all.pop().unwrap_or_default())
    }

    /// Runs prompts to their ends in one continuous batch. Results in the order of `requests`.
    pub async fn generate_all(&mut self, requests: Vec<Request>, on_token: impl FnMut(usize, &Token)) -> Result<Vec<Generated>> {
        self.generate_constrained(requests.into_iter().map(|request| (request, None)).collect(), on_token).await
    }

    /// As [`Engine::generate_all`], for replies of which some are held to a form ([`Engine::submit_constrained`]).
    pub async fn generate_constrained(
        &mut self,
        requests: Vec<(Request, Option<Constraint>)>,
        mut on_token: impl FnMut(usize, &Token),
    ) -> Result<Vec<Generated>> {
        let mut results: Vec<Generated> = vec![Generated::default(); requests.len()];
        let mut numbers = Vec::new();
        for (index, (request, constraint)) in requests.into_iter().enumerate() {
            if request.max_new_tokens == 0 {
                results[index].stop = Some(data::StopReason::Length);
                continue;
            }
            match self.submit_constrained(request, constraint) {
                Ok(number) => numbers.push((number, index)),
                Err(error) => {
                    numbers.iter().for_each(|&(number, _)| self.cancel(number));
                    return Err(error);
                }
            }
        }
        let mut open = numbers.len();
        while open > 0 {
            let tokens = match self.step().await {
                Ok(tokens) => tokens,
                Err(error) => {
                    numbers.iter().for_each(|&(number, _)| self.cancel(number));
                    return Err(error);
                }
            };
            for token in &tokens {
                let routes = token.stop.and_then(|_| self.take_routes(token.sequence));
                let Some(&(_, index)) = numbers.iter().find(|(number, _)| *number == token.sequence) else { continue };
                let result = &mut results[index];
                if token.stop == Some(data::StopReason::Eos) {
                    result.stop_token = Some(*token);
                } else {
                    result.ids.push(token.id);
                    result.logprobs.push(token.logprob);
                    result.entropies.push(token.entropy);
                    result.cuts.push(token.cut);
                    result.masses.push(token.mass);
                    result.nucleus_logprobs.push(token.nucleus_logprob);
                }
                if token.stop.is_some() {
                    result.stop = token.stop;
                    result.routes = routes.unwrap_or_default();
                    open -= 1;
                }
                on_token(index, token);
            }
        }
        Ok(results)
    }
}

impl Sequence {
    /// Whether `other` would share pages that this one has yet to compute.
    fn is_reading_the_same(&self, other: &Sequence) -> bool {
        let shareable = other.prompt > PAGE_TOKENS && self.prompt > PAGE_TOKENS;
        shareable && self.cached < self.prompt - 1 && self.tokens[..PAGE_TOKENS] == other.tokens[..PAGE_TOKENS]
    }

    fn params(&self) -> SampleParams {
        let s = self.request.sampling;
        SampleParams {
            temperature: s.temperature,
            top_k: s.top_k,
            top_p: s.top_p,
            min_p: s.min_p,
            seed: s.seed,
            counter: (self.tokens.len() - self.prompt) as u64,
        }
    }

    /// The tokens its reply may go on with.
    fn mask(&self) -> Option<Vec<u32>> {
        Some(self.constraint.as_ref()?.mask(&self.request.stop_ids))
    }

    fn accept(&mut self, drawn: Drawn) -> Result<Token> {
        let Drawn { id, logprob, entropy, cut, mass, nucleus_logprob } = drawn;
        let stop = if self.request.stop_ids.contains(&id) {
            Some(data::StopReason::Eos)
        } else {
            if let Some(constraint) = &mut self.constraint {
                constraint.accept(id)?;
            }
            self.tokens.push(id);
            (self.tokens.len() - self.prompt >= self.request.max_new_tokens).then_some(data::StopReason::Length)
        };
        Ok(Token { sequence: self.id, id, logprob, entropy, cut, mass, nucleus_logprob, stop })
    }
}
