//! The zip archive that docx, epub and xlsx files are, with limits on what it may unpack to.

use std::io::{Cursor, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use crate::limits::{MAX_MEMBER, MAX_UNPACKED};
use crate::{Bytes, DocumentError, Format, Result};

/// An archive's members, read one by one.
pub struct Package {
    archive: ZipArchive<Cursor<Bytes>>,
    format: Format,
    /// Bytes unpacked so far.
    unpacked: u64,
}

#[allow(dead_code, reason = "each format uses what it needs")]
impl Package {
    pub fn open(bytes: &Bytes, format: Format) -> Result<Self> {
        let archive = ZipArchive::new(Cursor::new(bytes.clone())).map_err(|error| DocumentError::damaged(format, error))?;
        Ok(Self { archive, format, unpacked: 0 })
    }

    pub fn names(&self) -> Vec<String> {
        self.archive.file_names().filter_map(|name| name.ok().map(|name| name.into_owned())).collect()
    }

    /// A member's bytes; `None` without such a member. What it really unpacks to is bounded, whatever the archive says.
    pub fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        let format = self.format;
        let member = match self.archive.by_name(name) {
            Ok(member) => member,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED)) => return Err(DocumentError::Encrypted { format }),
            Err(error) => return Err(DocumentError::damaged(format, format!("{name}: {error}"))),
        };
        let mut bytes = Vec::new();
        let read = member.take(MAX_MEMBER + 1).read_to_end(&mut bytes);
        read.map_err(|error| DocumentError::damaged(format, format!("{name}: {error}")))?;
        self.unpacked += bytes.len() as u64;
        if bytes.len() as u64 > MAX_MEMBER {
            return Err(DocumentError::TooLarge { format, what: "bytes in a part of it", limit: MAX_MEMBER });
        }
        if self.unpacked > MAX_UNPACKED {
            return Err(DocumentError::TooLarge { format, what: "bytes in its parts", limit: MAX_UNPACKED });
        }
        Ok(Some(bytes))
    }

    /// A member that is XML, as text.
    pub fn text(&mut self, name: &str) -> Result<Option<String>> {
        Ok(self.read(name)?.map(|bytes| crate::decode::decode(&bytes.into(), None).0.to_string()))
    }
}

/// The names of an archive's members.
pub fn member_names(bytes: &[u8]) -> Result<Vec<String>, ZipError> {
    let archive = ZipArchive::new(Cursor::new(bytes))?;
    Ok(archive.file_names().filter_map(|name| name.ok().map(|name| name.into_owned())).collect())
}

/// What an archive's `mimetype` member says.
pub fn mimetype(bytes: &[u8]) -> Option<String> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).ok()?;
    let mut text = String::new();
    archive.by_name("mimetype").ok()?.take(200).read_to_string(&mut text).ok()?;
    Some(text)
}

#[allow(dead_code, reason = "each format uses what it needs")]
/// A reference from the part `base`, as a path from the archive's root, without its fragment.
pub fn resolve(base: &str, reference: &str) -> String {
    let reference = reference.split('#').next().unwrap_or_default();
    let mut path: Vec<&str> = if reference.starts_with('/') { Vec::new() } else { base.split('/').collect() };
    path.pop();
    let decoded = percent_decoded(reference);
    for step in decoded.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                path.pop();
            }
            step => path.push(step),
        }
    }
    path.join("/")
}

#[allow(dead_code, reason = "each format uses what it needs")]
fn percent_decoded(text: &str) -> String {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_resolve_as_on_the_web() {
        assert_eq!(resolve("OEBPS/text/a.xhtml", "../b%20c.xhtml#x"), "OEBPS/b c.xhtml");
        assert_eq!(resolve("content.opf", "a%2.html"), "a%2.html");
        assert_eq!(resolve("a/b", "/../../c"), "c");
    }
}
