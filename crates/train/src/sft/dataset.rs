//! The examples of a file that has no fault.

use std::path::Path;

use super::example::{ChatFormat, Example};
use super::rows::{RowError, Rows};
use super::survey::{Report, Survey, digest, survey};
use crate::config::DataSection;

/// Examples in memory, in the file's order.
#[derive(Debug)]
pub struct Dataset {
    /// At least one.
    pub examples: Vec<Example>,
    /// What was read and what was left out.
    pub report: Report,
}

/// Why a file gives no dataset.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A row, or the file as a whole, is bad.
    #[error("{first}{}", others(*.bad))]
    Row {
        /// The first fault.
        #[source]
        first: RowError,
        /// How many rows are bad.
        bad: u64,
    },
    /// Nothing is left.
    #[error("{file}: none of {rows} rows is left to train on{reasons}; `longhand data check` says more")]
    Empty {
        /// Path.
        file: String,
        /// Rows read.
        rows: u64,
        /// What was dropped and why, beginning with a colon; or nothing.
        reasons: String,
    },
}

fn others(bad: u64) -> String {
    if bad > 1 { format!(" (and {} more bad rows; `longhand data check` names them)", bad - 1) } else { String::new() }
}

impl Dataset {
    /// Reads `file` as `data` says (which may name another: validation files are read with the same settings). `progress` hears how
    /// many rows were read.
    pub fn read(file: &Path, chat: &ChatFormat, data: &DataSection, progress: impl FnMut(u64)) -> Result<Self, DataError> {
        let rows = Rows::open(file, data.format).map_err(|first| DataError::Row { first, bad: 0 })?;
        let Survey { examples, report, faults } = survey(rows, chat, data, progress);
        if let Some(first) = faults.into_iter().next() {
            return Err(DataError::Row { first, bad: report.bad });
        }
        if examples.is_empty() {
            let reasons: Vec<String> = report.dropped.iter().map(|(reason, dropped)| format!("{} {reason}", dropped.count)).collect();
            let reasons = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(", ")) };
            return Err(DataError::Empty { file: file.display().to_string(), rows: report.rows, reasons });
        }
        Ok(Self { examples, report })
    }

    /// SHA-256 over every token and mask, for a resumed training to tell whether it goes on with the same examples.
    pub fn hash(&self) -> [u8; 32] {
        digest(&self.examples)
    }

    /// Tokens of each example.
    pub fn lengths(&self) -> Vec<usize> {
        self.examples.iter().map(|example| example.ids.len()).collect()
    }
}
