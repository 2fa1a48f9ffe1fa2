//! Text ⇄ token ids, chat templates, and documents cut into chunks.
//!
//! - [`Tokenizer`] reads a Hugging Face `tokenizer.json` or the vocabulary inside a GGUF file. Its [`Tokenizer::encode`] takes text as
//!   data (a document that spells `<|im_end|>` does not end a turn); [`Tokenizer::encode_with_specials`] takes a rendered template.
//! - [`StreamDecoder`] turns ids into text as they are sampled, never cutting a character.
//! - [`ChatTemplate`] renders a model's own Jinja template as Transformers does; [`ChatTemplate::encode`] is the way to a prompt's ids
//!   when the messages carry text nobody vouches for.
//! - [`Tokenizer::spellings`] says what each token adds to a text.
//! - [`train_bpe`] makes a vocabulary from texts.
//! - [`chunks`] tiles a document in pieces of at most so many tokens, cut where a reader would; [`chunks_at`] where it is told.
//!
//! Nothing here opens a file or starts a thread: the browser runs the same code.

mod approximate;
mod chunk;
mod convert;
mod error;
mod gguf;
mod library;
mod pieces;
mod sentencepiece;
mod spelling;
mod split;
mod stream;
mod template;
mod tokenizer;
mod train;

pub use chunk::{Chunk, chunks, chunks_at, exceeds};
pub use error::{Result, TokenizerError};
pub use gguf::GgufVocab;
pub use stream::StreamDecoder;
pub use template::{ChatTemplate, TemplateOptions};
pub use tokenizer::Tokenizer;
pub use train::{Parts, SPACED_CHATML, tokenizer_config, train_bpe};
