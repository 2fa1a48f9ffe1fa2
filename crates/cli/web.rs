//! `longhand web`: the page, and what of this machine it may show, served to this machine's browsers.
//!
//! The server is written here, on `std::net`: it answers a page on loopback, and what it must have (ranges for weights, a check of the host
//! that was asked for) the small servers on crates.io leave to their users: tiny_http, the one without an executor, has neither, and had no
//! release since 2022.

mod request;
mod server;
mod site;

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use self::site::{Place, Site};
use crate::kept;

/// Where the page is served unless told otherwise: what a browser keeps for it (models, settings) it keeps by address.
const PORT: u16 = 8420;

/// Opens the page in this machine's browser, with kept reads, datasets and a model of this machine. Served to this machine only, until Ctrl-C.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  longhand web\n  longhand web my-read\n  longhand web my-read.longhand dataset --model ./Qwen3-0.6B-Q8_0.gguf --no-open"
)]
pub struct WebArgs {
    /// What to show: directories of `read --save`, files of `export --longhand`, directories of `synth`.
    #[arg(value_name = "RUN|FILE|DATASET")]
    show: Vec<PathBuf>,
    /// A model that the page can load from here: a folder with config.json, tokenizer.json and safetensors, or a .gguf file.
    #[arg(long, value_name = "FOLDER|FILE.gguf")]
    model: Option<PathBuf>,
    /// The built page; web/dist of the folder one stands in or of the program's own unless told otherwise.
    #[arg(long, value_name = "DIR")]
    app: Option<PathBuf>,
    /// The port; 8420 or, where that is taken, a free one unless told otherwise.
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// Print the address and open no browser.
    #[arg(long)]
    no_open: bool,
    /// Print the address as a line of JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &WebArgs) -> Result<()> {
    let mut site = Site::new(app(args.app.as_deref())?)?;
    let mut query: Vec<String> = Vec::new();
    let (mut reads, mut datasets) = (0, 0);
    for path in &args.show {
        if path.join("rows.jsonl").is_file() {
            datasets += 1;
            site.add(format!("data/{datasets}/"), Place::folder(path)?);
            query.push(format!("dataset=data/{datasets}/"));
        } else {
            // Opened now, so that what is wrong with it is said here and not in the page.
            let shown = kept::open(path).with_context(|| format!("{} is no kept read and no dataset with a rows.jsonl", path.display()));
            drop(shown?);
            reads += 1;
            site.add(format!("runs/{reads}.longhand"), Place::Read(path.clone()));
            query.push(format!("read=runs/{reads}.longhand"));
        }
    }
    if let Some(path) = &args.model {
        query.push(format!("model={}", model(&mut site, path)?));
    }
    let listener = listen(args.port)?;
    let port = listener.local_addr().context("no address")?.port();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let address = format!("http://127.0.0.1:{port}/{query}");
    if args.json {
        println!("{}", json!({"event": "serving", "address": address}));
    } else {
        println!("{address}");
    }
    if args.no_open {
        eprintln!("open it in a browser of this machine; Ctrl-C ends it");
    } else if open(&address) {
        eprintln!("opened in your browser; Ctrl-C ends it");
    } else {
        eprintln!("no browser could be opened: open the address yourself; Ctrl-C ends it");
    }
    server::serve(&listener, site);
    Ok(())
}

/// Serves the model, and answers with the address that the page gets.
fn model(site: &mut Site, path: &Path) -> Result<String> {
    let is_gguf = |path: &Path| path.is_file() && path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    let file = if path.is_dir() && !path.join("config.json").is_file() {
        let entries = std::fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))?;
        let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_gguf(path)).collect();
        let only = if found.len() == 1 { found.pop() } else { None };
        only.with_context(|| format!("{} holds no config.json and not one .gguf file: name the file", path.display()))?
    } else {
        path.to_path_buf()
    };
    if file.is_dir() {
        site.add("models/1/".into(), Place::linked(&file)?);
        return Ok("models/1/".into());
    }
    ensure!(is_gguf(&file), "{} is no model: a folder with config.json, or a .gguf file", path.display());
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    // In an address a name of other letters would need quoting twice.
    let name = if name.chars().all(plain) && !name.starts_with('.') { name } else { "model.gguf".into() };
    let address = format!("models/1/{name}");
    site.add(address.clone(), Place::file(&file)?);
    Ok(address)
}

/// The folder of the built page.
fn app(named: Option<&Path>) -> Result<PathBuf> {
    const ADVICE: &str = "`cargo xtask trunk` builds it into web/dist, and releases bring it";
    let built = |folder: &Path| folder.join("index.html").is_file();
    if let Some(folder) = named {
        ensure!(built(folder), "{} holds no index.html: is it the built page? {ADVICE}", folder.display());
        // The source beside it looks much the same and shows nothing.
        ensure!(!folder.join("Cargo.toml").is_file(), "{} is the page's source, not the built page: {ADVICE}", folder.display());
        return Ok(folder.to_path_buf());
    }
    // The program's own folder, as a release has it, and the tree it was built in (target/release).
    let program = std::env::current_exe().and_then(|path| path.canonicalize()).unwrap_or_default();
    let folders = std::iter::once(PathBuf::new()).chain(program.ancestors().skip(1).take(3).map(Path::to_path_buf));
    let mut places = folders.map(|folder| folder.join("web/dist"));
    match places.find(|folder| built(folder)) {
        Some(folder) => Ok(folder),
        None => bail!("the page is not built: {ADVICE}; --app names it where it lies elsewhere"),
    }
}

/// On loopback. A port that a person names is that or an error.
fn listen(port: Option<u16>) -> Result<TcpListener> {
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    match port {
        Some(port) => bind(port).with_context(|| format!("cannot listen on port {port}: choose another with --port, or leave it out")),
        None => bind(PORT).or_else(|_| bind(0)).context("cannot listen on loopback"),
    }
}

/// Opens the address with what the desktop opens addresses with.
fn open(address: &str) -> bool {
    let mut command = if cfg!(target_os = "macos") {
        Command::new("open")
    } else if cfg!(windows) {
        // Not through cmd, to which `&` is a sign.
        let mut command = Command::new("rundll32");
        command.arg("url.dll,FileProtocolHandler");
        command
    } else if ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some()) {
        Command::new("xdg-open")
    } else {
        // Without a screen it would look for a browser that takes over the terminal.
        return false;
    };
    command.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().is_ok()
}
