//! A model's files: from an address into this browser's storage, piece by piece, gone on with after a break, and checked by their hash
//! before every use. None of them is ever in memory whole: they are read in ranges.
//!
//! ```text
//! models/<key>/files.json   what is here: Meta
//! models/<key>/<name>       each file
//! ```

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Reflect, Uint8Array};
use kernels::{Extent, KernelError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wasm_bindgen::prelude::*;

use super::store::{self, File, Gathered};
use crate::protocol::{KeptModel, Problem, ProblemKind, Stage};

/// Told how far a file is: stage, bytes, all bytes (0 if unknown).
pub type Told = Rc<dyn Fn(Stage, f64, f64)>;

#[wasm_bindgen(module = "/src/network.js")]
extern "C" {
    #[wasm_bindgen(js_name = fetchPieces, catch)]
    async fn fetch_pieces(
        url: &str,
        from: f64,
        tag: &str,
        begun: &Closure<dyn FnMut(JsValue)>,
        took: &Closure<dyn FnMut(Uint8Array) -> bool>,
    ) -> Result<JsValue, JsValue>;
}

/// What a model's folder holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Meta {
    /// Where it came from.
    url: String,
    /// Files, whole and begun.
    files: Vec<Kept>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    name: String,
    /// All of it; 0 while that is not known.
    bytes: f64,
    /// The server's tag, which says whether it is still the same file.
    tag: String,
    /// Hex; empty until all of it is here.
    sha256: String,
}

/// The files of one model.
pub struct Folder {
    key: String,
    meta: RefCell<Meta>,
    /// Why nothing can be kept, where that is so.
    pub unkept: RefCell<Option<String>>,
}

/// What the server said of a file.
#[derive(Clone, Debug, Default)]
struct Said {
    status: u16,
    total: f64,
    tag: String,
    resumed: bool,
}

impl Said {
    fn of(value: &JsValue) -> Self {
        let field = |name: &str| Reflect::get(value, &name.into()).unwrap_or(JsValue::UNDEFINED);
        Self {
            status: field("status").as_f64().unwrap_or(0.0) as u16,
            total: field("total").as_f64().unwrap_or(0.0),
            tag: field("tag").as_string().unwrap_or_default(),
            resumed: field("resumed").is_truthy(),
        }
    }

    /// The file's own hash, where the server's tag is one.
    fn hash(&self) -> Option<String> {
        let tag = self.tag.trim_start_matches("W/").trim_matches('"').to_lowercase();
        (tag.len() == 64 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(tag)
    }
}

impl Folder {
    /// The folder of the model at `url`.
    pub async fn open(url: &str) -> Self {
        let key = hex(&Sha256::digest(url))[..12].to_string();
        let (meta, unkept) = match store::read(&format!("models/{key}/files.json")).await {
            Ok(bytes) => (bytes.and_then(|bytes| serde_json::from_slice::<Meta>(&bytes).ok()), None),
            Err(problem) => (None, Some(problem.message)),
        };
        let meta = meta.unwrap_or_else(|| Meta { url: url.into(), files: Vec::new() });
        Self { key, meta: meta.into(), unkept: unkept.into() }
    }

    fn path(&self, name: &str) -> String {
        format!("models/{}/{name}", self.key)
    }

    fn kept(&self, name: &str) -> Option<Kept> {
        self.meta.borrow().files.iter().find(|file| file.name == name).cloned()
    }

    async fn keep(&self, kept: Kept) -> Result<(), Problem> {
        let bytes = {
            let mut meta = self.meta.borrow_mut();
            meta.files.retain(|file| file.name != kept.name);
            meta.files.push(kept);
            serde_json::to_vec(&*meta).unwrap_or_default()
        };
        store::write(&self.path("files.json"), &bytes).await
    }

    /// A file, from the disk where all of it is there and sound, else from `url`. `None` where the server has no such file and `optional`.
    pub async fn file(&self, name: &str, url: &str, optional: bool, told: &Told) -> Result<Option<Extent>, Problem> {
        if self.unkept.borrow().is_none() {
            match self.kept_file(name, told).await {
                Ok(Some(file)) => return Ok(Some(file)),
                Ok(None) => {}
                Err(problem) if problem.kind == ProblemKind::OtherTab => return Err(problem),
                Err(problem) => *self.unkept.borrow_mut() = Some(problem.message),
            }
        }
        let file = match self.unkept.borrow().is_none() {
            true => File::create(&self.path(name)).await.map(Some),
            false => Ok(None),
        };
        match file {
            Ok(file) => self.get(name, url, optional, file, told).await,
            Err(problem) if problem.kind == ProblemKind::OtherTab => Err(problem),
            Err(problem) => {
                *self.unkept.borrow_mut() = Some(problem.message);
                self.get(name, url, optional, None, told).await
            }
        }
    }

    /// A file that is here whole, if its hash is what it was.
    async fn kept_file(&self, name: &str, told: &Told) -> Result<Option<Extent>, Problem> {
        let Some(kept) = self.kept(name).filter(|kept| !kept.sha256.is_empty()) else { return Ok(None) };
        let Some(file) = store::ranged(&self.path(name), name).await? else { return Ok(None) };
        let (mut hash, mut buffer) = (Sha256::new(), Vec::new());
        for range in file.pieces(1) {
            // What cannot be read is fetched again.
            let Ok(piece) = file.get(range.clone(), &mut buffer) else { return Ok(None) };
            hash.update(piece);
            told(Stage::Check, range.end as f64, file.len() as f64);
            store::breathe().await;
        }
        Ok((hex(&hash.finalize()) == kept.sha256).then_some(file))
    }

    /// From the network, into `file` if there is one.
    async fn get(&self, name: &str, url: &str, optional: bool, file: Option<File>, told: &Told) -> Result<Option<Extent>, Problem> {
        let begun = self.kept(name).filter(|kept| kept.sha256.is_empty() && !kept.tag.is_empty());
        let mut hash = Sha256::new();
        let mut from = 0.0;
        match (&file, &begun) {
            (Some(file), Some(_)) if file.len() > 0 => {
                file.each_piece(|piece| hash.update(piece))?;
                from = file.len() as f64;
            }
            (Some(file), _) => file.clear()?,
            _ => {}
        }
        let tag = begun.map(|kept| kept.tag).unwrap_or_default();
        let state = Rc::new(Getting {
            file,
            gathered: Gathered::new(),
            hash: hash.into(),
            done: Cell::new(from),
            said: RefCell::default(),
            problem: RefCell::default(),
        });
        let at_begin = {
            let state = state.clone();
            Closure::new(move |value: JsValue| state.begin(Said::of(&value)))
        };
        let at_piece = {
            let (state, told) = (state.clone(), told.clone());
            Closure::new(move |piece: Uint8Array| {
                let going_on = state.take(&piece);
                told(Stage::Download, state.done.get(), state.said.borrow().total);
                going_on
            })
        };
        let answer = fetch_pieces(url, from, &tag, &at_begin, &at_piece).await;
        drop((at_begin, at_piece));
        if let Some(problem) = state.problem.borrow_mut().take() {
            return Err(problem);
        }
        let said = match answer {
            Ok(said) => Said::of(&said),
            Err(problem) => {
                // What came is kept, with the tag by which it can be gone on with.
                let said = state.said.borrow().clone();
                if state.file.is_some() && !said.tag.is_empty() {
                    self.keep(Kept { name: name.into(), bytes: said.total, tag: said.tag, sha256: String::new() }).await?;
                }
                let reason = store::told(&problem).message;
                return Err(Problem {
                    kind: ProblemKind::Network,
                    message: format!("{name} could not be fetched: {reason} What came is kept; loading again goes on from there."),
                });
            }
        };
        match said.status {
            200 | 206 => {}
            404 | 403 if optional => {
                drop(state);
                let _ = store::remove(&self.path(name)).await;
                return Ok(None);
            }
            status => {
                return Err(Problem { kind: ProblemKind::Network, message: format!("The server answered {status} for {url}.") });
            }
        }
        let found = hex(&state.hash.borrow().clone().finalize());
        let done = state.done.get();
        let short = said.total > 0.0 && done != said.total;
        let wrong = said.hash().is_some_and(|hash| hash != found);
        if short || wrong {
            if let Some(file) = &state.file {
                file.clear()?;
            }
            let why =
                if short { format!("{done} of {} bytes came", said.total) } else { "its hash is not the one that the server names".into() };
            return Err(Problem { kind: ProblemKind::Model, message: format!("{name} came damaged: {why}. Load it again.") });
        }
        let Some(file) = &state.file else { return Ok(Some(state.gathered.extent(name))) };
        file.flush()?;
        self.keep(Kept { name: name.into(), bytes: done, tag: said.tag, sha256: found }).await?;
        // Nobody else could read it while it was open for writing.
        drop(state);
        let gone = || Problem { kind: ProblemKind::Model, message: format!("{name} was let go while it was loaded. Load it again.") };
        store::ranged(&self.path(name), name).await?.ok_or_else(gone).map(Some)
    }
}

/// A file as its pieces come in.
struct Getting {
    file: Option<File>,
    /// Where there is no file.
    gathered: Gathered,
    hash: RefCell<Sha256>,
    done: Cell<f64>,
    said: RefCell<Said>,
    problem: RefCell<Option<Problem>>,
}

impl Getting {
    fn begin(&self, said: Said) {
        if !said.resumed && self.done.get() > 0.0 {
            // The file is another by now, or the server gives no parts: all of it anew.
            *self.hash.borrow_mut() = Sha256::new();
            self.done.set(0.0);
            self.gathered.clear();
            if let Some(Err(problem)) = self.file.as_ref().map(File::clear) {
                *self.problem.borrow_mut() = Some(problem);
            }
        }
        *self.said.borrow_mut() = said;
    }

    /// False ends the download.
    fn take(&self, piece: &Uint8Array) -> bool {
        if self.problem.borrow().is_some() {
            return false;
        }
        let bytes = piece.to_vec();
        match &self.file {
            Some(file) => {
                if let Err(problem) = file.append(&bytes) {
                    *self.problem.borrow_mut() = Some(problem);
                    return false;
                }
            }
            None => self.gathered.add(piece),
        }
        self.hash.borrow_mut().update(&bytes);
        self.done.set(self.done.get() + f64::from(piece.length()));
        true
    }
}

/// What a file that cannot be read means.
pub fn unread(problem: KernelError) -> Problem {
    Problem { kind: ProblemKind::Model, message: format!("{problem}.") }
}

/// The models that are here.
pub async fn kept() -> Vec<KeptModel> {
    let mut models = Vec::new();
    for folder in store::list("models").await.unwrap_or_default() {
        let read = store::read(&format!("models/{}/files.json", folder.name)).await.ok().flatten();
        let Some(meta) = read.and_then(|bytes| serde_json::from_slice::<Meta>(&bytes).ok()) else { continue };
        let files = store::list(&format!("models/{}", folder.name)).await.unwrap_or_default();
        let bytes = files.iter().filter_map(|file| file.bytes).sum();
        let whole = !meta.files.is_empty() && meta.files.iter().all(|file| !file.sha256.is_empty());
        models.push(KeptModel { key: folder.name, url: meta.url, bytes, whole });
    }
    models
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
