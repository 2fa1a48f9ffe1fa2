//! Progress bars: hidden when standard error is not a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over bytes with rate and time left.
pub fn bytes(total: u64, what: &str) -> ProgressBar {
    bar(total, what, "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left")
}

/// A bar over tokens with rate and time left.
pub fn tokens(total: u64, what: &str) -> ProgressBar {
    bar(total, what, "{msg} {bar:30} {pos}/{len} tokens, {per_sec}, {eta} left")
}

/// A bar over rows with time left.
pub fn rows(total: u64, what: &str) -> ProgressBar {
    bar(total, what, "{msg} {bar:30} {pos}/{len} rows, {eta} left")
}

/// A bar over documents with time left.
pub fn documents(total: u64, what: &str) -> ProgressBar {
    bar(total, what, "{msg} {bar:30} {pos}/{len} documents, {eta} left")
}

fn bar(total: u64, what: &str, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style).with_message(what.to_string())
}
