//! The project's own tools, as `cargo xtask VERB`: set-up of a fresh machine, the test command, the browser gate, the web build.

mod app;
mod browser;
mod driver;
mod figures;
mod gate;
mod http;
mod npm;
mod page;
mod server;
mod setup;
mod shell;
mod sqlite;
mod stages;
mod wasm;
mod web;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask VERB

  setup [--yes] [--only rust|vulkan|wasm|browser|axe]
                      install what the tests need and this machine lacks, after saying what, how big and how long
  test [--yes] [--only STAGE,…]
                      every test: setup, format, lint, test, wasm, browser, app; only when named: cube
  web-gate            build web/ and check every shader and a known answer in headless Chromium
  web-app [--only SCENARIO,…] [--screens] [--published]
                      build web/ and use it as a person would, in headless Chromium; --screens renews docs/screens,
                      --published plays with the modules as they are published, which take longer to build
  web-figures [--weights FILE.gguf]
                      what the published page costs: bytes, seconds, memory; with --weights its speed beside wllama's
  web [--dev]         build web/ as a package for npm in web/package; --dev quickly, and large
  trunk               build web/ with Trunk into web/dist, as it is published; installs Trunk and wasm-bindgen's command where they are missing,
                      and lays SQLite beside the page, which npm fetches

--yes answers every question with yes; so does the variable CI.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = match Options::parse(&arguments) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let done = match options.verb.as_str() {
        "setup" => setup::run(&options),
        "test" => stages::run(&options),
        "web-gate" => gate::run(),
        "web-app" => app::run(&options),
        "web-figures" => figures::run(&options),
        "web" => web::run(&options),
        "trunk" => wasm::trunk(&options),
        _ => {
            println!("{HELP}");
            true
        }
    };
    if done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The command line.
#[derive(Default)]
pub(crate) struct Options {
    verb: String,
    /// Install without asking.
    yes: bool,
    /// Parts of `setup`, stages of `test` or scenarios of `web-app`; empty means all.
    only: Vec<String>,
    /// `web`: quickly, and large.
    dev: bool,
    /// `web-app`: renew the pictures in docs/screens.
    screens: bool,
    /// `web-app`: with the modules as they are published.
    published: bool,
    /// `web-figures`: a model to compare speeds with.
    weights: Option<String>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self { verb: "help".into(), yes: std::env::var_os("CI").is_some(), ..Self::default() };
        let mut rest = arguments.iter();
        match rest.next().map(String::as_str) {
            None | Some("help" | "-h" | "--help") => return Ok(options),
            Some(verb @ ("setup" | "test" | "web-gate" | "web-app" | "web-figures" | "web" | "trunk")) => options.verb = verb.into(),
            Some(other) => return Err(format!("there is no verb '{other}'")),
        }
        let known: &[&str] = match options.verb.as_str() {
            "setup" => &setup::PARTS,
            "test" => &stages::STAGES,
            "web-app" => &app::NAMES,
            _ => &[],
        };
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--yes" | "-y" => options.yes = true,
                "--dev" if options.verb == "web" => options.dev = true,
                "--weights" if options.verb == "web-figures" => options.weights = Some(rest.next().ok_or("--weights needs a file")?.into()),
                "--screens" if options.verb == "web-app" => options.screens = true,
                "--published" if options.verb == "web-app" => options.published = true,
                "--only" => {
                    let names = rest.next().ok_or("--only needs a name")?;
                    for name in names.split(',') {
                        if !known.contains(&name) {
                            return Err(format!(
                                "--only {name}: '{}' has {}",
                                options.verb,
                                if known.is_empty() { "no parts".into() } else { known.join(", ") }
                            ));
                        }
                        options.only.push(name.into());
                    }
                }
                other => return Err(format!("'{}' does not take '{other}'", options.verb)),
            }
        }
        Ok(options)
    }

    /// Whether `--only` names this part.
    fn names(&self, part: &str) -> bool {
        self.only.iter().any(|name| name == part)
    }

    /// Whether `--only` leaves this part in.
    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.names(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(&line.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_or_refused() {
        let options = parse("test --only lint,browser --yes").unwrap();
        assert!(options.yes && options.wants("lint") && options.wants("browser") && !options.wants("wasm"));
        assert!(parse("setup").unwrap().wants("vulkan"));
        assert!(parse("test --only cube").unwrap().names("cube") && !parse("test").unwrap().names("cube"));
        assert_eq!(parse("").unwrap().verb, "help");
        assert!(parse("instal").is_err());
        assert!(parse("setup --only lint").is_err());
        assert!(parse("test --fast").is_err());
        assert!(parse("web --dev").unwrap().dev && parse("test --dev").is_err());
        assert!(parse("web-app --only opens --screens").unwrap().wants("opens") && parse("web-app --only closes").is_err());
        assert!(parse("web-app --published").unwrap().published && parse("test --published").is_err());
        assert!(parse("test --only").is_err());
        assert_eq!(parse("web-figures --weights a.gguf").unwrap().weights.as_deref(), Some("a.gguf"));
        assert!(parse("web-figures --weights").is_err() && parse("web --weights a").is_err());
    }
}
