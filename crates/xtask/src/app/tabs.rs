//! Several tabs share one engine: the model is loaded once. The tab that runs it is closed in the middle of another's read, its worker ends, it is put to
//! sleep; each time the others go on by themselves.

use serde_json::Value;

use super::edits::EXPORT;
use super::reads::{LOADING, LOG, LONG, READING, answered, ask, file, is, load, open, section};
use super::scene::SOON;
use super::{Scene, holds, same};

/// Two tabs read the same with one engine, which is lost to them in every way.
pub fn run(scene: &mut Scene) -> Result<(), String> {
    let first = scene.driver().tab()?;
    scene.open("/?device=cpu")?;
    open(scene, &file(LONG.file))?;
    load(scene)?;
    engines(scene, 1)?;
    // The second has the first one's engine: one worker, one model for two readers.
    let second = scene.driver().open_tab()?;
    scene.driver().before_pages(HOLD)?;
    scene.open("/?device=cpu")?;
    open(scene, &file(LONG.file))?;
    load(scene)?;
    engines(scene, 1)?;
    let shared = shared(scene)?;
    holds(&format!("two readers share a model: {shared}"), shared.starts_with("2 readers") && shared.contains("1 model loaded"))?;
    ask(scene, &LONG)?;
    until_section(scene, 4)?;
    // The first asks the same and waits; it is behind the second, and serves it all the same.
    scene.driver().switch_to(&first)?;
    ask(scene, &LONG)?;
    let driver = scene.driver();
    driver.wait("the first waits for the second", SOON, || {
        let said = driver.find("[data-test=sections]")?.text()?;
        Ok(said.contains("Another tab reads").then_some(()))
    })?;
    driver.switch_to(&second)?;
    let before = section(scene)?;
    until_section(scene, before + 4)?;
    // The engine's tab is closed.
    driver.switch_to(&first)?;
    driver.close_tab(&second)?;
    let read = section(scene)?;
    holds(&format!("it was closed in the middle of the read, after section {read}"), scene.driver().find("[data-test=answer]").is_err())?;
    answered(scene, &LONG)?;
    engines(scene, 2)?;
    let sections = whole(scene)?;
    println!("app: tabs: the engine's tab was closed after section {read}; {} sections are in the log once", sections.len());
    scene.caught("answer", "expected", is(&scene.see("[data-test=answer]")?, "Mara Voss"))?;
    let twice: Vec<u64> = sections.iter().copied().chain(sections.last().copied()).collect();
    scene.caught("section that was read twice", "expected", once(&twice))?;
    worker_ends(scene)?;
    sleeps(scene, &second)?;
    alone(scene)?;
    super::opens::no_violation(scene)?;
    scene.kept_to_itself(&["Bruno Cole", "Wade Clocks"])
}

/// The engine's worker ends with an error: the tab has another, which is given what is open.
fn worker_ends(scene: &Scene) -> Result<(), String> {
    scene.driver().script("window.workers.at(-1).dispatchEvent(new ErrorEvent('error', { message: 'planted' }))", &[])?;
    engines(scene, 3)?;
    let driver = scene.driver();
    driver.wait("the model is back", LOADING, || {
        let said = driver.find("[data-test=model-state]")?.text()?;
        Ok((said.contains("tiny") && !said.contains("Loading")).then_some(()))
    })?;
    let text = driver.script_async(EXPORT, &["markdown".into()])?;
    is(text.as_str().unwrap_or_default(), LONG.answer)
}

/// The engine's tab sleeps, as phones put tabs to sleep: the one that is looked at takes the engine over.
fn sleeps(scene: &Scene, engine: &str) -> Result<(), String> {
    let driver = scene.driver();
    let third = driver.open_tab()?;
    scene.open("/?device=cpu")?;
    open(scene, &file(LONG.file))?;
    load(scene)?;
    engines(scene, 3)?;
    driver.switch_to(engine)?;
    driver.script(SLEEP, &[])?;
    driver.switch_to(&third)?;
    engines(scene, 4)?;
    driver.wait("the model is back", LOADING, || {
        Ok(driver.find("[data-test=model-state]")?.text()?.contains("tokens a second").then_some(()))
    })?;
    // The log is whole: what was read is shown at once.
    ask(scene, &LONG)?;
    answered(scene, &LONG)?;
    // It wakes, and is served by the other.
    driver.switch_to(engine)?;
    driver.wait("the one that slept has the model again", LOADING, || {
        let said = driver.find("[data-test=model-state]")?.text()?;
        Ok(said.contains("tiny").then_some(()))
    })?;
    engines(scene, 4)
}

/// A browser without locks: as if there were no other tab. It is also what has to be noticed where one engine is expected.
fn alone(scene: &Scene) -> Result<(), String> {
    let driver = scene.driver();
    driver.open_tab()?;
    driver.before_pages("Object.defineProperty(Navigator.prototype, 'locks', { get() {} })")?;
    scene.open("/?device=cpu")?;
    open(scene, &file(LONG.file))?;
    load(scene)?;
    scene.caught("tab with an engine of its own", "expected 4", engines(scene, 4))?;
    engines(scene, 5)
}

/// Waits until so many engines were started since the scene began, and no more are: each fetches its script.
fn engines(scene: &Scene, expected: usize) -> Result<(), String> {
    let count = || scene.server().requests().iter().filter(|request| request.path.ends_with("/worker.js")).count();
    let driver = scene.driver();
    // A fault of the driver is none of ours here.
    let _ = driver.wait("engines", SOON, || Ok((count() >= expected).then_some(())));
    same("engines started", count(), expected)
}

/// What the page says of the engine's readers and models.
fn shared(scene: &Scene) -> Result<String, String> {
    let driver = scene.driver();
    driver.script("location.hash = '#browser'", &[])?;
    let said = scene.see("[data-test=sharing]")?;
    driver.script("location.hash = '#reader'", &[])?;
    Ok(said)
}

fn until_section(scene: &Scene, wanted: u64) -> Result<(), String> {
    let reached = scene.driver().wait(&format!("section {wanted}"), READING, || Ok((section(scene).unwrap_or(0) >= wanted).then_some(())));
    Ok(reached?)
}

/// The sections of the only log.
fn whole(scene: &Scene) -> Result<Vec<u64>, String> {
    let log = scene.driver().script_async(LOG, &[])?;
    let sections: Vec<u64> = log.as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    once(&sections)?;
    holds(&format!("the log has the whole document: {sections:?}"), sections.len() > 8)?;
    Ok(sections)
}

/// Every section is in the log once, in order.
fn once(sections: &[u64]) -> Result<(), String> {
    same("the sections in the log", sections.to_vec(), (0..sections.len() as u64).collect::<Vec<_>>())
}

/// A page that does nothing for a while, as one that sleeps.
const SLEEP: &str = "setTimeout(() => { const end = Date.now() + 40000; while (Date.now() < end); }, 200)";

/// Keeps the workers that a page starts.
pub(super) const HOLD: &str = "
    window.workers = [];
    const Own = window.Worker;
    window.Worker = class extends Own { constructor(...given) { super(...given); window.workers.push(this); } };";
