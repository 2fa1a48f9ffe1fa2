//! A vocabulary from texts: byte-level BPE, parted as the Qwen family does, every digit by itself, or as GPT-2 does, numbers like words, or digits
//! in twos.

use serde_json::json;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, SplitDelimiterBehavior, TokenizerBuilder,
};

use crate::error::{Result, TokenizerError};
use crate::split::{GPT2, PAIRS, QWEN2};

/// Where a text is parted before pairs are merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parts {
    /// As Qwen2 and Qwen3 do: words with the space before them, digits one by one, punctuation, white space.
    #[default]
    Digits,
    /// As GPT-2 does: a number with the space before it is a part, as a word is. Who sees it cannot calculate with it, but copies it in one
    /// step, where four digits that occur in other numbers too are four steps to go wrong in.
    Numbers,
    /// As GPT-2 does, but a number's digits in twos: a year is two parts, as a name is, so that one nobody has seen is made of what is known.
    Pairs,
}

/// Bytes, which are always in a vocabulary.
const BYTES: usize = 256;

/// ChatML with a space before each line of a message. Of byte-level BPE a word at the beginning of a line is another token, or several, than
/// the same word after a space: a small model would have to learn for every name how the one is written with the other's letters before
/// it could copy it into a reply. The model writes the space; who scores a reply takes it off.
pub const SPACED_CHATML: &str = "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n ' + message.content | replace('\\n', '\\n ') + '<|im_end|>' + '\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

/// Trains byte-level BPE and returns a `tokenizer.json`. `parts`: what no token reaches across; `size`: tokens in all; fewer where the texts have no more pairs to merge.
/// `specials` take the first ids, the 256 bytes follow, then the merges. The same texts in the same order give the same file.
pub fn train_bpe<S: AsRef<str> + Send>(
    texts: impl Iterator<Item = S> + Send,
    parts: Parts,
    size: usize,
    specials: &[&str],
) -> Result<String> {
    let least = BYTES + specials.len();
    if size < least {
        return Err(TokenizerError::Vocabulary(format!("{size} tokens are too few: {least} are bytes and special tokens")));
    }
    let failed = |error: tokenizers::Error| TokenizerError::Vocabulary(error.to_string());
    let pattern = match parts {
        Parts::Digits => QWEN2,
        Parts::Numbers => GPT2,
        Parts::Pairs => PAIRS,
    };
    let split = Split::new(SplitPattern::Regex(pattern.into()), SplitDelimiterBehavior::Isolated, false).map_err(failed)?;
    let parts = Sequence::new(vec![split.into(), ByteLevel::new(false, false, false).into()]);
    let mut trainer = BpeTrainerBuilder::new()
        .vocab_size(size)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(specials.iter().map(|token| AddedToken::from(*token, true)).collect())
        .build();
    let mut tokenizer = TokenizerBuilder::<BPE, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>::new()
        .with_model(BPE::default())
        .with_pre_tokenizer(Some(parts.into()))
        .with_decoder(Some(ByteLevel::new(false, false, false).into()))
        .build()
        .map_err(failed)?;
    tokenizer.train(&mut trainer, texts).map_err(failed)?;
    tokenizer.to_string(true).map_err(failed)
}

/// A `tokenizer_config.json` for Transformers and for us. `template`: the chat template; `end` ends a message, `pad` fills up.
pub fn tokenizer_config(template: &str, end: &str, pad: &str, window: usize) -> String {
    let config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": template,
        "eos_token": end,
        "pad_token": pad,
        "bos_token": null,
        "model_max_length": window,
        "clean_up_tokenization_spaces": false,
    });
    format!("{config:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tokenizer;

    const TEXTS: [&str; 3] = ["Anna Reed owns the mill in Ashford.", "The mill was sold in 1931.", "Anna Reed was born in Ashford."];

    fn trained(size: usize) -> String {
        train_bpe(TEXTS.iter(), Parts::Digits, size, &["<|pad|>", "<|im_end|>"]).unwrap()
    }

    #[test]
    fn its_texts_come_back_and_strange_ones_too() {
        let tokenizer = Tokenizer::from_json(trained(400).as_bytes()).unwrap();
        for text in TEXTS.iter().chain(&["Zoë kept 17 — ünïcode, tabs\t and  spaces\n\n"]) {
            let ids = tokenizer.encode(text).unwrap();
            assert_eq!(tokenizer.decode(&ids, false).unwrap(), *text);
        }
        assert_eq!(tokenizer.id("<|im_end|>"), Some(1));
    }

    #[test]
    fn words_become_tokens_and_digits_stay_single() {
        let tokenizer = Tokenizer::from_json(trained(400).as_bytes()).unwrap();
        assert_eq!(tokenizer.encode(" Reed").unwrap().len(), 1);
        assert_eq!(tokenizer.encode("1931").unwrap().len(), 4);
    }

    #[test]
    fn numbers_become_tokens_where_they_are_parts() {
        let json = train_bpe(TEXTS.iter(), Parts::Numbers, 400, &["<|pad|>"]).unwrap();
        let tokenizer = Tokenizer::from_json(json.as_bytes()).unwrap();
        assert_eq!(tokenizer.encode(" 1931").unwrap().len(), 1);
        assert_eq!(tokenizer.encode(" Reed").unwrap().len(), 1);
        for text in TEXTS.iter().chain(&["In 1931 it was 17 — not 1932.\n 8"]) {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap(), false).unwrap(), *text);
        }
    }

    #[test]
    fn a_year_that_no_text_has_is_two_known_parts() {
        let texts = ["It was in 1831, not in 1825, for 31 crowns."; 3];
        let tokenizer = Tokenizer::from_json(train_bpe(texts.iter(), Parts::Pairs, 400, &["<|pad|>"]).unwrap().as_bytes()).unwrap();
        let ids = |text: &str| tokenizer.encode(text).unwrap();
        assert_eq!([ids(" 1831").len(), ids(" 1825").len(), ids(" 31").len(), ids(" 183").len()], [2, 2, 1, 2]);
        assert_eq!(ids(" 1831")[0], ids(" 1825")[0]);
        assert_eq!(tokenizer.decode(&ids(" 1831, 183"), false).unwrap(), " 1831, 183");
    }

    #[test]
    fn the_same_texts_give_the_same_file() {
        assert_eq!(trained(300), trained(300));
    }

    #[test]
    fn too_small_a_vocabulary_is_refused() {
        let error = train_bpe(TEXTS.iter(), Parts::Digits, 100, &["<|pad|>"]).unwrap_err();
        assert!(error.to_string().contains("257"), "{error}");
    }
}
