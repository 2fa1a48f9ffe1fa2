//! A row's SQL run again in the page: SQLite is fetched when that is asked for, gives the stored results, reads and does nothing else.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::inspects::{FILES, opened, read};
use super::scene::SOON;
use super::{Scene, holds, same};
use crate::shell;

/// Statements that are refused, and what is said of them.
const REFUSED: [(&str, &str); 9] = [
    ("DROP TABLE t", "may only read the table"),
    ("INSERT INTO t VALUES ('x', 1, 2)", "may only read the table"),
    ("PRAGMA query_only=OFF", "the pragma `query_only`"),
    ("ATTACH 'file:x' AS x", "other databases"),
    ("SELECT sql FROM sqlite_master", "reading `sqlite_master`"),
    ("SELECT random() FROM t", "the function `random`"),
    ("SELECT name FROM t; SELECT 2", "only one statement"),
    ("SELECT salary FROM t", "no such column: salary"),
    ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n", "stopped after 1000000 steps"),
];

/// Every row of the dataset that has a table; a changed cell, statements that are refused, a page without SQLite.
pub fn run(scene: &mut Scene) -> Result<(), String> {
    let folder = shell::root().join("tests/browser/dataset");
    let rows = read(&folder.join("rows.jsonl"))?;
    let tables: Vec<Value> = rows
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|row: &Value| row["derivation"]["sql"].is_string())
        .collect();
    holds("the dataset has tables", !tables.is_empty())?;
    if !shell::target_dir().join("web-app/page/sqlite/sqlite3.wasm").is_file() {
        scene.skip("SQL in the page: npm did not fetch SQLite");
        return missing(scene, &folder, rows.lines().count());
    }
    scene.open("/strict/?device=cpu#inspect")?;
    opened(scene, &[made("tables", &tables)?], tables.len())?;
    for at in 0..tables.len() {
        show(scene, at)?;
        if at == 0 {
            same("SQLite before it is asked for", fetched(scene), 0)?;
        }
        again(scene)?;
    }
    holds("SQLite was fetched", fetched(scene) > 0)?;
    println!("app: reruns: {} results are the stored ones", tables.len());
    scene.screen("inspector-sql")?;
    scene.is_accessible("SQL that was run again")?;
    let words: Vec<&str> = tables.iter().filter_map(|row| row["question"].as_str()).collect();
    super::opens::no_violation(scene)?;
    scene.kept_to_itself(&words)?;
    refused(scene, &tables[0])?;
    // A changed number in the first column that the statement reads gives another result.
    let mut changed = tables[0].clone();
    let cells = changed["derivation"]["table"]["rows"].as_array_mut().ok_or("the table has no rows")?;
    cells.iter_mut().for_each(|cells| cells[1]["value"] = json!(1e9));
    open_made(scene, "cell", &[changed])?;
    show(scene, 0)?;
    scene.caught("changed cell", "expected Some(\"true\")", again(scene))?;
    missing(scene, &folder, rows.lines().count())
}

/// Statements that do something else than read the table have no result, and the page stays as it is.
fn refused(scene: &Scene, row: &Value) -> Result<(), String> {
    let rows: Vec<Value> = REFUSED
        .iter()
        .enumerate()
        .map(|(at, (sql, _))| {
            let mut row = row.clone();
            row["derivation"]["sql"] = json!(sql);
            row["id"] = json!(format!("refused-{at}"));
            row
        })
        .collect();
    open_made(scene, "refused", &rows)?;
    for (at, (sql, why)) in REFUSED.iter().enumerate() {
        show(scene, at)?;
        scene.click("[data-test=sql-run]")?;
        let said = scene.see("[data-test=sql-refused]")?;
        holds(&format!("{sql}: it is said why it has no result: {said}"), said.contains(why))?;
    }
    Ok(())
}

/// Without SQLite beside it the page says so.
fn missing(scene: &Scene, folder: &Path, count: usize) -> Result<(), String> {
    scene.open("/bare/?device=cpu#inspect")?;
    opened(scene, &FILES.map(|name| folder.join(name)), count)?;
    let driver = scene.driver();
    for row in driver.find_all("[data-test=row]")? {
        if row.text()?.contains("table ·") {
            row.click()?;
            break;
        }
    }
    scene.click("[data-test=sql-run]")?;
    let said = scene.see("[data-test=sql-missing]")?;
    holds(&format!("a page without SQLite says so: {said}"), said.contains("has no SQLite"))
}

/// Opens rows of our own in a page that had others.
fn open_made(scene: &Scene, name: &str, rows: &[Value]) -> Result<(), String> {
    scene.driver().reload()?;
    opened(scene, &[made(name, rows)?], rows.len())
}

/// A file of these rows.
fn made(name: &str, rows: &[Value]) -> Result<PathBuf, String> {
    let folder = shell::target_dir().join("web-app/reruns").join(name);
    std::fs::create_dir_all(&folder).map_err(|problem| problem.to_string())?;
    let place = folder.join("rows.jsonl");
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(&place, lines).map_err(|problem| format!("{}: {problem}", place.display()))?;
    Ok(place)
}

/// Opens a row, and waits until its SQL is shown.
fn show(scene: &Scene, at: usize) -> Result<(), String> {
    let driver = scene.driver();
    driver.wait("the row", SOON, || driver.find_all("[data-test=row]")?.get(at).map(|row| row.click()).transpose())?;
    driver.wait("the row is the one that is open", SOON, || {
        let marked = driver.find(&format!("#inspect-row-{at}"))?.attribute("aria-selected")?;
        Ok((marked.as_deref() == Some("true") && driver.find_all("[data-test=sql-again], [data-test=sql-refused]")?.is_empty())
            .then_some(()))
    })?;
    scene.see("[data-test=sql]").map(drop)
}

/// The row's SQL gives the stored result.
fn again(scene: &Scene) -> Result<(), String> {
    scene.click("[data-test=sql-run]")?;
    let said = scene.see("[data-test=sql-again]")?;
    let found = scene.driver().find("[data-test=sql-again]")?.attribute("data-same")?;
    same(&format!("the stored result, and here: {said}"), found.as_deref(), Some("true"))
}

/// How often SQLite was fetched.
fn fetched(scene: &Scene) -> usize {
    scene.server().requests().iter().filter(|request| request.path.contains("/sqlite/sqlite3.wasm")).count()
}
