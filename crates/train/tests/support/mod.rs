//! A file system that fails where a test says, and folders as values.
#![allow(dead_code)] // each test file uses its part

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use train::run::checkpoint::{Disk, DiskFile, RealDisk};

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The process dies at this call (from 0): a write is half done, and no later call does anything.
    Kill { call: u64 },
    /// Writes find room for this many bytes; everything else works.
    Full { room: u64 },
}

/// The real file system until the fault strikes.
#[derive(Clone)]
pub struct Broken {
    fault: Fault,
    /// Calls made, or bytes written.
    used: Arc<AtomicU64>,
}

impl Broken {
    pub fn new(fault: Fault) -> Self {
        Self { fault, used: Arc::new(AtomicU64::new(0)) }
    }

    /// Whether a kill has happened.
    pub fn struck(&self) -> bool {
        matches!(self.fault, Fault::Kill { call } if self.used.load(Relaxed) > call)
    }

    /// Errors where the process is dead.
    fn call(&self) -> io::Result<()> {
        match self.fault {
            Fault::Kill { call } if self.used.fetch_add(1, Relaxed) >= call => Err(io::Error::other("killed")),
            _ => Ok(()),
        }
    }
}

impl Disk for Broken {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.call()?;
        RealDisk.create_folder(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.call()?;
        Ok(Box::new(BrokenFile { disk: self.clone(), file: fs::File::create_new(path)? }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call()?;
        RealDisk.rename(from, to)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let removed = self.call();
        if removed.is_err() && self.used.load(Relaxed) == 1 + self.kill() {
            // Half a removal: the manifest is gone, the rest is there.
            let _ = fs::remove_file(path.join("manifest.json"));
        }
        removed?;
        RealDisk.remove_folder(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.call()?;
        RealDisk.sync_folder(path)
    }
}

impl Broken {
    fn kill(&self) -> u64 {
        if let Fault::Kill { call } = self.fault { call } else { u64::MAX - 1 }
    }
}

struct BrokenFile {
    disk: Broken,
    file: fs::File,
}

impl Write for BrokenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Small writes, so that a kill or a full disk finds the inside of a tensor.
        let mut bytes = &bytes[..bytes.len().min(128)];
        if let Fault::Full { room } = self.disk.fault {
            let left = room.saturating_sub(self.disk.used.load(Relaxed));
            if left == 0 && !bytes.is_empty() {
                return Err(ErrorKind::StorageFull.into());
            }
            bytes = &bytes[..bytes.len().min(left as usize)];
            self.disk.used.fetch_add(bytes.len() as u64, Relaxed);
        }
        if let Err(error) = self.disk.call() {
            if self.disk.used.load(Relaxed) == 1 + self.disk.kill() {
                self.file.write_all(&bytes[..bytes.len() / 2])?;
            }
            return Err(error);
        }
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl DiskFile for BrokenFile {
    fn sync(&mut self) -> io::Result<()> {
        self.disk.call()?;
        self.file.sync_all()
    }
}

/// Files below a folder by path, with their bytes.
pub fn snapshot(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(folder).unwrap().to_str().unwrap().to_string(), fs::read(&path).unwrap());
            }
        }
    }
    files
}
