//! A headless Chromium and the small server on loopback that it talks to.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

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
        command.args(["--headless=new", "--no-first-run", "--disable-dev-shm-usage", "--enable-logging=stderr"]);
        // A software adapter: the same answers on every machine, with or without a GPU.
        command.args(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]);
        // A closed network must not slow the start.
        command.args(["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        if shell::output(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0") {
            command.arg("--no-sandbox"); // Chromium's sandbox refuses root
        }
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

/// Serves folders and collects what the page posts.
pub struct Server {
    /// `http://127.0.0.1:PORT`
    pub address: String,
    /// The bodies of `POST /report`, in order.
    pub reports: Receiver<String>,
}

impl Server {
    /// `routes` maps the start of a path to a folder; the first match wins.
    pub fn start(routes: Vec<(&'static str, PathBuf)>) -> Result<Self, String> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|problem| format!("no loopback port: {problem}"))?;
        let address = format!("http://{}", listener.local_addr().map_err(|problem| problem.to_string())?);
        let (sender, reports) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (routes, sender) = (routes.clone(), sender.clone());
                std::thread::spawn(move || drop(serve(stream, &routes, &sender)));
            }
        });
        Ok(Self { address, reports })
    }
}

/// Answers one connection, one request after the other.
fn serve(stream: TcpStream, routes: &[(&'static str, PathBuf)], reports: &Sender<String>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let mut words = first.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let answer = match (method, path) {
            ("POST", "/report") => {
                let _ = reports.send(String::from_utf8_lossy(&body).into_owned());
                Some((Vec::new(), "text/plain"))
            }
            ("GET", path) => locate(path, routes).and_then(|file| Some((std::fs::read(&file).ok()?, media_type(&file)))),
            _ => None,
        };
        let (status, (bytes, media)) = answer.map_or(("404 Not Found", (Vec::new(), "text/plain")), |answer| ("200 OK", answer));
        let mut stream = &stream;
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\r\n", bytes.len());
        stream.write_all(head.as_bytes())?;
        stream.write_all(&bytes)?;
    }
}

/// The file a path names. Nothing outside the routes' folders.
fn locate(path: &str, routes: &[(&'static str, PathBuf)]) -> Option<PathBuf> {
    let path = path.split(['?', '#']).next()?;
    let (start, folder) = routes.iter().find(|(start, _)| path.starts_with(start))?;
    let rest = path[start.len()..].trim_start_matches('/');
    let plain = rest.split('/').all(|part| !part.is_empty() && part != ".." && part != "." && !part.contains(['\\', ':', '%']));
    plain.then(|| folder.join(rest))
}

fn media_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript",
        Some("wasm") => "application/wasm",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_routes_folders_are_served() {
        let routes = [("/pkg/", PathBuf::from("/p")), ("/", PathBuf::from("/w"))];
        assert_eq!(locate("/pkg/a.js?x=1", &routes), Some("/p/a.js".into()));
        assert_eq!(locate("/gate.html", &routes), Some("/w/gate.html".into()));
        for refused in ["/../etc/passwd", "/pkg/../../a", "/a//b", "/", "/%2e%2e/a", "no-slash"] {
            assert_eq!(locate(refused, &routes), None, "{refused}");
        }
    }

    #[test]
    fn the_server_answers_and_collects() {
        let server = Server::start(vec![("/", shell::root().join("crates/xtask"))]).unwrap();
        let ask = |request: &str| {
            let mut stream = TcpStream::connect(server.address.trim_start_matches("http://")).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        assert!(ask("GET /Cargo.toml HTTP/1.1\r\nHost: x\r\n\r\n").contains("name = \"xtask\""));
        assert!(ask("GET /absent HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(ask("POST /report HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello").starts_with("HTTP/1.1 200"));
        assert_eq!(server.reports.recv().unwrap(), "hello");
    }
}
