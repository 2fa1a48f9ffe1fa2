//! Reading a header from its beginning, from memory or through a window onto a file that is not there.

use kernels::Extent;

use crate::error::{ModelError, Result};

/// Bytes that are read at once of a file that is not in memory, or more where one value has more.
const WINDOW: u64 = 1 << 20;
/// No value of such a file has more: it would be read into memory before it is known to be sense.
const MAX_VALUE: u64 = 256 << 20;

/// A cursor that never reads past the end.
pub(super) struct Reader<'a> {
    /// Name for messages.
    pub file: &'a str,
    /// The byte that is read next.
    pub at: u64,
    source: &'a Extent,
    memory: Option<&'a [u8]>,
    /// The file's bytes from `window_at` on.
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> Reader<'a> {
    pub fn new(file: &'a str, source: &'a Extent) -> Self {
        let memory = source.in_memory().map(|bytes| bytes.as_slice());
        Self { file, at: 0, source, memory, window: vec![], window_at: 0 }
    }

    /// Version, tensor count, key count.
    pub fn head(&mut self) -> Result<(u32, usize, usize)> {
        if self.take(4, "the magic number")? != b"GGUF" {
            return Err(ModelError::format(self.file, 0, "the file does not begin with GGUF"));
        }
        let version = self.u32("the version")?;
        if version.swap_bytes() == 2 || version.swap_bytes() == 3 {
            return Err(ModelError::unsupported(self.file, "the file is big-endian; convert it to little-endian"));
        }
        if version != 2 && version != 3 {
            return Err(ModelError::unsupported(self.file, format!("GGUF version {version}; supported: 2, 3")));
        }
        // The least a tensor's description takes: name length, dimension count, type, offset. A key: its length, type and a byte.
        Ok((version, self.count(24, "the tensor count")?, self.count(13, "the key count")?))
    }

    fn left(&self) -> u64 {
        self.source.len() - self.at
    }

    pub fn error(&self, message: impl Into<String>) -> ModelError {
        ModelError::format(self.file, self.at, message)
    }

    pub fn take(&mut self, length: usize, what: &str) -> Result<&[u8]> {
        let (from, size) = (self.at, length as u64);
        if size > self.left() {
            return Err(self.error(format!("{what} takes {length} bytes, {} are left", self.left())));
        }
        if self.memory.is_none() {
            self.fill(from, size, what)?;
        }
        self.at = from + size;
        let (bytes, begin) = self.memory.map_or((self.window.as_slice(), self.window_at), |memory| (memory, 0));
        Ok(&bytes[(from - begin) as usize..][..length])
    }

    /// Moves the window where it does not reach from `from` over `size` bytes.
    fn fill(&mut self, from: u64, size: u64, what: &str) -> Result<()> {
        let end = self.window_at + self.window.len() as u64;
        if from < self.window_at || from + size > end {
            if size > MAX_VALUE {
                return Err(self.error(format!("{what} takes {size} bytes, at most {MAX_VALUE} are allowed")));
            }
            // Empty, should the read fail: then nothing of it counts.
            self.window.clear();
            let range = from..from + size.max(WINDOW).min(self.left());
            self.source.get(range, &mut self.window)?;
            self.window_at = from;
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    pub fn u32(&mut self, what: &str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub fn u64(&mut self, what: &str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A number of things of at least `least` bytes each: no more than fit into what is left.
    pub fn count(&mut self, least: usize, what: &str) -> Result<usize> {
        let count = self.u64(what)?;
        match usize::try_from(count).ok().filter(|_| count <= self.left() / least as u64) {
            Some(count) => Ok(count),
            None => Err(self.error(format!("{what} is {count}, more than the {} bytes left can hold", self.left()))),
        }
    }

    pub fn string(&mut self, what: &str) -> Result<String> {
        let length = self.count(1, what)?;
        let (at, file) = (self.at, self.file);
        let bytes = self.take(length, what)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(ModelError::format(file, at + error.valid_up_to() as u64, format!("{what} is not UTF-8"))),
        }
    }
}
