//! What the page and the worker say to each other, and the inspector and the page's reader. All ends are of one build, so a message is a value of
//! these types, carried by serde-wasm-bindgen; a file's bytes go beside it, handed over and not copied.

use data::{Citation, Document, ReadEvent, Span};
use serde::{Deserialize, Serialize};

/// What a reader on the page asks for. Every request has a number, and that of its reader, whose documents and model it is about; each [`Event`] names the request it belongs to, and the last one of a request is
/// [`Event::Done`], [`Event::Stopped`] or [`Event::Failed`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// What can this browser do, and what is kept here?
    Hello,
    /// Make a model ready. The one before is let go.
    Load {
        /// Which.
        model: ModelChoice,
        /// Where it computes.
        device: DeviceChoice,
    },
    /// Let a kept model go from this browser's disk.
    DeleteModel {
        /// [`KeptModel::key`].
        key: String,
    },
    /// A document of the generated world and a question about it.
    Sample {
        /// The world's seed.
        seed: u64,
        /// The document's length.
        words: usize,
    },
    /// Put back what a page has open, for the engine that had it is gone. Says nothing of it: the page shows it.
    Restore {
        /// Their texts.
        documents: Vec<Document>,
        /// [`KeptRead::key`], where something was read.
        key: Option<String>,
    },
    /// Turn files into text; their bytes go beside the message, in this order.
    Open {
        /// File names.
        names: Vec<String>,
    },
    /// Open a read that was kept in a file (`.longhand`), whose bytes go beside the message. Needs no model.
    OpenRead,
    /// Go on with a read that this browser keeps.
    OpenKept {
        /// [`KeptRead::key`].
        key: String,
    },
    /// Let a kept read go.
    DeleteRead {
        /// [`KeptRead::key`].
        key: String,
    },
    /// Read the open documents for these questions, or go on with the same read where it stopped.
    Read {
        /// As asked; none for an outline.
        questions: Vec<String>,
        /// Tokens of a section; as the window allows unless told otherwise.
        chunk: Option<usize>,
    },
    /// A further question to what was read.
    Ask {
        /// As asked.
        question: String,
        /// Read the sections again that the notes leave open.
        reread: bool,
    },
    /// A person changes the notes after the last section that was read. Needs no model.
    Edit {
        /// Which question, 0-based.
        question: usize,
        /// The notes.
        memory: String,
    },
    /// Take the last change of a question's notes back.
    Undo {
        /// Which question, 0-based.
        question: usize,
    },
    /// Answer a question again, from the notes as they are now.
    Again {
        /// Which question, 0-based.
        question: usize,
    },
    /// Continue a prompt, without a document.
    Generate {
        /// One user message.
        prompt: String,
        /// Upper bound of the reply, in tokens.
        max_tokens: usize,
    },
    /// The read as a file.
    Export {
        /// In which form.
        form: Form,
    },
    /// Try a row of a dataset on the model, as the checks of `longhand synth run` do; the row's line goes beside the message.
    Try {
        /// With which documents.
        way: Way,
        /// How often.
        tries: u64,
        /// Tokens of a reply at most.
        reply: usize,
    },
    /// Make rows from the facts of files, without a model; their bytes go beside the message.
    MakeRows {
        /// File names.
        names: Vec<String>,
        /// Rows of each kind.
        count: usize,
        /// What every random choice follows from.
        seed: u64,
    },
    /// End what is going on; what was read stays.
    Stop,
    /// The reader is gone from its page.
    Close,
}

/// The documents of a [`Request::Try`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// None.
    ClosedBook,
    /// Those that the answer follows from.
    WithEvidence,
    /// The row's own prompt.
    Robust,
}

/// A form of [`Request::Export`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// One page that needs nothing else.
    Html,
    /// Markdown.
    Markdown,
    /// Everything as JSON.
    Json,
    /// The read itself, to be opened again.
    Longhand,
}

/// Who reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum ModelChoice {
    /// The demonstration model of this project, from a folder beside the page. It reads nothing but the generated world.
    Tiny {
        /// Its folder's address, with a slash at the end.
        base: String,
    },
    /// A folder of a model (`config.json`, `tokenizer.json`, `model.safetensors`) or a `.gguf` file at an address.
    Address {
        /// The folder's address with a slash at the end, or the file's.
        url: String,
    },
    /// Files that were chosen on this computer; their bytes go beside the message.
    Files {
        /// File names.
        names: Vec<String>,
    },
    /// An OpenAI-compatible server. What is read is sent to it.
    Server {
        /// `https://host/v1`
        url: String,
        /// The model's name there.
        model: String,
        /// Sent as a bearer token; may be empty.
        key: String,
    },
}

impl ModelChoice {
    /// Whether documents leave this tab with it.
    pub fn sends(&self) -> bool {
        matches!(self, Self::Server { .. })
    }
}

/// Where a model computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChoice {
    /// WebGPU where it passes its test, the CPU otherwise; the answer says which and why.
    #[default]
    Auto,
    /// WebGPU or an error.
    Gpu,
    /// The CPU.
    Cpu,
}

/// What the worker says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The answer to [`Request::Hello`].
    Machine {
        /// The WebGPU adapter, `None` without one.
        adapter: Option<String>,
        /// Bytes that this browser lets the page keep, and those it keeps.
        quota: Option<(f64, f64)>,
        /// Models on this browser's disk.
        models: Vec<KeptModel>,
        /// Reads on this browser's disk, latest first.
        reads: Vec<KeptRead>,
        /// Who shares the engine.
        sharing: Sharing,
    },
    /// A model on its way.
    Loading {
        /// What is being done.
        stage: Stage,
        /// Bytes (or tokens) done.
        done: f64,
        /// Of so many; 0 is not known.
        total: f64,
    },
    /// A model is ready.
    Ready(ModelInfo),
    /// Documents are open.
    Opened(OpenedInfo),
    /// What is open is kept under this key from now on.
    Kept {
        /// [`KeptRead::key`].
        key: String,
    },
    /// Another reader, of this page or of another tab, is at the same read: this one goes on when that one has ended.
    Waits,
    /// A read's questions, those asked later included, in the order they are numbered.
    Questions {
        /// As asked.
        questions: Vec<String>,
    },
    /// A read begins, or goes on.
    Planned {
        /// Sections; 0 for a single pass.
        chunks: usize,
        /// Read before.
        resumed: usize,
        /// Document tokens.
        tokens: usize,
    },
    /// A section's turn begins.
    Turn {
        /// Which question, 0-based.
        question: usize,
        /// Which section, 0-based.
        index: usize,
    },
    /// More of the reply that is being written.
    Text {
        /// Its next piece.
        text: String,
    },
    /// A line of a question's log, with what the documents say to its notes or answer.
    Log {
        /// Which question, 0-based.
        question: usize,
        /// The line.
        line: Box<ReadEvent>,
        /// Of its memory or its answer.
        citations: Vec<Citation>,
    },
    /// What was read, when a question's read is over.
    Coverage {
        /// Which question, 0-based.
        question: usize,
        /// Bytes read.
        covered: usize,
        /// All bytes.
        bytes: usize,
        /// What was not read.
        skipped: Vec<Span>,
    },
    /// The notes do not hold the answer of [`Request::Ask`]; these sections would be read again.
    NotInNotes {
        /// How much of what the question names the notes name, 0 to 1.
        share: f32,
        /// What [`Request::Ask`] with `reread` would read.
        sections: Vec<Span>,
    },
    /// The reply to [`Request::Generate`].
    Generated {
        /// All of it.
        text: String,
        /// The prompt's tokens and the reply's.
        tokens: (usize, usize),
        /// The reply's tokens, where the model is here.
        ids: Vec<u32>,
    },
    /// A reply to [`Request::Try`].
    Tried {
        /// Its number, which is its seed.
        number: u64,
        /// All of it.
        text: String,
        /// Its tokens with their log-probabilities at the sampling temperature, where the model tells.
        tokens: Vec<(String, f32)>,
        /// Whether the row's rule says that it is right.
        right: bool,
        /// The prompt's tokens and the reply's.
        usage: (usize, usize),
        /// Seconds it took.
        seconds: f64,
    },
    /// What came of [`Request::MakeRows`].
    Made {
        /// A row a line.
        rows: String,
        /// A dropped candidate a line.
        rejects: String,
        /// What became of all, as JSON.
        report: String,
    },
    /// A file to be saved.
    File {
        /// Its name.
        name: String,
        /// Its media type.
        media: String,
        /// What stands in it.
        text: String,
    },
    /// The request is done.
    Done,
    /// The request was stopped; everything up to then is kept.
    Stopped,
    /// The request failed; everything up to then is kept.
    Failed(Problem),
}

/// What a [`Event::Loading`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Bytes from the network.
    Download,
    /// Bytes from this browser's disk, with their hash.
    Check,
    /// Bytes to the device.
    Load,
    /// A known answer is computed.
    Test,
}

/// What went wrong, and what can be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What the page can offer help for.
    pub kind: ProblemKind,
    /// What happened, a sentence or two.
    pub message: String,
}

/// Kinds that the page has something to offer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// No WebGPU here, or its adapter is too small or gives wrong results.
    Device,
    /// The device was lost or is out of memory.
    Lost,
    /// The network failed.
    Network,
    /// This browser's disk is full, or may not be used.
    Storage,
    /// Another tab has this read open.
    OtherTab,
    /// The engine is gone, and with it what was asked of it.
    Moved,
    /// A model's files are damaged or of another kind.
    Model,
    /// A document cannot be read.
    Document,
    /// The model does not understand this document.
    Foreign,
    /// Anything else.
    Other,
}

/// A model that is ready.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelInfo {
    /// For people, with its format and device.
    pub name: String,
    /// Parameters, where the model is here.
    pub parameters: Option<f64>,
    /// Tokens of one call.
    pub window: usize,
    /// Tokens of a section unless told otherwise.
    pub chunk: usize,
    /// The demonstration model, which knows nothing but the generated world.
    pub tiny: bool,
    /// What is read is sent to this server.
    pub server: Option<String>,
    /// `true` where WebGPU computes.
    pub gpu: bool,
    /// Why not WebGPU, where it was wanted.
    pub remark: Option<String>,
    /// Tokens a second that the test took, prompt and reply together.
    pub speed: Option<f64>,
}

/// A reader's model and how far it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    /// None was chosen.
    #[default]
    None,
    /// On its way.
    Loading {
        /// What is being done.
        stage: Stage,
        /// Done.
        done: f64,
        /// Of so many; 0 is not known.
        total: f64,
    },
    /// Ready.
    Ready(ModelInfo),
}

/// Documents that are open.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OpenedInfo {
    /// Their texts with the way back to page, line or cell.
    pub documents: Vec<Document>,
    /// Tokens, about.
    pub tokens: usize,
    /// What a person should know about the conversion.
    pub remarks: Vec<String>,
    /// Written in nothing but the generated world's words, so that the demonstration model may read it.
    pub generated: bool,
    /// A question that goes with it.
    pub question: Option<String>,
    /// The right answer, where it is known.
    pub answer: Option<String>,
    /// The key under which this read is kept.
    pub key: Option<String>,
}

/// Who shares an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sharing {
    /// Readers of this page and of other tabs.
    pub readers: usize,
    /// Models that are loaded: each is there once, however many read with it.
    pub models: usize,
}

/// A model on this browser's disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptModel {
    /// Its folder.
    pub key: String,
    /// Its address.
    pub url: String,
    /// On the disk.
    pub bytes: f64,
    /// All of it is here.
    pub whole: bool,
}

/// A read on this browser's disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptRead {
    /// Its folder.
    pub key: String,
    /// What was read.
    pub name: String,
    /// As asked.
    pub questions: Vec<String>,
    /// Sections read of all.
    pub read: (usize, usize),
    /// Milliseconds since 1970.
    pub changed: f64,
    /// On the disk.
    #[serde(default)]
    pub bytes: f64,
}
