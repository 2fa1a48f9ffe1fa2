//! The reader with the model that comes along: a document of the generated world, read to the right answer and its source. The answer is
//! the one that the native program gives (`longhand read tests/browser/reads/story.txt --model models/tiny --short --quotes …`).

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::scene::SOON;
use super::{Scene, holds, same};
use crate::shell;

/// A document, what is asked of it, and words that stand in it and nowhere in the program.
pub(super) struct Story {
    pub file: &'static str,
    pub question: &'static str,
    pub answer: &'static str,
    private: [&'static str; 2],
}

/// About 7,700 tokens of Qwen3.
pub(super) const LONG: Story = Story {
    file: "story.txt",
    question: "Who is the founder of the employer of Bruno Cole?",
    answer: "Isaac Hayes",
    private: ["Bruno Cole", "Wade Clocks"],
};

/// About 1,900 tokens.
pub(super) const SHORT: Story = Story {
    file: "short.txt",
    question: "Who is the owner of the inn in the birthplace of Ida Cole?",
    answer: "George Parker",
    private: ["Ida Cole", "George Parker"],
};

/// A model's loading on a slow machine, with the test of the device.
pub(super) const LOADING: Duration = Duration::from_secs(240);
/// A read on a slow machine.
pub(super) const READING: Duration = Duration::from_secs(900);
/// A read on a software adapter, or of a book.
const BOOK: Duration = Duration::from_secs(7200);

pub(super) fn file(name: &str) -> PathBuf {
    shell::root().join("tests/browser/reads").join(name)
}

/// On WebGPU, a document of one window's length: a software adapter takes several seconds for a section.
pub fn run(scene: &mut Scene) -> Result<(), String> {
    whole(scene, "/strict/", &SHORT)
}

/// On WebGPU, the long document: many minutes on a software adapter.
pub fn long(scene: &mut Scene) -> Result<(), String> {
    whole(scene, "/strict/", &LONG)
}

/// On the processor, the long document.
pub fn processor(scene: &mut Scene) -> Result<(), String> {
    whole(scene, "/strict/?device=cpu", &LONG)
}

/// On the processor, a document of 200,000 tokens, which the program makes: on a software adapter it would take the better part of a day.
pub fn book(scene: &mut Scene) -> Result<(), String> {
    println!("app: reader-200k: on the processor; a software adapter takes some 20 s for each of about 1,100 sections");
    let story = story()?;
    scene.open("/strict/?device=cpu")?;
    open(scene, &story.file)?;
    load(scene)?;
    scene.set_online(false)?;
    let begun = Instant::now();
    scene.type_into("[data-test=question]", &story.question)?;
    scene.click("[data-test=read]")?;
    let read = |scene: &Scene| scene.see_within(BOOK, "[data-test=answer]");
    is(&read(scene)?, &story.answer)?;
    let sections = section(scene)?;
    println!("app: {sections} sections were read in {:.0} s", begun.elapsed().as_secs_f64());
    holds(&format!("{sections} sections are 200,000 tokens"), sections > 1_000)?;
    scene.set_online(true)?;
    scene.click("[data-test=answer] [data-test=cite]")?;
    let sentence = scene.see("[data-test=mark]")?;
    holds(&format!("the marked passage has the answer: {sentence}"), sentence.contains(&story.answer))?;
    scene.screen("reader-200k")?;
    scene.kept_to_itself(&[&story.question])?;
    scene.caught("answer", "expected", is(&read(scene)?, "Mara Voss"))
}

/// A document that the program makes.
struct Made {
    file: PathBuf,
    question: String,
    answer: String,
}

/// 150,000 words of the generated world, with a question over two of its sentences, which the program's own read answers rightly (with sections and
/// notes as the page has them, `--chunk 192 --memory 112`).
fn story() -> Result<Made, String> {
    let folder = shell::target_dir().join("web-app/book");
    std::fs::create_dir_all(&folder).map_err(|problem| problem.to_string())?;
    let items = folder.join("items.jsonl");
    // The program writes over nothing.
    let _ = std::fs::remove_file(&items);
    let mut command = shell::cargo();
    command.args(["run", "--release", "--quiet", "--", "data", "world", "--items", "1", "--words", "150000", "--hops", "1-2"]);
    if !shell::run(command.args(["--tiny", "--distinct", "--ordered", "--tasks", "multi_hop", "--out"]).arg(&items)) {
        return Err("the program made no document".into());
    }
    let lines = std::fs::read_to_string(&items).map_err(|problem| problem.to_string())?;
    let item: serde_json::Value =
        lines.lines().next().and_then(|line| serde_json::from_str(line).ok()).ok_or("the program made no item")?;
    let at = |end: usize| item["document"][end].as_u64().unwrap_or(0) as usize;
    let text = item["prompt"].as_str().and_then(|prompt| prompt.get(at(0)..at(1))).ok_or("the item has no document")?;
    let file = folder.join("book.txt");
    std::fs::write(&file, text).map_err(|problem| problem.to_string())?;
    let field = |value: &serde_json::Value| value.as_str().map(String::from).ok_or("the item has no question");
    Ok(Made { file, question: field(&item["question"])?, answer: field(&item["answers"][0])? })
}

/// A document read to the right answer and its source, with the network taken away once the model is there.
fn whole(scene: &mut Scene, path: &str, story: &Story) -> Result<(), String> {
    scene.open(path)?;
    scene.screen("reader-empty")?;
    scene.is_accessible("the reader before a document")?;
    open(scene, &file(story.file))?;
    scene.screen("reader-opened")?;
    load(scene)?;
    let ready = scene.see("[data-test=model-state]")?;
    let cpu = path.contains("device=cpu");
    holds(&format!("the device is the one that was wished: {ready}"), ready.to_lowercase().contains("webgpu") != cpu)?;
    scene.set_online(false)?;
    let begun = Instant::now();
    ask(scene, story)?;
    // A software adapter takes a third of a minute and more for a section.
    let limit = if cpu { READING } else { BOOK };
    scene.see_within(limit, "[data-test=notes]")?;
    scene.screen("reader-reading")?;
    is(&scene.see_within(limit, "[data-test=answer]")?, story.answer)?;
    println!("app: {} was read in {:.0} s", story.file, begun.elapsed().as_secs_f64());
    scene.set_online(true)?;
    cited(scene, story)?;
    scene.screen("reader-answered")?;
    scene.is_accessible("the reader with an answer")?;
    super::opens::no_violation(scene)?;
    scene.kept_to_itself(&story.private)?;
    scene.caught("answer", "expected", is(&scene.see("[data-test=answer]")?, "Mara Voss"))?;
    scene.caught("text on record", "was sent", {
        scene.driver().script_async("await fetch('?q=' + encodeURIComponent(arguments[0])); return 1", &[story.private[0].into()])?;
        scene.kept_to_itself(&story.private)
    })
}

/// On the CPU: stopped, reloaded, gone on with; what was read is not read again.
pub fn resumes(scene: &mut Scene) -> Result<(), String> {
    scene.open("/?device=cpu")?;
    open(scene, &file(LONG.file))?;
    load(scene)?;
    ask(scene, &LONG)?;
    let begun = Instant::now();
    while section(scene)? < 8 {
        if begun.elapsed() > READING {
            return Err("the read does not come to its eighth section".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    scene.click("[data-test=stop]")?;
    scene.see("[data-test=go-on]")?;
    scene.restart()?;
    scene.open("/?device=cpu")?;
    scene.screen("reader-kept")?;
    scene.click("[data-test=kept-read]")?;
    scene.see("[data-test=notes]")?;
    let before = section(scene)?;
    holds(&format!("{before} sections were kept"), before >= 8)?;
    scene.click("[data-test=go-on-choose]")?;
    scene.click("[data-test=model-tiny]")?;
    scene.see_within(LOADING, "[data-test=go-on]")?;
    scene.click("[data-test=go-on]")?;
    answered(scene, &LONG)?;
    // Every section's turn was computed once: the log has each of them once.
    let log = scene.driver().script_async(LOG, &[])?;
    let indices: Vec<u64> = log.as_array().into_iter().flatten().filter_map(serde_json::Value::as_u64).collect();
    same("the sections in the log", indices.clone(), (0..indices.len() as u64).collect::<Vec<_>>())?;
    holds("the log has the whole document", indices.len() as u64 > before)?;
    scene.caught(
        "missing section",
        "expected",
        same("the sections", indices[1..].to_vec(), (0..indices.len() as u64 - 1).collect::<Vec<_>>()),
    )
}

/// The numbers of the sections in the only kept read's log.
pub(super) const LOG: &str = "
    const root = await navigator.storage.getDirectory();
    const reads = await root.getDirectoryHandle('reads');
    for await (const [, read] of reads.entries()) {
        const file = await (await read.getFileHandle('events.jsonl')).getFile();
        const lines = (await file.text()).trim().split('\\n').map((line) => JSON.parse(line));
        return lines.filter(({ event }) => event === 'chunk').map(({ index }) => index);
    }";

/// A document from elsewhere is never read by the demonstration model, and never without a choice.
pub fn foreign(scene: &mut Scene) -> Result<(), String> {
    // Without the module for such files the page says what is missing, and reads plain text all the same.
    scene.open("/partial/?device=cpu")?;
    upload(scene, &shell::root().join("tests/documents/arrests-2009.pdf"))?;
    let told = scene.see("[data-test=problem]")?;
    holds(&format!("a missing module is told: {told}"), told.contains("could not be fetched"))?;
    scene.screen("problem-files-module")?;
    open(scene, &file(SHORT.file))?;
    scene.open("/?device=cpu")?;
    open(scene, &shell::root().join("tests/documents/arrests-2009.pdf"))?;
    scene.see("[data-test=models]")?;
    scene.screen("reader-foreign")?;
    scene.is_accessible("the choice of a model")?;
    let offered = |scene: &Scene| scene.driver().find("[data-test=model-tiny]").and_then(|button| button.is_shown()).unwrap_or(false);
    holds("the demonstration model is not offered for a foreign document", !offered(scene))?;
    scene.type_into("[data-test=question]", "How many arrests were there?")?;
    let ready =
        scene.driver().find("[data-test=read]").and_then(|button| button.property("disabled")).map_err(|fault| fault.to_string())?;
    same("the button without a model is off", ready, true)?;
    holds("no answer is shown", scene.driver().find("[data-test=answer]").is_err())?;
    // The worker refuses as well, whatever a page asks it; of its own world it reads.
    let asked = |text: &str, question: &str| scene.driver().script_async(ASKED, &[text.into(), question.into()]);
    let refused = asked("The leave of an employee is approved by the head of the department.", "Who approves the leave?")?;
    holds(&format!("the worker says why: {refused}"), refused.to_string().contains("generated world"))?;
    let story = std::fs::read_to_string(file(LONG.file)).map_err(|problem| problem.to_string())?;
    let read = asked(&story, LONG.question)?;
    is(&read.to_string(), LONG.answer)?;
    scene.caught("foreign answer", "expected", is(&refused.to_string(), LONG.answer))
}

/// The demonstration model asked through the module's own interface, past all views: its answer, or what it says against it.
const ASKED: &str = "
    const [text, question] = arguments;
    const module = await import('./longhand-web.js');
    await module.default();
    const reader = module.headlessReader({ base: './' }, () => {});
    try {
        await reader.load({ from: 'tiny', base: new URL('tiny/', location.href).href, device: 'cpu' });
        await reader.openText('given.txt', text);
        return (await reader.ask(question)).text;
    } catch (problem) {
        return problem.message;
    } finally {
        reader.close();
    }";

/// A read that the program kept is shown at once, without a model.
pub fn kept(scene: &mut Scene) -> Result<(), String> {
    scene.open("/")?;
    open(scene, &file("story.longhand"))?;
    answered(scene, &LONG)?;
    let state = scene.driver().find("[data-test=model-state]").and_then(|state| state.text()).unwrap_or_default();
    holds(&format!("no model is loaded: {state}"), !state.contains("tokens a second"))?;
    cited(scene, &LONG)?;
    scene.screen("reader-kept-file")?;
    scene.click("[data-test=leave]")?;
    let broken = shell::target_dir().join("web-app/broken.longhand");
    std::fs::write(&broken, "{\"longhand\":\"read\",\"version\":1}\n{\"document\":").map_err(|problem| problem.to_string())?;
    upload(scene, &broken)?;
    let told = scene.see("[data-test=problem]")?;
    holds(&format!("a damaged file is told: {told}"), told.contains("no kept read"))
}

pub(super) fn upload(scene: &Scene, file: &std::path::Path) -> Result<(), String> {
    let driver = scene.driver();
    let fault = |fault: crate::driver::Fault| fault.to_string();
    driver.wait("a place for files", SOON, || driver.find("[data-test=file]").map(Some)).map_err(fault)?;
    driver.find("[data-test=file]").and_then(|input| input.upload(&[file])).map_err(fault)
}

/// Opens a file and waits until its name is shown.
pub(super) fn open(scene: &Scene, file: &std::path::Path) -> Result<(), String> {
    upload(scene, file)?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let driver = scene.driver();
    let shown = driver.wait("the document's name", LOADING, || {
        let text = driver.find("[data-test=document]")?.text()?;
        Ok(text.contains(&name).then_some(()))
    });
    Ok(shown?)
}

/// Makes the model that comes along ready.
pub(super) fn load(scene: &Scene) -> Result<(), String> {
    scene.click("[data-test=model-tiny]")?;
    let driver = scene.driver();
    let ready = driver.wait("the model is ready", LOADING, || {
        let text = driver.find("[data-test=model-state]")?.text()?;
        Ok(text.contains("tokens a second").then_some(()))
    });
    Ok(ready?)
}

pub(super) fn ask(scene: &Scene, story: &Story) -> Result<(), String> {
    scene.type_into("[data-test=question]", story.question)?;
    scene.click("[data-test=read]")
}

/// How many sections were read, by the slider over the notes.
pub(super) fn section(scene: &Scene) -> Result<u64, String> {
    let most = scene.driver().script("return Number(document.querySelector('[data-test=section]')?.max ?? 0)", &[])?;
    Ok(most.as_u64().unwrap_or(0))
}

pub(super) fn answered(scene: &Scene, story: &Story) -> Result<(), String> {
    is(&scene.see_within(READING, "[data-test=answer]")?, story.answer)
}

pub(super) fn is(answer: &str, expected: &str) -> Result<(), String> {
    if answer.contains(expected) { Ok(()) } else { Err(format!("the answer is {answer:?}, expected is {expected:?}")) }
}

/// The answer leads to the sentence it comes from.
fn cited(scene: &Scene, story: &Story) -> Result<(), String> {
    scene.click("[data-test=answer] [data-test=cite]")?;
    let sentence = scene.see("[data-test=mark]")?;
    holds(&format!("the marked passage has the answer: {sentence}"), sentence.contains(story.answer))
}
