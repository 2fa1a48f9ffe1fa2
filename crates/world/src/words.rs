//! Words, and the vocabulary of a word-level tokenizer that knows every text of the world.
//!
//! A word is a run of letters, one digit, `<text>` or `</text>`, a line break or one other character. Spaces are not words: where one
//! stands follows from its neighbours, so that a name is one token wherever it is. Numbers are digits because sums must be spelled that
//! no document has, and because the years of the held-out split are then made of known tokens.

use std::collections::HashSet;
use std::sync::LazyLock;

use serde_json::json;

use crate::fact::Relation;
use crate::language;
use crate::names;
use crate::template::{Piece, pieces};

/// Padding; also ends nothing.
pub const PAD: &str = "<|pad|>";
/// Opens a message of ChatML.
pub const IM_START: &str = "<|im_start|>";
/// Ends a message of ChatML.
pub const IM_END: &str = "<|im_end|>";

/// ChatML, as the template of a model folder.
pub const CHAT_TEMPLATE: &str = "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

/// No space stands before these …
const CLOSING: &str = ".,?!:;)”\n}";
/// … nor after these.
const OPENING: &str = "(“\n{";

/// The words of a text. [`join`] puts the spaces back, exactly in every text of the world.
pub fn words(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            ' ' => {
                rest = &rest[1..];
                continue;
            }
            'a'..='z' | 'A'..='Z' => rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len()),
            _ => ["<text>", "</text>"].iter().find(|tag| rest.starts_with(**tag)).map_or(first.len_utf8(), |tag| tag.len()),
        };
        out.push(&rest[..end]);
        rest = &rest[end..];
    }
    out
}

/// The text of these words.
pub fn join(words: &[&str]) -> String {
    let mut out = String::new();
    words.iter().for_each(|word| push_word(&mut out, word));
    out
}

/// Appends a word, after a space where one belongs.
pub(crate) fn push_word(out: &mut String, word: &str) {
    if let (Some(last), Some(first)) = (out.chars().next_back(), word.chars().next()) {
        let joined = OPENING.contains(last) || CLOSING.contains(first) || (last.is_ascii_digit() && first.is_ascii_digit());
        if !joined {
            out.push(' ');
        }
    }
    out.push_str(word);
}

static VOCABULARY: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    use names::{FAMILY, FIRST, LANDMARK, ROOT, Split, TRADE};
    let mut seen = HashSet::new();
    let mut all: Vec<&'static str> = vec![PAD, IM_START, IM_END];
    let mut add = |word: &'static str| {
        if seen.insert(word) {
            all.push(word);
        }
    };
    ["\n", "system", "user", "assistant", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"].into_iter().for_each(&mut add);
    let prompts = [language::PROMPT, language::PROMPT_CHOICE, language::PROMPT_REPEAT, language::PROMPT_SHORT];
    let mut templates: Vec<&'static str> =
        [&prompts[..], &[language::REPLY, language::REPLY_CHOICE, language::SECTION], &language::ASKS].concat();
    for relation in Relation::ALL {
        // What somebody said is asked for in other words.
        if relation != Relation::Said {
            templates.extend([language::described(relation, false), language::described(relation, true)]);
        }
        [Split::Train, Split::Held].into_iter().for_each(|split| templates.extend(language::facts(relation, split)));
    }
    [Split::Train, Split::Held].into_iter().for_each(|split| templates.extend(language::filler(split)));
    for piece in templates.into_iter().flat_map(pieces) {
        if let Piece::Word(word) = piece {
            add(word);
        }
    }
    let lists: [&[&'static str]; 13] = [
        &language::ORDINALS,
        &language::LETTERS,
        &language::BUILDINGS,
        &language::THINGS,
        &language::TOPICS,
        &language::WHO,
        &language::DOES,
        &language::JOINS,
        &language::TIMES,
        &language::ADJECTIVES,
        &language::OBJECTS,
        &language::SPOTS,
        &language::FOODS,
    ];
    let names: [&[&'static str]; 7] = [&language::WHEN, &language::WHEN_FIRST, &FIRST, &FAMILY, &ROOT, &LANDMARK, &TRADE];
    lists.into_iter().chain(names).flatten().flat_map(|phrase| words(phrase)).for_each(add);
    all
});

/// Every token that documents, questions, options, answers and prompts of both splits need, special tokens first. A token's place is
/// its id.
pub fn vocabulary() -> &'static [&'static str] {
    &VOCABULARY
}

/// A `tokenizer.json` of that vocabulary, for the `tokenizers` library and ours. A text with a word the world does not have is refused.
pub fn tokenizer_json() -> String {
    let vocabulary: serde_json::Map<_, _> = VOCABULARY.iter().enumerate().map(|(id, word)| (word.to_string(), id.into())).collect();
    let special = |id: usize| json!({"id": id, "content": VOCABULARY[id], "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let class = |characters: &str| characters.replace('\n', "\\n");
    let no_space = format!(
        "(?<=[{}]) | (?=[{}])|(?<=[0-9]) (?=[0-9])|(?<=\\|>) | (?=<\\|)",
        class(OPENING.trim_end_matches('{')),
        class(CLOSING.trim_end_matches('}'))
    );
    let tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [special(0), special(1), special(2)],
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": false},
            {"type": "Split", "pattern": {"Regex": "</?text>|[0-9]|[^A-Za-z0-9]"}, "behavior": "Isolated", "invert": false},
        ]},
        "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [
            // A space before every token but the first …
            {"type": "WordPiece", "prefix": "##", "cleanup": false},
            {"type": "Fuse"},
            // … except where none belongs.
            {"type": "Replace", "pattern": {"Regex": no_space}, "content": ""},
        ]},
        // The unknown token is not in the vocabulary: the library then reports a word it does not know.
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<|unknown|>"},
    });
    tokenizer.to_string()
}
