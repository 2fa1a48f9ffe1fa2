//! A tokenizer of one token per byte, and a model that follows a script.

use std::sync::Mutex;

use data::{BoxFuture, ChatError, ChatModel, ChatReply, ChatRequest, Document, Message, OnToken, StopReason, Usage};
use tokenizer::Tokenizer;

/// Every byte is a token: sizes in the tests are bytes.
pub fn tokenizer() -> Tokenizer {
    let mut vocab = serde_json::Map::new();
    let mut next = 256;
    for byte in 0..256u32 {
        // GPT-2's alphabet: printable bytes stand for themselves, the rest from U+0100 on.
        let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let code = if printable { byte } else { next };
        next += u32::from(!printable);
        vocab.insert(char::from_u32(code).unwrap().to_string(), byte.into());
    }
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "post_processor": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
                  "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": []},
    });
    Tokenizer::from_json(json.to_string().as_bytes()).unwrap()
}

type Script = Box<dyn Fn(usize, &ChatRequest) -> Result<(String, StopReason), ChatError> + Send + Sync>;

/// Answers by a function of the turn's number and the request; keeps every request.
pub struct Scripted {
    pub name: String,
    pub window: usize,
    pub seen: Mutex<Vec<ChatRequest>>,
    /// Whether it continues a turn that was begun for it.
    pub continues: bool,
    script: Script,
}

impl Scripted {
    pub fn new(
        window: usize,
        script: impl Fn(usize, &ChatRequest) -> Result<(String, StopReason), ChatError> + Send + Sync + 'static,
    ) -> Self {
        Self { name: "scripted".into(), window, seen: Mutex::default(), continues: false, script: Box::new(script) }
    }

    /// A reader whose memory is a digest of everything it was given, so that any difference shows in the answer.
    pub fn digesting(window: usize) -> Self {
        Self::new(window, |_, request| {
            let digest = digest(&request.messages[0].content, request.sampling.seed);
            Ok((
                if is_update(request) { reply(&format!("m{digest:016x}"), &format!("p{digest:016x}")) } else { format!("a{digest:016x}") },
                StopReason::Eos,
            ))
        })
    }

    /// A reader that always says the same.
    pub fn saying(window: usize, update: impl Into<String>, stop: StopReason) -> Self {
        let update = update.into();
        Self::new(window, move |_, request| Ok(if is_update(request) { (update.clone(), stop) } else { ("done".into(), StopReason::Eos) }))
    }

    pub fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub fn prompt(&self, turn: usize) -> String {
        self.seen.lock().unwrap()[turn].messages[0].content.clone()
    }

    /// The sections of all turns so far.
    pub fn sections(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|request| is_update(request)).map(|request| part(&request.messages[0].content, "section").to_string()).collect()
    }
}

impl ChatModel for Scripted {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn window(&self) -> usize {
        self.window
    }

    fn continues(&self) -> bool {
        self.continues
    }

    fn count_prompt(&self, messages: &[Message]) -> Result<usize, ChatError> {
        Ok(messages.iter().map(|message| message.content.len() + 8).sum())
    }

    fn chat<'a>(&'a self, request: &'a ChatRequest, on_text: OnToken<'a>) -> BoxFuture<'a, Result<ChatReply, ChatError>> {
        Box::pin(async move {
            let prompt = self.count_prompt(&request.messages)?;
            if prompt + request.max_tokens > self.window {
                return Err(ChatError::TooLong { prompt: prompt + request.max_tokens, window: self.window });
            }
            let turn = self.calls();
            self.seen.lock().unwrap().push(request.clone());
            let (text, stop) = (self.script)(turn, request)?;
            on_text(&text);
            let usage = Usage { prompt_tokens: prompt, completion_tokens: text.len() };
            Ok(ChatReply { text, token_ids: vec![], logprobs: vec![], stop, usage })
        })
    }
}

pub fn is_update(request: &ChatRequest) -> bool {
    request.messages[0].content.contains("<section>\n")
}

pub fn reply(memory: &str, plan: &str) -> String {
    format!("Updated memory:\n<memory>\n{memory}\n</memory>\n<plan>\n{plan}\n</plan>")
}

/// What stands in a prompt between `<tag>` and `</tag>`, first to last.
pub fn part<'a>(prompt: &'a str, tag: &str) -> &'a str {
    let start = prompt.find(&format!("<{tag}>\n")).unwrap() + tag.len() + 3;
    &prompt[start..prompt.rfind(&format!("\n</{tag}>")).unwrap()]
}

pub fn document(id: &str, text: impl Into<data::Text>) -> Document {
    Document::plain(id, format!("{id}.txt"), text)
}

/// Numbered sentences of about `bytes` bytes.
pub fn prose(bytes: usize) -> String {
    let mut text = String::new();
    for number in 0.. {
        text += &format!(
            "In the year {} the river Ouse carried {} boats.{}",
            1800 + number,
            number * 37 % 101,
            if number % 5 == 4 { "\n\n" } else { " " }
        );
        if text.len() >= bytes {
            break;
        }
    }
    text
}

fn digest(text: &str, seed: u64) -> u64 {
    text.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
