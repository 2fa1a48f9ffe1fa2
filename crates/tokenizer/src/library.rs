//! The `tokenizers` crate behind our two ways to encode.

use tokenizers::{AddedVocabulary, Model, OffsetReferential, OffsetType, PreTokenizer};

use crate::{Result, TokenizerError};

/// A tokenizer of the `tokenizers` crate with its added tokens twice: once for data, once for rendered templates. Cloning the
/// added tokens is cheap; cloning the model (150,000 strings) would not be.
pub(crate) struct Library {
    pub tokenizer: tokenizers::Tokenizer,
    data: AddedVocabulary,
    template: AddedVocabulary,
}

impl Library {
    pub fn new(tokenizer: tokenizers::Tokenizer) -> Self {
        let mut data = tokenizer.get_added_vocabulary().clone();
        // The crate's name for "spell special tokens out as ordinary text".
        data.set_encode_special_tokens(true);
        let mut template = data.clone();
        template.set_encode_special_tokens(false);
        Self { tokenizer, data, template }
    }

    /// The library's `encode_fast` without its post-processor (which would add BOS), truncation and padding.
    pub fn encode(&self, text: &str, specials: bool) -> Result<Vec<u32>> {
        let added = if specials { &self.template } else { &self.data };
        let encode = || -> tokenizers::Result<Vec<u32>> {
            let mut pieces = added.extract_and_normalize(self.tokenizer.get_normalizer(), text);
            if let Some(pre) = self.tokenizer.get_pre_tokenizer() {
                pre.pre_tokenize(&mut pieces)?;
            }
            pieces.tokenize(|piece| self.tokenizer.get_model().tokenize(piece.get()))?;
            let splits = pieces.get_splits(OffsetReferential::Original, OffsetType::None);
            Ok(splits.iter().flat_map(|(_, _, tokens)| tokens.iter().flatten()).map(|token| token.id).collect())
        };
        encode().map_err(|error| TokenizerError::Encode(error.to_string()))
    }
}
