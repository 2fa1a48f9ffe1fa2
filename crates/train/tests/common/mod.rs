//! A small vocabulary, templates, and conversations.
#![allow(dead_code)]

use std::path::PathBuf;
use std::sync::LazyLock;

use data::{Message, Role};
use serde_json::{Value, json};
use tokenizer::{ChatTemplate, Tokenizer};
use train::sft::{ChatFormat, Example};

pub const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}\
                          {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
/// As Qwen3's: the last reply keeps its thinking, or gets an empty one; earlier replies lose theirs.
pub const STRIPS: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% set text = m.content %}{% if m.role == 'assistant' %}\
                          {% set text = m.content.split('</think>')[-1].lstrip('\\n') %}{% set thought = '' %}{% if '</think>' in m.content %}\
                          {% set thought = m.content.split('</think>')[0].split('<think>')[-1].strip('\\n') %}{% endif %}\
                          {% if loop.last %}{{ '<think>\\n' + thought + '\\n</think>\\n\\n' }}{% endif %}{% endif %}{{ text + '<|im_end|>\\n' }}\
                          {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
/// As Qwen3's thinking models': the prompt opens the thinking.
pub const OPENS: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.role == 'assistant' and '</think>' not in m.content %}\
                         {{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{{ m.content + '<|im_end|>\\n' }}{% endfor %}\
                         {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}";

pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/masks").join(name)
}

pub fn truth(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

pub fn tokenizer() -> Tokenizer {
    static ONCE: LazyLock<Tokenizer> = LazyLock::new(|| Tokenizer::from_json(&std::fs::read(fixture("tokenizer.json")).unwrap()).unwrap());
    ONCE.clone()
}

pub fn chat(template: &str) -> ChatFormat {
    let tokenizer = tokenizer();
    let stop = tokenizer.id("<|im_end|>").unwrap();
    ChatFormat::from_parts(tokenizer, ChatTemplate::new(template, None, None).unwrap(), vec![stop], 420)
}

/// Turns of user and assistant in turn.
pub fn turns(texts: &[&str]) -> Vec<Message> {
    let roles = [Role::User, Role::Assistant].into_iter().cycle();
    roles.zip(texts).map(|(role, text)| Message { role, content: text.to_string() }).collect()
}

/// The text of each run of tokens that count.
pub fn counted(tokenizer: &Tokenizer, example: &Example) -> Vec<String> {
    let (mut runs, mut run) = (Vec::new(), Vec::new());
    for (at, &id) in example.ids.iter().enumerate() {
        if example.loss_mask[at] {
            run.push(id);
        }
        if !run.is_empty() && (!example.loss_mask[at] || at + 1 == example.ids.len()) {
            runs.push(tokenizer.decode(&run, false).unwrap());
            run.clear();
        }
    }
    runs
}

pub fn row(turns: &[Message]) -> String {
    json!({"messages": turns}).to_string()
}
