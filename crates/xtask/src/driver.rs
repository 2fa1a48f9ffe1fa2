//! A client of chromedriver: the W3C's WebDriver protocol over HTTP on loopback, as far as our tests use it.
//!
//! Elements are named by CSS selectors. ` >>> ` goes on inside the shadow root of what was found so far.

mod element;
mod logs;
#[cfg(test)]
mod tests;
mod windows;
mod wire;

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::browser;

pub use element::Element;

/// Scripts and page loads may take this long: a first shader compile on a software adapter is slow.
const PATIENCE: Duration = Duration::from_secs(240);

/// Between two looks of `Driver::wait`.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What the browser or its driver says against a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The protocol's word, such as `no such element`.
    pub kind: String,
    /// What was asked and the browser's own text.
    pub text: String,
}

impl Fault {
    fn new(kind: &str, text: impl fmt::Display) -> Self {
        Self { kind: kind.into(), text: text.to_string() }
    }

    /// Whether the page may just not be there yet, or be drawn anew at this moment.
    fn may_pass(&self) -> bool {
        let passing = ["no such element", "stale element reference", "no such shadow root", "detached shadow root"];
        let clicks = ["element not interactable", "element click intercepted"];
        passing.contains(&self.kind.as_str()) || clicks.contains(&self.kind.as_str())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{}: {}", self.kind, self.text)
    }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> Self {
        fault.to_string()
    }
}

/// One browser window under our control. The browser and its driver end with this value.
pub struct Driver {
    child: Option<Child>,
    address: String,
    /// `/session/ID`
    session: String,
}

impl Driver {
    /// Starts a browser whose profile and logs lie in `folder`: what a page stored there before is there again. With `proxy`,
    /// `127.0.0.1:PORT`, everything it sends goes there, requests to this machine too.
    pub fn start(folder: &Path, proxy: Option<&str>) -> Result<Self, Fault> {
        let fails = |what: &str| Fault::new("session not created", what);
        let program = browser::find_driver().ok_or_else(|| fails("no chromedriver: run `cargo xtask setup --only browser`"))?;
        let chromium = browser::find().ok_or_else(|| fails("no Chromium: run `cargo xtask setup --only browser`"))?;
        std::fs::create_dir_all(folder).map_err(|problem| fails(&format!("{}: {problem}", folder.display())))?;
        let mut command = Command::new(program);
        command.arg("--port=0").arg(format!("--log-path={}", folder.join("chromedriver.log").display()));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.map_err(|problem| fails(&format!("could not start chromedriver: {problem}")))?;
        let output = BufReader::new(child.stdout.take().expect("piped"));
        // From here on the value ends the program, whatever happens.
        let mut driver = Self { child: Some(child), address: String::new(), session: String::new() };
        let port = port(output).ok_or_else(|| fails("chromedriver named no port"))?;
        driver.address = format!("127.0.0.1:{port}");
        let mut flags: Vec<String> = browser::flags().into_iter().map(String::from).collect();
        flags.push(format!("--user-data-dir={}", folder.join("profile").display()));
        if let Some(proxy) = proxy {
            flags.extend([format!("--proxy-server={proxy}"), "--proxy-bypass-list=<-loopback>".into()]);
        }
        driver.begin(json!({
            "goog:chromeOptions": { "binary": chromium, "args": flags },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "unhandledPromptBehavior": "ignore",
        }))?;
        Ok(driver)
    }

    /// Opens the session on a driver that runs.
    fn begin(&mut self, wanted: Value) -> Result<(), Fault> {
        let answer = wire::call(&self.address, "POST", "/session", &json!({ "capabilities": { "alwaysMatch": wanted } }), PATIENCE)?;
        let id = answer["sessionId"].as_str().ok_or_else(|| Fault::new("session not created", &answer))?;
        self.session = format!("/session/{id}");
        let limit = PATIENCE.as_millis() as u64;
        self.post("/timeouts", json!({ "script": limit, "pageLoad": limit, "implicit": 0 }))?;
        Ok(())
    }

    fn post(&self, path: &str, body: Value) -> Result<Value, Fault> {
        wire::call(&self.address, "POST", &format!("{}{path}", self.session), &body, PATIENCE * 2)
    }

    fn get(&self, path: &str) -> Result<Value, Fault> {
        wire::call(&self.address, "GET", &format!("{}{path}", self.session), &Value::Null, PATIENCE)
    }

    /// Opens an address and waits until it has loaded.
    pub fn open(&self, address: &str) -> Result<(), Fault> {
        self.post("/url", json!({ "url": address })).map(drop)
    }

    /// Loads the page again.
    pub fn reload(&self) -> Result<(), Fault> {
        self.post("/refresh", json!({})).map(drop)
    }

    /// The first element that fits.
    pub fn find(&self, selector: &str) -> Result<Element<'_>, Fault> {
        let all = self.find_all(selector)?;
        all.into_iter().next().ok_or_else(|| Fault::new("no such element", selector))
    }

    /// Every element that fits; of what leads to a shadow root the first.
    pub fn find_all(&self, selector: &str) -> Result<Vec<Element<'_>>, Fault> {
        let mut place = String::new();
        let mut parts = selector.split(" >>> ").peekable();
        while let Some(part) = parts.next() {
            let found = self.post(&format!("{place}/elements"), json!({ "using": "css selector", "value": part }))?;
            let found: Vec<Element> = found.as_array().into_iter().flatten().filter_map(|one| Element::read(self, one)).collect();
            if parts.peek().is_none() {
                return Ok(found);
            }
            let host = found.first().ok_or_else(|| Fault::new("no such element", format!("{part} (of {selector})")))?;
            place = host.shadow()?;
        }
        unreachable!("a split has a last part")
    }

    /// Runs the body of a function on the page; what it returns.
    pub fn script(&self, body: &str, arguments: &[Value]) -> Result<Value, Fault> {
        self.post("/execute/sync", json!({ "script": body, "args": arguments }))
    }

    /// Runs the body of an asynchronous function on the page (it may say `await`); what it returns.
    pub fn script_async(&self, body: &str, arguments: &[Value]) -> Result<Value, Fault> {
        let body = format!(
            "const done = arguments[arguments.length - 1]; const given = [...arguments].slice(0, -1);
             (async function () {{ {body} }})(...given).then((value) => done({{ value }}), (problem) => done({{ problem: String(problem) }}));"
        );
        let answer = self.post("/execute/async", json!({ "script": body, "args": arguments }))?;
        match answer["problem"].as_str() {
            Some(problem) => Err(Fault::new("javascript error", problem)),
            None => Ok(answer["value"].clone()),
        }
    }

    /// The window as a PNG.
    pub fn screenshot(&self) -> Result<Vec<u8>, Fault> {
        wire::bytes(&self.get("/screenshot")?)
    }

    /// Drops files and folders of this computer in the middle of an element, as a person does from the desktop.
    pub fn drop_on(&self, selector: &str, files: &[&Path]) -> Result<(), Fault> {
        let middle =
            "const { left, top, width, height } = arguments[0].getBoundingClientRect(); return [left + width / 2, top + height / 2];";
        let at = self.script(middle, &[self.find(selector)?.reference()])?;
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        for kind in ["dragEnter", "dragOver", "drop"] {
            let data = json!({ "items": [], "files": files, "dragOperationsMask": 1 });
            self.devtools("Input.dispatchDragEvent", json!({ "type": kind, "x": at[0], "y": at[1], "data": data }))?;
        }
        Ok(())
    }

    /// Gives the window this size.
    pub fn resize(&self, width: u32, height: u32) -> Result<(), Fault> {
        self.post("/window/rect", json!({ "width": width, "height": height })).map(drop)
    }

    /// One command of Chromium's DevTools protocol.
    pub fn devtools(&self, command: &str, parameters: Value) -> Result<Value, Fault> {
        self.post("/goog/cdp/execute", json!({ "cmd": command, "params": parameters }))
    }

    /// Bytes of memory that the browser's page processes hold; a page's workers live in its process.
    pub fn resident(&self) -> Result<f64, String> {
        let root = self.child.as_ref().map_or(0, Child::id);
        let number = |text: &str| text.trim().trim_end_matches("kB").trim().parse::<u32>().ok();
        let field = |status: &str, name: &str| status.lines().find_map(|line| number(line.strip_prefix(name)?));
        let mut parents = std::collections::HashMap::new();
        let mut pages = Vec::new();
        for entry in std::fs::read_dir("/proc").map_err(|problem| format!("/proc: {problem}"))?.flatten() {
            let Some(id) = number(&entry.file_name().to_string_lossy()) else { continue };
            // It may have ended by now.
            let read = |name: &str| std::fs::read_to_string(entry.path().join(name)).unwrap_or_default();
            let status = read("status");
            parents.insert(id, field(&status, "PPid:").unwrap_or(0));
            if read("cmdline").contains("--type=renderer") {
                pages.push((id, field(&status, "VmRSS:").unwrap_or(0)));
            }
        }
        let ours = |id: u32| std::iter::successors(Some(id), |id| parents.get(id).copied().filter(|id| *id > 0)).any(|id| id == root);
        let sum: f64 = pages.iter().filter(|(id, _)| ours(*id)).map(|(_, kilobytes)| 1024.0 * f64::from(*kilobytes)).sum();
        if sum > 0.0 { Ok(sum) } else { Err("no page of this browser was found in /proc".into()) }
    }

    /// Takes the page's network away, or gives it back. Workers keep theirs: for them the server has to be silent as well.
    pub fn set_online(&self, online: bool) -> Result<(), Fault> {
        let parameters = json!({ "offline": !online, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        self.devtools("Network.enable", json!({}))?;
        self.devtools("Network.emulateNetworkConditions", parameters).map(drop)
    }

    /// Asks again and again until there is something. What may pass, such as an element that is not there yet, is waited for;
    /// any other fault ends it.
    pub fn wait<T>(&self, what: &str, limit: Duration, mut ask: impl FnMut() -> Result<Option<T>, Fault>) -> Result<T, Fault> {
        let start = Instant::now();
        loop {
            let last = match ask() {
                Ok(Some(value)) => return Ok(value),
                Ok(None) => String::new(),
                Err(fault) if fault.may_pass() => format!(" ({fault})"),
                Err(fault) => return Err(fault),
            };
            if start.elapsed() > limit {
                return Err(Fault::new("timeout", format!("{what}: not within {} s{last}", limit.as_secs_f32())));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // The browser writes its profile and ends.
            let _ = wire::call(&self.address, "DELETE", &self.session, &Value::Null, Duration::from_secs(20));
        }
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The port that chromedriver says it listens on. The rest of its output is read by a thread, so that it never waits for us.
fn port(mut output: BufReader<impl std::io::Read + Send + 'static>) -> Option<u16> {
    let mut line = String::new();
    loop {
        line.clear();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let named = line.split(" on port ").nth(1).and_then(|rest| rest.trim().trim_end_matches('.').parse().ok());
        if let Some(port) = named.filter(|_| line.contains("success")) {
            std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
            return Some(port);
        }
    }
}
