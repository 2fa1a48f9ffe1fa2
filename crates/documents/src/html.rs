//! HTML: the main text, as a person reads the page.
//!
//! Parsed as browsers parse it. A page with one `<main>` is that element; scripts, styles, navigation, forms' controls and what is
//! hidden are left out. Headings are lines beginning with `#`, list items begin with `- `, a table's row is a line with its cells
//! joined by ` | `, white space is collapsed except in `<pre>`.

pub mod tree;

use std::borrow::Cow;

use encoding_rs::Encoding;
use tree::{Node, Tree};

use crate::decode::decode;
use crate::limits::MAX_PARSED;
use crate::writer::{Writer, Written};
use crate::{Bytes, DocumentError, Format, Remark, Result};

pub fn convert(bytes: &Bytes) -> Result<Written> {
    if bytes.len() > MAX_PARSED {
        return Err(DocumentError::TooLarge { format: Format::Html, what: "bytes", limit: MAX_PARSED as u64 });
    }
    let (text, remarks) = decode(bytes, stated_encoding(bytes));
    let mut writer = Writer::new(Format::Html);
    writer.remarks = remarks;
    // XHTML says so in its first words.
    let page = if text.trim_start().starts_with("<?xml") { tree::expand_empty(&text) } else { Cow::Borrowed(&*text) };
    let tree = tree::parse(&page, Format::Html)?;
    writer.title = title(&tree);
    let left = write_body(&tree, &mut writer)?;
    if left.images > 0 {
        writer.remarks.push(Remark::Images { count: left.images });
    }
    let mut what = Vec::new();
    if left.navigation {
        what.push("navigation");
    }
    if left.outside {
        what.push("what stands outside the page's main element");
    }
    if left.hidden {
        what.push("what the page hides");
    }
    if !what.is_empty() {
        writer.remarks.push(Remark::LeftOut { what: what.join(", ") });
    }
    writer.finish(false)
}

/// The page's own `<title>`.
pub fn title(tree: &Tree) -> Option<String> {
    let node = tree.find(|node| node.is("title"))?;
    let words = tree.words(node);
    (!words.is_empty()).then_some(words)
}

/// `charset=` in the first kilobyte, in a `<meta>` or an XML declaration.
fn stated_encoding(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).to_ascii_lowercase();
    let label = ["charset=", "encoding="].iter().find_map(|key| head.split_once(key))?.1;
    let label = label.trim_start_matches(['"', '\'', ' ']);
    let end = label.find(|c: char| !c.is_ascii_alphanumeric() && !"-_:".contains(c)).unwrap_or(label.len());
    // A page that can be read this far is not in UTF-16, whatever it says (as browsers have it).
    Encoding::for_label(&label.as_bytes()[..end]).map(|e| if e.name().starts_with("UTF-16") { encoding_rs::UTF_8 } else { e })
}

/// What was left out of a page.
#[derive(Default)]
pub struct Left {
    pub images: usize,
    pub navigation: bool,
    pub outside: bool,
    pub hidden: bool,
}

/// Writes a page's body (its `<main>`, where there is one).
pub fn write_body(tree: &Tree, writer: &mut Writer) -> Result<Left> {
    let mut left = Left::default();
    let mains: Vec<usize> = tree.all(|node| node.is("main") || node.attr("role") == Some("main")).take(2).collect();
    let root = match mains[..] {
        [main] => {
            left.outside = true;
            main
        }
        _ => tree.find(|node| node.is("body")).unwrap_or(0),
    };
    Walk { tree, writer, left: &mut left, preformatted: 0, rows: Vec::new() }.walk(root)?;
    Ok(left)
}

/// Writes nodes in document order. The tree's depth is bounded, so the walk recurses.
struct Walk<'a> {
    tree: &'a Tree,
    writer: &'a mut Writer,
    left: &'a mut Left,
    /// How many `<pre>` the walk is in.
    preformatted: usize,
    /// For each table the walk is in: how many cells of the row have begun.
    rows: Vec<usize>,
}

impl Walk<'_> {
    fn walk(&mut self, at: usize) -> Result<()> {
        let tree = self.tree;
        match tree.node(at) {
            Node::Text(text) => {
                self.text(text);
                self.writer.check()
            }
            Node::Other => self.children(at),
            node @ Node::Element { .. } => self.element(at, node),
        }
    }

    fn children(&mut self, at: usize) -> Result<()> {
        let tree = self.tree;
        tree.children(at).iter().try_for_each(|&child| self.walk(child))
    }

    fn element(&mut self, at: usize, node: &Node) -> Result<()> {
        let name = node.name();
        match name {
            "script" | "style" | "template" | "noscript" | "head" | "title" | "iframe" | "object" | "canvas" | "audio" | "video"
            | "select" | "button" | "input" | "textarea" | "datalist" => return Ok(()),
            "svg" => {
                self.left.images += 1;
                return Ok(());
            }
            "nav" => {
                self.left.navigation = true;
                return Ok(());
            }
            _ => {}
        }
        if node.attr("role") == Some("navigation") {
            self.left.navigation = true;
            return Ok(());
        }
        let hides = |style: &str| style.replace(' ', "").to_ascii_lowercase().contains("display:none");
        if node.attr("hidden").is_some() || node.attr("style").is_some_and(hides) {
            self.left.hidden = true;
            return Ok(());
        }
        let in_cell = !self.rows.is_empty();
        match name {
            "br" if in_cell => self.space(),
            "br" => {
                self.writer.trim_line();
                if !self.writer.text().ends_with("\n\n") {
                    self.writer.push("\n");
                }
            }
            // 2 to the 31 is not 231.
            "sup" if self.writer.text().ends_with(|c: char| c.is_ascii_digit()) => {
                self.writer.push("^");
                self.children(at)?;
            }
            "hr" => self.writer.blank_line(),
            "img" => {
                self.left.images += 1;
                let alt = tree::collapsed(node.attr("alt").unwrap_or_default());
                if !alt.is_empty() {
                    self.text(&format!("[{alt}]"));
                }
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" if !in_cell => {
                let words = self.tree.words(at);
                if !words.is_empty() {
                    self.writer.heading(name.as_bytes()[1] - b'0', &words);
                }
            }
            "pre" if !in_cell => {
                self.writer.blank_line();
                self.preformatted += 1;
                self.children(at)?;
                self.preformatted -= 1;
                self.writer.blank_line();
            }
            "li" if !in_cell => {
                self.writer.new_line();
                let depth = self.tree.above(at, |node| node.is("ul") || node.is("ol"));
                self.writer.push(&"  ".repeat(depth.clamp(1, 8) - 1));
                self.writer.push("- ");
                self.children(at)?;
                self.writer.new_line();
            }
            "table" => {
                if in_cell {
                    self.space()
                } else {
                    self.writer.blank_line()
                }
                self.rows.push(0);
                self.children(at)?;
                self.rows.pop();
                if in_cell { self.space() } else { self.writer.blank_line() }
            }
            // A table in a cell is words of that cell.
            "tr" if self.rows.len() == 1 => {
                self.writer.new_line();
                self.rows[0] = 0;
                self.children(at)?;
                self.writer.new_line();
            }
            "td" | "th" if self.rows.len() == 1 => {
                if self.rows[0] > 0 {
                    self.writer.push(if self.writer.text().ends_with([' ', '\n']) { "| " } else { " | " });
                }
                self.rows[0] += 1;
                self.children(at)?;
            }
            "caption" if self.rows.len() == 1 => {
                self.children(at)?;
                self.writer.new_line();
            }
            _ if in_cell && (is_block(name) || matches!(name, "tr" | "td" | "th" | "li" | "pre")) => {
                self.space();
                self.children(at)?;
                self.space();
            }
            "p" | "blockquote" | "figure" | "ul" | "ol" | "dl" | "section" | "article" | "details" | "fieldset"
                if self.tree.above(at, |node| node.is("li")) == 0 =>
            {
                self.writer.blank_line();
                self.children(at)?;
                self.writer.blank_line();
            }
            name if is_block(name) => {
                self.line_unless_item();
                self.children(at)?;
                self.line_unless_item();
            }
            _ => self.children(at)?,
        }
        Ok(())
    }

    /// A block ends the line, but not right behind a list item's dash.
    fn line_unless_item(&mut self) {
        if !self.writer.text().ends_with("- ") {
            self.writer.new_line();
        }
    }

    fn space(&mut self) {
        if !self.writer.text().ends_with([' ', '\n']) && !self.writer.text().is_empty() {
            self.writer.push(" ");
        }
    }

    fn text(&mut self, text: &str) {
        if self.preformatted > 0 && self.rows.is_empty() {
            return self.writer.push(text);
        }
        for (index, part) in text.split(|c: char| c.is_ascii_whitespace()).enumerate() {
            if index > 0 {
                self.space();
            }
            if !part.is_empty() {
                self.writer.push(part);
            }
        }
    }
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "address"
            | "article"
            | "aside"
            | "blockquote"
            | "body"
            | "center"
            | "dd"
            | "details"
            | "dialog"
            | "div"
            | "dl"
            | "dt"
            | "fieldset"
            | "figcaption"
            | "figure"
            | "footer"
            | "form"
            | "header"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "hgroup"
            | "legend"
            | "main"
            | "ol"
            | "p"
            | "section"
            | "summary"
            | "ul"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(page: &str) -> String {
        convert(&page.as_bytes().into()).unwrap().text.to_string()
    }

    #[test]
    fn a_page_reads_as_a_person_reads_it() {
        let page = "<title>T &amp; U</title><nav>skip</nav><h1>One</h1><p>a&nbsp;b &lt;c&gt;\n  d<br>e<script>no</script>\
            <ul><li>x<li><p>y</p></ul><table><caption>Cap</caption><tr><th>k<th>v<tr><td>1<td><b>2</b></table><pre>a\n  b</pre>";
        let written = convert(&page.as_bytes().into()).unwrap();
        assert_eq!(&*written.text, "# One\n\na\u{a0}b <c> d\ne\n\n- x\n- y\n\nCap\nk | v\n1 | 2\n\na\n  b\n");
        assert_eq!(written.title.as_deref(), Some("T & U"));
        assert_eq!(written.marks.len(), 1);
        assert_eq!(written.remarks, [Remark::LeftOut { what: "navigation".into() }]);
    }

    #[test]
    fn deep_pages_are_refused_in_time() {
        let deep = "<div>".repeat(200_000);
        assert!(matches!(convert(&deep.as_bytes().into()), Err(DocumentError::TooLarge { .. })));
        assert_eq!(read(&format!("{}x", "<b>".repeat(400))), "x\n");
    }

    #[test]
    fn tables_in_cells_stay_on_their_row() {
        assert_eq!(read("<table><tr><td>a<table><tr><td>b<td>c</table><td>d</table>"), "a b c | d\n");
    }

    #[test]
    fn xhtml_may_close_elements_at_once() {
        assert_eq!(read("<?xml version='1.0'?><html><head><title/></head><body><p>a<a id='x'/>b</p><br/>c</body></html>"), "ab\n\nc\n");
    }

    #[test]
    fn the_stated_encoding_counts() {
        let page = b"<meta charset='iso-8859-2'><p>\xb1\xe6\xea";
        assert_eq!(&*convert(&page.as_slice().into()).unwrap().text, "ąćę\n");
    }
}
