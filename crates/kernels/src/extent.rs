//! Runs of a file's bytes, in memory or not.
//!
//! What is mapped or owned is handed out where it lies. A browser maps no files, and a file may be larger than all the memory that a page
//! can have: of such a one a few megabytes at a time are read, given to whoever asked, and dropped.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::Bytes;
use crate::error::{KernelError, Result};

/// A file that is not in memory: read in ranges.
pub trait ReadAt: Send + Sync {
    /// Its name, for messages.
    fn name(&self) -> &str;

    /// All its bytes.
    fn size(&self) -> u64;

    /// Reads bytes from `at` on into `out`; how many. It may be fewer than there is room for, and is 0 only where nothing is left.
    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<usize>;
}

/// A run of a file's bytes, shared without copying: in memory, or read when it is asked for.
#[derive(Clone)]
pub struct Extent(Place);

#[derive(Clone)]
enum Place {
    Memory(Bytes),
    File { file: Arc<dyn ReadAt>, range: Range<u64> },
}

impl Extent {
    /// Bytes that are read from a file at once, at most.
    pub const PIECE: usize = 8 << 20;

    /// All of `file`.
    pub fn of_file(file: Arc<dyn ReadAt>) -> Self {
        let range = 0..file.size();
        Self(Place::File { file, range })
    }

    /// How many bytes.
    pub fn len(&self) -> u64 {
        match &self.0 {
            Place::Memory(bytes) => bytes.as_slice().len() as u64,
            Place::File { range, .. } => range.end - range.start,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A part of it; `None` if it reaches past the end.
    pub fn slice(&self, part: Range<u64>) -> Option<Self> {
        Some(Self(match &self.0 {
            Place::Memory(bytes) => Place::Memory(bytes.slice(usize::try_from(part.start).ok()?..usize::try_from(part.end).ok()?)?),
            Place::File { file, range } => {
                let (start, end) = (range.start.checked_add(part.start)?, range.start.checked_add(part.end)?);
                (start <= end && end <= range.end).then(|| Place::File { file: file.clone(), range: start..end })?
            }
        }))
    }

    /// The bytes where they lie in memory; `None` for those that have to be read.
    pub fn in_memory(&self) -> Option<&Bytes> {
        match &self.0 {
            Place::Memory(bytes) => Some(bytes),
            Place::File { .. } => None,
        }
    }

    /// All of it in memory: the bytes that are there, else read into memory of their own.
    ///
    /// Errors with [`KernelError::Read`], and with [`KernelError::OutOfMemory`] where so many bytes cannot be had.
    pub fn load(&self) -> Result<Bytes> {
        match &self.0 {
            Place::Memory(bytes) => Ok(bytes.clone()),
            Place::File { .. } => Self::join(std::slice::from_ref(self)),
        }
    }

    /// All of `parts` behind one another, in memory of their own. Errors as [`Extent::load`].
    pub fn join(parts: &[Self]) -> Result<Bytes> {
        let len = parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.len())).unwrap_or(u64::MAX);
        let mut bytes = zeros(len)?;
        let mut rest = bytes.as_mut_slice();
        for part in parts {
            let (own, behind) = rest.split_at_mut(part.len() as usize);
            part.read(0, own)?;
            rest = behind;
        }
        Ok(bytes.into())
    }

    /// Fills `out` with the bytes from `at` on. Errors with [`KernelError::Read`] where there are fewer, or the file cannot be read.
    pub fn read(&self, at: u64, out: &mut [u8]) -> Result<()> {
        let part = at.checked_add(out.len() as u64).and_then(|end| self.slice(at..end));
        match part.ok_or_else(|| self.too_short(at, out.len()))?.0 {
            Place::Memory(bytes) => out.copy_from_slice(bytes.as_slice()),
            Place::File { file, range } => {
                let mut at = range.start;
                for piece in out.chunks_mut(Self::PIECE) {
                    fill(&*file, at, piece)?;
                    at += piece.len() as u64;
                }
            }
        }
        Ok(())
    }

    /// The bytes of `range`: where they lie in memory, else read into `buffer`. Errors as [`Extent::read`] and [`Extent::load`].
    pub fn get<'a>(&'a self, range: Range<u64>, buffer: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        let len = range.end.saturating_sub(range.start);
        if range.start > range.end || range.end > self.len() {
            return Err(self.too_short(range.start, len as usize));
        }
        if let Place::Memory(bytes) = &self.0 {
            // Within its length, so within what an index can say.
            return Ok(&bytes.as_slice()[range.start as usize..range.end as usize]);
        }
        resize(buffer, len)?;
        self.read(range.start, buffer)?;
        Ok(buffer)
    }

    /// What to take at a time, in order, for [`Extent::get`]: all that lies in memory, else ranges of at most [`Extent::PIECE`] bytes, but
    /// always of whole units of `unit` bytes.
    pub fn pieces(&self, unit: usize) -> impl Iterator<Item = Range<u64>> + use<> {
        let unit = unit.max(1) as u64;
        let len = self.len();
        let step = match self.in_memory() {
            Some(_) => len.max(1),
            None => (Self::PIECE as u64 / unit).max(1) * unit,
        };
        (0..len.div_ceil(step)).map(move |piece| piece * step..len.min((piece + 1) * step))
    }

    fn too_short(&self, at: u64, len: usize) -> KernelError {
        let (file, begin) = match &self.0 {
            Place::Memory(_) => ("bytes in memory".into(), 0),
            Place::File { file, range } => (file.name().to_owned(), range.start),
        };
        let source = io::Error::new(io::ErrorKind::UnexpectedEof, format!("{} bytes are there from byte {begin} on", self.len()));
        KernelError::Read { file, from: begin.saturating_add(at), bytes: len as u64, source }
    }
}

impl From<Bytes> for Extent {
    fn from(bytes: Bytes) -> Self {
        Self(Place::Memory(bytes))
    }
}

impl From<Vec<u8>> for Extent {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

/// Fills `out`, however little each read gives.
fn fill(file: &dyn ReadAt, at: u64, out: &mut [u8]) -> Result<()> {
    let len = out.len();
    let failed = |done: usize, source| {
        let (from, bytes) = (at + done as u64, (len - done) as u64);
        Err(KernelError::Read { file: file.name().to_owned(), from, bytes, source })
    };
    let mut done = 0;
    while done < len {
        let rest = &mut out[done..];
        match file.read_at(at + done as u64, rest) {
            Ok(0) => return failed(done, io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends before")),
            // A reader that claims more than it was given room for is as broken as one that gives nothing.
            Ok(count) if count > rest.len() => return failed(done, io::Error::other("more bytes came than were asked for")),
            Ok(count) => done += count,
            Err(source) if source.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return failed(done, source),
        }
    }
    Ok(())
}

fn zeros(len: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    resize(&mut bytes, len)?;
    Ok(bytes)
}

/// Exactly `len` bytes, so that a file's size is what its memory takes.
fn resize(bytes: &mut Vec<u8>, len: u64) -> Result<()> {
    let missing = || KernelError::OutOfMemory { device: "cpu".into(), needed: len };
    let len = usize::try_from(len).map_err(|_| missing())?;
    bytes.try_reserve_exact(len.saturating_sub(bytes.len())).map_err(|_| missing())?;
    bytes.resize(len, 0);
    Ok(())
}
