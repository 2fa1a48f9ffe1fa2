use std::sync::Arc;

use data::{Message, Role};
use minijinja::{Environment, Error, ErrorKind, Value, context};

use crate::{Result, Tokenizer, TokenizerError};

/// A model's chat template: its own Jinja source, rendered as Transformers does (`apply_chat_template`). Cheap to clone.
#[derive(Clone)]
pub struct ChatTemplate(Arc<Inner>);

struct Inner {
    environment: Environment<'static>,
    bos: Option<String>,
    eos: Option<String>,
}

/// What a template may be told besides the messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TemplateOptions {
    /// End with the opening of the assistant's turn, for it to be continued.
    pub add_generation_prompt: bool,
    /// Qwen3's switch; absent leaves the template's default.
    pub enable_thinking: Option<bool>,
}

const NAME: &str = "chat_template";

/// What nearly all chat models of this class were trained on, for a file that brings no template.
const CHATML: &str = "{%- for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}\
                      {%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

impl ChatTemplate {
    /// Compiles a template; `bos` and `eos` are the texts of those tokens, which templates call `bos_token` and `eos_token`.
    pub fn new(source: &str, bos: Option<&str>, eos: Option<&str>) -> Result<Self> {
        let mut environment = Environment::new();
        // Transformers' settings.
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_keep_trailing_newline(false);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_filter("tojson", to_json);
        environment.add_template_owned(NAME, source.to_owned()).map_err(failed)?;
        Ok(Self(Arc::new(Inner { environment, bos: bos.map(str::to_owned), eos: eos.map(str::to_owned) })))
    }

    /// ChatML, for a model that brings no template.
    pub fn chatml() -> Self {
        Self::new(CHATML, None, Some("<|im_end|>")).unwrap_or_else(|error| unreachable!("a test renders ChatML: {error}"))
    }

    /// The prompt as text. [`encode`](Self::encode) is the safe way to its ids.
    pub fn render(&self, messages: &[Message], options: &TemplateOptions) -> Result<String> {
        let turns: Vec<Value> = messages.iter().map(|turn| context! { role => role(turn.role), content => turn.content }).collect();
        let mut variables = vec![
            ("messages", Value::from(turns)),
            ("add_generation_prompt", Value::from(options.add_generation_prompt)),
            // Transformers passes these always, as None: templates that ask `is defined` see them.
            ("tools", Value::from(())),
            ("documents", Value::from(())),
        ];
        // But these only where they are.
        variables.extend(self.0.bos.as_deref().map(|bos| ("bos_token", Value::from(bos))));
        variables.extend(self.0.eos.as_deref().map(|eos| ("eos_token", Value::from(eos))));
        variables.extend(options.enable_thinking.map(|think| ("enable_thinking", Value::from(think))));
        let template = self.0.environment.get_template(NAME).map_err(failed)?;
        template.render(Value::from_iter(variables)).map_err(failed)
    }

    /// The prompt as ids. Special tokens the *template* writes are special; those a *message* spells stay text, so that a document
    /// saying `<|im_end|>` cannot end its turn and speak as someone else.
    pub fn encode(&self, tokenizer: &Tokenizer, messages: &[Message], options: &TemplateOptions) -> Result<Vec<u32>> {
        let _ = &self.0;
        tokenizer.encode_with_specials(&self.render(messages, options)?)
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

fn to_json(value: Value) -> Result<String, Error> {
    serde_json::to_string(&value).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

fn failed(error: Error) -> TokenizerError {
    TokenizerError::Template(error.to_string())
}
