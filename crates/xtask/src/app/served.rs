//! The page as it is published, `web/dist`, served by the program with a kept read and a dataset: what `cargo xtask trunk` and `longhand web` make
//! together. Plays only when it is named, after `cargo xtask trunk` and `cargo build --release`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::inspects::{FILES, counted, read, verdict};
use super::opens::WATCH;
use super::reads::{LONG, file, is, load, open, upload};
use super::scene::SOON;
use super::{Scene, holds};
use crate::shell;

/// What the program was given is shown, and everything else of the page is there.
pub fn run(scene: &mut Scene) -> Result<(), String> {
    let dataset = shell::root().join("tests/browser/dataset");
    let rows = read(&dataset.join("rows.jsonl"))?.lines().count();
    let program = Program::start(&[&file("story.longhand"), &dataset])?;
    scene.restart_without_proxy()?;
    let driver = scene.driver();
    driver.sent()?;
    driver.open(&format!("{}&device=cpu", program.address))?;
    // A dataset in the address means the inspector; the read is open beside it.
    counted(scene, rows, SOON)?;
    scene.click("[data-test=row]")?;
    scene.see("[data-test=row-question]")?;
    verdict(scene, "all")?;
    scene.screen("served-dataset")?;
    scene.click("nav a[href='#reader']")?;
    let answer = scene.see("[data-test=answer]")?;
    is(&answer, LONG.answer)?;
    scene.screen("served-read")?;
    scene.caught("answer", "expected", is(&answer, "Mara Voss"))?;
    // The modules beside the page's own: the worker with a model, and the one for files of other formats.
    scene.click("[data-test=leave]")?;
    open(scene, &shell::root().join("tests/documents/arrests-2009.pdf"))?;
    scene.click("[data-test=leave]")?;
    open(scene, &file(LONG.file))?;
    load(scene)?;
    // It is the published page that was fetched, from the program and from nowhere else.
    let sent = driver.sent()?;
    let asked = |name: &str| sent.iter().any(|sent| sent.address.ends_with(name));
    for name in FILES.into_iter().chain(["longhand-web_bg.wasm", "longhand-inspect_bg.wasm"]) {
        holds(&format!("{name} was fetched"), asked(name))?;
    }
    let origin = program.address.split_inclusive('/').take(3).collect::<String>();
    let foreign = sent.iter().find(|sent| sent.address.starts_with("http") && !sent.address.starts_with(&origin));
    holds(&format!("nothing else was asked: {foreign:?}"), foreign.is_none())?;
    // What the address names and the program does not have is told.
    driver.open(&format!("{origin}?read=runs/7.longhand"))?;
    let told = scene.see("[data-test=problem]")?;
    holds(&format!("a read that is not there is told: {told}"), told.contains("7.longhand"))?;
    scene.caught("read that is not there", "is seen: not within", scene.see_within(WATCH, "[data-test=answer]"))?;
    upload(scene, &file("story.longhand"))?;
    is(&scene.see("[data-test=answer]")?, LONG.answer)
}

/// `longhand web`, which ends with this value.
struct Program {
    child: Child,
    /// With what it was given to show.
    address: String,
}

impl Program {
    fn start(shown: &[&std::path::Path]) -> Result<Self, String> {
        let program = shell::target_dir().join("release").join(format!("longhand{}", std::env::consts::EXE_SUFFIX));
        if !program.is_file() || !shell::root().join("web/dist/index.html").is_file() {
            return Err("the published page and the program are needed: `cargo xtask trunk`, then `cargo build --release`".into());
        }
        let mut command = Command::new(program);
        command.current_dir(shell::root()).arg("web").args(shown).args(["--no-open", "--json", "--port", "0"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|problem| format!("longhand web: {problem}"))?;
        let mut line = String::new();
        let said = BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line);
        // From here on the value ends the program.
        let mut program = Self { child, address: String::new() };
        said.map_err(|problem| problem.to_string())?;
        let said: serde_json::Value = serde_json::from_str(&line).map_err(|problem| format!("longhand web said {line:?}: {problem}"))?;
        program.address = said["address"].as_str().ok_or_else(|| format!("longhand web named no address: {line}"))?.into();
        Ok(program)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
