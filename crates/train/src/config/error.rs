/// What is wrong with a configuration, where, and what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{file}: {source}; `longhand init train` writes one to start from")]
    Io {
        /// Path.
        file: String,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// No TOML.
    #[error("{file}:{line}: {message}")]
    Toml {
        /// Path.
        file: String,
        /// From 1.
        line: usize,
        /// The parser's words.
        message: String,
    },
    /// A key that means nothing here.
    #[error("{file}:{line}: `{key}` is not a key; {hint}")]
    Unknown {
        /// Path.
        file: String,
        /// From 1.
        line: usize,
        /// With its section.
        key: String,
        /// The nearest key there is, or where it belongs.
        hint: String,
    },
    /// A value of the wrong type, or out of range.
    #[error("{file}:{line}: `{key}` {message}")]
    Value {
        /// Path.
        file: String,
        /// From 1.
        line: usize,
        /// With its section.
        key: String,
        /// What it is and what is wanted.
        message: String,
    },
    /// A key without a default is not there.
    #[error("{file}: `{key}` is missing: {hint}")]
    Missing {
        /// Path.
        file: String,
        /// With its section.
        key: String,
        /// What to write.
        hint: String,
    },
}
