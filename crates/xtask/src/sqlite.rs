//! SQLite for the inspector, which runs a row's SQL: the project's own build for browsers, as npm has it. It is laid beside the page, and fetched there
//! only by who runs SQL.

use std::path::Path;

use crate::npm::Package;
use crate::web;

/// SQLite 3.54.1. Its archive's hash is checked.
const PACKAGE: Package = Package {
    name: "@sqlite.org/sqlite-wasm",
    version: "3.54.1-build1",
    integrity: "sha512-foW427VBLJ3G87bsnvQTZCc9zYe0Fq1wH0pz1I6BlKLKXcArIAyTkHtq0iT2llmhcMQt9T/p6l5PpQQh+6O8uQ==",
};

/// Its files that are used, and what the page calls them: servers know `.js` everywhere.
const FILES: [(&str, &str); 2] = [("package/dist/index.mjs", "sqlite3.js"), ("package/dist/sqlite3.wasm", "sqlite3.wasm")];

/// Lays it beside the page in `page`, in `sqlite`. Without it the page says that it has none.
fn lay_out(page: &Path) -> Result<(), String> {
    let folder = PACKAGE.fetch(&FILES.map(|(member, _)| member))?;
    FILES.iter().try_for_each(|(member, name)| web::copy(&folder.join(member), &page.join("sqlite").join(name)))
}

/// The same; where it cannot be had that is said, and the page is built all the same.
pub fn lay_out_or_say(page: &Path) {
    if let Err(problem) = lay_out(page) {
        println!("no SQLite beside the page, so that it cannot run a row's SQL: {problem}");
    }
}
