//! One scenario's stage: a server with the app, a browser that sends everything to it, and what a person does there.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::driver::{Driver, Element, Fault};
use crate::server::{Request, Route, Server};
use crate::{app, shell};

/// What appears without computing anything appears within this.
pub const SOON: Duration = Duration::from_secs(30);

/// A browser and its server. Both end with this value.
pub struct Scene {
    name: &'static str,
    folder: PathBuf,
    keeps_screens: bool,
    server: Server,
    driver: Option<Driver>,
    console: RefCell<Vec<String>>,
    caught: Cell<usize>,
    skipped: Cell<usize>,
}

impl Scene {
    /// A browser with an empty profile. The app is at `/`; under `/strict/` it has the policy `app::STRICT`, under `/refusing/` one that
    /// allows no WebAssembly, under `/broken/` its module is missing, under `/partial/` those for files and of the inspector, under `/bare/` SQLite; pages with the element are at
    /// `/embed/` (strict) and `/refused/`; the driver's own page is at `/driver/`, the tests' dataset at `/dataset/`.
    pub fn start(name: &'static str, folder: &Path, keeps_screens: bool) -> Result<Self, String> {
        let (page, package) = (folder.join("page"), folder.join("package"));
        let (driven, embedding) = (shell::root().join("tests/browser/driver"), shell::root().join("tests/browser/embed"));
        let under = |policy: &str, start: &str, folder: &Path| Route::new(start, folder).with("Content-Security-Policy", policy);
        let refusing = app::STRICT.replace(" 'wasm-unsafe-eval'", "");
        let server = Server::start(vec![
            under(app::STRICT, "/strict/", &page),
            under(&refusing, "/refusing/", &page),
            Route::new("/broken/longhand-web_bg.wasm", folder.join("nothing")),
            Route::new("/broken/", &page),
            Route::new("/partial/longhand-files_bg.wasm", folder.join("nothing")),
            Route::new("/partial/longhand-inspect_bg.wasm", folder.join("nothing")),
            Route::new("/partial/", &page),
            Route::new("/bare/sqlite/", folder.join("nothing")),
            Route::new("/bare/", &page),
            under(app::STRICT, "/embed/package/", &package),
            under(app::STRICT, "/embed/", &embedding),
            under(&refusing, "/refused/package/", &package),
            under(&refusing, "/refused/", &embedding),
            under(app::STRICT, "/driver/", &driven),
            Route::new("/dataset/", shell::root().join("tests/browser/dataset")),
            Route::new("/", &page),
        ])?;
        let profile = folder.join("profiles").join(name);
        let _ = std::fs::remove_dir_all(&profile);
        let mut scene = Self {
            name,
            folder: folder.into(),
            keeps_screens,
            server,
            driver: None,
            console: RefCell::default(),
            caught: Cell::default(),
            skipped: Cell::default(),
        };
        scene.restart()?;
        Ok(scene)
    }

    /// Ends the browser and starts it again with what it had stored, as on the next day.
    pub fn restart(&mut self) -> Result<(), String> {
        self.driver = None;
        let profile = self.folder.join("profiles").join(self.name);
        self.driver = Some(Driver::start(&profile, Some(self.server.address.trim_start_matches("http://")))?);
        self.driver().resize(1280, 900)?;
        Ok(())
    }

    /// The same with no proxy: for a page of another server than ours.
    pub fn restart_without_proxy(&mut self) -> Result<(), String> {
        self.driver = None;
        self.driver = Some(Driver::start(&self.folder.join("profiles").join(self.name), None)?);
        self.driver().resize(1280, 900)?;
        Ok(())
    }

    /// The browser.
    pub fn driver(&self) -> &Driver {
        self.driver.as_ref().expect("there is a browser but for the moment of a restart")
    }

    /// The server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Opens a path of the server.
    pub fn open(&self, path: &str) -> Result<(), String> {
        Ok(self.driver().open(&format!("{}{path}", self.server.address))?)
    }

    /// Waits until a person sees it; its text. `limit` is how long.
    pub fn see_within(&self, limit: Duration, selector: &str) -> Result<String, String> {
        let driver = self.driver();
        let seen = driver.wait(&format!("{selector} is seen"), limit, || {
            let element = driver.find(selector)?;
            if element.is_shown()? { element.text().map(Some) } else { Ok(None) }
        });
        Ok(seen?)
    }

    /// Waits until a person sees it; its text.
    pub fn see(&self, selector: &str) -> Result<String, String> {
        self.see_within(SOON, selector)
    }

    /// Clicks on it as soon as that is possible.
    pub fn click(&self, selector: &str) -> Result<(), String> {
        self.act(&format!("{selector} can be clicked"), selector, |element| element.click())
    }

    /// Types into it as soon as that is possible.
    pub fn type_into(&self, selector: &str, text: &str) -> Result<(), String> {
        self.act(&format!("{selector} takes text"), selector, |element| element.type_text(text))
    }

    fn act(&self, what: &str, selector: &str, act: impl Fn(&Element) -> Result<(), Fault>) -> Result<(), String> {
        let driver = self.driver();
        Ok(driver.wait(what, SOON, || act(&driver.find(selector)?).map(Some))?)
    }

    /// Takes the network away from the page and its workers, or gives it back. What is tried meanwhile is on record.
    pub fn set_online(&self, online: bool) -> Result<(), String> {
        self.server.set_silent(!online);
        Ok(self.driver().set_online(online)?)
    }

    /// Whether nothing of these texts went anywhere since the scene began, and nothing at all to another host: by the record of the server,
    /// which is the browser's proxy too, so that workers are in it.
    pub fn kept_to_itself(&self, texts: &[&str]) -> Result<(), String> {
        self.server.requests().iter().filter(|request| !request.is_chromiums_own()).try_for_each(|request| kept(request, texts))
    }

    /// Every line of the console so far.
    pub fn console(&self) -> Result<Vec<String>, String> {
        self.console.borrow_mut().extend(self.driver().console()?);
        Ok(self.console.borrow().clone())
    }

    /// Leaves out of the console those of its new lines that the page did not cause.
    pub fn forget_console(&self, not_the_pages: impl Fn(&str) -> bool) -> Result<(), String> {
        let new = self.driver().console()?;
        self.console.borrow_mut().extend(new.into_iter().filter(|line| !not_the_pages(line)));
        Ok(())
    }

    /// Keeps the window's picture: in the app's folder under `target`, and with `--screens` in `docs/screens`.
    pub fn screen(&self, state: &str) -> Result<(), String> {
        let png = self.driver().screenshot()?;
        let mut places = vec![self.folder.join("screens")];
        places.extend(self.keeps_screens.then(|| shell::root().join("docs/screens")));
        places.iter().try_for_each(|place| {
            std::fs::create_dir_all(place)
                .and_then(|()| std::fs::write(place.join(format!("{state}.png")), &png))
                .map_err(|problem| format!("{}: {problem}", place.display()))
        })
    }

    /// Whether a fault that was planted was noticed: `outcome` is the check's, and its error has to say `why`.
    pub fn caught<T>(&self, fault: &str, why: &str, outcome: Result<T, String>) -> Result<(), String> {
        match outcome {
            Ok(_) => Err(format!("planted {fault}: was not noticed")),
            Err(problem) if !problem.contains(why) => Err(format!("planted {fault}: something else was noticed: {problem}")),
            Err(_) => {
                println!("app: {}: planted {fault}: noticed", self.name);
                self.caught.set(self.caught.get() + 1);
                Ok(())
            }
        }
    }

    /// Says that a check did not run.
    pub fn skip(&self, what: &str) {
        println!("app: {}: not run: {what}", self.name);
        self.skipped.set(self.skipped.get() + 1);
    }

    /// How many planted faults were noticed, and how many checks did not run.
    pub fn counts(&self) -> (usize, usize) {
        (self.caught.get(), self.skipped.get())
    }

    /// A failure as people need it: the window's picture and the console are kept beside what is said.
    pub fn report(&self, problem: &str) -> String {
        let mut text = problem.to_string();
        let picture = self.folder.join(format!("{}.png", self.name));
        if let Ok(png) = self.driver().screenshot()
            && std::fs::write(&picture, png).is_ok()
        {
            text.push_str(&format!("\n  the window: {}", picture.display()));
        }
        let log = self.folder.join(format!("{}.log", self.name));
        if let Ok(lines) = self.console()
            && std::fs::write(&log, lines.join("\n")).is_ok()
        {
            text.push_str(&format!("\n  the console: {}", log.display()));
            lines.iter().rev().take(5).rev().for_each(|line| text.push_str(&format!("\n    {line}")));
        }
        text
    }
}

/// Whether this request stays here and says nothing of these texts, neither plainly nor as addresses encode them.
fn kept(request: &Request, texts: &[&str]) -> Result<(), String> {
    if request.is_foreign() {
        return Err(format!("a request left: {} {}", request.method, request.path));
    }
    let sent = format!("{} {}", request.path, String::from_utf8_lossy(&request.body));
    let plain = sent.replace("%20", " ").replace('+', " ");
    match texts.iter().find(|text| plain.contains(&text.replace('+', " "))) {
        Some(text) => Err(format!("'{text}' was sent: {} {}", request.method, request.path)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_wherever_a_request_carries_it() {
        let request = |path: &str, body: &str| Request { method: "POST".into(), path: path.into(), body: body.into() };
        let texts = ["the red door", "42+1"];
        kept(&request("/tiny/config.json", "the red floor"), &texts).unwrap();
        for (path, body) in
            [("/a", "behind the red door"), ("/a?q=the%20red+door", ""), ("/a", "42+1"), ("http://else.test/", ""), ("else.test:443", "")]
        {
            assert!(kept(&request(path, body), &texts).is_err(), "{path} {body}");
        }
    }
}
