//! Building for the browser: which Rust can, the build itself, wasm-bindgen, and Trunk for people.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Options, setup, shell, sqlite};

/// The browser's target.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's newest Rust, kept for its browsers: it has the library's source, from which cargo builds it for wasm32.
pub const DEBIAN_PACKAGES: [&str; 5] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "lld-22"];

/// Crates that must build for the browser.
const CRATES: [&str; 13] = [
    "longhand-data",
    "longhand-documents",
    "longhand-tokenizer",
    "longhand-kernels",
    "longhand-model",
    "longhand-agent",
    "longhand-reward",
    "longhand-synth",
    "longhand-world",
    "longhand-web",
    "longhand-line",
    "longhand-files",
    "longhand-inspect",
];

/// The page's modules: its own; the one for files of all formats, which the worker loads when such a file comes; and the inspector, which the page
/// loads when it is opened.
const MODULES: [&str; 3] = ["longhand-web", "longhand-files", "longhand-inspect"];

/// A command that `cargo install` builds.
struct Tool {
    package: &'static str,
    program: &'static str,
    version: &'static str,
    /// How it is built best.
    words: &'static [&'static str],
    takes: &'static str,
}

/// What builds the published page: Trunk, and wasm-bindgen's own command, which Trunk runs and which it would else fetch itself, from where many
/// networks lead nowhere. The command is of the library's version.
const TOOLS: [Tool; 2] = [
    Tool { package: "wasm-bindgen-cli", program: "wasm-bindgen", version: "0.2.130", words: &[], takes: "about 4 minutes on two cores" },
    Tool { package: "trunk", program: "trunk", version: "0.21.14", words: &["--locked"], takes: "6 to 10 minutes on two cores" },
];

impl Tool {
    /// Builds it where it is missing or of another version, after saying so.
    fn make_ready(&self) -> bool {
        let said = shell::output(Command::new(self.program).arg("--version")).unwrap_or_default();
        if said.split_whitespace().nth(1) == Some(self.version) {
            return true;
        }
        println!("{} {} is missing: building it takes {}.", self.program, self.version, self.takes);
        shell::run(shell::cargo().args(["install", self.package, "--version", self.version]).args(self.words))
    }
}

/// A Rust that builds for wasm32. The variable `LONGHAND_WASM` (`own` or `debian`) chooses one.
#[derive(Clone, Copy, PartialEq)]
pub enum Toolchain {
    /// The Rust that runs us has the target.
    Own,
    /// Debian's, with the standard library built along.
    Debian,
}

impl Toolchain {
    /// The first that works.
    pub fn find() -> Option<Self> {
        if Self::Own.is_allowed() && Self::own_has_target() {
            return Some(Self::Own);
        }
        (Self::Debian.is_allowed() && Self::debian_is_complete()).then_some(Self::Debian)
    }

    /// Whether the variable leaves it in.
    pub fn is_allowed(self) -> bool {
        let name = match self {
            Self::Own => "own",
            Self::Debian => "debian",
        };
        std::env::var("LONGHAND_WASM").map_or(true, |wanted| wanted == name)
    }

    fn own_has_target() -> bool {
        let folder = shell::output(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]));
        let library = |folder: String| {
            std::fs::read_dir(folder.trim()).ok()?.flatten().find(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
        };
        folder.and_then(library).is_some()
    }

    fn debian_is_complete() -> bool {
        let version = shell::output(Command::new("/usr/bin/rustc").arg("--version")).unwrap_or_default();
        is_at_least(&version, (1, 95))
            && Path::new("/usr/bin/cargo").is_file()
            && Path::new("/usr/lib/rustlib/src/rust/library/std").is_dir()
            && Path::new("/usr/bin/rust-lld").is_file()
    }

    /// For people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Own => "rustc has the wasm32 library",
            Self::Debian => "Debian's rustc builds the wasm32 library along",
        }
    }

    /// A cargo that can build for wasm32.
    fn cargo(self) -> Command {
        match self {
            Self::Own => shell::cargo(),
            Self::Debian => {
                let mut command = Command::new("/usr/bin/cargo");
                command.current_dir(shell::root());
                self.set_variables(&mut command);
                command
            }
        }
    }

    /// What any program that starts cargo needs in its surroundings.
    fn set_variables(self, command: &mut Command) {
        if self == Self::Debian {
            // Building the library along is not yet a stable option; the variables open it for this one target.
            command.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1").env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort");
            command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
        }
    }
}

/// Whether `rustc 1.96.0 (…)` is at least this.
fn is_at_least(version: &str, least: (u32, u32)) -> bool {
    let mut numbers = version.strip_prefix("rustc ").unwrap_or_default().split('.').map(|word| word.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= least
}

/// Builds every crate of the browser's set in the dev profile; the folder of the modules. Every stage that needs quick modules
/// calls this, so that all share what it built.
pub fn build() -> Result<PathBuf, String> {
    let packages: Vec<&str> = CRATES.iter().flat_map(|name| ["--package", name]).collect();
    compile(&packages, "debug")
}

/// Builds the page's modules in the `web` profile, as they are published; their folder. One after the other: built together, each would have the
/// features that the other needs.
pub fn build_small() -> Result<PathBuf, String> {
    let built = MODULES.map(|name| compile(&["--package", name, "--profile", "web"], "web"));
    built.into_iter().collect::<Result<Vec<_>, _>>().map(|mut folders| folders.remove(0))
}

fn compile(what: &[&str], folder: &str) -> Result<PathBuf, String> {
    let toolchain = Toolchain::find().ok_or("no Rust here builds for wasm32: run `cargo xtask setup --only wasm`")?;
    if !shell::run(toolchain.cargo().args(["build", "--target", TARGET, "--lib"]).args(what)) {
        return Err("the build for wasm32 failed".into());
    }
    Ok(shell::target_dir().join(TARGET).join(folder))
}

/// Writes each finished module, as `longhand-web_bg.wasm`, and the JavaScript that loads it, as `longhand-web.js`, into `folder`; what was there is
/// gone. They are the names that Trunk gives.
pub fn bindgen(built: &Path, folder: &Path) -> Result<(), String> {
    let _ = std::fs::remove_dir_all(folder);
    for name in MODULES {
        if !shell::run(bindgen_command().arg(built.join(name.replace('-', "_")).with_extension("wasm")).arg(folder).arg(name)) {
            return Err(format!("wasm-bindgen failed on {name}"));
        }
    }
    Ok(())
}

/// As [`bindgen`], of what [`build_small`] built: the modules as they are published.
pub fn bindgen_small(built: &Path, folder: &Path) -> Result<(), String> {
    bindgen(built, folder)?;
    order(folder)
}

/// Writes the modules in `folder` anew, in an order in which they pack small (`bin/bindgen/order.rs`).
fn order(folder: &Path) -> Result<(), String> {
    let modules = MODULES.map(|name| folder.join(format!("{name}_bg.wasm")));
    if shell::run(bindgen_command().arg("--order").args(modules)) { Ok(()) } else { Err("the modules could not be put in order".into()) }
}

fn bindgen_command() -> Command {
    let mut command = shell::cargo();
    command.args(["run", "--quiet", "--package", "xtask", "--features", "bindgen", "--bin", "bindgen", "--"]);
    command
}

/// `cargo xtask trunk`: the page as it is published.
pub fn trunk(options: &Options) -> bool {
    let wasm_only = Options { verb: "setup".into(), yes: options.yes, only: vec!["wasm".into()], ..Options::default() };
    if !setup::run(&wasm_only) {
        return false;
    }
    if !TOOLS.iter().all(Tool::make_ready) {
        return false;
    }
    let Some(toolchain) = Toolchain::find() else { return false };
    let mut command = Command::new("trunk");
    command.current_dir(shell::root()).arg("build");
    toolchain.set_variables(&mut command);
    if toolchain == Toolchain::Debian {
        // Trunk starts the first cargo on the PATH.
        command.env("PATH", format!("/usr/bin:{}", std::env::var("PATH").unwrap_or_default()));
    }
    if !shell::run(&mut command) {
        return false;
    }
    let published = shell::root().join("web/dist");
    if let Err(problem) = order(&published) {
        println!("\nfailed: {problem}");
        return false;
    }
    sqlite::lay_out_or_say(&published);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_of_the_librarys_version() {
        let manifest = std::fs::read_to_string(shell::root().join("Cargo.toml")).unwrap();
        let pinned = |version: &str| manifest.contains(&format!("\nwasm-bindgen = \"={version}\""));
        assert!(pinned(TOOLS[0].version) && !pinned("0.2.1"));
    }

    #[test]
    fn compiler_versions_compare() {
        assert!(is_at_least("rustc 1.96.0 (ac68faa20 2026-05-25)", (1, 95)));
        assert!(!is_at_least("rustc 1.63.0", (1, 95)));
        assert!(!is_at_least("", (1, 95)));
    }
}
