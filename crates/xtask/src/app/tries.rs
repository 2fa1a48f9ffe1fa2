//! A row's model checks beside those of the program. `tests/browser/dataset-tiny` was made and checked by the model that comes along; in the page
//! the same model says the same, word for word, and comes to the same verdicts.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::inspects::{FILES, opened, read, verdict};
use super::{Scene, holds, same};
use crate::shell;

/// The checks, and how the program tried: `[trial]` of the dataset's `synth.toml`.
const CHECKS: [(&str, usize); 3] = [("closed_book", 4), ("with_evidence", TRIES), ("robust", TRIES)];
const TRIES: usize = 4;
const REPLY: usize = 12;
/// For the model, and for a check.
const LONG: Duration = Duration::from_secs(240);

/// All checks of a row; then those of a copy whose transcripts and verdict are others.
pub fn run(scene: &mut Scene) -> Result<(), String> {
    let folder = shell::root().join("tests/browser/dataset-tiny");
    let rows = read(&folder.join("rows.jsonl"))?;
    let row: Value = rows.lines().next().and_then(|line| serde_json::from_str(line).ok()).ok_or("the dataset has no row")?;
    scene.open("/strict/?device=cpu#inspect")?;
    show(scene, &folder, rows.lines().count())?;
    verdict(scene, "all")?;
    scene.click("[data-test=live] summary")?;
    scene.click("[data-test=check-tiny]")?;
    for (check, tries) in CHECKS {
        let said = tried(scene, check, tries)?;
        compared(check, &said, &row)?;
        println!("app: tries: {check}: {} replies as stored, {}", said.replies.len(), said.verdict);
    }
    scene.screen("inspector-tries")?;
    scene.is_accessible("a row tried")?;
    super::opens::no_violation(scene)?;
    planted(scene, &folder, row)
}

/// One word of a stored reply, and a stored verdict, are others.
fn planted(scene: &Scene, folder: &Path, mut row: Value) -> Result<(), String> {
    let copy = shell::target_dir().join("web-app/dataset-tiny");
    std::fs::create_dir_all(&copy).map_err(|problem| problem.to_string())?;
    for name in FILES {
        std::fs::copy(folder.join(name), copy.join(name)).map_err(|problem| format!("{name}: {problem}"))?;
    }
    let sound = row.clone();
    row["derivation"]["transcripts"][1]["reply"] = json!("another reply");
    let checks = row["derivation"]["checks"].as_array_mut().ok_or("the row has no checks")?;
    let check = checks.iter_mut().find(|check| check["name"] == "closed_book").ok_or("the row has no closed-book check")?;
    check["detail"] = json!("1 of 4 right");
    std::fs::write(copy.join("rows.jsonl"), format!("{row}\n")).map_err(|problem| problem.to_string())?;
    scene.driver().reload()?;
    show(scene, &copy, 1)?;
    scene.click("[data-test=live] summary")?;
    scene.click("[data-test=check-tiny]")?;
    let said = tried(scene, "closed_book", 4)?;
    scene.caught("changed transcript", "not the stored reply", compared("closed_book", &said, &sound))?;
    let mut said = said;
    said.replies.iter_mut().for_each(|reply| reply.beside = AS_STORED.into());
    scene.caught("changed verdict", "the verdict", compared("closed_book", &said, &row_with_transcripts_of(row, &sound)))
}

/// The changed verdict alone.
fn row_with_transcripts_of(mut row: Value, sound: &Value) -> Value {
    row["derivation"]["transcripts"] = sound["derivation"]["transcripts"].clone();
    row
}

/// Opens the dataset and its first row.
fn show(scene: &Scene, folder: &Path, count: usize) -> Result<(), String> {
    opened(scene, &FILES.map(|name| folder.join(name)), count)?;
    scene.click("[data-test=row]")?;
    scene.see("[data-test=row-question]").map(drop)
}

/// What the page says of a reply that is the stored one.
const AS_STORED: &str = "word for word the stored reply";

/// What a check in the page came to.
struct Said {
    replies: Vec<Reply>,
    verdict: String,
}

struct Reply {
    text: String,
    beside: String,
}

/// Runs a check in the page as often as the program did.
fn tried(scene: &Scene, check: &str, tries: usize) -> Result<Said, String> {
    let driver = scene.driver();
    for (field, value) in [("check-tries", tries), ("check-length", REPLY)] {
        driver.script(SET, &[field.into(), value.into()])?;
    }
    let way = format!("[data-test=check-way][data-check={check}]");
    driver.wait("the check can be run", LONG, || {
        let button = driver.find(&format!("{way} [data-test=check-run]"))?;
        Ok((button.property("disabled")? == false).then_some(()))
    })?;
    scene.click(&format!("{way} [data-test=check-run]"))?;
    let verdict = driver.wait("the check is over", LONG, || {
        let said = driver.find(&format!("{way} [data-test=check-verdict]"))?.text()?;
        Ok(said.contains("right here").then_some(said))
    })?;
    let found = driver.script(REPLIES, &[way.into()])?;
    let field = |reply: &Value, name: &str| reply[name].as_str().unwrap_or_default().to_string();
    let replies = found.as_array().into_iter().flatten().map(|reply| Reply { text: field(reply, "text"), beside: field(reply, "beside") });
    Ok(Said { replies: replies.collect(), verdict })
}

/// Replies and verdict are those of the row.
fn compared(check: &str, said: &Said, row: &Value) -> Result<(), String> {
    for (number, reply) in said.replies.iter().enumerate() {
        holds(&format!("reply {number} of {check} is the stored one: {}", reply.beside), reply.beside.contains(AS_STORED))?;
    }
    let stored = row["derivation"]["transcripts"].as_array().into_iter().flatten().filter(|stored| stored["role"] == check);
    let stored: Vec<&str> = stored.filter_map(|stored| stored["reply"].as_str()).collect();
    let shown: Vec<&str> = said.replies.iter().map(|reply| reply.text.as_str()).collect();
    same(&format!("the replies of {check}"), shown, stored)?;
    let checks = row["derivation"]["checks"].as_array();
    let check = checks.into_iter().flatten().find(|stored| stored["name"] == check).ok_or_else(|| format!("{check} is not stored"))?;
    let passed = said.verdict.contains("passed");
    // Of the whole prompt the program counts the right replies under `difficulty`.
    let counted = check["detail"].as_str().filter(|detail| detail.ends_with(" right"));
    let agrees = counted.is_none_or(|detail| said.verdict.starts_with(detail)) && check["passed"] == passed;
    holds(&format!("the verdict {:?} is the stored one, {check}", said.verdict), agrees)
}

const SET: &str = "
    const field = document.querySelector(`[data-test=${arguments[0]}]`);
    field.value = arguments[1];
    field.dispatchEvent(new Event('change', { bubbles: true }));";

const REPLIES: &str = "
    return [...document.querySelectorAll(`${arguments[0]} [data-test=check-reply]`)].map((reply) => ({
        text: reply.querySelector('.inspect-reply').textContent,
        beside: reply.querySelector('.soft').textContent,
    }));";
