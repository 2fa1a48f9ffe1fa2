use std::sync::Arc;

use data::{Message, Role};
use minijinja::value::Kwargs;
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
        // A mark no message contains, put inside each special token a message spells, taken out again after the template's own
        // tokens are found. Noncharacters are there for such use.
        let spare = |mark: &char| !messages.iter().any(|turn| turn.content.contains(*mark));
        let none = || TokenizerError::Template("the messages use every noncharacter from U+FDD0 to U+FDEF".into());
        let mark = ('\u{fdd0}'..='\u{fdef}').find(spare).ok_or_else(none)?;
        let guard = |turn: &Message| Ok(Message { role: turn.role, content: tokenizer.guard(&turn.content, mark)? });
        let guarded = messages.iter().map(guard).collect::<Result<Vec<_>>>()?;
        let text = self.render(&guarded, options)?;
        if guarded == messages { tokenizer.encode_with_specials(&text) } else { tokenizer.encode_guarded(&text, mark) }
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

/// Python's `json.dumps(value, ensure_ascii=False, indent=indent)`, which templates were written against.
fn to_json(value: Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Transformers' filter has these too; `ensure_ascii` is false unless asked for.
    if options.get::<Option<bool>>("ensure_ascii")? == Some(true) {
        return Err(Error::new(ErrorKind::InvalidOperation, "tojson(ensure_ascii=true) is not supported"));
    }
    options.assert_all_used()?;
    let value = serde_json::to_value(&value).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    let mut json = String::new();
    write_json(&mut json, &value, indent, 0);
    Ok(json)
}

fn write_json(json: &mut String, value: &serde_json::Value, indent: Option<usize>, depth: usize) {
    let (open, close, items): (char, char, Vec<(Option<&String>, &serde_json::Value)>) = match value {
        serde_json::Value::Array(items) => ('[', ']', items.iter().map(|item| (None, item)).collect()),
        serde_json::Value::Object(items) => ('{', '}', items.iter().map(|(key, item)| (Some(key), item)).collect()),
        other => return json.push_str(&other.to_string()),
    };
    let newline = |json: &mut String, depth: usize| {
        if let Some(indent) = indent {
            json.push('\n');
            json.push_str(&" ".repeat(indent * depth));
        }
    };
    json.push(open);
    for (at, (key, item)) in items.iter().enumerate() {
        if at > 0 {
            json.push_str(if indent.is_some() { "," } else { ", " });
        }
        newline(json, depth + 1);
        if let Some(key) = key {
            json.push_str(&serde_json::Value::from(key.as_str()).to_string());
            json.push_str(": ");
        }
        write_json(json, item, indent, depth + 1);
    }
    if !items.is_empty() {
        newline(json, depth);
    }
    json.push(close);
}

fn failed(error: Error) -> TokenizerError {
    let mut message = error.to_string();
    if error.kind() == ErrorKind::UnknownFunction && message.contains("strftime_now") {
        message.push_str("; Longhand gives templates no clock, so that a prompt is the same every day");
    }
    TokenizerError::Template(message)
}
