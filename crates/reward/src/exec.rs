//! `exec:CMD`: rows on the command's standard input, a reward a line on its standard output.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often is looked whether the command has ended.
const LOOK: Duration = Duration::from_millis(10);
/// What a command's children may still write when it has ended.
const GRACE: Duration = Duration::from_millis(500);
/// Lines beyond one a row, and bytes, after which a command is ended: it would fill the memory.
const MORE_LINES: usize = 10_000;
const MOST_BYTES: usize = 64 << 20;
/// Bytes and lines of standard error that are kept.
const TAIL: usize = 2000;
const TAIL_LINES: usize = 5;

/// How a command ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// By itself, without an error.
    Well,
    /// By itself, with this status.
    Badly(String),
    /// The time limit.
    Hung,
    /// It wrote without end.
    Flooded,
    /// It did not begin.
    NotStarted(String),
    /// Nobody waits for it any more.
    Cancelled,
}

/// What a command left behind.
pub struct Ran {
    /// Its lines; a last one that it did not finish only if it ended well.
    pub lines: Vec<String>,
    pub end: End,
    /// The last lines of its standard error.
    pub stderr: String,
}

#[derive(Default)]
struct Output {
    lines: Vec<String>,
    /// What follows the last line's end, once all is read.
    open: String,
    flooded: bool,
}

/// Runs `command` through the shell with one of `rows` a line. Blocks until it has ended, at the latest after `limit`: then it is ended
/// together with its children. `cancelled` is asked now and then.
pub fn run(command: &str, rows: Vec<String>, limit: Duration, cancelled: &dyn Fn() -> bool) -> Ran {
    let started = Instant::now();
    let count = rows.len();
    let mut child = match shell(command).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => return Ran { lines: vec![], end: End::NotStarted(error.to_string()), stderr: String::new() },
    };
    let (output, tail) = (Arc::new(Mutex::new(Output::default())), Arc::new(Mutex::new(Vec::new())));
    let (closed, pipes) = mpsc::channel::<()>();
    let threads = [
        // Written and read at the same time: neither side can wait for the other for ever.
        child.stdin.take().map(|mut input| spawn(move || rows.iter().try_for_each(|row| writeln!(input, "{row}")).unwrap_or(()))),
        child.stdout.take().map(|from| {
            let (output, closed) = (output.clone(), closed.clone());
            spawn(move || {
                read_lines(from, &output, count + MORE_LINES);
                drop(closed);
            })
        }),
        child.stderr.take().map(|from| {
            let tail = tail.clone();
            spawn(move || {
                read_tail(from, &tail);
                drop(closed);
            })
        }),
    ];
    let end = if let Some(error) = threads.into_iter().flatten().find_map(Result::err) {
        kill(&mut child);
        End::NotStarted(format!("no thread could be started: {error}"))
    } else {
        wait(&mut child, &pipes, started, limit, &output, cancelled)
    };
    let output = std::mem::take(&mut *output.lock().unwrap_or_else(PoisonError::into_inner));
    let mut lines = output.lines;
    if end == End::Well && !output.open.trim().is_empty() {
        lines.push(output.open);
    }
    let stderr = last_lines(&tail.lock().unwrap_or_else(PoisonError::into_inner));
    Ran { lines, end, stderr }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("reward command".into()).spawn(work)
}

fn wait(
    child: &mut Child,
    pipes: &mpsc::Receiver<()>,
    started: Instant,
    limit: Duration,
    output: &Mutex<Output>,
    cancelled: &dyn Fn() -> bool,
) -> End {
    let flooded = || output.lock().unwrap_or_else(PoisonError::into_inner).flooded;
    loop {
        if ended(child) {
            // Its children may hold the pipes open and write on; not for long.
            if pipes.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
                end_group(child);
                let _ = pipes.recv_timeout(GRACE);
            } else {
                end_group(child);
            }
            return match child.wait() {
                _ if flooded() => End::Flooded,
                Ok(status) if status.success() => End::Well,
                Ok(status) => End::Badly(describe(status)),
                Err(error) => End::Badly(format!("an unknown status ({error})")),
            };
        }
        let end = if flooded() {
            End::Flooded
        } else if started.elapsed() >= limit {
            End::Hung
        } else if cancelled() {
            End::Cancelled
        } else {
            let left = limit.saturating_sub(started.elapsed()).min(LOOK);
            // Nothing is ever sent. Once both pipes are closed the channel is, and only the process's end is left to wait for.
            if pipes.recv_timeout(left) == Err(RecvTimeoutError::Disconnected) {
                std::thread::sleep(left);
            }
            continue;
        };
        kill(child);
        let _ = pipes.recv_timeout(GRACE);
        return end;
    }
}

/// Ends the command and its children.
fn kill(child: &mut Child) {
    end_group(child);
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(unix)]
fn shell(command: &str) -> Command {
    use std::os::unix::process::CommandExt;
    let mut shell = Command::new("sh");
    // A group of its own: what it starts is ended with it, and Ctrl-C does not reach it before us.
    shell.arg("-c").arg(command).process_group(0);
    shell
}

#[cfg(windows)]
fn shell(command: &str) -> Command {
    use std::os::windows::process::CommandExt;
    let mut shell = Command::new("cmd");
    shell.arg("/C").raw_arg(command);
    shell
}

/// Whether it has ended; on Unix it is not yet waited for, so that its number stays its own.
#[cfg(unix)]
fn ended(child: &mut Child) -> bool {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match waitid(WaitId::Pid(Pid::from_child(child)), options) {
        Ok(status) => status.is_some(),
        Err(error) => error != rustix::io::Errno::INTR,
    }
}

#[cfg(not(unix))]
fn ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}

#[cfg(unix)]
fn end_group(child: &Child) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
}

#[cfg(windows)]
fn end_group(child: &Child) {
    let mut kill = Command::new("taskkill");
    kill.args(["/T", "/F", "/PID", &child.id().to_string()]);
    let _ = kill.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

fn describe(status: std::process::ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("signal {signal}");
    }
    match status.code() {
        Some(127) => "exit code 127 (the shell does not find it: is the path right?)".into(),
        Some(code) => format!("exit code {code}"),
        None => status.to_string(),
    }
}

fn read_lines(from: impl Read, output: &Mutex<Output>, most: usize) {
    let mut from = BufReader::with_capacity(64 << 10, from);
    let (mut taken, mut open) = (0, Vec::new());
    loop {
        let bytes = match from.fill_buf() {
            Ok([]) | Err(_) => break,
            Ok(bytes) => bytes,
        };
        let length = bytes.len();
        taken += length;
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            open.extend_from_slice(part);
            if part.ends_with(b"\n") {
                lines.push(String::from_utf8_lossy(&open).trim().to_string());
                open.clear();
            }
        }
        from.consume(length);
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        output.lines.extend(lines.into_iter().filter(|line| !line.is_empty()));
        output.flooded = output.lines.len() > most || taken > MOST_BYTES;
        if output.flooded {
            return;
        }
    }
    output.lock().unwrap_or_else(PoisonError::into_inner).open = String::from_utf8_lossy(&open).into_owned();
}

fn read_tail(mut from: impl Read, tail: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(&buffer[..count]);
        let old = tail.len().saturating_sub(TAIL);
        tail.drain(..old);
    }
}

fn last_lines(tail: &[u8]) -> String {
    let text = String::from_utf8_lossy(tail);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
