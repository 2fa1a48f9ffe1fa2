/// What the tokenizer's functions return.
pub type Result<T, E = TokenizerError> = std::result::Result<T, E>;

/// Why text did not become tokens, or tokens text, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenizerError {
    /// The bytes are no tokenizer.json.
    #[error("tokenizer.json cannot be read: {0}; download it again from the model's repository")]
    Json(String),
    /// A GGUF vocabulary contradicts itself.
    #[error("the GGUF file's vocabulary is unusable: {0}; download or convert the file again")]
    Vocabulary(String),
    /// A `tokenizer.ggml.model` this crate does not know.
    #[error("the GGUF file's tokenizer model is `{0}`, and Longhand reads `gpt2` and `llama`; use the model's tokenizer.json instead")]
    UnknownModel(String),
    /// A `tokenizer.ggml.pre` this crate does not know.
    #[error("the GGUF file's pre-tokenizer is `{name}`, and Longhand knows {known}; use the model's tokenizer.json instead")]
    UnknownPre {
        /// The file's value.
        name: String,
        /// The names that would do.
        known: String,
    },
    /// A vocabulary that the other form cannot say.
    #[error("the tokenizer cannot be converted: {0}; keep it in the form it has (tokenizer.json with safetensors, its keys with GGUF)")]
    Convert(String),
    /// Text could not be encoded.
    #[error("the text cannot be encoded: {0}")]
    Encode(String),
    /// Ids could not be decoded.
    #[error("the tokens cannot be decoded: {0}")]
    Decode(String),
    /// An id outside the vocabulary.
    #[error("token {id} is not in the vocabulary of {size} tokens; do model and tokenizer belong together?")]
    UnknownId {
        /// The id.
        id: u32,
        /// The vocabulary's size.
        size: usize,
    },
    /// A chat template is not Jinja, or refused the messages.
    #[error("the chat template failed: {0}")]
    Template(String),
    /// There is nothing to cut.
    #[error("the document is empty; was its text extracted?")]
    EmptyDocument,
    /// A single character takes more tokens than a chunk may hold.
    #[error("a chunk of {max_tokens} tokens cannot hold the character at byte {at}, which takes {needed}; allow at least {needed} tokens")]
    ChunkTooSmall {
        /// The bound asked for.
        max_tokens: usize,
        /// Where the character starts.
        at: usize,
        /// Its tokens.
        needed: usize,
    },
}
