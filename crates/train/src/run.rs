//! A run as a folder: what was asked for, what happened, and what to go on from. Killed at any moment, it resumes where its newest
//! checkpoint is, and its log reads as if nothing had happened.
//!
//! ```text
//! run/
//!   config.toml      as the run was started or last resumed
//!   events.jsonl     data::TrainEvent, one a line (events.lock: held by the process that writes the run)
//!   checkpoint/      step-000123/ …
//!   tensorboard/     the same scalars for TensorBoard
//!   report.html      all of it as one page
//! ```

pub mod checkpoint;
mod error;
pub mod events;
mod identity;
pub mod report;
pub mod tensorboard;
pub mod view;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use data::{TrainEvent, TrainState};

use checkpoint::{Checkpoint, Keep, Saved, Scan, Store, Writer};
pub use error::{Result, RunError};
use events::{Cut, EventLog};
pub use identity::Identity;
use tensorboard::EventFile;

/// A run that this process writes.
pub struct Run {
    folder: PathBuf,
    identity: Identity,
    log: EventLog,
    board: EventFile,
    store: Store,
    keep: Keep,
}

/// What a run that was opened goes on from.
pub struct Resumption {
    /// The newest complete checkpoint, if there is one; without one the run begins at step 0.
    pub checkpoint: Option<Checkpoint>,
    /// What was taken back from the log.
    pub cut: Cut,
    /// Checkpoints that are not complete and were passed over, to be told.
    pub skipped: Vec<RunError>,
    /// The last events of the log, up to the checkpoint: empty for a run that begins.
    pub events: Vec<TrainEvent>,
}

impl Run {
    /// Opens the run in `folder`, or begins one: the same call for both. The first event to [`Run::record`] is `Started` if
    /// [`Resumption::events`] is empty and `Resumed` otherwise.
    ///
    /// Errors when another process writes it, when its newest complete checkpoint is damaged, or when that is of another configuration or
    /// base; then no step was taken back.
    pub fn open(folder: &Path, identity: Identity, keep: Keep) -> Result<(Self, Resumption)> {
        fs::create_dir_all(folder).map_err(RunError::io(folder))?;
        let (mut log, mut events) = EventLog::open(&folder.join("events.jsonl"))?;
        let store = Store::new(folder.join("checkpoint"));
        store.tidy()?;
        let Scan { complete, skipped } = store.scan()?;
        let checkpoint = complete.first().map(|newest| Checkpoint::open(&newest.path, &identity)).transpose()?;
        let step = checkpoint.as_ref().map(|checkpoint| checkpoint.state().step);
        if let (None, Some(events::Logged { event: TrainEvent::Started(start), .. })) = (&checkpoint, events.first()) {
            // Nothing was saved yet; still a folder belongs to one run.
            identity.check(folder, &start.config, identity.base())?;
        }
        let cut = log.cut(&mut events, step)?;
        write_whole(&folder.join("config.toml"), identity.config().as_bytes())?;
        let board = EventFile::create(&folder.join("tensorboard"), step.unwrap_or(0), now())?;
        let events: Vec<TrainEvent> = events.into_iter().map(|logged| logged.event).collect();
        let mut run = Self { folder: folder.to_path_buf(), identity, log, board, store, keep };
        // Killed between the checkpoint and the line that tells of it.
        let told = |at: u64| events.iter().any(|event| matches!(event, TrainEvent::Checkpoint { step, .. } if *step == at));
        if let Some(at) = step.filter(|&at| !events.is_empty() && !told(at)) {
            let path = run.store.folder().join(checkpoint::folder_name(at));
            let files = fs::read_dir(&path).map_err(RunError::io(&path))?;
            let bytes = files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum();
            run.record(&TrainEvent::Checkpoint { step: at, folder: checkpoint::folder_name(at), bytes, seconds: 0.0 })?;
        }
        Ok((run, Resumption { checkpoint, cut, skipped, events }))
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its checkpoints.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Writes an event to the log and its scalars for TensorBoard.
    pub fn record(&mut self, event: &TrainEvent) -> Result<()> {
        self.log.append(event)?;
        if !matches!(event, TrainEvent::Step(_) | TrainEvent::Rl(_)) {
            // Steps since the last checkpoint are lost with the machine anyhow; waiting for the disk at each would slow small models.
            self.log.sync()?;
        }
        self.board.append(event, now())
    }

    /// Saves a checkpoint of `state`; `tensors` writes its files of tensors. Records it, and removes those that are not to be kept.
    ///
    /// Validate and sample at a step before saving it: what is recorded of the step by then is kept when the run resumes there.
    pub fn save<E: From<RunError>>(
        &mut self,
        state: TrainState,
        tensors: impl FnOnce(&mut Writer) -> Result<(), E>,
    ) -> Result<(Saved, TrainEvent), E> {
        let since = Instant::now();
        // A checkpoint must not be ahead of the log.
        self.log.sync()?;
        let mut writer = self.store.begin(&self.identity, state)?;
        tensors(&mut writer)?;
        let saved = writer.finish()?;
        self.store.keep(&self.keep)?;
        let folder = checkpoint::folder_name(saved.step);
        let event = TrainEvent::Checkpoint { step: saved.step, folder, bytes: saved.bytes, seconds: since.elapsed().as_secs_f32() };
        self.record(&event)?;
        Ok((saved, event))
    }

    /// Writes `report.html` from the log; where it is.
    pub fn report(&mut self) -> Result<PathBuf> {
        self.log.sync()?;
        report::write(&self.folder)
    }
}

/// Unix seconds.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// A file that is there whole, or as it was before.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let io = RunError::io(path);
    let temp = path.with_extension("tmp");
    let mut file = fs::File::create(&temp).map_err(&io)?;
    let written = std::io::Write::write_all(&mut file, bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temp, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&temp);
        io(error)
    })
}
