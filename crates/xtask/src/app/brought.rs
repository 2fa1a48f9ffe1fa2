//! What comes to the inspector without a file dialog: a dataset by the page's address, as `longhand web` makes such addresses, and a folder that is
//! dropped. And its module, where that is missing and where it traps.

use std::path::Path;
use std::time::Duration;

use super::inspects::{FILES, counted, read, verdict};
use super::opens::{WATCH, no_violation};
use super::scene::SOON;
use super::{Scene, holds};
use crate::shell;

const INSPECTOR: &str = "[data-test=inspect]";
const PROBLEM: &str = "[data-test=inspect-problem]";
const ENDED: &str = "[data-test=inspect-ended]";

/// Everything.
pub fn run(scene: &mut Scene) -> Result<(), String> {
    let folder = shell::root().join("tests/browser/dataset");
    let count = read(&folder.join("rows.jsonl"))?.lines().count();
    addressed(scene, count)?;
    dropped(scene, &folder, count)?;
    missing(scene)?;
    trapped(scene, &folder, count)
}

/// `?dataset=` opens a folder of the same server, and nothing of another.
fn addressed(scene: &Scene, count: usize) -> Result<(), String> {
    scene.open("/strict/?device=cpu&dataset=../dataset/")?;
    scene.see(INSPECTOR)?;
    counted(scene, count, SOON)?;
    scene.click("[data-test=row]")?;
    scene.see("[data-test=row-question]")?;
    verdict(scene, "all")?;
    for name in FILES {
        let path = format!("/dataset/{name}");
        holds(&format!("{path} was fetched"), scene.server().requests().iter().any(|request| request.path == path))?;
    }
    scene.screen("inspector-addressed")?;
    no_violation(scene)?;
    scene.kept_to_itself(&[])?;
    // Nothing lies there.
    scene.open("/strict/?device=cpu&dataset=../absent/")?;
    let told = scene.see(PROBLEM)?;
    holds(&format!("a dataset that is not there is told: {told}"), told.contains("/absent/"))?;
    scene.caught("dataset that is not there", "the rows are counted", counted(scene, count, WATCH))?;
    // Another host's is not asked for: the page comes up as its reader.
    scene.open("/?device=cpu&dataset=http://else.test/dataset/")?;
    scene.see("[data-test=file]").or_else(|_| scene.see("[data-test=sample]"))?;
    scene.caught("another host's dataset", "is seen: not within", scene.see_within(WATCH, INSPECTOR))?;
    scene.kept_to_itself(&[])
}

/// A folder from the desktop, as the browser hands it over.
fn dropped(scene: &Scene, folder: &Path, count: usize) -> Result<(), String> {
    scene.open("/strict/?device=cpu#inspect")?;
    scene.see(INSPECTOR)?;
    let barren = shell::target_dir().join("web-app/barren");
    // What lies further down is not the folder's own: a run keeps its calls there.
    let inner = barren.join("inner");
    std::fs::create_dir_all(&inner).map_err(|problem| problem.to_string())?;
    let copied = std::fs::copy(folder.join("rows.jsonl"), inner.join("rows.jsonl"));
    copied.and_then(|_| std::fs::write(barren.join("notes.txt"), "no rows")).map_err(|problem| problem.to_string())?;
    scene.driver().drop_on(INSPECTOR, &[&barren])?;
    let told = scene.see(PROBLEM)?;
    holds(&format!("a folder without rows is told: {told}"), told.contains("notes.txt"))?;
    scene.caught("folder without rows of its own", "the rows are counted", counted(scene, count, WATCH))?;
    scene.driver().drop_on(INSPECTOR, &[folder])?;
    counted(scene, count, SOON)?;
    scene.click("[data-test=row]")?;
    let asked = scene.see("[data-test=row-question]")?;
    verdict(scene, "all")?;
    no_violation(scene)?;
    // The reader beside it did not take it for a document.
    holds("the reader has no document open", scene.driver().find("[data-test=leave]").is_err())?;
    scene.kept_to_itself(&[&asked])
}

/// Without its module the page says so, and goes on without it.
fn missing(scene: &Scene) -> Result<(), String> {
    scene.open("/partial/?device=cpu#inspect")?;
    let told = scene.see(ENDED)?;
    holds(&format!("a missing module is told: {told}"), told.contains("could not be fetched"))?;
    scene.screen("problem-inspector-module")?;
    scene.is_accessible("an inspector that could not be fetched")?;
    scene.click("[data-test=inspect-again]")?;
    scene.see(ENDED)?;
    scene.caught("missing module", "is seen: not within", scene.see_within(WATCH, INSPECTOR))?;
    scene.click("nav a[href='#reader']")?;
    scene.see("[data-test=sample]").map(drop)
}

/// A trap in it takes it away and nothing else; opened again it is a fresh one.
fn trapped(scene: &Scene, folder: &Path, count: usize) -> Result<(), String> {
    scene.open("/strict/?device=cpu#inspect")?;
    scene.see(INSPECTOR)?;
    let driver = scene.driver();
    driver.script(LARGE, &[])?;
    let rows = folder.join("rows.jsonl");
    driver.find("[data-test=inspect-open]")?.upload(&[&rows])?;
    let told = scene.see_within(Duration::from_secs(60), ENDED)?;
    holds(&format!("a trap is told: {told}"), told.contains("stopped"))?;
    scene.caught("trap", "is seen: not within", scene.see_within(WATCH, INSPECTOR))?;
    scene.screen("problem-inspector-trap")?;
    driver.script("Blob.prototype.arrayBuffer = window.sound", &[])?;
    scene.click("[data-test=inspect-again]")?;
    scene.see(INSPECTOR)?;
    driver.find("[data-test=inspect-open]")?.upload(&[&rows])?;
    counted(scene, count, SOON)
}

/// More bytes than a module's memory can hold, whatever was asked for.
const LARGE: &str = "
    window.sound = Blob.prototype.arrayBuffer;
    Blob.prototype.arrayBuffer = async () => {
        const bytes = new Uint8Array(2 ** 31 + 8);
        bytes[0] = 10;
        return bytes.buffer;
    };";
