use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes between two known line numbers: a look-up counts the line ends of so many bytes at most.
const STEP: usize = 64 << 10;

/// A document's text, shared without copying. A large file can stay mapped: what it is kept in decides.
#[derive(Clone)]
pub struct Text {
    owner: Arc<dyn AsRef<str> + Send + Sync>,
    /// The line ends before byte 0, [`STEP`], 2 · `STEP`…; counted when a line is first asked for.
    steps: Arc<OnceLock<Vec<usize>>>,
}

impl Text {
    /// Text that something else keeps, for example a mapped file that was checked to be UTF-8.
    pub fn kept_by(owner: Arc<dyn AsRef<str> + Send + Sync>) -> Self {
        Self { owner, steps: Arc::default() }
    }

    /// The number of the line in which `byte` stands, from 1; past the end, of the last line. Beyond the first 64 KiB the first call
    /// goes through the text once; the others take microseconds, whatever its length.
    pub fn line(&self, byte: usize) -> usize {
        let bytes = self.as_bytes();
        let byte = byte.min(bytes.len());
        let step = byte / STEP;
        let before = if step == 0 { 0 } else { self.steps()[step] };
        1 + before + line_ends(&bytes[step * STEP..byte])
    }

    fn steps(&self) -> &[usize] {
        self.steps.get_or_init(|| {
            let mut steps = vec![0];
            for step in self.as_bytes().chunks(STEP) {
                steps.push(steps[steps.len() - 1] + line_ends(step));
            }
            steps
        })
    }
}

/// Counted in bytes a lot at a time, which compilers make fast code of.
fn line_ends(bytes: &[u8]) -> usize {
    bytes.chunks(255).map(|lot| usize::from(lot.iter().fold(0_u8, |count, &byte| count + u8::from(byte == b'\n')))).sum()
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        (*self.owner).as_ref()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::kept_by(Arc::new(text))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        text.to_string().into()
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_as_counting_them_does() {
        // Lines of every length about a step, and steps that begin, end and lie inside lines.
        for width in [1, 2, 7, 300, STEP - 1, STEP, STEP + 1] {
            let text = Text::from(format!("{}\n", "x".repeat(width - 1)).repeat(3 * STEP / width + 2) + "end");
            let counted = |byte: usize| 1 + text.as_bytes()[..byte].iter().filter(|&&b| b == b'\n').count();
            let steps = (0..=text.len() / STEP).flat_map(|step| (step * STEP).saturating_sub(2)..step * STEP + 3);
            for byte in steps.chain([text.len() - 1, text.len()]).filter(|&byte| byte <= text.len()) {
                assert_eq!(text.line(byte), counted(byte), "width {width}, byte {byte}");
            }
            assert_eq!(text.clone().line(usize::MAX), counted(text.len()));
        }
        assert_eq!((Text::from("").line(0), Text::from("\n").line(1)), (1, 2));
        assert_eq!(Text::from("\n".repeat(STEP)).line(STEP), STEP + 1);
    }

    /// `cargo test --release -p longhand-data -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement: cargo test --release -p longhand-data --lib -- --ignored --nocapture"]
    fn speed() {
        let text =
            Text::from("A line of a log, about as long as such lines are: 2026-01-01T00:00:00Z INFO 200 in 17 ms\n".repeat(2_200_000));
        let places: Vec<usize> = (1..=300).map(|n| text.len() / 301 * n).collect();
        let timed = |what: &str, line: &dyn Fn(usize) -> usize| {
            let start = std::time::Instant::now();
            let sum: usize = places.iter().map(|&byte| line(byte)).sum();
            println!("{what}: {} places in {} MB: {:?}", places.len(), text.len() / 1_000_000, start.elapsed());
            sum
        };
        let counted = timed("counting from the start", &|byte| 1 + text.as_bytes()[..byte].iter().filter(|&&b| b == b'\n').count());
        assert_eq!(timed("first time", &|byte| text.line(byte)), counted);
        assert_eq!(timed("again", &|byte| text.line(byte)), counted);
    }
}
