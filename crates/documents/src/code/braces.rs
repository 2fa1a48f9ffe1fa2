//! Languages whose bodies stand in braces.

/// What a language has beside `//`, `/* */`, `"…"` and brackets.
#[derive(Default)]
pub struct Language {
    /// Lifetimes, `r#"…"#`, comments in comments.
    pub rust: bool,
    /// `#include`: a line of its own.
    pub preprocessor: bool,
    /// `` `…${…}…` ``.
    pub templates: bool,
    /// `/…/`.
    pub regexes: bool,
    /// `` `…` `` without escapes.
    pub raw_backticks: bool,
    /// `"""…"""`.
    pub triple_quotes: bool,
    /// `# …`.
    pub hash_comments: bool,
    /// A shell: `#` only behind white space, no `//`, no `/*`.
    pub shell: bool,
    /// A statement may end with its line.
    pub lines_end_statements: bool,
}

/// Words whose body holds items of its own.
const CONTAINERS: [&str; 15] = [
    "class",
    "impl",
    "mod",
    "trait",
    "namespace",
    "interface",
    "object",
    "struct",
    "enum",
    "union",
    "record",
    "extension",
    "protocol",
    "actor",
    "extern",
];
/// Words whose body does not, whatever else stands before it.
const FUNCTIONS: [&str; 5] = ["fn", "function", "func", "fun", "def"];

struct Scan<'a> {
    bytes: &'a [u8],
    language: &'a Language,
    cuts: Vec<usize>,
    /// Open braces: whether each is a container's body, and where its item began.
    open: Vec<(bool, usize)>,
    /// Open parentheses and brackets.
    round: usize,
    /// Open braces that are not of a container.
    inside: usize,
    /// The item's words so far.
    header: Vec<u8>,
    /// Where the item began: the line's beginning, with its comments.
    start: Option<usize>,
    line: usize,
    /// A body ended on this line.
    closed: bool,
    /// The line has had only comments so far.
    comment_only: bool,
    /// A template literal is open at these brace depths.
    templates: Vec<usize>,
    /// The last byte of code.
    last: u8,
}

pub fn cuts(text: &str, language: &Language) -> Vec<usize> {
    let mut scan = Scan {
        bytes: text.as_bytes(),
        language,
        cuts: Vec::new(),
        open: Vec::new(),
        round: 0,
        inside: 0,
        header: Vec::new(),
        start: None,
        line: 0,
        closed: false,
        comment_only: false,
        templates: Vec::new(),
        last: b'\n',
    };
    scan.run();
    scan.cuts
}

impl Scan<'_> {
    fn at(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    /// Between items: nothing is open but containers.
    fn outside(&self) -> bool {
        self.inside == 0 && self.round == 0
    }

    fn run(&mut self) {
        let mut at = 0;
        self.begin_line(0);
        while at < self.bytes.len() {
            let next = self.step(at);
            // Lines inside a comment or a string begin, too, but nothing begins with them.
            at = next.max(at + 1);
        }
    }

    /// Reads what begins at `at`; says where the next thing begins.
    fn step(&mut self, at: usize) -> usize {
        let (byte, next, language) = (self.at(at), self.at(at + 1), self.language);
        match byte {
            b'\n' => {
                self.end_line();
                self.begin_line(at + 1);
                return at + 1;
            }
            b' ' | b'\t' | b'\r' => {
                if self.outside() && !self.header.is_empty() {
                    self.header.push(b' ');
                }
                return at + 1;
            }
            b'/' if next == b'/' && !language.shell => return self.comment(line_end(self.bytes, at)),
            b'/' if next == b'*' && !language.shell => return self.comment(self.block_comment(at)),
            b'#' if language.hash_comments
                && next != b'['
                && (!language.shell || matches!(self.at(at.wrapping_sub(1)), b' ' | b'\t' | b'\n' | 0)) =>
            {
                return self.comment(line_end(self.bytes, at));
            }
            b'#' if language.preprocessor && self.outside_line_start(at) => {
                let mut end = line_end(self.bytes, at);
                while end > 0 && self.at(end - 1) == b'\\' && end < self.bytes.len() {
                    end = line_end(self.bytes, end + 1);
                }
                if self.outside() {
                    (self.start, self.comment_only) = (None, false);
                    self.header.clear();
                }
                return end;
            }
            _ => {}
        }
        let before = self.last;
        self.code(byte);
        match byte {
            b'"' if language.triple_quotes && self.bytes[at..].starts_with(b"\"\"\"") => self.until(at + 3, b"\"\"\"", true),
            b'"' => self.string(at),
            b'\'' => self.quote(at),
            b'`' if language.raw_backticks => self.until(at + 1, b"`", false),
            b'`' if language.templates => self.template(at + 1),
            b'r' | b'R' if matches!(next, b'"' | b'#') && !is_word(self.at(at.wrapping_sub(1))) => self.raw_string(at),
            b'/' if language.regexes && regex_may_follow(before) => self.regex(at),
            b'(' | b'[' => {
                self.round += 1;
                self.header_push(byte);
                at + 1
            }
            b')' | b']' => {
                self.round = self.round.saturating_sub(1);
                self.header_push(byte);
                at + 1
            }
            b'{' => {
                self.open_brace();
                at + 1
            }
            b'}' => {
                if self.templates.last() == Some(&self.open.len()) {
                    self.templates.pop();
                    return self.template(at + 1);
                }
                self.close_brace();
                at + 1
            }
            b';' if self.outside() => {
                self.header.clear();
                self.start = None;
                at + 1
            }
            _ => {
                self.header_push(byte);
                self.last = byte;
                at + 1
            }
        }
    }

    fn begin_line(&mut self, at: usize) {
        self.line = at;
        self.comment_only = false;
        if self.outside() && std::mem::take(&mut self.closed) && self.header.iter().all(|b| b" \t,)".contains(b)) {
            self.cuts.push(at);
            self.header.clear();
            self.start = None;
        }
    }

    fn end_line(&mut self) {
        if !self.outside() {
            return;
        }
        let blank = self.bytes[self.line..].iter().take_while(|b| **b != b'\n').all(u8::is_ascii_whitespace);
        let ends = self.language.lines_end_statements
            && !self.comment_only
            && !self.header.starts_with(b"@")
            && !matches!(self.last, b',' | b'=' | b'(' | b'[' | b'+' | b'|' | b'&' | b':' | b'?' | b'<' | b'>' | b'\\')
            && !self.next_line_goes_on();
        if blank && self.header.is_empty() || ends && !blank {
            self.start = None;
            self.header.clear();
        }
    }

    /// The next line begins with what only goes on.
    fn next_line_goes_on(&self) -> bool {
        let next = self.bytes[line_end(self.bytes, self.line)..].iter().find(|b| !b.is_ascii_whitespace());
        matches!(next, Some(b'{' | b'.' | b':' | b'?' | b'=' | b')'))
    }

    fn outside_line_start(&self, at: usize) -> bool {
        self.bytes[self.line..at].iter().all(u8::is_ascii_whitespace)
    }

    /// Passes over a comment; an item may begin with it.
    fn comment(&mut self, end: usize) -> usize {
        if self.outside() && self.start.is_none() && !self.closed {
            (self.start, self.comment_only) = (Some(self.line), true);
        } else if self.header.is_empty() {
            self.comment_only = true;
        }
        end
    }

    fn block_comment(&self, at: usize) -> usize {
        let (mut at, mut depth) = (at + 2, 1);
        while at < self.bytes.len() {
            match &self.bytes[at..(at + 2).min(self.bytes.len())] {
                b"*/" => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        return at;
                    }
                }
                b"/*" if self.language.rust => {
                    depth += 1;
                    at += 2;
                }
                _ => at += 1,
            }
        }
        at
    }

    /// Code begins here, if nothing has.
    fn code(&mut self, byte: u8) {
        self.comment_only = false;
        if self.outside() && self.start.is_none() && byte != b'}' && !(self.closed && b",);".contains(&byte)) {
            self.start = Some(self.line);
        }
        if !byte.is_ascii_whitespace() && byte != b'}' {
            self.last = byte;
        }
    }

    fn header_push(&mut self, byte: u8) {
        // Enough for what stands before a body; attributes can be long.
        if self.inside == 0 && self.header.len() < 4096 {
            self.header.push(byte);
        }
    }

    fn open_brace(&mut self) {
        let container = self.outside() && self.is_container();
        let start = self.start.unwrap_or(self.line);
        if container {
            self.cuts.push(start);
            self.start = None;
            self.header.clear();
        } else {
            self.inside += 1;
        }
        self.open.push((container, start));
        self.last = b'{';
    }

    fn close_brace(&mut self) {
        self.last = b'}';
        let Some((container, start)) = self.open.pop() else { return };
        if !container {
            self.inside -= 1;
        }
        if self.outside() {
            // A body on its header's line (a getter, an import's names) is not worth a cut.
            if container || start < self.line {
                if !container {
                    self.cuts.push(start);
                }
                self.closed = true;
            }
            self.header.clear();
            self.start = if self.closed { None } else { self.start };
        }
    }

    fn is_container(&self) -> bool {
        let header = String::from_utf8_lossy(&self.header);
        let mut words = header.split(|c: char| !c.is_alphanumeric() && c != '_');
        let (mut container, mut function) = (false, false);
        for word in &mut words {
            container |= CONTAINERS.contains(&word);
            function |= FUNCTIONS.contains(&word);
        }
        container && !function && !(self.language.preprocessor && header.contains('('))
    }

    fn string(&self, at: usize) -> usize {
        let mut end = at + 1;
        while end < self.bytes.len() {
            match self.bytes[end] {
                b'\\' => end += 1,
                b'"' => return end + 1,
                // Strings over lines: only where the language has them.
                b'\n' if !self.language.rust && !self.language.shell && !self.language.hash_comments => return end,
                _ => {}
            }
            end += 1;
        }
        end.min(self.bytes.len())
    }

    /// `'…'`: a string, a character, or in Rust a lifetime.
    fn quote(&self, at: usize) -> usize {
        if self.language.rust {
            let rest = String::from_utf8_lossy(&self.bytes[at + 1..(at + 14).min(self.bytes.len())]).into_owned();
            let mut chars = rest.chars();
            return match (chars.next(), chars.next()) {
                (Some('\\'), _) => {
                    self.bytes[(at + 3).min(self.bytes.len())..].iter().position(|b| *b == b'\'').map_or(at + 1, |n| at + 4 + n)
                }
                (Some(c), Some('\'')) => at + 2 + c.len_utf8(),
                _ => at + 1,
            };
        }
        let mut end = at + 1;
        while end < self.bytes.len() {
            match self.bytes[end] {
                b'\\' if !self.language.shell => end += 1,
                b'\'' => return end + 1,
                b'\n' if !self.language.shell && !self.language.hash_comments => return end,
                _ => {}
            }
            end += 1;
        }
        end.min(self.bytes.len())
    }

    fn until(&self, at: usize, mark: &[u8], escapes: bool) -> usize {
        let mut at = at;
        while at < self.bytes.len() {
            if self.bytes[at..].starts_with(mark) {
                return at + mark.len();
            }
            at += if escapes && self.bytes[at] == b'\\' { 2 } else { 1 };
        }
        self.bytes.len()
    }

    /// The rest of a template literal, up to its end or a `${`.
    fn template(&mut self, at: usize) -> usize {
        let mut at = at;
        while at < self.bytes.len() {
            match self.bytes[at] {
                b'\\' => at += 1,
                b'`' => {
                    self.last = b'`';
                    return at + 1;
                }
                b'$' if self.at(at + 1) == b'{' => {
                    self.templates.push(self.open.len());
                    return at + 2;
                }
                _ => {}
            }
            at += 1;
        }
        self.bytes.len()
    }

    /// Rust's `r#"…"#` and C++'s `R"x(…)x"`.
    fn raw_string(&self, at: usize) -> usize {
        if self.language.rust && self.bytes[at] == b'r' {
            let hashes = self.bytes[at + 1..].iter().take_while(|b| **b == b'#').count();
            if self.at(at + 1 + hashes) == b'"' {
                let end: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes.min(255))).collect();
                return self.until(at + 2 + hashes, &end, false);
            }
        } else if self.language.preprocessor && self.bytes[at] == b'R' && self.at(at + 1) == b'"' {
            let name = self.bytes[at + 2..].iter().take(17).position(|b| *b == b'(');
            if let Some(len) = name {
                let end = [b")", &self.bytes[at + 2..at + 2 + len], b"\""].concat();
                return self.until(at + 3 + len, &end, false);
            }
        }
        at + 1
    }

    fn regex(&self, at: usize) -> usize {
        let (mut end, mut class) = (at + 1, false);
        while end < self.bytes.len() {
            match self.bytes[end] {
                b'\\' => end += 1,
                b'[' => class = true,
                b']' => class = false,
                b'/' if !class => return end + 1,
                b'\n' => return at + 1,
                _ => {}
            }
            end += 1;
        }
        at + 1
    }
}

/// Whether a `/` behind this byte of code begins a regular expression rather than divides.
fn regex_may_follow(last: u8) -> bool {
    matches!(last, b'(' | b',' | b'=' | b':' | b'[' | b'!' | b'&' | b'|' | b'?' | b'{' | b'}' | b';' | b'\n')
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where the line at `at` ends, before its `\n`.
fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at.min(bytes.len())..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n)
}
