//! JSON as the outline that `documents` writes: `key: value` and `- value` on lines, each marked with its pointer.

use std::collections::HashMap;
use std::ops::Range;

use data::{Document, Place};

use super::{MAX_VALUE, Said, trimmed};

/// Objects with a lone scalar there must be before their key can be one that says nothing.
const LEAST: usize = 3;

/// One marked value.
struct Node {
    /// Index of what it is in; None at the top.
    parent: Option<usize>,
    key: String,
    /// Whether it is an element of a list: its key is a number.
    item: bool,
    /// Where the value stands, if it is a scalar or a list on one line.
    value: Option<Range<usize>>,
}

pub fn read(document: &Document, title: &str) -> Vec<Said> {
    let nodes = nodes(document);
    let said_nothing = empty_keys(&nodes);
    let names = names(&nodes, &document.text);
    let mut out = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let Some(at) = node.value.clone() else { continue };
        let (mut path, mut subject, mut up) = (Vec::new(), Some(title.to_string()), Some(index));
        let mut inner = true;
        while let Some(at) = up {
            let node = &nodes[at];
            let silent = at == index && said_nothing[index];
            if !node.item && !silent {
                path.push(node.key.clone());
            }
            // The innermost object of a list is what it is about.
            if node.item && at != index && inner {
                inner = false;
                subject = names
                    .get(&at)
                    .filter(|name| **name != index)
                    .and_then(|name| document.text.get(nodes[*name].value.clone()?))
                    .map(str::to_string);
            }
            up = node.parent;
        }
        path.reverse();
        let Some(subject) = subject else { continue };
        if path.is_empty() {
            path.push(node.key.clone());
        }
        out.push(Said { subject, path, at });
    }
    out
}

/// The marked values, each after what it is in.
fn nodes(document: &Document) -> Vec<Node> {
    let text: &str = &document.text;
    let mut nodes: Vec<Node> = Vec::new();
    // What is open, by depth.
    let mut open: Vec<usize> = Vec::new();
    let marks: Vec<(usize, &str)> = document
        .marks
        .iter()
        .filter_map(|mark| match &mark.place {
            Place::Pointer { pointer } => Some((mark.start, pointer.as_str())),
            _ => None,
        })
        .collect();
    for (at, (start, pointer)) in marks.iter().enumerate() {
        let Some((above, last)) = pointer.rsplit_once('/') else { continue };
        open.truncate(above.matches('/').count());
        let end = marks.get(at + 1).map_or(text.len(), |(next, _)| *next);
        let key = last.replace("~1", "/").replace("~0", "~");
        let slice = text.get(*start..end).unwrap_or("");
        let item = slice.starts_with("- ") && key.bytes().all(|b| b.is_ascii_digit());
        // As the outline writes keys.
        let written = if key.is_empty() { "\"\"".to_string() } else { key.replace('\n', " ") };
        let before = match slice.strip_prefix(&*written) {
            Some(rest) if rest.starts_with(':') && !item => Some(written.len() + 1),
            _ => item.then_some(2),
        };
        let value = before.map(|before| trimmed(text, start + before, end)).filter(|value| !value.is_empty());
        nodes.push(Node { parent: open.last().copied(), key, item, value });
        open.push(nodes.len() - 1);
    }
    nodes
}

/// For each value whether its key says nothing: it is its object's lone scalar, and such a key is what most lone scalars of the document
/// have, and most objects with scalars at all.
fn empty_keys(nodes: &[Node]) -> Vec<bool> {
    // A key holds a scalar where nothing is in it; what is `null` counts as one.
    let mut inner = vec![false; nodes.len()];
    nodes.iter().filter_map(|node| node.parent).for_each(|parent| inner[parent] = true);
    let mut scalars: HashMap<usize, usize> = HashMap::new();
    let leaf = |at: usize| !inner[at] && !nodes[at].item;
    let parents = (0..nodes.len()).filter(|at| leaf(*at)).filter_map(|at| nodes[at].parent);
    parents.for_each(|parent| *scalars.entry(parent).or_default() += 1);
    let lone = |at: usize| leaf(at) && nodes[at].parent.is_some_and(|parent| scalars.get(&parent) == Some(&1));
    let mut keys: HashMap<&str, usize> = HashMap::new();
    (0..nodes.len()).filter(|at| lone(*at)).for_each(|at| *keys.entry(&nodes[at].key).or_default() += 1);
    let most = |key: &str| keys.get(key).is_some_and(|count| *count >= LEAST && count * 2 > scalars.len());
    (0..nodes.len()).map(|at| lone(at) && most(&nodes[at].key)).collect()
}

/// Objects in lists → the value that names them: their first scalar, where no other object of the list has the same.
fn names(nodes: &[Node], text: &str) -> HashMap<usize, usize> {
    let mut first: HashMap<usize, usize> = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        if let (Some(parent), Some(value)) = (node.parent, &node.value)
            && nodes[parent].item
            && !node.item
            && value.len() <= MAX_VALUE
        {
            first.entry(parent).or_insert(at);
        }
    }
    let words = |name: usize| nodes[name].value.clone().and_then(|value| text.get(value)).unwrap_or("");
    let mut times: HashMap<(Option<usize>, &str), usize> = HashMap::new();
    first.iter().for_each(|(item, name)| *times.entry((nodes[*item].parent, words(*name))).or_default() += 1);
    first.retain(|item, name| times[&(nodes[*item].parent, words(*name))] == 1 && !words(*name).contains('\n'));
    first
}
