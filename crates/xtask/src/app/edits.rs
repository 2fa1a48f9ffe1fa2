//! Notes that a person edits: kept over a draft, a reload and an undo, in every export, and what is read and answered after it comes from them.
//! So does the answer to a question asked later.

use serde_json::Value;

use super::reads::{LOADING, LONG, READING, answered, ask, file, is, load, open, section};
use super::scene::SOON;
use super::{Scene, holds, same};
use crate::shell;

/// Other notes than the model's, in words that it knows; what they answer.
const NOTES: &str = "the employer of Bruno Cole is Wade Clocks. the founder of Wade Clocks is George Parker.";
const ANSWER: &str = "George Parker";
/// A note for the middle of a read.
const FIRST: &str = "the founder of Wade Clocks is George Parker.";

/// A finished read of the program, edited; then a read of the page, edited half-way.
pub fn run(scene: &mut Scene) -> Result<(), String> {
    finished(scene)?;
    later(scene)?;
    half_way(scene)
}

/// A question asked later is stale as well, and is put anew; a server that is not there is said to be so.
fn later(scene: &Scene) -> Result<(), String> {
    scene.open("/?device=cpu")?;
    let place = asked_later()?;
    super::reads::upload(scene, &place)?;
    answered(scene, &LONG)?;
    edit(scene, NOTES)?;
    scene.click("[data-test=edit-save]")?;
    shown(scene, "edited", true)?;
    scene.click("li:last-child > [data-test=show-question]")?;
    shown(scene, "stale", true)?;
    shown(scene, "edit", false)?;
    server(scene)?;
    scene.click("[data-test=model-change]")?;
    scene.click("[data-test=model-tiny]")?;
    let driver = scene.driver();
    driver.wait("it can be put anew", LOADING, || Ok((driver.find("[data-test=again]")?.property("disabled")? == false).then_some(())))?;
    scene.click("[data-test=again]")?;
    // The demonstration model may find nothing in notes: then the sections are named.
    driver.wait("it is answered anew, or said not to be held", LOADING, || {
        let answered = !driver.find("[data-test=stale]")?.is_shown()?;
        let proposed = !driver.find_all("[data-test=proposal]")?.is_empty();
        Ok((answered || proposed).then_some(()))
    })?;
    Ok(())
}

/// A server at a port where none is.
fn server(scene: &Scene) -> Result<(), String> {
    scene.click("[data-test=again-choose]")?;
    scene.click("[data-test=model-server]")?;
    scene.type_into("[data-test=server-url]", "http://127.0.0.1:9/v1")?;
    scene.type_into("[data-test=server-model]", "none")?;
    scene.click("[data-test=server-use]")?;
    let driver = scene.driver();
    driver.wait("the server is chosen", SOON, || Ok((driver.find("[data-test=again]")?.property("disabled")? == false).then_some(())))?;
    scene.click("[data-test=again]")?;
    let told = scene.see("[data-test=problem]")?;
    let kind = driver.find("[data-test=problem]")?.attribute("data-kind")?;
    same(&format!("the problem: {told}"), kind.as_deref(), Some("network"))?;
    holds(&format!("what to do is said: {told}"), told.contains("Start it, check its address"))?;
    scene.click("[data-test=dismiss]")
}

/// The kept read with a question that was asked later.
fn asked_later() -> Result<std::path::PathBuf, String> {
    let told = |problem: std::io::Error| problem.to_string();
    let text = std::fs::read_to_string(file("story.longhand")).map_err(told)?;
    let lines: Vec<&str> = text.lines().collect();
    let parsed = |line: &str| serde_json::from_str::<Value>(line).map_err(|problem| problem.to_string());
    let mut first = parsed(lines[0])?;
    first["lines"] = Value::from(lines.len() + 2);
    let started = lines.iter().find(|line| line.contains(r#""event":"started""#)).ok_or("the read has no first line")?;
    let mut started = parsed(started)?;
    (started["question"], started["chunks"], started["style"]) =
        ("Who is the founder of Wade Clocks?".into(), 0.into(), "short ask".into());
    let answer = r#"{"event":"answer","text":"Isaac Hayes","reply":"Isaac Hayes","usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
    let log = r#"{"log":"asks/1.jsonl","later":true}"#;
    let whole = [&[&*first.to_string()], &lines[1..], &[log, &*started.to_string(), answer]].concat().join("\n") + "\n";
    let place = shell::target_dir().join("web-app/story-later.longhand");
    std::fs::write(&place, whole).map_err(told)?;
    Ok(place)
}

fn finished(scene: &Scene) -> Result<(), String> {
    scene.open("/strict/?device=cpu")?;
    open(scene, &file("story.longhand"))?;
    answered(scene, &LONG)?;
    shows(scene, &LONG, false)?;
    edit(scene, NOTES)?;
    scene.click("[data-test=edit-save]")?;
    shown(scene, "stale", true)?;
    shows(scene, &LONG, true)?;
    let why = scene.see("[data-test=stale]")?;
    holds(&format!("the answer says why it is stale: {why}"), why.contains("before your edit"))?;
    scene.screen("reader-edited")?;
    scene.is_accessible("edited notes and a stale answer")?;
    narrow(scene)?;
    scene.click("[data-test=undo]")?;
    shown(scene, "stale", false)?;
    shows(scene, &LONG, false)?;
    // What is typed and not saved outlives a reload; so does what is saved, and its undo.
    edit(scene, NOTES)?;
    reopen(scene)?;
    shown(scene, "edit-text", true)?;
    same("the draft", scene.driver().find("[data-test=edit-text]")?.property("value")?, Value::from(NOTES))?;
    scene.is_accessible("the editor")?;
    scene.click("[data-test=edit-save]")?;
    shown(scene, "stale", true)?;
    reopen(scene)?;
    shown(scene, "stale", true)?;
    shows(scene, &LONG, true)?;
    exported(scene)?;
    // With a model the answer comes from the edited notes; without the edit the first one is back.
    scene.click("[data-test=again-choose]")?;
    scene.click("[data-test=model-tiny]")?;
    again(scene)?;
    is(&scene.see("[data-test=answer]")?, ANSWER)?;
    scene.caught("answer before the edit", "expected", is(&scene.see("[data-test=answer]")?, LONG.answer))?;
    scene.click("[data-test=undo]")?;
    shown(scene, "undo", false)?;
    answered(scene, &LONG)?;
    shown(scene, "stale", false)?;
    reopen(scene)?;
    shows(scene, &LONG, false)?;
    super::opens::no_violation(scene)?;
    scene.kept_to_itself(&["Bruno Cole", "Wade Clocks"])?;
    // The same edit again: the answer that was given from it counts again.
    edit(scene, NOTES)?;
    scene.click("[data-test=edit-save]")?;
    shown(scene, "edited", true)?;
    is(&scene.see("[data-test=answer]")?, ANSWER)?;
    shown(scene, "stale", false)?;
    // Planted: the log without the edits' lines.
    scene.driver().script_async(FORGET, &[])?;
    reopen(scene)?;
    scene.see("[data-test=notes]")?;
    scene.caught("lost edit", "expected true", shows(scene, &LONG, true))
}

/// Stopped, edited, gone on with: the next notes are made from the edited ones.
fn half_way(scene: &Scene) -> Result<(), String> {
    scene.open("/?device=cpu")?;
    open(scene, &file(LONG.file))?;
    load(scene)?;
    ask(scene, &LONG)?;
    let driver = scene.driver();
    driver.wait("four sections are read", READING, || Ok((section(scene).unwrap_or(0) >= 4).then_some(())))?;
    scene.click("[data-test=stop]")?;
    scene.see("[data-test=go-on]")?;
    edit(scene, FIRST)?;
    same("going on waits for the edit", driver.find("[data-test=go-on]")?.property("disabled")?, true)?;
    scene.click("[data-test=edit-save]")?;
    shown(scene, "edited", true)?;
    scene.click("[data-test=go-on]")?;
    scene.see_within(READING, "[data-test=answer]")?;
    shown(scene, "stale", false)?;
    let after = driver.script_async(AFTER, &[])?;
    holds(&format!("the notes after the edit begin with it: {after}"), after.as_str().is_some_and(|notes| notes.starts_with(FIRST)))
}

/// Opens the editor and puts these notes in, as a person would with the keyboard: it has the focus.
fn edit(scene: &Scene, notes: &str) -> Result<(), String> {
    scene.click("[data-test=edit]")?;
    let driver = scene.driver();
    driver.wait("the editor has the focus", SOON, || {
        let focused = driver.script("return document.activeElement?.dataset.test ?? ''", &[])?;
        Ok((focused == "edit-text").then_some(()))
    })?;
    driver.script("document.activeElement.select(); document.execCommand('delete')", &[])?;
    scene.type_into("[data-test=edit-text]", notes)
}

/// The page again, and the read from the list of those kept.
fn reopen(scene: &Scene) -> Result<(), String> {
    scene.driver().reload()?;
    scene.click("[data-test=kept-read]")?;
    scene.see("[data-test=section]").map(drop)
}

/// Answers again as soon as the model is there.
fn again(scene: &Scene) -> Result<(), String> {
    let driver = scene.driver();
    driver.wait("it can be answered again", LOADING, || {
        Ok((driver.find("[data-test=again]")?.property("disabled")? == false).then_some(()))
    })?;
    scene.click("[data-test=again]")?;
    let over = driver.wait("the answer is given again", READING, || Ok((!driver.find("[data-test=stale]")?.is_shown()?).then_some(())));
    Ok(over?)
}

/// Waits until it is shown, or not.
fn shown(scene: &Scene, name: &str, expected: bool) -> Result<(), String> {
    let (driver, selector) = (scene.driver(), format!("[data-test={name}]"));
    let seen = driver.wait(&format!("{name} is shown: {expected}"), SOON, || {
        let found = driver.find_all(&selector)?;
        let shown = found.first().map_or(Ok(false), |element| element.is_shown())?;
        Ok((shown == expected).then_some(()))
    });
    Ok(seen?)
}

/// The notes are a person's, with the mark that says so, or the model's.
fn shows(scene: &Scene, story: &super::reads::Story, edited: bool) -> Result<(), String> {
    let notes = scene.see("[data-test=notes]")?;
    let marked = scene.driver().find("[data-test=edited]")?.is_shown()?;
    same("the mark", marked, edited)?;
    is(&notes, if edited { ANSWER } else { story.answer })
}

/// On a phone everything is within the page's width, and can be used.
fn narrow(scene: &Scene) -> Result<(), String> {
    let driver = scene.driver();
    driver.resize(390, 800)?;
    let over = driver.script("return document.documentElement.scrollWidth - window.innerWidth", &[])?;
    holds(&format!("nothing is wider than a phone: {over}"), over.as_f64().is_some_and(|over| over <= 0.0))?;
    scene.click("[data-test=edit]")?;
    shown(scene, "edit-text", true)?;
    scene.screen("reader-edit-phone")?;
    scene.is_accessible("the editor on a phone")?;
    scene.click("[data-test=edit-cancel]")?;
    shown(scene, "edit-text", false)?;
    Ok(driver.resize(1280, 900)?)
}

/// Every export has the edit; the read itself is left in the app's folder for the program.
fn exported(scene: &Scene) -> Result<(), String> {
    let export = |form: &str| -> Result<String, String> {
        let text = scene.driver().script_async(EXPORT, &[form.into()])?;
        text.as_str().map(String::from).ok_or_else(|| format!("no export of {form}"))
    };
    let packed = export("longhand")?;
    holds("the packed read has the edit", packed.contains(r#"{"event":"edited","index":"#) && packed.contains(NOTES))?;
    let told = [("markdown", "edited by a person"), ("html", r#""edited":true"#), ("json", r#""unedited":"#)];
    for (form, word) in told {
        let text = export(form)?;
        holds(&format!("{form} has the edit"), text.contains(word) && text.contains(ANSWER))?;
    }
    let place = shell::target_dir().join("web-app/edited.longhand");
    std::fs::write(&place, packed).map_err(|problem| format!("{}: {problem}", place.display()))
}

/// What the page would save.
pub(super) const EXPORT: &str = "
    const made = URL.createObjectURL;
    const saved = new Promise((resolve) => { URL.createObjectURL = (blob) => { resolve(blob); return made(blob); }; });
    document.querySelector(`[data-test=export-${arguments[0]}]`).click();
    const blob = await saved;
    URL.createObjectURL = made;
    return blob.text();";

/// Takes every edit out of the logs that are kept.
const FORGET: &str = "
    const root = await navigator.storage.getDirectory();
    const reads = await root.getDirectoryHandle('reads');
    for await (const [, read] of reads.entries()) {
        const file = await read.getFileHandle('events.jsonl');
        const lines = (await (await file.getFile()).text()).trim().split('\\n').filter((line) => !line.startsWith('{\"event\":\"edited\"') && !line.startsWith('{\"event\":\"undone\"'));
        const kept = await file.createWritable();
        await kept.write(lines.join('\\n') + '\\n');
        await kept.close();
    }";

/// The notes after the section that follows the edit.
const AFTER: &str = "
    const root = await navigator.storage.getDirectory();
    const reads = await root.getDirectoryHandle('reads');
    for await (const [, read] of reads.entries()) {
        const file = await (await read.getFileHandle('events.jsonl')).getFile();
        const lines = (await file.text()).trim().split('\\n').map((line) => JSON.parse(line));
        const at = lines.findIndex(({ event }) => event === 'edited');
        const answers = lines.filter(({ event }) => event === 'answer').length;
        if (at > 0 && at + 1 < lines.length && lines[at + 1].event === 'chunk' && answers === 1) return lines[at + 1].memory;
    }
    return '';";
