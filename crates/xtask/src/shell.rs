//! Running other programs.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the repository.
pub fn root() -> PathBuf {
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&here).ancestors().nth(2).expect("crates/xtask lies two folders below the root").into()
}

/// Where cargo puts what it builds.
pub fn target_dir() -> PathBuf {
    let mut metadata = cargo();
    metadata.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]);
    let found = output(&mut metadata)
        .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
        .and_then(|json| json["target_directory"].as_str().map(PathBuf::from));
    found.unwrap_or_else(|| root().join("target"))
}

/// The cargo that runs us.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // What `cargo run` set for this program is not meant for the cargo it starts.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "CARGO_BIN_NAME" || name == "CARGO_CRATE_NAME" {
            command.env_remove(name);
        }
    }
    command
}

/// A program on the PATH.
pub fn which(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The command as a person would type it.
pub fn describe(command: &Command) -> String {
    let mut words: Vec<String> = Vec::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            words.push(format!("{}={}", name.to_string_lossy(), value.to_string_lossy()));
        }
    }
    let program = Path::new(command.get_program());
    words.push(program.file_name().unwrap_or(OsStr::new("?")).to_string_lossy().into());
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ")
}

/// Runs it in the open; true when it succeeded.
pub fn run(command: &mut Command) -> bool {
    println!("$ {}", describe(command));
    match command.stdin(Stdio::null()).status() {
        Ok(status) => status.success(),
        Err(problem) => {
            eprintln!("could not start {}: {problem}", command.get_program().to_string_lossy());
            false
        }
    }
}

/// Runs it in the open and hands every line of its standard output to `line` as well.
pub fn run_lines(command: &mut Command, mut line: impl FnMut(&str)) -> bool {
    println!("$ {}", describe(command));
    let mut child = match command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(problem) => {
            eprintln!("could not start {}: {problem}", command.get_program().to_string_lossy());
            return false;
        }
    };
    let mut reader = BufReader::new(child.stdout.take().expect("piped"));
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches(['\n', '\r']);
        println!("{text}");
        line(text);
        bytes.clear();
    }
    child.wait().is_ok_and(|status| status.success())
}

/// Its standard output, if it succeeded; nothing is shown.
pub fn output(command: &mut Command) -> Option<String> {
    let done = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
}
