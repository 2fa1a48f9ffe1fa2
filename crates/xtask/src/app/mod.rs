//! The app in a real browser: one function per scenario, each in a browser of its own with an empty profile. What a scenario
//! relies on is broken on purpose as well, and must then be noticed.

mod axe;
mod brought;
mod driven;
mod edits;
mod embedded;
mod inspects;
mod opens;
mod reads;
mod reruns;
mod scene;
mod served;
mod tabs;
mod tries;
mod weights;

use std::path::Path;
use std::time::Instant;

use crate::stages::Outcome;
use crate::{Options, page, shell, sqlite, wasm, web};

pub use axe::fetch as fetch_axe;
pub use axe::{VERSION as AXE_VERSION, is_there as axe_is_there};
pub use scene::Scene;

/// What one scenario does.
type Play = fn(&mut Scene) -> Result<(), String>;

/// Every scenario, in order.
const SCENARIOS: [(&str, Play); 19] = [
    ("driven", driven::run),
    ("opens", opens::run),
    ("strict", opens::strict),
    ("embedded", embedded::run),
    ("reader", reads::run),
    ("reader-cpu", reads::processor),
    ("reader-long", reads::long),
    ("reader-200k", reads::book),
    ("resumes", reads::resumes),
    ("tabs", tabs::run),
    ("foreign", reads::foreign),
    ("kept", reads::kept),
    ("weights", weights::run),
    ("edits", edits::run),
    ("inspects", inspects::run),
    ("reruns", reruns::run),
    ("tries", tries::run),
    ("brought", brought::run),
    ("served", served::run),
];

/// Play only when they are named: they take many minutes, or need what other commands build.
const ON_REQUEST: [&str; 3] = ["reader-long", "reader-200k", "served"];

/// Their names.
pub const NAMES: [&str; SCENARIOS.len()] = {
    let mut names = [""; SCENARIOS.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = SCENARIOS[index].0;
        index += 1;
    }
    names
};

/// What a strict page allows: its own files, no inline script or style, no code from strings; of WebAssembly only the compiling.
pub const STRICT: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; \
                          style-src 'self'; img-src 'self' data: blob:";

/// `cargo xtask web-app [--only NAME] [--published]`.
pub fn run(options: &Options) -> bool {
    let outcome = check(options);
    println!();
    outcome.failures.iter().for_each(|failure| println!("failed: {failure}"));
    println!("{} passed, {} failed", outcome.passed, outcome.failures.len());
    outcome.failures.is_empty()
}

/// Builds the app and plays every scenario that `options` leaves in.
pub fn check(options: &Options) -> Outcome {
    let mut outcome = Outcome::default();
    let folder = shell::target_dir().join("web-app");
    // The tools' own scenario needs no app, and one is played with the published page.
    let needs_app = NAMES.iter().any(|name| !["driven", "served"].contains(name) && options.wants(name));
    if needs_app && let Err(problem) = build(&folder, options.published) {
        outcome.failures.push(problem);
        return outcome;
    }
    for (name, scenario) in
        SCENARIOS.into_iter().filter(|(name, _)| options.wants(name) && (!ON_REQUEST.contains(name) || options.names(name)))
    {
        let start = Instant::now();
        let played = Scene::start(name, &folder, options.screens).and_then(|mut scene| {
            let played = scenario(&mut scene);
            let (caught, skipped) = scene.counts();
            outcome.passed += caught;
            outcome.skipped += skipped;
            played.map_err(|problem| scene.report(&problem))
        });
        match played {
            Ok(()) => {
                println!("app: {name}: ok ({:.1} s)", start.elapsed().as_secs_f64());
                outcome.passed += 1;
            }
            Err(problem) => {
                println!("app: {name}: FAILED ({:.1} s): {problem}", start.elapsed().as_secs_f64());
                outcome.failures.push(format!("{name}: {problem}"));
            }
        }
    }
    outcome
}

/// The page in `folder/page` and the package in `folder/package`, around the modules that the stages `wasm` and `browser` built, or those that are
/// published.
fn build(folder: &Path, published: bool) -> Result<(), String> {
    let bound = folder.join("module");
    match published {
        true => wasm::bindgen_small(&wasm::build_small()?, &bound)?,
        false => wasm::bindgen(&wasm::build()?, &bound)?,
    }
    page::lay_out(&bound, &folder.join("page"))?;
    sqlite::lay_out_or_say(&folder.join("page"));
    web::lay_out(&bound, &folder.join("package"), "0.0.0")
}

/// An error that shows both, unless they are equal.
pub fn same<A: PartialEq<B> + std::fmt::Debug, B: std::fmt::Debug>(what: &str, found: A, expected: B) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: found {found:?}, expected {expected:?}")) }
}

/// An error unless it holds.
pub fn holds(what: &str, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("not so: {what}")) }
}
