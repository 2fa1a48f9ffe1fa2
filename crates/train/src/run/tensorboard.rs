//! The scalars of a run as TensorBoard reads them: TFRecords of `Event` messages, both written by hand.
//!
//! A record is `u64 length · u32 masked CRC-32C of those 8 bytes · data · u32 masked CRC-32C of data`, little-endian
//! (tensorflow/core/lib/io/record_writer.h). Field numbers are those of tensorflow/core/util/event.proto and
//! tensorflow/core/framework/summary.proto.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use data::{RlStep, RlValidation, TrainEvent};

use super::error::{Result, RunError};
use super::view::rollout_rate;

/// A file of events that grows with the run. Each start and each resumption has a file of its own: TensorBoard reads them in the order of
/// their names, and a later one takes back the steps that a kill made the run take again.
pub struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// A new file in `folder`, for what comes after step `step`, at `time` (Unix seconds).
    pub fn create(folder: &Path, step: u64, time: f64) -> Result<Self> {
        fs::create_dir_all(folder).map_err(RunError::io(folder))?;
        let path = folder.join(next_name(folder, time as u64)?);
        let mut file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(RunError::io(&path))?;
        let mut begin = record(&event(time, 0, FILE_VERSION, b"brain.Event:2"));
        // What older files have of this step and later ones no longer counts.
        begin.extend(record(&event(time, step.saturating_add(1), SESSION_LOG, &varint_field(1, SESSION_START))));
        file.write_all(&begin).map_err(RunError::io(&path))?;
        Ok(Self { file, path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds the scalars of `event`, which happened at `time` (Unix seconds); events without any are left out.
    pub fn append(&mut self, event: &TrainEvent, time: f64) -> Result<()> {
        let scalars = scalars(event);
        if scalars.is_empty() {
            return Ok(());
        }
        let summary: Vec<u8> = scalars.iter().flat_map(|(tag, value)| bytes_field(1, &scalar(tag, *value))).collect();
        self.file.write_all(&record(&self::event(time, event.step(), SUMMARY, &summary))).map_err(RunError::io(&self.path))
    }
}

/// Tags and values.
type Scalars = Vec<(Cow<'static, str>, f32)>;

fn scalars(event: &TrainEvent) -> Scalars {
    match event {
        TrainEvent::Step(step) => named([
            ("loss", Some(step.loss)),
            ("grad_norm", Some(step.grad_norm)),
            ("lr", Some(step.lr)),
            ("tokens_per_second", Some(step.tokens_per_second)),
        ]),
        TrainEvent::Validation { loss, .. } => named([("validation/loss", Some(*loss))]),
        TrainEvent::Rl(step) => rl(step),
        TrainEvent::RlValidation(validation) => rl_validation(validation),
        _ => vec![],
    }
}

/// Those that have a value.
fn named<const N: usize>(values: [(&'static str, Option<f32>); N]) -> Scalars {
    values.into_iter().filter_map(|(tag, value)| Some((tag.into(), value?))).collect()
}

/// What was not measured has no point: the reward where no rollout has one, gradient and mismatch where nothing was updated, a task of which
/// nothing was drawn.
fn rl(step: &RlStep) -> Scalars {
    let share = |count: u64, of: u64| (of > 0).then(|| count as f32 / of as f32);
    let updated = step.skipped.is_none();
    let mut scalars = named([
        ("reward", (step.failed < step.rollouts).then_some(step.reward)),
        ("entropy", (step.rollouts > 0).then_some(step.entropy)),
        ("aepo/low", step.thresholds.map(|(low, _)| low)),
        ("aepo/high", step.thresholds.map(|(_, high)| high)),
        ("aepo/masking", Some(f32::from(u8::from(step.masking)))),
        ("clip_threshold", step.clip_threshold),
        ("response_length", share(step.completion_tokens, step.rollouts)),
        ("share/masked", share(step.masked, step.rollouts)),
        ("share/zero_variance", share(step.zero_variance, step.groups)),
        ("share/truncated", share(step.truncated, step.rollouts)),
        ("share/failed", share(step.failed, step.rollouts)),
        ("skipped", Some(f32::from(u8::from(!updated)))),
        ("grad_norm", updated.then_some(step.grad_norm)),
        ("mismatch", updated.then_some(step.mismatch)),
        ("lr", Some(step.lr)),
        ("seconds/rollout", Some(step.rollout_seconds)),
        ("seconds/reward", Some(step.reward_seconds)),
        ("seconds/update", Some(step.update_seconds)),
        ("tokens_per_second", rollout_rate(step)),
    ]);
    for task in step.tasks.iter().filter(|task| task.rollouts > 0) {
        let of = |name: &str, value| (format!("task/{}/{name}", task.task).into(), value);
        scalars.extend([
            of("reward", task.reward),
            of("deviation", task.deviation),
            of("entropy", task.entropy),
            of("response_length", task.tokens),
            of("zero_variance", task.zero_variance),
            of("truncated", task.truncated),
            of("masked", task.masked),
        ]);
    }
    scalars
}

fn rl_validation(validation: &RlValidation) -> Scalars {
    let mut scalars = named([
        ("validation/reward", Some(validation.reward)),
        ("validation/margin", Some(validation.margin)),
        ("validation/seconds", Some(validation.seconds)),
    ]);
    for task in validation.tasks.iter().filter(|task| task.rollouts > 0) {
        let of = |name: &str, value| (format!("validation/task/{}/{name}", task.task).into(), value);
        scalars.extend([of("reward", task.reward), of("response_length", task.tokens), of("truncated", task.truncated)]);
    }
    scalars
}

/// A name after all that are there, whatever the clock says.
fn next_name(folder: &Path, time: u64) -> Result<String> {
    let mut latest = (time, 0);
    for entry in fs::read_dir(folder).map_err(RunError::io(folder))? {
        let name = entry.map_err(RunError::io(folder))?.file_name();
        let numbers = || name.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split_once('.');
        if let Some((Ok(time), Ok(number))) = numbers().map(|(time, number)| (time.parse::<u64>(), number.parse::<u64>())) {
            latest = latest.max((time, number.saturating_add(1)));
        }
    }
    Ok(format!("{PREFIX}{:010}.{:06}{SUFFIX}", latest.0, latest.1))
}

const PREFIX: &str = "events.out.tfevents.";
const SUFFIX: &str = ".longhand";

// Fields of Event.
const FILE_VERSION: u64 = 3;
const SUMMARY: u64 = 5;
const SESSION_LOG: u64 = 7;
/// SessionLog.SessionStatus.START
const SESSION_START: u64 = 1;

/// An Event: wall_time = 1, step = 2, and one field of bytes.
fn event(time: f64, step: u64, field: u64, value: &[u8]) -> Vec<u8> {
    let mut out = vec![1 << 3 | 1];
    out.extend(time.to_le_bytes());
    if step > 0 {
        // A field that is 0 is left out, as proto3 does.
        out.extend(varint_field(2, step));
    }
    out.extend(bytes_field(field, value));
    out
}

/// A Summary.Value: tag = 1, simple_value = 2.
fn scalar(tag: &str, value: f32) -> Vec<u8> {
    let mut out = bytes_field(1, tag.as_bytes());
    out.push(2 << 3 | 5);
    out.extend(value.to_le_bytes());
    out
}

fn bytes_field(field: u64, value: &[u8]) -> Vec<u8> {
    let mut out = varint(field << 3 | 2);
    out.extend(varint(value.len() as u64));
    out.extend(value);
    out
}

fn varint_field(field: u64, value: u64) -> Vec<u8> {
    let mut out = varint(field << 3);
    out.extend(varint(value));
    out
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = vec![];
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A TFRecord.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut out = length.to_vec();
    out.extend(masked(crc32c(&length)).to_le_bytes());
    out.extend(data);
    out.extend(masked(crc32c(data)).to_le_bytes());
    out
}

/// A checksum as it is stored: turned and moved, so that the checksum of a record that holds one is not trivial.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), reflected.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| crc >> 8 ^ TABLE[((crc ^ u32::from(byte)) & 0xff) as usize])
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_rfc_3720() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
    }

    #[test]
    fn numbers_have_as_many_bytes_as_they_need() {
        assert_eq!(varint(0), [0]);
        assert_eq!(varint(300), [0xac, 0x02]);
        assert_eq!(varint(u64::MAX).len(), 10);
    }

    #[test]
    fn a_later_file_has_a_later_name() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = [100.0, 100.5, 50.0, 200.0]
            .into_iter()
            .map(|time| EventFile::create(folder.path(), 0, time).unwrap().path().to_path_buf())
            .collect();
        assert!(paths.is_sorted() && paths.windows(2).all(|two| two[0] != two[1]), "{paths:?}");
    }
}
