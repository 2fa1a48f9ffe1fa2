/// Why a server cannot be used, and what to do about it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ServerError {
    /// No `openai:` in front.
    #[error("`{0}` names no server: write openai:URL#NAME, for example openai:http://127.0.0.1:8080/v1#qwen3-4b")]
    Form(String),
    /// `#` with nothing after it.
    #[error("`{0}` has no name after `#`: give the model's name at the server, or leave `#` out if it has one model only")]
    Name(String),
    /// The address is no address.
    #[error("`{url}` is no server's address: {why}")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A key that fits no header.
    #[error("the API key has a blank or a special character inside: set LONGHAND_API_KEY or OPENAI_API_KEY again")]
    Key,
    /// The server did not say what it has.
    #[error("{url} does not list its models: {why}")]
    NoList {
        /// Where it was asked.
        url: String,
        /// How it failed.
        why: String,
    },
    /// Its list has not exactly one model.
    #[error("{url} lists {}: choose one with openai:{url}#NAME", list(names))]
    Choose {
        /// The server.
        url: String,
        /// Its models.
        names: Vec<String>,
    },
    /// It does not have the model.
    #[error("{url} has no model `{name}`; it lists {}", list(names))]
    NoModel {
        /// The server.
        url: String,
        /// What was asked for.
        name: String,
        /// Its models.
        names: Vec<String>,
    },
    /// Nobody said how much fits.
    #[error("{url} does not tell how many tokens `{name}` takes at once{hint}: give the window (prompt and reply, in tokens) yourself")]
    NoWindow {
        /// The server.
        url: String,
        /// The model.
        name: String,
        /// What is known all the same.
        hint: String,
    },
    /// The cache's folder cannot be used.
    #[error("replies cannot be kept in {path}: {why}")]
    Cache {
        /// The folder.
        path: String,
        /// How it failed.
        why: String,
    },
}

fn list(names: &[String]) -> String {
    match names {
        [] => "no models".into(),
        [one] => format!("`{one}`"),
        _ => {
            let shown: Vec<String> = names.iter().take(12).map(|name| format!("`{name}`")).collect();
            let more = names.len() - shown.len();
            format!("{} models ({}{})", names.len(), shown.join(", "), if more > 0 { format!(" and {more} more") } else { String::new() })
        }
    }
}
