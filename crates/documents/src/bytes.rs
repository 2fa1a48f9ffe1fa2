use std::ops::Deref;
use std::sync::Arc;

use data::Text;

/// A file's bytes, shared without copying: read into memory, or mapped. Whatever keeps them must not change them.
#[derive(Clone)]
pub struct Bytes(Arc<dyn AsRef<[u8]> + Send + Sync>);

impl Bytes {
    /// Bytes that something else keeps, for example a mapped file.
    pub fn kept_by(owner: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Self {
        Self(owner)
    }

    /// The bytes from `start` on as text, shared, if they are UTF-8.
    pub(crate) fn text_from(&self, start: usize) -> Option<Text> {
        std::str::from_utf8(self.get(start..)?).ok()?;
        Some(Text::kept_by(Arc::new(Utf8 { bytes: self.clone(), start })))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(bytes))
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Bytes that were checked to be UTF-8 from `start` on.
struct Utf8 {
    bytes: Bytes,
    start: usize,
}

impl AsRef<str> for Utf8 {
    fn as_ref(&self) -> &str {
        // SAFETY: `text_from`, which alone makes this, checked these bytes, and their owner does not change them (said on `Bytes`).
        unsafe { std::str::from_utf8_unchecked(&self.bytes[self.start..]) }
    }
}
