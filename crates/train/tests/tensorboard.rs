//! Event files against those of TensorBoard's own writer, byte for byte, and read by TensorBoard itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use data::{TrainEvent, TrainStep};
use train::run::tensorboard::EventFile;

fn step(step: u64, loss: f32, grad_norm: f32) -> TrainEvent {
    TrainEvent::Step(TrainStep {
        step,
        loss,
        grad_norm,
        lr: 1e-4,
        tokens: 64,
        loss_tokens: 32,
        seconds: 0.5,
        tokens_per_second: 1840.25,
        peak_memory: 1,
        mfu: None,
    })
}

fn validation(step: u64, loss: f32) -> TrainEvent {
    TrainEvent::Validation { step, loss, tokens: 1, perplexity: 1.0, seconds: 0.0 }
}

/// Written by `tensorboard.summary.writer.record_writer.RecordWriter` of TensorBoard 2.21.0 from `Event`s with: file_version
/// "brain.Event:2"; step 301, session_log START; step 301 and the four scalars; step 301 and validation/loss 0.
const THEIRS: &str = "\
1800000000000000a37f4b2209000010402049da411a0d627261696e2e4576656e743a327b854a4b100000000000000095fbfe1809000010402049da\
4110ad023a0208015988ffda520000000000000025eb07b709000060402049da4110ad022a440a0b0a046c6f737315000020400a100a09677261645f\
6e6f726d150000807f0a090a026c721517b7d1380a180a11746f6b656e735f7065725f7365636f6e64150008e644141f8e392600000000000000734f\
e300090000a0402049da4110ad022a180a160a0f76616c69646174696f6e2f6c6f7373150000000074a739ba";

#[test]
fn a_file_has_the_bytes_of_tensorboards_own_writer() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = EventFile::create(folder.path(), 300, 1_764_000_000.25).unwrap();
    file.append(&step(301, 2.5, f32::INFINITY), 1_764_000_001.5).unwrap();
    file.append(&TrainEvent::Sample { step: 301, prompt: "p".into(), completion: "c".into() }, 1_764_000_002.0).unwrap();
    file.append(&validation(301, 0.0), 1_764_000_002.5).unwrap();
    let ours: String = fs::read(file.path()).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(ours, THEIRS);
}

/// Prints every scalar as `tag step value`, a run's files as TensorBoard reads them.
const READER: &str = "
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
read = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0}); read.Reload()
for tag in sorted(read.Tags()['scalars']):
    for event in read.Scalars(tag): print(tag, event.step, repr(event.value))
";

#[test]
#[ignore = "needs Python with the package tensorboard: LONGHAND_TENSORBOARD_PYTHON=python3 cargo test -p longhand-train --test tensorboard -- --ignored"]
fn tensorboard_reads_our_files() {
    let python = std::env::var("LONGHAND_TENSORBOARD_PYTHON").expect("LONGHAND_TENSORBOARD_PYTHON names a Python with tensorboard");
    let read = |folder: &Path| {
        let output = Command::new(&python).args(["-c", READER]).arg(folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let mut first = EventFile::create(folder.path(), 0, 100.0).unwrap();
    first.append(&validation(0, 3.0), 100.0).unwrap();
    (1..=5).for_each(|n| first.append(&step(n, 3.0 - 0.25 * n as f32, 1.5), 100.0 + n as f64).unwrap());
    let of_loss = |said: &str| said.lines().filter(|line| line.starts_with("loss ")).map(str::to_string).collect::<Vec<_>>();
    let said = read(folder.path());
    assert_eq!(of_loss(&said), ["loss 1 2.75", "loss 2 2.5", "loss 3 2.25", "loss 4 2.0", "loss 5 1.75"]);
    assert!(
        said.contains("validation/loss 0 3.0\n") && said.contains("tokens_per_second 5 1840.25\n") && said.contains("grad_norm 1 1.5\n")
    );

    // Killed after step 5, resumed after step 3: steps 4 and 5 are those taken again.
    let mut second = EventFile::create(folder.path(), 3, 99.0).unwrap();
    (4..=6).for_each(|n| second.append(&step(n, 1.0, 1.5), 200.0 + n as f64).unwrap());
    assert_eq!(of_loss(&read(folder.path())), ["loss 1 2.75", "loss 2 2.5", "loss 3 2.25", "loss 4 1.0", "loss 5 1.0", "loss 6 1.0"]);

    // A fault in one byte: the record, and what comes after it in that file, is refused.
    let bytes = fs::read(second.path()).unwrap();
    let place = bytes.windows(4).rposition(|four| four == 1.0f32.to_le_bytes()).unwrap();
    for at in [place, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(second.path(), changed).unwrap();
        assert!(!read(folder.path()).contains("loss 6"), "a changed byte {at} of {} was taken", bytes.len());
    }
    // A record that a kill tore ends the file, no more.
    fs::write(second.path(), &bytes[..bytes.len() - 5]).unwrap();
    assert_eq!(of_loss(&read(folder.path())).len(), 5);
}
