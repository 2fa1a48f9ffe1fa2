//! A model's files in the browser's storage: kept and not fetched again, read in ranges; damaged or cut short they are fetched anew; and where nothing
//! can be kept the model is there all the same. And files of this computer, which are read where they lie.

use super::reads::{LOADING, READING, SHORT, ask, file, open};
use super::tabs::HOLD;
use super::{Scene, holds, same};
use crate::shell;

/// The demonstration model on the processor, past all views: what it says, and its remark; or what is said against it.
const LOADED: &str = "
    const module = await import('/longhand-web.js');
    await module.default();
    const reader = module.headlessReader({ base: arguments[0] }, () => {});
    try {
        await reader.load({ from: 'tiny', base: new URL('/tiny/', location.href).href, device: 'cpu' });
        return await reader.generate('Who owns the mill?', 12);
    } catch (problem) {
        return `failed: ${problem.message}`;
    } finally {
        reader.close();
    }";

/// Does something to the kept weights; their length then.
const CHANGED: &str = "
    const root = await navigator.storage.getDirectory();
    const models = await root.getDirectoryHandle('models');
    for await (const [, model] of models.entries()) {
        const handle = await model.getFileHandle('model.safetensors');
        const { size } = await handle.getFile();
        const file = await handle.createWritable({ keepExistingData: true });
        if (arguments[0] === 'flip') await file.write({ type: 'write', position: size - 1000, data: new Uint8Array([1, 2, 3, 4]) });
        if (arguments[0] === 'cut') await file.truncate(size - 4);
        await file.close();
        return (await handle.getFile()).size;
    }
    return 0;";

/// Plays it.
pub fn run(scene: &mut Scene) -> Result<(), String> {
    let said = loaded(scene, "/")?;
    let first = fetched(scene);
    holds("the weights were fetched", first > 0)?;
    same("what the kept model says", &loaded(scene, "/")?, &said)?;
    same("fetches of kept weights", fetched(scene), first)?;
    let size = changed(scene, "none")?;
    holds(&format!("{size} bytes of weights are kept"), size > 1_000_000)?;
    // Damage, and what is missing, is seen by the hash: they are fetched again, and are sound then.
    for (number, change) in ["flip", "cut"].into_iter().enumerate() {
        changed(scene, change)?;
        same(&format!("what the model says after {change}"), &loaded(scene, "/")?, &said)?;
        same(&format!("fetches of the weights after {change}"), fetched(scene), first + number + 1)?;
        same("their length", changed(scene, "none")?, size)?;
    }
    // A browser that keeps nothing holds the file itself.
    let before = fetched(scene);
    same("what a model says that is not kept", &loaded(scene, "/driver/unkept/")?, &said)?;
    holds("it was fetched", fetched(scene) > before)?;
    // Planted: cut weights that nobody noticed would not be fetched again.
    changed(scene, "cut")?;
    let before = fetched(scene);
    loaded(scene, "/")?;
    scene.caught("cut weights", "expected", same("fetches of the weights", fetched(scene), before))?;
    local(scene)
}

/// Files of this computer outlive the engine: another reads them again, and nothing of them was fetched.
fn local(scene: &Scene) -> Result<(), String> {
    let driver = scene.driver();
    driver.before_pages(HOLD)?;
    scene.open("/?device=cpu")?;
    open(scene, &file(SHORT.file))?;
    let before = fetched(scene);
    scene.click("[data-test=model-own]")?;
    let names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    let files = names.map(|name| shell::root().join("models/tiny").join(name));
    // Without its tokenizer it is none.
    driver.find("[data-test=model-files]")?.upload(&[&files[0], &files[1]])?;
    let told = scene.see("[data-test=problem]")?;
    holds(&format!("what is missing is told: {told}"), told.contains("tokenizer"))?;
    driver.find("[data-test=model-files]")?.upload(&files.each_ref().map(|file| &**file))?;
    ready(scene)?;
    driver.script("window.workers.at(-1).dispatchEvent(new ErrorEvent('error', { message: 'planted' }))", &[])?;
    driver.wait("the model is loaded again", LOADING, || {
        Ok((driver.script("return window.workers.length", &[])?.as_u64() == Some(2)).then_some(()))
    })?;
    ready(scene)?;
    // It reads. What it answers is no matter: as local files the demonstration model is asked as any other.
    ask(scene, &SHORT)?;
    holds("it answers", !scene.see_within(READING, "[data-test=answer]")?.is_empty())?;
    same("fetches of the weights", fetched(scene), before)
}

fn ready(scene: &Scene) -> Result<(), String> {
    let driver = scene.driver();
    let said = driver.wait("the files' model is ready", LOADING, || {
        let said = driver.find("[data-test=model-state]")?.text()?;
        Ok((said.contains("local files") && said.contains("tokens a second")).then_some(()))
    });
    Ok(said?)
}

fn loaded(scene: &Scene, base: &str) -> Result<String, String> {
    // A page without the app, which would have an engine of its own.
    scene.open("/driver/")?;
    let said = scene.driver().script_async(LOADED, &[base.into()])?;
    let said = said.as_str().unwrap_or_default();
    holds(&format!("the model says something: {said:?}"), !said.is_empty() && !said.starts_with("failed"))?;
    Ok(said.into())
}

fn changed(scene: &Scene, change: &str) -> Result<u64, String> {
    let size = scene.driver().script_async(CHANGED, &[change.into()])?;
    size.as_u64().ok_or_else(|| format!("no kept weights: {size}"))
}

fn fetched(scene: &Scene) -> usize {
    scene.server().requests().iter().filter(|request| request.path.split('?').next() == Some("/tiny/model.safetensors")).count()
}
