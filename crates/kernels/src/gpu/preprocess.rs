//! The WGSL preprocessor: text and integer defines in, a module and its line map out. The same code natively and in the browser.
//!
//! - `#import "shared/x.wgsl"` pastes a file of `shaders/`, once a module.
//! - `#if EXPR` / `#elif EXPR` / `#else` / `#endif`, nested; an expression is made of integers, defines, `( )`, `!`, `* / %`, `+ -`,
//!   `< <= > >= == !=`, `&&` and `||`. An unknown name is an error, never 0.
//! - `{{EXPR}}` anywhere in a line becomes the expression's value.
//! - `#enable f16` and `#enable subgroups` state a need. The header is written for the target: naga takes subgroup operations
//!   without a directive and refuses the directive; browsers demand it.

use crate::error::{KernelError, Result};

/// What the compiler that reads the module understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// `enable f16;` is allowed.
    pub f16: bool,
    /// Subgroup operations are allowed.
    pub subgroups: bool,
    /// A browser's compiler reads it, not naga.
    pub web: bool,
}

/// A preprocessed module.
#[derive(Debug)]
pub struct Module {
    /// WGSL.
    pub source: String,
    /// File and line (from 1) of each line of `source`.
    pub lines: Vec<(String, usize)>,
}

impl Module {
    /// `file:line` of line `line` (from 1) of the output.
    pub fn origin(&self, line: usize) -> Option<String> {
        self.lines.get(line.checked_sub(1)?).map(|(file, line)| format!("{file}:{line}"))
    }

    /// The compiler's message with the first line number that it gives, `wgsl:12:5`, replaced by the file and line it came from.
    pub fn explain(&self, message: &str) -> (String, String) {
        let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
        let place = message.split_once("wgsl:").and_then(|(_, rest)| self.origin(digits(rest).parse().ok()?));
        let first = self.lines.last().map_or_else(String::new, |(file, _)| file.clone());
        (place.unwrap_or(first), message.trim().to_owned())
    }
}

/// Expands `source` (the file `name`). `import` finds the text of an imported file.
pub fn preprocess(
    name: &str,
    source: &str,
    defines: &[(&str, i64)],
    target: Target,
    import: &dyn Fn(&str) -> Option<&'static str>,
) -> Result<Module> {
    let mut state = Expansion { defines, import, seen: vec![], enables: vec![], out: vec![] };
    state.file(name, source)?;
    let mut header = Vec::new();
    for (enable, file, line) in &state.enables {
        let (offered, written) = match enable.as_str() {
            "f16" => (target.f16, true),
            "subgroups" => (target.subgroups, target.web),
            other => return Err(at(file, *line, format!("`#enable {other}` is not known"))),
        };
        if !offered {
            return Err(at(file, *line, format!("the target has no `{enable}`")));
        }
        let text = format!("enable {enable};");
        if written && !header.iter().any(|(known, _)| *known == text) {
            header.push((text, (file.clone(), *line)));
        }
    }
    let (text, lines): (Vec<_>, Vec<_>) = header.into_iter().chain(state.out).unzip();
    Ok(Module { source: text.join("\n") + "\n", lines })
}

fn at(file: &str, line: usize, message: impl Into<String>) -> KernelError {
    KernelError::Shader { file: format!("{file}:{line}"), message: message.into() }
}

/// One `#if`: whether this branch is taken, whether one was, whether `#else` was seen, where it opened.
struct Branch {
    active: bool,
    taken: bool,
    ended: bool,
    line: usize,
}

struct Expansion<'a> {
    defines: &'a [(&'a str, i64)],
    import: &'a dyn Fn(&str) -> Option<&'static str>,
    seen: Vec<String>,
    enables: Vec<(String, String, usize)>,
    out: Vec<(String, (String, usize))>,
}

impl Expansion<'_> {
    fn file(&mut self, file: &str, source: &str) -> Result<()> {
        let mut branches: Vec<Branch> = vec![];
        for (index, text) in source.lines().enumerate() {
            let line = index + 1;
            let evaluate = |expr: &str| Parser::evaluate(expr, self.defines).map_err(|message| at(file, line, message));
            let active = branches.iter().all(|branch| branch.active);
            let Some(directive) = text.trim_start().strip_prefix('#') else {
                if active {
                    let text = self.constants(file, line, text)?;
                    self.out.push((text, (file.to_owned(), line)));
                }
                continue;
            };
            let directive = directive.split_once("//").map_or(directive, |(code, _)| code).trim();
            let (word, rest) = directive.split_once(char::is_whitespace).unwrap_or((directive, ""));
            match word {
                "if" => {
                    let yes = active && evaluate(rest)? != 0;
                    branches.push(Branch { active: yes, taken: yes || !active, ended: false, line });
                }
                "elif" | "else" => {
                    let branch = branches.last_mut().ok_or_else(|| at(file, line, format!("#{word} without #if")))?;
                    if branch.ended {
                        return Err(at(file, line, format!("#{word} after #else")));
                    }
                    branch.ended = word == "else";
                    branch.active = !branch.taken && (word == "else" || evaluate(rest)? != 0);
                    branch.taken |= branch.active;
                }
                "endif" => {
                    branches.pop().ok_or_else(|| at(file, line, "#endif without #if"))?;
                }
                "import" if active => {
                    let path = rest.trim().trim_matches('"').to_owned();
                    if !self.seen.contains(&path) {
                        let text = (self.import)(&path).ok_or_else(|| at(file, line, format!("there is no `{path}` to import")))?;
                        self.seen.push(path.clone());
                        self.file(&path, text)?;
                    }
                }
                "enable" if active => self.enables.push((rest.trim().to_owned(), file.to_owned(), line)),
                "import" | "enable" => {}
                _ => return Err(at(file, line, format!("`#{word}` is not a directive"))),
            }
        }
        match branches.last() {
            Some(branch) => Err(at(file, branch.line, "#if without #endif")),
            None => Ok(()),
        }
    }

    fn constants(&self, file: &str, line: usize, text: &str) -> Result<String> {
        let (mut out, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("{{") {
            let (expr, after) = after.split_once("}}").ok_or_else(|| at(file, line, "`{{` without `}}`"))?;
            let value = Parser::evaluate(expr, self.defines).map_err(|message| at(file, line, message))?;
            out += before;
            out += &value.to_string();
            rest = after;
        }
        Ok(out + rest)
    }
}

/// Precedence climbing over the expression's tokens.
struct Parser<'a> {
    tokens: Vec<&'a str>,
    next: usize,
    defines: &'a [(&'a str, i64)],
}

impl<'a> Parser<'a> {
    fn evaluate(text: &'a str, defines: &'a [(&'a str, i64)]) -> std::result::Result<i64, String> {
        let mut parser = Self { tokens: tokens(text)?, next: 0, defines };
        let value = parser.binary(0)?;
        match parser.tokens.get(parser.next) {
            Some(token) => Err(format!("`{token}` is not expected in `{text}`")),
            None => Ok(value),
        }
    }

    fn binary(&mut self, minimum: u8) -> std::result::Result<i64, String> {
        let mut left = self.unary()?;
        while let Some(&operator) = self.tokens.get(self.next) {
            let level = match operator {
                "||" => 1,
                "&&" => 2,
                "==" | "!=" => 3,
                "<" | "<=" | ">" | ">=" => 4,
                "+" | "-" => 5,
                "*" | "/" | "%" => 6,
                _ => break,
            };
            if level <= minimum {
                break;
            }
            self.next += 1;
            let right = self.binary(level)?;
            left = match operator {
                "||" => i64::from(left != 0 || right != 0),
                "&&" => i64::from(left != 0 && right != 0),
                "==" => i64::from(left == right),
                "!=" => i64::from(left != right),
                "<" => i64::from(left < right),
                "<=" => i64::from(left <= right),
                ">" => i64::from(left > right),
                ">=" => i64::from(left >= right),
                "+" => left.wrapping_add(right),
                "-" => left.wrapping_sub(right),
                "*" => left.wrapping_mul(right),
                "/" => left.checked_div(right).ok_or("division by zero")?,
                _ => left.checked_rem(right).ok_or("division by zero")?,
            };
        }
        Ok(left)
    }

    fn unary(&mut self) -> std::result::Result<i64, String> {
        let token = *self.tokens.get(self.next).ok_or("the expression ends too early")?;
        self.next += 1;
        match token {
            "!" => Ok(i64::from(self.unary()? == 0)),
            "-" => Ok(self.unary()?.wrapping_neg()),
            "(" => {
                let value = self.binary(0)?;
                self.next += 1;
                if self.tokens.get(self.next - 1) == Some(&")") { Ok(value) } else { Err("`(` without `)`".into()) }
            }
            number if number.starts_with(|c: char| c.is_ascii_digit()) => {
                number.parse().map_err(|_| format!("`{number}` is not an integer"))
            }
            name => {
                let define = self.defines.iter().find(|(known, _)| *known == name);
                define.map(|(_, value)| *value).ok_or_else(|| format!("`{name}` is not defined"))
            }
        }
    }
}

fn tokens(text: &str) -> std::result::Result<Vec<&str>, String> {
    let mut found = vec![];
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let length = if word > 0 {
            word
        } else if ["||", "&&", "==", "!=", "<=", ">="].iter().any(|operator| rest.starts_with(operator)) {
            2
        } else if "<>+-*/%!()".contains(first) {
            1
        } else {
            return Err(format!("`{first}` is not expected in `{text}`"));
        };
        found.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
