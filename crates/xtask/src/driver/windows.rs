//! Several tabs of one browser. Everything else is about the one that is switched to.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Driver, Fault, wire};

/// How long a tab may take to close.
const CLOSING: Duration = Duration::from_secs(30);

impl Driver {
    /// The tab that is switched to.
    pub fn tab(&self) -> Result<String, Fault> {
        self.get("/window").map(|handle| handle.as_str().unwrap_or_default().into())
    }

    /// Opens an empty tab and switches to it.
    pub fn open_tab(&self) -> Result<String, Fault> {
        let opened = self.post("/window/new", json!({ "type": "tab" }))?;
        let tab = opened["handle"].as_str().unwrap_or_default();
        self.switch_to(tab)?;
        Ok(tab.into())
    }

    /// Switches to a tab, which is in front then.
    pub fn switch_to(&self, tab: &str) -> Result<(), Fault> {
        self.post("/window", json!({ "handle": tab }))?;
        self.devtools("Page.bringToFront", json!({})).map(drop)
    }

    /// Closes the tab that is switched to, and switches to that one.
    pub fn close_tab(&self, next: &str) -> Result<(), Fault> {
        wire::call(&self.address, "DELETE", &format!("{}/window", self.session), &Value::Null, CLOSING)?;
        self.switch_to(next)
    }

    /// Runs a script in the tab before any of the pages that it opens from now on.
    pub fn before_pages(&self, script: &str) -> Result<(), Fault> {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).map(drop)
    }
}
