use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Result of keeping a run.
pub type Result<T, E = RunError> = std::result::Result<T, E>;

/// What can go wrong with a run's folder, said so that a person can act on it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A file has fewer or more bytes than the checkpoint's manifest says, or is not there.
    #[error(
        "{path} has {found} of {expected} bytes: the checkpoint is cut short; delete its folder to go on from the one before, or from the start"
    )]
    CutShort {
        /// The file.
        path: PathBuf,
        /// Bytes that the manifest names.
        expected: u64,
        /// Bytes that are there; 0 for no file.
        found: u64,
    },
    /// A file's bytes are not those that were written.
    #[error(
        "{path} was changed after it was written (SHA-256 {found}, not {expected}): the disk may be failing; delete the checkpoint's folder to go on from the one before"
    )]
    HashDiffers {
        /// The file.
        path: PathBuf,
        /// As the manifest names it.
        expected: String,
        /// Of the bytes there are.
        found: String,
    },
    /// The checkpoint belongs to another configuration.
    #[error("{path} was written with `{key}` = {was}, and now it is {now}: set it back to go on, or start another run in another folder")]
    OtherConfig {
        /// The checkpoint.
        path: PathBuf,
        /// The first key that differs.
        key: String,
        /// Its value then.
        was: String,
        /// Its value now.
        now: String,
    },
    /// The checkpoint belongs to another base model.
    #[error(
        "{path} goes on from base model {was}, and the one given is {now}: give that model to go on, or start another run in another folder"
    )]
    OtherBase {
        /// The checkpoint.
        path: PathBuf,
        /// The base model's hash then.
        was: String,
        /// Its hash now.
        now: String,
    },
    /// The disk has no room.
    #[error("{path}: no room left on the disk ({source}); what was there before is untouched: make room and run the same command again")]
    Full {
        /// What was being written.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// Bytes that do not follow their format.
    #[error("{path}: {message}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A tensor that is needed is not there, or is not what it has to be.
    #[error("{path}: tensor `{tensor}` {message}")]
    Tensor {
        /// The checkpoint's file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// What was found and what was expected.
        message: String,
    },
    /// Another process writes this run.
    #[error("another longhand is writing {path}: wait for it, or choose another folder")]
    Busy {
        /// The run's log.
        path: PathBuf,
    },
    /// The configuration cannot be read as TOML.
    #[error("the run's configuration: {message}")]
    Config {
        /// What the parser says, with its line.
        message: String,
    },
}

impl RunError {
    /// What the system said of `path`: no room, or something else.
    pub(crate) fn io(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        move |source| match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Self::Full { path: path.to_path_buf(), source },
            _ => Self::Io { path: path.to_path_buf(), source },
        }
    }

    pub(crate) fn format(path: &Path, message: impl Into<String>) -> Self {
        Self::Format { path: path.to_path_buf(), message: message.into() }
    }

    pub(crate) fn tensor(path: &Path, tensor: &str, message: impl Into<String>) -> Self {
        Self::Tensor { path: path.to_path_buf(), tensor: tensor.to_string(), message: message.into() }
    }
}
