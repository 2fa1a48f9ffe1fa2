//! A headless Chromium: where it is, how it is started.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::shell;

/// The first browser with Chromium's engine; the variable `CHROMIUM` comes before all.
pub fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        return Some(named.into());
    }
    let names = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "microsoft-edge"];
    let installed =
        ["/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", r"C:\Program Files\Google\Chrome\Application\chrome.exe"];
    names.iter().find_map(|name| shell::which(name)).or_else(|| installed.iter().map(PathBuf::from).find(|path| path.is_file()))
}

/// The program that drives Chromium for us; the variable `CHROMEDRIVER` comes before all.
pub fn find_driver() -> Option<PathBuf> {
    std::env::var_os("CHROMEDRIVER").map(PathBuf::from).or_else(|| shell::which("chromedriver"))
}

/// How every test starts Chromium.
pub fn flags() -> Vec<&'static str> {
    let mut flags = vec!["--headless=new", "--no-first-run", "--disable-dev-shm-usage"];
    // A software adapter: the same answers on every machine, with or without a GPU.
    flags.extend(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]);
    // A closed network must not slow the start.
    flags.extend(["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    flags.extend(["--disable-default-apps", "--disable-extensions", "--disable-client-side-phishing-detection", "--no-pings"]);
    flags
        .push("--disable-features=AutofillServerCommunication,NetworkTimeServiceQuerying,PreconnectToSearch,OptimizationHints,MediaRouter");
    if shell::output(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0") {
        flags.push("--no-sandbox"); // Chromium's sandbox refuses root
    }
    flags
}

/// A running browser; it ends with this value.
pub struct Browser {
    child: Child,
    log: PathBuf,
}

impl Browser {
    /// Opens `url` headless with WebGPU on a software adapter. `folder` holds its profile and its log.
    pub fn open(url: &str, folder: &Path) -> Result<Self, String> {
        let program = find().ok_or("no Chromium found: run `cargo xtask setup --only browser`")?;
        let profile = folder.join("profile");
        let _ = std::fs::remove_dir_all(&profile);
        std::fs::create_dir_all(&profile).map_err(|problem| format!("{}: {problem}", profile.display()))?;
        let log = folder.join("chromium.log");
        let output = File::create(&log).map_err(|problem| format!("{}: {problem}", log.display()))?;
        let mut command = Command::new(program);
        command.args(flags()).arg("--enable-logging=stderr");
        command.arg(format!("--user-data-dir={}", profile.display())).arg(url);
        let errors = output.try_clone().map_err(|problem| problem.to_string())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|problem| format!("could not start Chromium: {problem}"))?;
        Ok(Self { child, log })
    }

    /// The last lines it logged: the page's own where there are any.
    pub fn log_tail(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let from_page: Vec<&str> = text.lines().filter(|line| line.contains("CONSOLE")).collect();
        let lines = if from_page.is_empty() { text.lines().collect() } else { from_page };
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Whether it has gone.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
