use crate::Format;

/// Why a file could not be read as text, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Bytes that are no text and no format read here.
    #[error("this looks like {looks}, which is not read here{}", advice.as_ref().map(|a| format!(": {a}")).unwrap_or_default())]
    NotText {
        /// What the bytes look like: "a PNG image", "binary data".
        looks: String,
        /// What to do, where something can be done.
        advice: Option<String>,
    },
    /// A format that this build leaves out.
    #[error("this build does not read {format}: build it with the feature for it")]
    NotBuiltIn {
        /// The format.
        format: Format,
    },
    /// A password is needed.
    #[error("this {format} is encrypted: save a copy without a password, and read that")]
    Encrypted {
        /// The format.
        format: Format,
    },
    /// Bytes that begin like a format and do not go on like it.
    #[error("this {format} is damaged: {reason}")]
    Damaged {
        /// The format.
        format: Format,
        /// What is wrong with it.
        reason: String,
    },
    /// A PDF of pictures.
    #[error(
        "none of the {pages} pages of this PDF has text: it was scanned; run it through OCR first (or, if it was not, fetch the file again: a part is missing)"
    )]
    NoText {
        /// How many pages.
        pages: usize,
    },
    /// More than a limit allows.
    #[error("this {format} has more than {limit} {what}: split it, and read the parts")]
    TooLarge {
        /// The format.
        format: Format,
        /// What there is too much of.
        what: &'static str,
        /// How much there may be.
        limit: u64,
    },
    /// A path that could not be opened.
    #[error("{path}: {source}")]
    Io {
        /// The path.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl DocumentError {
    /// A reason that came from elsewhere.
    #[allow(dead_code, reason = "builds without any parsed format have no use for it")]
    pub(crate) fn damaged(format: Format, reason: impl ToString) -> Self {
        Self::Damaged { format, reason: reason.to_string() }
    }
}
