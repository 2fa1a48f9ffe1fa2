//! What can go wrong between a checkpoint's bytes and an answer, said so that a person can act on it.

/// Result of this crate.
pub type Result<T, E = ModelError> = std::result::Result<T, E>;

/// An error that names the file, the tensor or key, where in the file, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file could not be read.
    #[error("{file}: {source}")]
    Io {
        /// Path.
        file: String,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// A folder or file that holds no checkpoint we can read.
    #[error("{path}: {message}")]
    NotACheckpoint {
        /// What was given.
        path: String,
        /// What is missing and what to give instead.
        message: String,
    },
    /// A configuration key is missing, has the wrong type or an impossible value.
    #[error("{file}: `{key}` {message}")]
    Config {
        /// config.json or the GGUF file.
        file: String,
        /// The key.
        key: String,
        /// What is wrong with it.
        message: String,
    },
    /// A well-formed model this engine does not run.
    #[error("{name}: {message}")]
    Unsupported {
        /// Key, tensor or file.
        name: String,
        /// What it is and what is supported.
        message: String,
    },
    /// Bytes that do not follow their format.
    #[error("{file}: at byte {offset}: {message}; the file is damaged or cut short: fetch it again and compare its hash")]
    Format {
        /// File.
        file: String,
        /// Where in the file.
        offset: u64,
        /// What was read and what was expected.
        message: String,
    },
    /// A tensor the architecture needs is not there.
    #[error("{file}: tensor `{tensor}` is missing; the checkpoint is incomplete or its configuration describes another model")]
    MissingTensor {
        /// File or folder.
        file: String,
        /// The name it would have.
        tensor: String,
    },
    /// A tensor no role uses: running without it would give other numbers than the model's authors meant.
    #[error("{file}: tensor `{tensor}` is not part of this architecture and is not known to be ignorable; {hint}")]
    UnexpectedTensor {
        /// File.
        file: String,
        /// Its name.
        tensor: String,
        /// What to check.
        hint: String,
    },
    /// A tensor of the wrong shape.
    #[error("tensor `{tensor}` has shape {found:?}, the configuration needs {expected:?}")]
    Shape {
        /// Its name, with the file where known.
        tensor: String,
        /// As stored, outermost first.
        found: Vec<usize>,
        /// As the configuration demands.
        expected: Vec<usize>,
    },
    /// A weight that is not a number.
    #[error(
        "{file}: tensor `{tensor}` holds a NaN or infinity at element {index} (byte {offset}); the weights are damaged: fetch the file again"
    )]
    NonFinite {
        /// File.
        file: String,
        /// Tensor.
        tensor: String,
        /// Element, or first element of the block whose scale is not finite.
        index: usize,
        /// Byte in the file.
        offset: u64,
    },
    /// A request that cannot be served as it is.
    #[error("{0}")]
    Request(String),
    /// A JSON schema that a reply cannot be held to.
    #[error("the JSON schema, at {place}: {message}")]
    Schema {
        /// Where in it.
        place: String,
        /// What is wrong there.
        message: String,
    },
    /// Prompt and reply do not fit the window.
    #[error("{prompt} prompt tokens and {new} new ones do not fit the window of {window}: shorten the prompt or raise the window")]
    TooLong {
        /// Prompt tokens.
        prompt: usize,
        /// New tokens asked for.
        new: usize,
        /// The window.
        window: usize,
    },
    /// The compute core refused.
    #[error(transparent)]
    Kernel(#[from] kernels::KernelError),
}

impl ModelError {
    /// A well-formed thing we do not run.
    pub fn unsupported(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Unsupported { name: name.into(), message: message.into() }
    }

    /// A tensor of the wrong shape.
    pub fn shape(tensor: impl Into<String>, found: &[usize], expected: &[usize]) -> Self {
        Self::Shape { tensor: tensor.into(), found: found.to_vec(), expected: expected.to_vec() }
    }

    pub(crate) fn config(file: &str, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Config { file: file.into(), key: key.into(), message: message.into() }
    }

    pub(crate) fn format(file: &str, offset: u64, message: impl Into<String>) -> Self {
        Self::Format { file: file.into(), offset, message: message.into() }
    }
}
