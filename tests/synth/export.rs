//! What other trainers read of an exported dataset, by the real binary and by their own reader.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{CONFIG, run, said, towns};

/// A Python that may have pyarrow: `PYARROW_PYTHON` names another than the first on the path.
fn reader(file: &Path, rows: &Path) -> Option<(Option<i32>, String)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/synth/verl.py");
    let python = std::env::var("PYARROW_PYTHON").unwrap_or("python3".into());
    let output = Command::new(python).arg(script).arg(file).arg(rows).output();
    // None where there is no Python, or no pyarrow: said, not passed over.
    let output = output.map_err(|error| eprintln!("not read by pyarrow: {error}")).ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(3) {
        eprintln!("not read by pyarrow: {said}");
        return None;
    }
    Some((output.status.code(), said))
}

#[test]
fn verl_reads_what_is_exported() {
    let folder = tempfile::TempDir::new().unwrap();
    towns(folder.path());
    fs::write(folder.path().join("synth.toml"), CONFIG).unwrap();
    let done = |args: &[&str]| {
        let output = run(args, folder.path());
        assert!(output.status.success(), "{}", said(&output));
    };
    done(&["synth", "run", "synth.toml", "--out", "set"]);
    done(&["synth", "export", "set", "--to", "verl", "--out", "train.parquet"]);
    let (file, rows) = (folder.path().join("train.parquet"), folder.path().join("set/rows.jsonl"));
    let Some((code, said)) = reader(&file, &rows) else { return };
    assert!(code == Some(0) && said.contains("48 rows, 0 findings"), "{said}");
    // It sees another answer, and columns of another trainer.
    let changed = folder.path().join("changed.jsonl");
    fs::write(&changed, fs::read_to_string(&rows).unwrap().replacen("\"answers\":[\"", "\"answers\":[\"x", 1)).unwrap();
    let (code, said) = reader(&file, &changed).unwrap();
    assert!(code == Some(1) && said.contains("row 0: reward_model is"), "{said}");
    done(&["synth", "export", "set", "--to", "trl", "--out", "trl.parquet"]);
    let (code, said) = reader(&folder.path().join("trl.parquet"), &rows).unwrap();
    assert!(code == Some(1) && said.contains("the columns are"), "{said}");
}
