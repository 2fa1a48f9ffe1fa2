//! The parsed page: nodes in one list, filled by html5ever.

use std::borrow::Cow;
use std::cell::{Cell, Ref, RefCell};

use html5ever::interface::{ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::tendril::{StrTendril, TendrilSink};
use html5ever::{Attribute, LocalName, Namespace, QualName, local_name, ns, parse_document};

use crate::limits::MAX_HTML_DEPTH;
use crate::{DocumentError, Format, Result};

/// What stands at a place of the tree.
pub enum Node {
    /// Characters.
    Text(String),
    /// An element.
    Element { name: QualName, attrs: Vec<Attribute> },
    /// The document, a comment, a template's contents.
    Other,
}

impl Node {
    /// The element's name; empty for other nodes.
    pub fn name(&self) -> &str {
        if let Self::Element { name, .. } = self { &name.local } else { "" }
    }

    pub fn is(&self, name: &str) -> bool {
        self.name() == name
    }

    pub fn attr(&self, name: &str) -> Option<&str> {
        let Self::Element { attrs, .. } = self else { return None };
        attrs.iter().find(|attr| &*attr.name.local == name).map(|attr| &*attr.value)
    }
}

struct Entry {
    node: Node,
    parent: Option<usize>,
    children: Vec<usize>,
}

/// A page; node 0 is the document.
pub struct Tree {
    entries: Vec<Entry>,
}

impl Tree {
    pub fn node(&self, at: usize) -> &Node {
        &self.entries[at].node
    }

    pub fn children(&self, at: usize) -> &[usize] {
        &self.entries[at].children
    }

    /// Nodes that are so, in the order they were made.
    pub fn all(&self, so: impl Fn(&Node) -> bool) -> impl Iterator<Item = usize> {
        (0..self.entries.len()).filter(move |&at| so(self.node(at)))
    }

    pub fn find(&self, so: impl Fn(&Node) -> bool) -> Option<usize> {
        self.all(so).next()
    }

    /// How many of the nodes above `at` are so.
    pub fn above(&self, at: usize, so: impl Fn(&Node) -> bool) -> usize {
        std::iter::successors(self.entries[at].parent, |&at| self.entries[at].parent).filter(|&at| so(self.node(at))).count()
    }

    /// The text below a node on one line.
    pub fn words(&self, at: usize) -> String {
        let (mut words, mut stack) = (String::new(), vec![at]);
        while let Some(at) = stack.pop() {
            match self.node(at) {
                Node::Text(text) => words.push_str(text),
                node if node.is("script") || node.is("style") => {}
                node => {
                    if node.is("br") {
                        words.push(' ');
                    }
                    stack.extend(self.children(at).iter().rev());
                }
            }
        }
        collapsed(&words)
    }

    /// Whether no node lies deeper than the limit, with every node reached at most once.
    fn is_shallow(&self) -> bool {
        let mut level = vec![0];
        for _ in 0..MAX_HTML_DEPTH {
            level = level.iter().flat_map(|&at| self.children(at)).copied().collect();
        }
        level.is_empty()
    }
}

/// White space collapsed and trimmed.
pub fn collapsed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Parses a page, or the part of a book. Too deep a page is refused: the parser's own time grows with the square of the depth.
pub fn parse(text: &str, format: Format) -> Result<Tree> {
    let too_deep = DocumentError::TooLarge { format, what: "elements inside one another", limit: MAX_HTML_DEPTH as u64 };
    let mut parser = parse_document(Sink::new(), html5ever::ParseOpts::default());
    // In pieces, so that depth is seen before it costs much.
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(rest.floor_char_boundary(rest.len().min(4096)));
        parser.process(StrTendril::from_slice(piece));
        if parser.tokenizer.sink.sink.deepest.get() > MAX_HTML_DEPTH {
            return Err(too_deep);
        }
        rest = tail;
    }
    let tree = parser.finish();
    if tree.is_shallow() { Ok(tree) } else { Err(too_deep) }
}

struct Sink {
    entries: RefCell<Vec<Entry>>,
    deepest: Cell<usize>,
    none: QualName,
}

impl Sink {
    fn new() -> Self {
        let document = Entry { node: Node::Other, parent: None, children: Vec::new() };
        Self { entries: RefCell::new(vec![document]), deepest: Cell::new(0), none: QualName::new(None, ns!(), local_name!("")) }
    }

    fn add(&self, node: Node) -> usize {
        let mut entries = self.entries.borrow_mut();
        entries.push(Entry { node, parent: None, children: Vec::new() });
        entries.len() - 1
    }

    /// Puts `child` before place `index` of `parent`'s children (`None`: behind the last), joining text to text.
    fn insert(&self, parent: usize, index: Option<usize>, child: NodeOrText<usize>) {
        let child = match child {
            NodeOrText::AppendNode(node) => {
                self.remove_from_parent(&node);
                node
            }
            NodeOrText::AppendText(text) => {
                let mut entries = self.entries.borrow_mut();
                let before = index.unwrap_or(entries[parent].children.len()).checked_sub(1);
                let neighbour = before.and_then(|before| entries[parent].children.get(before).copied());
                if let Some(neighbour) = neighbour
                    && let Node::Text(there) = &mut entries[neighbour].node
                {
                    return there.push_str(&text);
                }
                drop(entries);
                self.add(Node::Text(text.into()))
            }
        };
        let mut entries = self.entries.borrow_mut();
        entries[child].parent = Some(parent);
        match index {
            Some(index) => {
                let index = index.min(entries[parent].children.len());
                entries[parent].children.insert(index, child);
            }
            None => entries[parent].children.push(child),
        }
        if matches!(entries[child].node, Node::Element { .. }) {
            // Stops counting just past the limit, so that a deep page costs no more than that.
            let depth = std::iter::successors(Some(child), |&at| entries[at].parent).take(MAX_HTML_DEPTH + 2).count();
            self.deepest.set(depth.max(self.deepest.get()));
        }
    }
}

/// An element's name, read while the list is borrowed.
#[derive(Debug)]
pub enum Name<'a> {
    Of(Ref<'a, QualName>),
    /// What is no element: the parser does not ask for it.
    None(&'a QualName),
}

impl Name<'_> {
    fn get(&self) -> &QualName {
        match self {
            Self::Of(name) => name,
            Self::None(name) => name,
        }
    }
}

impl html5ever::interface::ElemName for Name<'_> {
    fn ns(&self) -> &Namespace {
        &self.get().ns
    }

    fn local_name(&self) -> &LocalName {
        &self.get().local
    }
}

impl TreeSink for Sink {
    type Handle = usize;
    type Output = Tree;
    type ElemName<'a> = Name<'a>;

    fn finish(self) -> Tree {
        Tree { entries: self.entries.into_inner() }
    }

    fn parse_error(&self, _: Cow<'static, str>) {}

    fn get_document(&self) -> usize {
        0
    }

    fn elem_name<'a>(&'a self, target: &'a usize) -> Name<'a> {
        let name = Ref::filter_map(self.entries.borrow(), |entries| match &entries[*target].node {
            Node::Element { name, .. } => Some(name),
            _ => None,
        });
        name.map_or(Name::None(&self.none), Name::Of)
    }

    fn create_element(&self, name: QualName, attrs: Vec<Attribute>, _: ElementFlags) -> usize {
        self.add(Node::Element { name, attrs })
    }

    fn create_comment(&self, _: StrTendril) -> usize {
        self.add(Node::Other)
    }

    fn create_pi(&self, _: StrTendril, _: StrTendril) -> usize {
        self.add(Node::Other)
    }

    fn append(&self, parent: &usize, child: NodeOrText<usize>) {
        self.insert(*parent, None, child);
    }

    fn append_based_on_parent_node(&self, element: &usize, previous: &usize, child: NodeOrText<usize>) {
        let has_parent = self.entries.borrow()[*element].parent.is_some();
        if has_parent { self.append_before_sibling(element, child) } else { self.append(previous, child) }
    }

    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {}

    /// A template's contents are the template itself: both are left out.
    fn get_template_contents(&self, target: &usize) -> usize {
        *target
    }

    fn same_node(&self, x: &usize, y: &usize) -> bool {
        x == y
    }

    fn set_quirks_mode(&self, _: QuirksMode) {}

    fn append_before_sibling(&self, sibling: &usize, child: NodeOrText<usize>) {
        if let NodeOrText::AppendNode(node) = &child {
            self.remove_from_parent(node);
        }
        let (parent, index) = {
            let entries = self.entries.borrow();
            let Some(parent) = entries[*sibling].parent else { return };
            // From the back: foster-parented text comes before the last table.
            (parent, entries[parent].children.iter().rposition(|at| at == sibling))
        };
        self.insert(parent, index, child);
    }

    fn add_attrs_if_missing(&self, target: &usize, new: Vec<Attribute>) {
        if let Node::Element { attrs, .. } = &mut self.entries.borrow_mut()[*target].node {
            for attr in new {
                if !attrs.iter().any(|there| there.name == attr.name) {
                    attrs.push(attr);
                }
            }
        }
    }

    fn remove_from_parent(&self, target: &usize) {
        let mut entries = self.entries.borrow_mut();
        if let Some(parent) = entries[*target].parent.take()
            && let Some(index) = entries[parent].children.iter().rposition(|at| at == target)
        {
            entries[parent].children.remove(index);
        }
    }

    fn reparent_children(&self, node: &usize, new_parent: &usize) {
        let mut entries = self.entries.borrow_mut();
        let children = std::mem::take(&mut entries[*node].children);
        for &child in &children {
            entries[child].parent = Some(*new_parent);
        }
        entries[*new_parent].children.extend(children);
    }
}

/// XHTML as HTML: `<a id="x"/>` is an empty element there, and an open one here.
pub fn expand_empty(text: &str) -> Cow<'_, str> {
    const VOID: [&str; 14] =
        ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"];
    if !text.contains("/>") {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(open) = rest.find('<') {
        out.push_str(&rest[..open]);
        rest = &rest[open..];
        let (end, comment) =
            if rest.starts_with("<!--") { (rest.find("-->").map(|end| end + 3), true) } else { (rest.find('>').map(|end| end + 1), false) };
        let (tag, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        let name: &str = &tag[1.min(tag.len())..];
        let name = &name[..name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len())];
        match tag.strip_suffix("/>") {
            Some(start) if !comment && !name.is_empty() && !VOID.contains(&name) => {
                out.push_str(start);
                out.push_str("></");
                out.push_str(name);
                out.push('>');
            }
            _ => out.push_str(tag),
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}
