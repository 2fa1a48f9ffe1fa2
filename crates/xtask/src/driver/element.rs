//! One element of the page.

use std::path::Path;

use serde_json::{Value, json};

use super::{Driver, Fault, wire};

/// The protocol's names of a reference to an element and to a shadow root.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
const SHADOW: &str = "shadow-6066-11e4-a52e-4f735466cecf";

/// Found on a page; gone when the page draws it anew.
pub struct Element<'a> {
    driver: &'a Driver,
    id: String,
}

impl<'a> Element<'a> {
    pub(super) fn read(driver: &'a Driver, reference: &Value) -> Option<Self> {
        Some(Self { driver, id: reference[ELEMENT].as_str()?.into() })
    }

    fn path(&self, rest: &str) -> String {
        format!("/element/{}{rest}", self.id)
    }

    /// Where the protocol looks for what is in its shadow root.
    pub(super) fn shadow(&self) -> Result<String, Fault> {
        let answer = self.driver.get(&self.path("/shadow"))?;
        answer[SHADOW].as_str().map(|id| format!("/shadow/{id}")).ok_or_else(|| Fault::new("no such shadow root", &answer))
    }

    /// Scrolls to it and clicks where a person would; refused when something lies over it.
    pub fn click(&self) -> Result<(), Fault> {
        self.driver.post(&self.path("/click"), json!({})).map(drop)
    }

    /// Types into it. `\u{E007}` is the Enter key, `\u{E00C}` Escape, `\u{E004}` Tab.
    pub fn type_text(&self, text: &str) -> Result<(), Fault> {
        self.driver.post(&self.path("/value"), json!({ "text": text })).map(drop)
    }

    /// Empties a field.
    pub fn clear(&self) -> Result<(), Fault> {
        self.driver.post(&self.path("/clear"), json!({})).map(drop)
    }

    /// Chooses files in an `<input type=file>`.
    pub fn upload(&self, files: &[&Path]) -> Result<(), Fault> {
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        self.type_text(&names.join("\n"))
    }

    /// What a person reads there.
    pub fn text(&self) -> Result<String, Fault> {
        Ok(self.driver.get(&self.path("/text"))?.as_str().unwrap_or_default().into())
    }

    /// An attribute of the markup, or what the page made of it since.
    pub fn attribute(&self, name: &str) -> Result<Option<String>, Fault> {
        Ok(self.driver.get(&self.path(&format!("/attribute/{name}")))?.as_str().map(String::from))
    }

    /// A property, such as the `value` of a field.
    pub fn property(&self, name: &str) -> Result<Value, Fault> {
        self.driver.get(&self.path(&format!("/property/{name}")))
    }

    /// Whether a person sees it.
    pub fn is_shown(&self) -> Result<bool, Fault> {
        Ok(self.driver.get(&self.path("/displayed"))? == true)
    }

    /// It alone as a PNG.
    pub fn screenshot(&self) -> Result<Vec<u8>, Fault> {
        wire::bytes(&self.driver.get(&self.path("/screenshot"))?)
    }

    /// The element as an argument of a script.
    pub fn reference(&self) -> Value {
        json!({ ELEMENT: self.id })
    }
}
