//! The page comes up, has a graphics adapter, and needs no more than a strict policy allows.

use std::time::Duration;

use super::scene::SOON;
use super::{Scene, holds, same};

/// How long a page that does not start is watched.
pub const WATCH: Duration = Duration::from_secs(5);

/// The heading is there, and an adapter for what is computed.
pub fn run(scene: &mut Scene) -> Result<(), String> {
    scene.open("/")?;
    heading(scene, SOON, "Longhand")?;
    let adapter = adapter(scene)?;
    println!("app: opens: WebGPU adapter: {adapter}");
    scene.screen("opens")?;
    scene.kept_to_itself(&[])?;
    scene.caught("heading", "expected \"Shorthand\"", heading(scene, WATCH, "Shorthand"))?;
    scene.open("/broken/")?;
    scene.caught("missing module", "h1 is seen: not within", heading(scene, WATCH, "Longhand"))?;
    holds("the console names the missing module", scene.console()?.iter().any(|line| line.contains("404")))
}

/// The same under a strict policy; one that forbids WebAssembly stops it, and the console says so.
pub fn strict(scene: &mut Scene) -> Result<(), String> {
    scene.open("/strict/")?;
    heading(scene, SOON, "Longhand")?;
    no_violation(scene)?;
    scene.open("/refusing/")?;
    scene.caught("policy without WebAssembly", "h1 is seen: not within", heading(scene, WATCH, "Longhand"))?;
    scene.caught("violation", "WebAssembly", no_violation(scene))
}

fn heading(scene: &Scene, limit: Duration, expected: &str) -> Result<(), String> {
    same("the heading", scene.see_within(limit, "h1")?, expected)
}

fn adapter(scene: &Scene) -> Result<String, String> {
    let script = "const { info } = (await navigator.gpu.requestAdapter()) ?? {}; return info && [info.vendor, info.architecture].join(' ')";
    let found = scene.driver().script_async(script, &[])?;
    found.as_str().map(String::from).ok_or_else(|| "this Chromium offers no WebGPU adapter".into())
}

/// Whether the browser had no objection under the page's policy.
pub fn no_violation(scene: &Scene) -> Result<(), String> {
    // Chromium leaves out the middle of a long line.
    match scene.console()?.into_iter().find(|line| line.to_lowercase().contains("t security policy directive")) {
        Some(line) => Err(line),
        None => Ok(()),
    }
}
