//! `cargo xtask setup`: what the tests need and this machine lacks. It says what, how big and how long, then installs where it may.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Options, app, browser, shell, wasm};

/// The parts a machine may lack.
pub const PARTS: [&str; 5] = ["rust", "vulkan", "wasm", "browser", "axe"];

/// Older drivers run our shaders several times slower.
const GOOD_MESA: u32 = 24;

/// What has to be done for one part.
struct Step {
    part: &'static str,
    what: String,
    cost: &'static str,
    /// Ways to get it, tried in order until one works.
    ways: Vec<Way>,
}

enum Way {
    Apt {
        packages: &'static [&'static str],
        backports: bool,
    },
    Command(Vec<&'static str>),
    /// A function of ours, and what a person types to have it run.
    Own(fn() -> bool, &'static str),
    /// Nothing we can run: what a person does.
    Hand(&'static str),
}

/// Detects, announces, installs. True when nothing is missing at the end.
pub fn run(options: &Options) -> bool {
    let system = System::read();
    let missing: Vec<Step> = PARTS.iter().filter(|part| options.wants(part)).filter_map(|part| check(part, &system)).collect();
    if missing.is_empty() {
        return true;
    }
    println!("\nMissing on this machine ({}):", system.name);
    for step in &missing {
        println!("  {:<8} {} — {}", step.part, step.what, step.cost);
    }
    if !allowed(options) {
        println!("\nNothing was installed. Install it with `cargo xtask setup --yes`, or by hand:");
        missing.iter().for_each(|step| by_hand(step, &system));
        return false;
    }
    let mut complete = true;
    for step in &missing {
        println!("\n{}: {}", step.part, step.what);
        if !install(step, &system) || check(step.part, &system).is_some() {
            complete = false;
            println!("{} is still missing. By hand:", step.part);
            by_hand(step, &system);
        }
    }
    complete
}

/// Whether we may install: told so, or a person at a terminal says yes.
fn allowed(options: &Options) -> bool {
    if options.yes {
        return true;
    }
    if !std::io::stdin().is_terminal() {
        return false;
    }
    print!("Install now? [y/N] ");
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// Says what is there and returns `None`, or what is missing and how to get it.
fn check(part: &'static str, system: &System) -> Option<Step> {
    let found = |what: String| println!("setup: {part}: {what}");
    match part {
        "rust" => {
            let has = |verb: &str| shell::output(shell::cargo().args([verb, "--version"])).is_some();
            if has("fmt") && has("clippy") {
                found("rustfmt and clippy".into());
                return None;
            }
            let ways = vec![Way::Command(vec!["rustup", "component", "add", "rustfmt", "clippy"])];
            Some(Step { part, what: "rustfmt and clippy, which check the code's form".into(), cost: "about 10 MB, under a minute", ways })
        }
        "vulkan" => match vulkan(system) {
            Ok(driver) => {
                found(driver);
                None
            }
            Err(why) => {
                let backports = system.is_bookworm();
                let ways = if system.apt {
                    vec![Way::Apt { packages: &["libvulkan1", "mesa-vulkan-drivers"], backports }]
                } else {
                    vec![Way::Hand("install Mesa's software Vulkan driver (lavapipe) and the Vulkan loader")]
                };
                let from = if backports { ", from the distribution's backports" } else { "" };
                let what = format!("software Vulkan, on which the GPU tests run{from} ({why})");
                Some(Step { part, what, cost: "about 35 MB to fetch, 150 MB on disk, under a minute", ways })
            }
        },
        "wasm" => match wasm::Toolchain::find() {
            Some(toolchain) => {
                found(toolchain.describe().into());
                None
            }
            None => {
                let mut ways = Vec::new();
                if shell::which("rustup").is_some() && wasm::Toolchain::Own.is_allowed() {
                    ways.push(Way::Command(vec!["rustup", "target", "add", wasm::TARGET]));
                }
                if system.apt && system.is_debian && wasm::Toolchain::Debian.is_allowed() {
                    ways.push(Way::Apt { packages: &wasm::DEBIAN_PACKAGES, backports: false });
                }
                if ways.is_empty() {
                    ways.push(Way::Hand("install the wasm32-unknown-unknown standard library that belongs to your rustc"));
                }
                let cost =
                    "rustup's: 20 MB, seconds; if rustup cannot fetch it, Debian's own compiler: 200 MB to fetch, 900 MB on disk, a minute";
                Some(Step { part, what: "Rust's standard library for the browser (wasm32)".into(), cost, ways })
            }
        },
        "browser" => match (browser::find(), browser::find_driver()) {
            (Some(path), Some(driver)) => {
                found(format!("{}, {}", path.display(), driver.display()));
                None
            }
            (path, _) => {
                let ways = match (system.apt, system.is_debian) {
                    (true, true) => vec![Way::Apt { packages: &["chromium", "chromium-driver"], backports: false }],
                    (true, false) => vec![Way::Apt { packages: &["chromium-browser", "chromium-chromedriver"], backports: false }],
                    _ => vec![Way::Hand(
                        "install Chromium, Chrome or Edge and the chromedriver of its version, or name them in the variables CHROMIUM and CHROMEDRIVER",
                    )],
                };
                let what = match path {
                    Some(_) => "chromedriver, through which the page is used as a person would",
                    None => "Chromium and its chromedriver, in which the shaders and the page are checked",
                };
                Some(Step { part, what: what.into(), cost: "about 120 MB to fetch, 480 MB on disk, under a minute", ways })
            }
        },
        "axe" if app::axe_is_there() => {
            found(format!("axe-core {}", app::AXE_VERSION));
            None
        }
        "axe" if shell::which("npm").is_none() => {
            found("not needed: without npm the page's accessibility is not checked".into());
            None
        }
        "axe" => {
            let ways = vec![Way::Own(app::fetch_axe, "cargo xtask setup --only axe --yes")];
            Some(Step { part, what: "axe-core, which checks the page's accessibility".into(), cost: "about 1 MB, seconds", ways })
        }
        _ => unreachable!("a part of PARTS"),
    }
}

fn install(step: &Step, system: &System) -> bool {
    step.ways.iter().any(|way| match way {
        Way::Command(words) => shell::run(Command::new(words[0]).args(&words[1..])),
        Way::Apt { .. } if !system.root => false,
        Way::Apt { packages, backports } => {
            if *backports && !add_backports(system) {
                return false;
            }
            shell::run(&mut apt(&["update"])) && shell::run(&mut apt(&install_words(packages, *backports, system)))
        }
        Way::Own(run, _) => run(),
        Way::Hand(_) => false,
    })
}

/// Prints the commands a person can run.
fn by_hand(step: &Step, system: &System) {
    let sudo = if system.root { "" } else { "sudo " };
    for (index, way) in step.ways.iter().enumerate() {
        if index > 0 {
            println!("  # or, where that is refused:");
        }
        match way {
            Way::Command(words) => println!("  {}", words.join(" ")),
            Way::Hand(what) | Way::Own(_, what) => println!("  {what}"),
            Way::Apt { packages, backports } => {
                let mut lines = vec![
                    format!("{sudo}apt-get update"),
                    format!("{sudo}apt-get {}", install_words(packages, *backports, system).join(" ")),
                ];
                if *backports && let Some((path, text)) = backports_source(system) {
                    let quoted = text.replace('\n', "\\n");
                    lines.insert(0, format!("printf '{quoted}' | {sudo}tee {}", path.display()));
                }
                lines.iter().for_each(|line| println!("  {line}"));
            }
        }
    }
}

fn install_words(packages: &[&str], backports: bool, system: &System) -> Vec<String> {
    let mut words = vec!["install".to_string(), "--yes".into(), "--no-install-recommends".into()];
    if backports {
        words.extend(["--target-release".into(), format!("{}-backports", system.codename)]);
    }
    words.extend(packages.iter().map(|name| name.to_string()));
    words
}

fn apt<S: AsRef<std::ffi::OsStr>>(words: &[S]) -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["--quiet", "--quiet", "-o", "DPkg::Lock::Timeout=300"]).args(words);
    command
}

/// The machine, as far as installing goes.
struct System {
    name: String,
    codename: String,
    is_debian: bool,
    apt: bool,
    root: bool,
}

impl System {
    fn read() -> Self {
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let field = |name: &str| {
            let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.map(|value| value.trim_matches('"').to_string()).unwrap_or_default()
        };
        let name = field("PRETTY_NAME");
        Self {
            name: if name.is_empty() { std::env::consts::OS.into() } else { name },
            codename: field("VERSION_CODENAME"),
            is_debian: field("ID") == "debian",
            apt: shell::which("apt-get").is_some(),
            root: shell::output(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0"),
        }
    }

    /// The one Debian whose own Mesa is too old while its backports have a good one.
    fn is_bookworm(&self) -> bool {
        self.is_debian && self.codename == "bookworm"
    }
}

/// A Vulkan driver that the tests can run on, or why there is none.
fn vulkan(system: &System) -> Result<String, String> {
    if !cfg!(target_os = "linux") {
        return Ok("not needed: this system brings its own GPU interface".into());
    }
    let libraries = shell::output(Command::new("/sbin/ldconfig").arg("-p")).unwrap_or_default();
    if !libraries.contains("libvulkan.so.1") {
        return Err("no Vulkan loader".into());
    }
    if std::env::var_os("VK_ICD_FILENAMES").is_some() || std::env::var_os("VK_DRIVER_FILES").is_some() {
        return Ok("the driver that VK_ICD_FILENAMES or VK_DRIVER_FILES names".into());
    }
    let folders = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"];
    let mut manifests = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    if !manifests.any(|file| file.file_name().to_string_lossy().starts_with("lvp_icd")) {
        return Err("no software driver".into());
    }
    let version = shell::output(Command::new("dpkg-query").args(["--show", "--showformat=${Version}", "mesa-vulkan-drivers"]));
    match version {
        Some(version) if major(&version) < GOOD_MESA && system.is_bookworm() => Err(format!("Mesa {version} is slow")),
        Some(version) => Ok(format!("Mesa {version}")),
        None => Ok("a software driver of unknown version".into()),
    }
}

/// The first number of a package version: 25 of `25.0.7-2~bpo12+1`, 22 of `1:22.3`.
fn major(version: &str) -> u32 {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Adds the distribution's backports beside the sources it already has.
fn add_backports(system: &System) -> bool {
    let suite = format!("{}-backports", system.codename);
    if sources().iter().any(|source| source.suites.contains(&suite)) {
        return true;
    }
    let Some((path, text)) = backports_source(system) else {
        println!("no apt source for {} found to take the backports' address from", system.codename);
        return false;
    };
    println!("writing {}", path.display());
    std::fs::write(&path, text).inspect_err(|problem| println!("{}: {problem}", path.display())).is_ok()
}

/// The file to add: the archive this machine already uses, with the backports suite.
fn backports_source(system: &System) -> Option<(PathBuf, String)> {
    let source =
        sources().into_iter().find(|source| source.suites.contains(&system.codename) && source.components.iter().any(|c| c == "main"))?;
    let mut text = format!("Types: deb\nURIs: {}\nSuites: {}-backports\nComponents: main\n", source.uris.join(" "), system.codename);
    if let Some(key) = source.signed_by {
        text.push_str(&format!("Signed-By: {key}\n"));
    }
    Some(("/etc/apt/sources.list.d/longhand-backports.sources".into(), text))
}

/// One archive apt fetches from.
#[derive(Debug, Default, PartialEq)]
struct Source {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: Option<String>,
}

/// Every archive apt is configured with.
fn sources() -> Vec<Source> {
    let mut files: Vec<PathBuf> = vec!["/etc/apt/sources.list".into()];
    files.extend(std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path()));
    files.sort();
    let read = |path: &PathBuf| Some((path.extension()? == Path::new("sources").as_os_str(), std::fs::read_to_string(path).ok()?));
    files.iter().filter_map(read).flat_map(|(stanzas, text)| if stanzas { parse_stanzas(&text) } else { parse_lines(&text) }).collect()
}

/// `deb [options] URI SUITE COMPONENT…`, one a line.
fn parse_lines(text: &str) -> Vec<Source> {
    let mut found = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.trim().strip_prefix("deb ") else { continue };
        let (options, rest) = match rest.trim().strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((options, rest)) => (options, rest),
            None => ("", rest),
        };
        let mut words = rest.split_whitespace().map(String::from);
        let (Some(uri), Some(suite)) = (words.next(), words.next()) else { continue };
        let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by=")).map(String::from);
        found.push(Source { uris: vec![uri], suites: vec![suite], components: words.collect(), signed_by });
    }
    found
}

/// `Name: value` lines, an empty line between archives.
fn parse_stanzas(text: &str) -> Vec<Source> {
    let text: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{}\n", line.trim_end())).collect();
    let words = |value: &str| value.split_whitespace().map(String::from).collect::<Vec<_>>();
    let mut found = Vec::new();
    for stanza in text.split("\n\n") {
        let mut source = Source::default();
        let mut is_binary = false;
        for line in stanza.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            match name.to_ascii_lowercase().as_str() {
                "types" => is_binary = words(value).iter().any(|word| word == "deb"),
                "uris" => source.uris = words(value),
                "suites" => source.suites = words(value),
                "components" => source.components = words(value),
                // A key may also stand in the file itself, over several lines: then apt's own keys have to do.
                "signed-by" => source.signed_by = Some(value.trim().to_string()).filter(|value| value.starts_with('/')),
                _ => {}
            }
        }
        if is_binary && !source.uris.is_empty() {
            found.push(source);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn both_forms_of_apt_sources_are_read() {
        let stanzas = "Types: deb deb-src\n# a remark\nURIs: http://archive.test/debian\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /keys/a.gpg\n\n\
                       Types: deb-src\nURIs: http://archive.test/src\nSuites: bookworm\n";
        let expected = Source {
            uris: words("http://archive.test/debian"),
            suites: words("bookworm bookworm-updates"),
            components: words("main"),
            signed_by: Some("/keys/a.gpg".into()),
        };
        assert_eq!(parse_stanzas(stanzas), [expected]);

        let lines = "# deb http://no.test x main\ndeb [arch=amd64 signed-by=/k.gpg] http://archive.test/debian bookworm main contrib\ndeb http://b.test s\n";
        let parsed = parse_lines(lines);
        assert_eq!(parsed.len(), 2);
        assert_eq!(parsed[0].signed_by.as_deref(), Some("/k.gpg"));
        assert_eq!(parsed[0].components, words("main contrib"));
        assert_eq!((&parsed[1].uris, &parsed[1].suites), (&words("http://b.test"), &words("s")));
    }

    #[test]
    fn package_versions_give_their_major_number() {
        assert_eq!(major("25.0.7-2~bpo12+1"), 25);
        assert_eq!(major("1:22.3.6"), 22);
        assert_eq!(major("none"), 0);
    }
}
