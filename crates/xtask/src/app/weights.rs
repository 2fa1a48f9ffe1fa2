//! A model's files in the browser's storage: kept and not fetched again, read in ranges; damaged or cut short they are fetched anew; and where nothing
//! can be kept the model is there all the same.

use super::{Scene, holds, same};

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
    scene.caught("cut weights", "expected", same("fetches of the weights", fetched(scene), before))
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
