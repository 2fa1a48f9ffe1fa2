//! The tools of the other scenarios, tried on a page of their own, `tests/browser/driver`: what they can do, and what they notice.

use std::time::Duration;

use serde_json::json;

use super::scene::SOON;
use super::{Scene, holds, same};
use crate::driver::Fault;
use crate::shell;

/// Everything.
pub fn run(scene: &mut Scene) -> Result<(), String> {
    scene.open("/driver/")?;
    controls(scene)?;
    files_and_pictures(scene)?;
    scripts(scene)?;
    network(scene)?;
    accessibility(scene)?;
    leaks(scene)?;
    // What the page stored is there on the next day.
    scene.open("/driver/")?;
    scene.driver().script("localStorage.kept = 'yes'", &[])?;
    scene.restart()?;
    scene.open("/driver/")?;
    same("what was stored", scene.driver().script("return localStorage.kept", &[])?, "yes")
}

fn kind<T>(outcome: Result<T, Fault>) -> String {
    outcome.err().map_or("nothing".into(), |fault| fault.kind)
}

/// Elements, within shadow roots too, as a person reads and uses them.
fn controls(scene: &Scene) -> Result<(), String> {
    let driver = scene.driver();
    same("the heading", driver.find("h1")?.text()?, "Driven")?;
    same("before the click", kind(driver.find("#later")), "no such element")?;
    scene.click("#add")?;
    same("after the click", scene.see("#later")?, "added")?;
    driver.reload()?;
    same("after a reload", kind(driver.find("#later")), "no such element")?;
    let field = "driven-element >>> input";
    scene.type_into(field, "words")?;
    same("the field", driver.find(field)?.property("value")?, "words")?;
    same("what follows the field", scene.see("driven-element >>> output")?, "words")?;
    driver.find(field)?.clear()?;
    same("the field, cleared", driver.find(field)?.property("value")?, "")?;
    same("an attribute", driver.find(field)?.attribute("name")?.as_deref(), Some("field"))?;
    same("no attribute", driver.find(field)?.attribute("none")?, None::<String>)?;
    same("all buttons", driver.find_all("button")?.len(), 2)?;
    holds("what is hidden is not shown", !driver.find("#hidden")?.is_shown()?)?;
    same("a click on what is covered", kind(driver.find("#covered")?.click()), "element click intercepted")?;
    scene.caught("hidden text", "is seen: not within", scene.see_within(Duration::from_millis(300), "#hidden"))
}

fn files_and_pictures(scene: &Scene) -> Result<(), String> {
    let driver = scene.driver();
    let pages = shell::root().join("tests/browser/driver");
    driver.find("input[type=file]")?.upload(&[&pages.join("worker.js"), &pages.join("index.html")])?;
    same("the chosen files", scene.see("#files")?, "worker.js index.html")?;
    driver.resize(700, 500)?;
    let png = driver.screenshot()?;
    let width = png.get(16..20).map(|bytes| u32::from_be_bytes(bytes.try_into().expect("four bytes")));
    same("a picture's width", (png.get(1..4), width), (Some(&b"PNG"[..]), Some(700)))?;
    holds("an element's picture is smaller", driver.find("h1")?.screenshot()?.len() < png.len())?;
    Ok(driver.resize(1280, 900)?)
}

/// Scripts, their errors, and the console.
fn scripts(scene: &Scene) -> Result<(), String> {
    let driver = scene.driver();
    same("a script's value", driver.script("return arguments[0] + 1", &[json!(2)])?, 3)?;
    let late = "await new Promise((go) => setTimeout(go, 50)); return arguments[0].textContent";
    same("a late value", driver.script_async(late, &[driver.find("h1")?.reference()])?, "Driven")?;
    let said = |outcome: Result<serde_json::Value, Fault>| outcome.map_err(String::from);
    scene.caught("error", "nothing is not defined", said(driver.script("return nothing.at.all", &[])))?;
    scene.caught("late error", "TypeError: so it goes", said(driver.script_async("throw new TypeError('so it goes')", &[])))?;
    driver.script("console.warn('a word'); new Worker('worker.js', { type: 'module' }).postMessage({ warn: 'a worker\\'s word' })", &[])?;
    driver.script("document.body.append(Object.assign(document.createElement('img'), { src: 'http://else.test/a.png' }))", &[])?;
    for line in ["a word", "a worker's word", "Content Security Policy"] {
        let seen = || Ok(scene.console().unwrap_or_default().iter().any(|seen| seen.contains(line)).then_some(()));
        driver.wait(&format!("'{line}' in the console"), SOON, seen)?;
    }
    Ok(())
}

/// A worker's requests are on record as the page's are, and go nowhere without a network.
fn network(scene: &Scene) -> Result<(), String> {
    let driver = scene.driver();
    driver.sent()?;
    let ask = |script: &str| driver.script_async(script, &[json!("/report")]);
    let by_page = "return await fetch(arguments[0], { method: 'POST', body: 'said' }).then((answer) => answer.status, String)";
    let by_worker = "return await new Promise((go) => { window.worker ??= new Worker('worker.js', { type: 'module' });
        worker.onmessage = ({ data }) => go(data); worker.postMessage({ post: arguments[0] }); })";
    same("the page's answer", ask(by_page)?, 200)?;
    same("the worker's answer", ask(by_worker)?, 200)?;
    let recorded = || scene.server().requests().into_iter().filter(|request| request.path == "/report").map(|request| request.body);
    same("the record", recorded().collect::<Vec<_>>(), [b"said".to_vec(), b"said by the worker".to_vec()])?;
    let sent = driver.sent()?;
    let post = sent.iter().find(|sent| sent.method == "POST").ok_or("the developer tools missed the page's request")?;
    same("the page's request", (post.address.ends_with("/report"), post.body.as_deref()), (true, Some("said")))?;
    scene.set_online(false)?;
    for script in [by_page, by_worker] {
        same("without a network", ask(script)?, "TypeError: Failed to fetch")?;
    }
    same("what the page knows", driver.script("return navigator.onLine", &[])?, false)?;
    scene.set_online(true)?;
    same("with it again", ask(by_worker)?, 200)?;
    // The browser itself tries some of them again.
    holds("what the worker tried without a network is on record", recorded().count() > 3)
}

fn accessibility(scene: &Scene) -> Result<(), String> {
    scene.open("/driver/")?;
    scene.is_accessible("the driver's page")?;
    let add = "document.querySelector('main').append(document.createElement('button'))";
    scene.driver().script(add, &[])?;
    if super::axe_is_there() {
        scene.caught("button without a name", "button-name", scene.is_accessible("the driver's page"))?;
    }
    Ok(())
}

/// What leaves is noticed.
fn leaks(scene: &Scene) -> Result<(), String> {
    scene.kept_to_itself(&["a secret"])?;
    let leak = "await fetch('/driver/?q=' + encodeURIComponent('it is a secret'))";
    scene.driver().script_async(leak, &[])?;
    scene.caught("leak", "'a secret' was sent", scene.kept_to_itself(&["a secret"]))?;
    scene.kept_to_itself(&["another"])?;
    // No policy holds a navigation back; the proxy keeps it on record and lets nothing through.
    scene.open("/driver/")?;
    scene.driver().open("http://else.test/")?;
    scene.caught("request to another host", "http://else.test/", scene.kept_to_itself(&[]))
}
