//! What the page's address asks for, as `longhand web` makes such addresses: `?read=` a kept read or a document, `?model=` a model's folder or
//! file. Only what the same server has is opened so: a link cannot bring in another's.

use super::state::Reader;
use crate::browser;
use crate::protocol::{ModelChoice, Problem, ProblemKind};

/// Opens what the address names.
pub fn follow(reader: Reader) {
    let (read, model) = (browser::addressed("read"), browser::addressed("model"));
    if read.is_none() && model.is_none() {
        return;
    }
    leptos::task::spawn_local(async move {
        if let Some(url) = read {
            let name = url.rsplit('/').next().unwrap_or("document").to_string();
            match browser::fetch_bytes(&url).await {
                Ok(bytes) => reader.open(vec![(name, line::blob(&js_sys::Uint8Array::from(bytes)))]),
                Err(problem) => {
                    let why = js_sys::Error::from(problem).message();
                    let message =
                        format!("{name}, which this page's address names, could not be fetched ({why}). Reload the page to try again.");
                    reader.fail(Problem { kind: ProblemKind::Network, message });
                }
            }
        }
        if let Some(url) = model {
            reader.load(ModelChoice::Address { url }, Vec::new());
        }
    });
}
