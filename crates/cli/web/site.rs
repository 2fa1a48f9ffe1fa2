//! What is served: the page's folder at `/`, and beside it what a person named. Nothing else.

use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use agent::report::pack;
use anyhow::{Context, Result};

use crate::kept;

/// Addresses and what lies there.
pub struct Site {
    app: Place,
    /// (address without its first `/`, what is there); one that ends with `/` is a folder's.
    places: Vec<(String, Place)>,
}

/// What lies at an address.
pub enum Place {
    /// The files of a folder. Where `linked`, links lead out of it: the hub's cache keeps its files elsewhere.
    Folder {
        /// Without links.
        path: PathBuf,
        /// Whether links are followed.
        linked: bool,
    },
    /// One file.
    File(PathBuf),
    /// A kept read, packed as it is when it is asked for.
    Read(PathBuf),
}

/// Bytes that can be sent from anywhere.
pub trait Bytes: Read + Seek + Send {}
impl<T: Read + Seek + Send> Bytes for T {}

/// Something to send.
pub struct Found {
    /// From the start.
    pub bytes: Box<dyn Bytes>,
    /// All of it.
    pub length: u64,
    /// Changes when the bytes do.
    pub tag: String,
    /// Media type.
    pub media: &'static str,
}

impl Place {
    /// A folder out of which nothing leads.
    pub fn folder(path: &Path) -> Result<Self> {
        Ok(Self::Folder { path: real(path)?, linked: false })
    }

    /// A folder whose links are followed.
    pub fn linked(path: &Path) -> Result<Self> {
        Ok(Self::Folder { path: real(path)?, linked: true })
    }

    /// A file.
    pub fn file(path: &Path) -> Result<Self> {
        Ok(Self::File(real(path)?))
    }
}

fn real(path: &Path) -> Result<PathBuf> {
    path.canonicalize().with_context(|| format!("cannot open {}", path.display()))
}

impl Site {
    /// With the built page.
    pub fn new(app: PathBuf) -> Result<Self> {
        Ok(Self { app: Place::folder(&app)?, places: Vec::new() })
    }

    /// Something beside the page.
    pub fn add(&mut self, address: String, place: Place) {
        self.places.push((address, place));
    }

    /// What lies at a request's path; nothing where there is nothing, or nothing that may be seen.
    pub fn find(&self, path: &str) -> Result<Option<Found>> {
        let Some(parts) = parts(path) else { return Ok(None) };
        let asked = parts.join("/");
        for (address, place) in &self.places {
            match (place, asked.strip_prefix(address.as_str())) {
                (Place::Folder { path, linked }, Some(rest)) => return file_in(path, rest, *linked),
                (Place::File(path), Some("")) => return file(path),
                (Place::Read(run), Some("")) => return Ok(Some(packed(run)?)),
                _ => {}
            }
        }
        let Place::Folder { path, linked } = &self.app else { return Ok(None) };
        file_in(path, if asked.is_empty() { "index.html" } else { &asked }, *linked)
    }
}

/// The names in a path, unquoted. None where one of them could mean anything but a file's name in its folder, on any system.
fn parts(path: &str) -> Option<Vec<String>> {
    let path = path.strip_prefix('/')?;
    if path.is_empty() {
        return Some(Vec::new());
    }
    let plain = |part: &str| {
        let odd = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
        !part.is_empty() && !part.starts_with('.') && !part.ends_with(['.', ' ']) && !part.contains(odd)
    };
    path.split('/').map(|part| unquoted(part).filter(|part| plain(part))).collect()
}

/// `%20` and the like as what they stand for.
fn unquoted(part: &str) -> Option<String> {
    let mut out = Vec::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        out.push(if byte == b'%' { (digit()? * 16 + digit()?) as u8 } else { byte });
    }
    String::from_utf8(out).ok()
}

fn file_in(folder: &Path, name: &str, linked: bool) -> Result<Option<Found>> {
    let Ok(path) = folder.join(name).canonicalize() else { return Ok(None) };
    if linked || path.starts_with(folder) {
        file(&path).map(|found| found.map(|found| Found { media: media(name), ..found }))
    } else {
        Ok(None)
    }
}

fn file(path: &Path) -> Result<Option<Found>> {
    // Only what is a file is opened: a pipe would wait for a writer.
    let Some(known) = path.metadata().ok().filter(|known| known.is_file()) else { return Ok(None) };
    let Ok(file) = File::open(path) else { return Ok(None) };
    let since = known.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
    let tag = format!("\"{:x}-{:x}\"", known.len(), since.as_nanos());
    let media = media(&path.file_name().unwrap_or_default().to_string_lossy());
    Ok(Some(Found { bytes: Box::new(file), length: known.len(), tag, media }))
}

fn packed(run: &Path) -> Result<Found> {
    use sha2::{Digest, Sha256};
    let bytes = pack(&kept::open(run)?).into_bytes();
    let tag: String = Sha256::digest(&bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(Found { length: bytes.len() as u64, bytes: Box::new(Cursor::new(bytes)), tag: format!("\"{tag}\""), media: "application/jsonl" })
}

/// By the name's ending; weights and what is not known are bytes.
fn media(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase().as_str() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "jsonl" | "longhand" => "application/jsonl",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "txt" | "md" | "toml" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_file_in_its_folder_or_none() {
        let said = |path: &str| parts(path).map(|parts| parts.join("|"));
        assert_eq!(said("/"), Some(String::new()));
        assert_eq!(said("/a/b%20c.js").as_deref(), Some("a|b c.js"));
        assert_eq!(said("/%C3%A9").as_deref(), Some("é"));
        for none in [
            "",
            "a",
            "//",
            "/a/",
            "/../a",
            "/a/../../b",
            "/%2e%2e/a",
            "/a%2fb",
            "/a\\b",
            "/a%5cb",
            "/c:/x",
            "/.git/config",
            "/a%00",
            "/%",
            "/%4",
            "/%zz",
            "/%ff",
            "/a./b",
            "/a%20",
            "/%2E",
            "/*",
        ] {
            assert_eq!(said(none), None, "{none}");
        }
    }
}
