//! Files that this browser keeps for the page: `store.js`, with Rust's types.

use std::io;
use std::sync::Arc;

use js_sys::{Array, Reflect, Uint8Array};
use kernels::{Extent, ReadAt};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

use crate::protocol::{Problem, ProblemKind};

#[wasm_bindgen(module = "/src/store.js")]
extern "C" {
    /// An open file: reads and writes return at once.
    pub type Handle;

    /// A file of which ranges are read.
    type Ranges;

    /// Pieces of a file that the browser holds.
    pub type Gathered;

    #[wasm_bindgen(js_name = openFile, catch)]
    async fn open_file(name: &str, create: bool) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_name = openRanges, catch)]
    async fn open_ranges(name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_name = rangesOf)]
    fn ranges_of(blob: &Blob) -> Ranges;
    #[wasm_bindgen(js_name = readFile, catch)]
    async fn read_file(name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_name = writeFile, catch)]
    async fn write_file(name: &str, bytes: &[u8]) -> Result<(), JsValue>;
    #[wasm_bindgen(js_name = list, catch)]
    async fn list_folder(name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_name = remove, catch)]
    async fn remove_entry(name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_name = quota, catch)]
    async fn ask_quota() -> Result<JsValue, JsValue>;
    /// A turn of the event loop.
    pub async fn breathe();

    #[wasm_bindgen(method, js_name = getSize)]
    fn get_size(this: &Handle) -> f64;
    #[wasm_bindgen(method, catch)]
    fn read(this: &Handle, bytes: &mut [u8], place: &JsValue) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn write(this: &Handle, bytes: &[u8], place: &JsValue) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn truncate(this: &Handle, size: f64) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn flush(this: &Handle) -> Result<(), JsValue>;
    #[wasm_bindgen(method)]
    fn close(this: &Handle);

    #[wasm_bindgen(method, getter)]
    fn size(this: &Ranges) -> f64;
    #[wasm_bindgen(method, catch, js_name = read)]
    fn read_range(this: &Ranges, bytes: &mut [u8], at: f64) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, js_name = close)]
    fn close_ranges(this: &Ranges);

    /// None yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Gathered;
    /// One more.
    #[wasm_bindgen(method)]
    pub fn add(this: &Gathered, piece: &Uint8Array);
    /// None any more.
    #[wasm_bindgen(method)]
    pub fn clear(this: &Gathered);
    #[wasm_bindgen(method)]
    fn ranges(this: &Gathered) -> Ranges;
}

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// What a browser's exception means to a person.
pub fn told(problem: &JsValue) -> Problem {
    let field = |name: &str| Reflect::get(problem, &name.into()).ok().and_then(|value| value.as_string()).unwrap_or_default();
    let (name, message) = (field("name"), field("message"));
    let kind = match name.as_str() {
        "QuotaExceededError" => ProblemKind::Storage,
        "NoModificationAllowedError" => ProblemKind::OtherTab,
        "SecurityError" | "NotAllowedError" | "InvalidStateError" => ProblemKind::Storage,
        "TypeError" if message.to_lowercase().contains("fetch") => ProblemKind::Network,
        _ => ProblemKind::Other,
    };
    let message = match kind {
        ProblemKind::Storage if name == "QuotaExceededError" => {
            "This browser's storage for the page is full. Let a kept model or read go, or free space on the disk.".to_string()
        }
        ProblemKind::Storage => format!(
            "This browser lets the page keep nothing ({message}). In a private window or with storage blocked, nothing can be kept."
        ),
        ProblemKind::OtherTab => "Another tab has this open. Close it there, or go on there.".to_string(),
        ProblemKind::Network => format!("The network did not answer ({message})."),
        _ if message.is_empty() => format!("{problem:?}"),
        _ => message,
    };
    Problem { kind, message }
}

/// A file that is not in memory: its ranges are read when they are asked for.
struct Ranged {
    name: String,
    size: u64,
    ranges: Ranges,
}

impl Ranged {
    fn extent(name: &str, ranges: Ranges) -> Extent {
        let size = ranges.size() as u64;
        Extent::of_file(Arc::new(Self { name: name.into(), size, ranges }))
    }
}

impl ReadAt for Ranged {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        let count = self.ranges.read_range(out, at as f64).map_err(|problem| {
            let said = Reflect::get(&problem, &"message".into()).ok().and_then(|message| message.as_string()).unwrap_or_default();
            io::Error::other(format!("the browser says “{said}”. If the file was changed or moved, or storage was cleared, load it again"))
        })?;
        Ok(count as usize)
    }
}

impl Drop for Ranged {
    fn drop(&mut self) {
        self.ranges.close_ranges();
    }
}

/// A kept file, whatever its size; `None` if it is not there.
pub async fn ranged(path: &str, name: &str) -> Result<Option<Extent>, Problem> {
    let ranges = open_ranges(path).await.map_err(|problem| told(&problem))?;
    Ok((!ranges.is_undefined()).then(|| Ranged::extent(name, ranges.unchecked_into())))
}

/// A file that a person chose, whatever its size.
pub fn chosen(file: &Blob, name: &str) -> Extent {
    Ranged::extent(name, ranges_of(file))
}

/// All bytes of files that a person chose.
pub async fn bytes_of(files: &[Blob]) -> Result<Vec<Vec<u8>>, Problem> {
    let mut bytes = Vec::new();
    for file in files {
        let buffer = JsFuture::from(file.array_buffer()).await.map_err(|problem| {
            let said = Reflect::get(&problem, &"message".into()).ok().and_then(|message| message.as_string()).unwrap_or_default();
            let message = format!("A file could not be read: the browser says “{said}”. If it was changed or moved, choose it again.");
            Problem { kind: ProblemKind::Document, message }
        })?;
        bytes.push(Uint8Array::new(&buffer).to_vec());
    }
    Ok(bytes)
}

impl Gathered {
    /// All pieces as a file.
    pub fn extent(&self, name: &str) -> Extent {
        Ranged::extent(name, self.ranges())
    }
}

/// A file that only this tab may use while it is open.
pub struct File(Handle);

impl File {
    /// Opens a file, and makes it if it is not there.
    pub async fn create(name: &str) -> Result<Self, Problem> {
        let handle = open_file(name, true).await.map_err(|problem| told(&problem))?;
        Ok(Self(handle.unchecked_into()))
    }

    /// Its length.
    pub fn len(&self) -> u64 {
        self.0.get_size() as u64
    }

    /// All of it.
    pub fn read_all(&self) -> Result<Vec<u8>, Problem> {
        let mut bytes = Vec::new();
        self.each_piece(|piece| bytes.extend_from_slice(piece))?;
        Ok(bytes)
    }

    /// Hands out all of it, some megabytes at a time: the browser copies what it is given through memory of its own.
    pub fn each_piece(&self, mut take: impl FnMut(&[u8])) -> Result<(), Problem> {
        let mut piece = vec![0; PIECE];
        let mut at = 0.0;
        loop {
            let got = self.0.read(&mut piece, &place(at)).map_err(|problem| told(&problem))?;
            if got == 0.0 {
                return Ok(());
            }
            take(&piece[..got as usize]);
            at += got;
        }
    }

    /// Adds to its end.
    pub fn append(&self, bytes: &[u8]) -> Result<(), Problem> {
        let end = self.0.get_size();
        let wrote = self.0.write(bytes, &place(end)).map_err(|problem| told(&problem))?;
        if wrote as usize != bytes.len() {
            // Half a line would be worse than none.
            let _ = self.0.truncate(end);
            return Err(Problem { kind: ProblemKind::Storage, message: "This browser's storage for the page is full.".into() });
        }
        Ok(())
    }

    /// Makes it empty.
    pub fn clear(&self) -> Result<(), Problem> {
        self.0.truncate(0.0).map_err(|problem| told(&problem))
    }

    /// What was written is on the disk when this returns.
    pub fn flush(&self) -> Result<(), Problem> {
        self.0.flush().map_err(|problem| told(&problem))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn place(at: f64) -> JsValue {
    let options = js_sys::Object::new();
    let _ = Reflect::set(&options, &"at".into(), &at.into());
    options.into()
}

/// A file's bytes; `None` if it is not there.
pub async fn read(name: &str) -> Result<Option<Vec<u8>>, Problem> {
    let bytes = read_file(name).await.map_err(|problem| told(&problem))?;
    Ok(bytes.dyn_into::<Uint8Array>().ok().map(|bytes| bytes.to_vec()))
}

/// Writes a file whole.
pub async fn write(name: &str, bytes: &[u8]) -> Result<(), Problem> {
    write_file(name, bytes).await.map_err(|problem| told(&problem))
}

/// An entry of a folder.
pub struct Entry {
    /// Its name.
    pub name: String,
    /// `None` for a folder.
    pub bytes: Option<f64>,
}

/// What is in a folder; nothing if it is not there.
pub async fn list(name: &str) -> Result<Vec<Entry>, Problem> {
    let found = list_folder(name).await.map_err(|problem| told(&problem))?;
    let entry = |value: JsValue| {
        let fields = Array::from(&value);
        let bytes = fields.get(1).as_f64().filter(|&bytes| bytes >= 0.0);
        Some(Entry { name: fields.get(0).as_string()?, bytes })
    };
    Ok(Array::from(&found).iter().filter_map(entry).collect())
}

/// Removes a file or a folder with what is in it.
pub async fn remove(name: &str) -> Result<(), Problem> {
    remove_entry(name).await.map(drop).map_err(|problem| told(&problem))
}

/// Bytes that may be kept, and those that are.
pub async fn quota() -> Option<(f64, f64)> {
    let found = Array::from(&ask_quota().await.ok().filter(|found| !found.is_undefined())?);
    Some((found.get(0).as_f64()?, found.get(1).as_f64()?))
}
