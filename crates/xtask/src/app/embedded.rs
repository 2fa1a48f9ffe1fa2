//! The element on another's page: two readers under a strict policy, and what they show where the policy forbids them to compute.

use std::time::Duration;

use super::opens::WATCH;
use super::scene::SOON;
use super::{Scene, holds, same};

/// What a reader of the page's own text shows when it has started, and one that waits for a document.
const FIRST: &str = "#first >>> [data-test=question]";
const SECOND: &str = "#second >>> [data-test=sample]";

/// Both readers start, each by a click of its own, with one module.
pub fn run(scene: &mut Scene) -> Result<(), String> {
    let fetched = |scene: &Scene, name: &str| scene.server().requests().iter().filter(|request| request.path.ends_with(name)).count();
    scene.open("/embed/")?;
    scene.see("#first >>> [data-test=start]")?;
    same("the second reader's language", scene.see("#second >>> [data-test=start]")?, "Mit Longhand lesen")?;
    same("the module before a click", fetched(scene, "longhand-web.js") + fetched(scene, "_bg.wasm"), 0)?;
    scene.is_accessible("readers before a click")?;
    scene.screen("embedded-card")?;
    started(scene, "first", FIRST, SOON)?;
    let question = scene.driver().find(FIRST)?.property("value")?;
    scene.is_accessible("a reader beside one that waits")?;
    same("the suggested question", question, "Who bought the mill?")?;
    scene.see("#second >>> [data-test=start]")?;
    started(scene, "second", SECOND, SOON)?;
    scene.see(FIRST)?;
    same("the module for both", fetched(scene, "_bg.wasm"), 2)?; // the page's, and the worker's
    scene.screen("embedded")?;
    super::opens::no_violation(scene)?;
    scene.kept_to_itself(&["Mara Voss"])?;
    // A policy that forbids WebAssembly, and a module that is not there.
    scene.open("/refused/")?;
    scene.caught("policy without WebAssembly", FIRST, started(scene, "first", FIRST, WATCH))?;
    let told = scene.see("#first >>> [data-test=problem]")?;
    holds(&format!("the element says what is wrong: {told}"), told.contains("could not be started"))?;
    scene.screen("embedded-refused")?;
    scene.is_accessible("a reader that was refused")
}

/// Clicks on a reader's button and waits until it has started.
fn started(scene: &Scene, id: &str, sign: &str, limit: Duration) -> Result<(), String> {
    scene.click(&format!("#{id} >>> [data-test=start]"))?;
    scene.see_within(limit, sign).map(drop)
}
