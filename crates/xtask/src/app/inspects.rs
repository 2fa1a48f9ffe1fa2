//! The inspector over a dataset that `longhand synth run` made (`tests/browser/dataset`): found, taken apart, computed again, judged.

use std::path::PathBuf;
use std::time::Duration;

use super::scene::SOON;
use super::{Scene, holds, same};
use crate::shell;

/// The files of the dataset.
pub(super) const FILES: [&str; 4] = ["rows.jsonl", "rejects.jsonl", "report.json", "documents.jsonl"];

/// Everything that needs no model, and a closed-book check by the one that comes along.
pub fn run(scene: &mut Scene) -> Result<(), String> {
    let folder = shell::root().join("tests/browser/dataset");
    let rows = read(&folder.join("rows.jsonl"))?;
    let count = rows.lines().count();
    scene.open("/strict/?device=cpu#inspect")?;
    opened(scene, &FILES.map(|name| folder.join(name)), count)?;
    scene.screen("inspector")?;
    scene.is_accessible("the inspector's table")?;
    let parsed: Vec<serde_json::Value> = rows.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let questions: Vec<&str> = parsed.iter().filter_map(|row| row["question"].as_str()).collect();
    same("rows with a question", questions.len(), count)?;
    scene.click("[data-test=row]")?;
    let asked = scene.see("[data-test=row-question]")?;
    holds(&format!("a row's question is shown: {asked}"), questions.contains(&asked.as_str()))?;
    verdict(scene, "all")?;
    holds("evidence is marked", !scene.driver().find_all("[data-test=evidence]")?.is_empty())?;
    scene.see("[data-test=waterfall], [data-test=graph], [data-test=hops]")?;
    scene.screen("inspector-row")?;
    scene.is_accessible("a row taken apart")?;
    // A closed-book check on the page's own model.
    scene.click("[data-test=live] summary")?;
    scene.click("[data-test=check-tiny]")?;
    let driver = scene.driver();
    driver.wait("the check can be run", Duration::from_secs(240), || {
        let button = driver.find("[data-test=check-way] [data-test=check-run]")?;
        Ok((button.property("disabled")? == false).then_some(()))
    })?;
    scene.click("[data-test=check-way] [data-test=check-run]")?;
    scene.see_within(Duration::from_secs(240), "[data-test=check-reply]")?;
    let right = driver.find("[data-test=check-reply]")?.attribute("data-right")?;
    same("a model that knows no such world answers", right.as_deref(), Some("false"))?;
    scene.click("[data-test=accept]")?;
    same("the judgement is kept", driver.find("[data-test=accept]")?.attribute("aria-pressed")?.as_deref(), Some("true"))?;
    super::opens::no_violation(scene)?;
    scene.kept_to_itself(&[&asked])?;
    planted(scene, &rows)
}

/// A row whose answer is another no longer follows from its facts.
fn planted(scene: &Scene, rows: &str) -> Result<(), String> {
    let folder = shell::target_dir().join("web-app/changed");
    std::fs::create_dir_all(&folder).map_err(|problem| problem.to_string())?;
    let mut lines = Vec::new();
    for line in rows.lines() {
        let mut row: serde_json::Value = serde_json::from_str(line).map_err(|problem| problem.to_string())?;
        row["answers"] = serde_json::json!(["something else"]);
        lines.push(row.to_string());
    }
    let place = folder.join("rows.jsonl");
    std::fs::write(&place, lines.join("\n") + "\n").map_err(|problem| problem.to_string())?;
    scene.open("/?device=cpu#inspect")?;
    scene.driver().reload()?;
    opened(scene, &[place], lines.len())?;
    scene.click("[data-test=row]")?;
    scene.see("[data-test=row-question]")?;
    scene.caught("changed answer", "\"failed\"", verdict(scene, "all"))
}

pub(super) fn read(place: &std::path::Path) -> Result<String, String> {
    std::fs::read_to_string(place).map_err(|problem| format!("{}: {problem}", place.display()))
}

/// Opens files and waits until so many rows are counted.
pub(super) fn opened(scene: &Scene, files: &[PathBuf], count: usize) -> Result<(), String> {
    let driver = scene.driver();
    let files: Vec<&std::path::Path> = files.iter().map(PathBuf::as_path).collect();
    driver.wait("a place for files", SOON, || driver.find("[data-test=inspect-open]").map(Some))?;
    driver.find("[data-test=inspect-open]")?.upload(&files)?;
    counted(scene, count, Duration::from_secs(120))
}

/// Waits until the page counts so many rows.
pub(super) fn counted(scene: &Scene, count: usize, limit: Duration) -> Result<(), String> {
    let driver = scene.driver();
    let counted = driver.wait("the rows are counted", limit, || {
        let text = driver.find("[data-test=count]")?.text()?;
        Ok(text.split(|c: char| !c.is_ascii_digit()).any(|word| word == count.to_string()).then_some(()))
    });
    Ok(counted?)
}

/// What the page computes of the row that is open: `all`, `some` or `failed`.
pub(super) fn verdict(scene: &Scene, expected: &str) -> Result<(), String> {
    scene.see("[data-test=audit-verdict]")?;
    let found = scene.driver().find("[data-test=audit-verdict]")?.attribute("data-verdict")?;
    same("the row computed again", found.as_deref(), Some(expected))
}
