//! `cargo xtask web-figures [--weights FILE.gguf]`: what the published page costs in headless Chromium: bytes, seconds, memory, and its speed beside
//! wllama's (llama.cpp as WebAssembly) with the same file. The lines go into BENCHMARKS.md.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::driver::Driver;
use crate::npm::Package;
use crate::server::{Route, Server};
use crate::{Options, page, shell, wasm, web};

/// The peer, as npm has it.
const WLLAMA: Package = Package {
    name: "@wllama/wllama",
    version: "3.13.0",
    integrity: "sha512-ZvoRdQAn+E+18EvQ9qS036gudiI9rbZRBJgG/qNICPPwrA0Y6SMMdbziz/j7K/0WxcbJlhaRraVIYsnEy732NA==",
};

/// A reader is put into the page and taken away so often between two looks at its memory.
const MOUNTS: usize = 10;
/// And so often before the first look.
const FIRST: usize = 3;
/// How much more memory the page may have then.
const GROWTH: f64 = 0.05;
/// The slowest of these takes minutes on a software adapter.
const PATIENCE: Duration = Duration::from_secs(900);

/// Measures everything; `false` if something could not be measured or is over its bound.
pub fn run(options: &Options) -> bool {
    match measure(options) {
        Ok(()) => true,
        Err(problem) => {
            println!("\nfailed: {problem}");
            false
        }
    }
}

fn measure(options: &Options) -> Result<(), String> {
    let folder = shell::target_dir().join("web-figures");
    let (bound, app, package) = (folder.join("module"), folder.join("page"), folder.join("package"));
    wasm::bindgen_small(&wasm::build_small()?, &bound)?;
    page::lay_out(&bound, &app)?;
    web::lay_out(&bound, &package, "0.0.0")?;
    let sizes: Vec<_> = web::sizes(&package)?.into_iter().chain(web::sizes(&app)?).collect();
    for name in ["longhand.js", "longhand-web.js", "longhand-web_bg.wasm", "longhand-files_bg.wasm", "longhand-inspect_bg.wasm"] {
        let (_, raw, packed) = sizes.iter().find(|(own, _, _)| own == name).ok_or(format!("{name} is not there"))?;
        say(&format!("{name}, bytes and gzipped"), &format!("{raw}, {packed}"));
    }
    let peer = options.weights.is_some().then(|| WLLAMA.fetch(&["package/esm"])).transpose()?;
    let mut routes = vec![
        Route::new("/figures/", shell::root().join("tests/browser/figures")),
        Route::new("/package/", &package),
        Route::new("/golden/", shell::root().join("tests/golden")),
    ];
    if let (Some(weights), Some(peer)) = (&options.weights, &peer) {
        say("wllama.wasm, bytes gzipped", &web::packed(&peer.join("package/esm/wasm/wllama.wasm"))?.to_string());
        routes.push(Route::new("/wllama/", peer.join("package")));
        routes.push(Route::new("/weights/", Path::new(weights).parent().unwrap_or(Path::new(""))));
    }
    routes.push(Route::new("/", &app));
    let server = Server::start(routes)?;
    let profile = folder.join("profile");
    let _ = std::fs::remove_dir_all(&profile);
    first_paint(&server, &profile)?;
    let driver = Driver::start(&profile, None)?;
    driver.open(&format!("{}/figures/index.html", server.address))?;
    let call = |name: &str, given: &[Value]| call(&driver, name, given);
    let number = |value: Value| value.as_f64().ok_or(format!("no number: {value}"));
    for (device, name) in [("cpu", "the processor"), ("gpu", "WebGPU")] {
        let start = || number(call("start", &[json!(device)])?);
        say(&format!("the demonstration model ready on {name}, s, first and again"), &format!("{:.2}, {:.2}", start()?, start()?));
    }
    let memory = || -> Result<f64, String> {
        driver.devtools("HeapProfiler.collectGarbage", json!({}))?;
        driver.resident()
    };
    // The first ones compile and fill caches.
    (0..FIRST).try_for_each(|_| call("mount", &[]).map(drop))?;
    let before = memory()?;
    (0..MOUNTS).try_for_each(|_| call("mount", &[]).map(drop))?;
    let after = memory()?;
    let growth = after / before - 1.0;
    say(
        &format!("memory of the page's process, MB, after {FIRST} and {} readers", FIRST + MOUNTS),
        &format!("{:.1}, {:.1} ({:+.1} %)", before / 1e6, after / 1e6, 100.0 * growth),
    );
    let prompt: Vec<u32> = (1..=12).map(|at| at * 7 % 300).collect();
    for (folder, layers) in [("/golden/qwen3", layers("qwen3")?), ("/golden/qwen3_moe", layers("qwen3_moe")?)] {
        let cost = call("perToken", &[json!(folder), json!(prompt), json!(8), json!(40)])?;
        let of = |name: &str| cost[name].as_f64().unwrap_or(f64::NAN);
        say(
            &format!("a token of {folder}, {layers} layers: dispatches, submits, bytes read"),
            &format!("{:.1}, {:.2}, {:.0}", of("dispatches"), of("submits"), of("mapped")),
        );
    }
    if let Some(weights) = &options.weights {
        let file = Path::new(weights).file_name().unwrap_or_default().to_string_lossy();
        let (weights, asked) = (json!(format!("/weights/{file}")), json!("Tell me about the sea in three sentences."));
        let speeds = |who: &str, found: Value| {
            let of = |name: &str| found[name].as_f64().unwrap_or(f64::NAN);
            say(
                &format!("{who}: loaded, s; 2 tokens after the prompt, s; tokens/s"),
                &format!("{:.2}; {:.2}; {:.1}", of("load"), of("prompt"), of("reply")),
            );
            println!("    {}", found["said"].as_str().unwrap_or_default().replace('\n', " "));
        };
        for (device, name) in [("cpu", "the processor"), ("gpu", "WebGPU")] {
            let mut told = Vec::new();
            // Fetched, and from the browser's storage, each in a page of its own.
            for _ in 0..2 {
                driver.open(&format!("{}/figures/index.html", server.address))?;
                let found = call("memory", &[weights.clone(), json!(device)])?;
                let of = |name: &str| found[name].as_f64().unwrap_or(f64::NAN);
                told.push(format!("{:.0} in {:.1} s", of("bytes") / 1e6, of("load")));
            }
            say(&format!("the module's memory with it on {name}, MB, fetched and kept"), &told.join("; "));
        }
        driver.open(&format!("{}/figures/index.html", server.address))?;
        speeds("ours, processor", call("ours", &[weights.clone(), json!("cpu"), asked.clone()])?);
        speeds("wllama, one thread", call("theirs", &[weights.clone(), asked.clone()])?);
        let adapter = call("adapter", &[])?.as_str().unwrap_or_default().to_lowercase();
        match ["swiftshader", "llvmpipe"].iter().find(|software| adapter.contains(**software)) {
            Some(software) => say("ours, WebGPU", &format!("not measured: {software} computes on the processor, a token takes it minutes")),
            None => speeds("ours, WebGPU", call("ours", &[weights, json!("gpu"), asked])?),
        }
    }
    if growth < GROWTH {
        Ok(())
    } else {
        Err(format!("memory grows by {:.1} % over {MOUNTS} readers, allowed are {:.0} %", 100.0 * growth, 100.0 * GROWTH))
    }
}

fn say(what: &str, figure: &str) {
    println!("  {what:<72}{figure}");
}

/// How many layers a golden model has.
fn layers(case: &str) -> Result<u64, String> {
    let place = shell::root().join("tests/golden").join(case).join("config.json");
    let text = std::fs::read_to_string(&place).map_err(|problem| format!("{}: {problem}", place.display()))?;
    let config: Value = serde_json::from_str(&text).map_err(|problem| problem.to_string())?;
    config["num_hidden_layers"].as_u64().ok_or_else(|| format!("{case} has no layers"))
}

/// The app's first paint and its first field, with nothing kept and again.
fn first_paint(server: &Server, profile: &Path) -> Result<(), String> {
    let driver = Driver::start(profile, None)?;
    let mut told = Vec::new();
    for _ in 0..2 {
        driver.open(&format!("{}/", server.address))?;
        let shown = driver.wait("the page's title", Duration::from_secs(60), || {
            driver.find("[data-test=title]")?.is_shown().map(|shown| shown.then_some(()))
        });
        shown?;
        let paint = driver.script(
            "return [performance.getEntriesByName('first-contentful-paint')[0]?.startTime, performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('.wasm')).at(-1)?.responseEnd];",
            &[],
        )?;
        told.push(format!("{:.0} and {:.0}", paint[0].as_f64().unwrap_or(f64::NAN), paint[1].as_f64().unwrap_or(f64::NAN)));
    }
    say("first paint and module fetched, ms, cold; warm", &told.join("; "));
    Ok(())
}

/// Calls a function of the page's own and waits for what it gives.
fn call(driver: &Driver, name: &str, given: &[Value]) -> Result<Value, String> {
    let begin = "const [name, given] = arguments; window.figure = undefined;
        import('./figures.js').then((page) => page[name](...given)).then((value) => { window.figure = { value: value ?? null }; },
            (problem) => { window.figure = { problem: `${problem}` }; });";
    driver.script(begin, &[json!(name), json!(given)])?;
    let found = driver
        .wait(name, PATIENCE, || driver.script("return window.figure ?? null;", &[]).map(|found| found.is_object().then_some(found)))?;
    match found["problem"].as_str() {
        Some(problem) => Err(format!("{name}: {problem}")),
        None => Ok(found["value"].clone()),
    }
}
