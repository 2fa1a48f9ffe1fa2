//! What a reply may be: the values a schema allows, as nodes that refer to each other.

use serde_json::Value;

use super::literals::Literals;

/// Number of a node.
pub type NodeId = u32;
/// No upper bound.
pub const UNBOUNDED: u32 = u32::MAX;
/// Lists and objects within each other, at most: what readers of JSON take, and what ends a model that only ever opens them.
pub const DEPTH: u32 = 100;
/// The height of what cannot be written.
const NEVER: u32 = u32::MAX;

/// A set of values.
#[derive(Clone, Debug)]
pub enum Node {
    /// These values and no others, each written in one way.
    Literals {
        /// Their texts.
        texts: Literals,
        /// The values.
        values: Vec<Value>,
    },
    /// A string of `min` to `max` characters.
    Text {
        /// Characters.
        min: u32,
        /// Characters.
        max: u32,
    },
    /// A number.
    Number {
        /// Whole ones only.
        integer: bool,
    },
    /// A list.
    Array {
        /// Its elements.
        items: NodeId,
        /// Elements.
        min: u32,
        /// Elements.
        max: u32,
    },
    /// An object with these keys, in this order.
    Object {
        /// The keys as JSON writes them, quotes included.
        keys: Literals,
        /// Their values.
        properties: Vec<Property>,
        /// The schema allows no other keys.
        closed: bool,
    },
    /// An object with any keys.
    Map {
        /// Their values.
        value: NodeId,
    },
    /// What any of these are.
    AnyOf(Vec<NodeId>),
}

/// An object's key.
#[derive(Clone, Debug)]
pub struct Property {
    /// As the schema has it.
    pub name: String,
    /// Its value.
    pub value: NodeId,
    /// It must be there.
    pub required: bool,
}

/// A grammar of JSON values.
#[derive(Clone, Debug)]
pub struct Grammar {
    nodes: Vec<Node>,
    /// What each node comes to without alternatives of alternatives.
    choices: Vec<Vec<NodeId>>,
    /// Lists and objects within each other that a value of each node has at least; [`NEVER`] if there is none.
    heights: Vec<u32>,
    /// The whole reply.
    pub root: NodeId,
    /// A string of any length: the keys of a [`Node::Map`].
    pub text: NodeId,
}

impl Grammar {
    /// From nodes that are complete.
    pub fn new(mut nodes: Vec<Node>, root: NodeId) -> Self {
        let text = nodes.len() as NodeId;
        nodes.push(Node::Text { min: 0, max: UNBOUNDED });
        let heights = heights(&nodes);
        let mut choices = Vec::with_capacity(nodes.len());
        for node in 0..nodes.len() as NodeId {
            let mut found = Vec::new();
            flatten(&nodes, node, &mut vec![false; nodes.len()], &mut found);
            found.retain(|&choice| heights[choice as usize] != NEVER);
            choices.push(found);
        }
        Self { nodes, choices, heights, root, text }
    }

    /// A node.
    pub fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node as usize]
    }

    /// The nodes other than [`Node::AnyOf`] that a node comes to; those that cannot be written are left out.
    pub fn choices(&self, node: NodeId) -> &[NodeId] {
        &self.choices[node as usize]
    }

    /// Whether a value of `node` can be written within `depth` lists and objects.
    pub fn fits(&self, node: NodeId, depth: usize) -> bool {
        self.heights[node as usize].saturating_add(depth as u32) <= DEPTH
    }

    /// Every byte of keys and fixed values.
    pub fn literal_bytes(&self) -> impl Iterator<Item = u8> {
        let literals = self.nodes.iter().filter_map(|node| match node {
            Node::Literals { texts, .. } => Some(texts),
            Node::Object { keys, .. } => Some(keys),
            _ => None,
        });
        literals.flat_map(Literals::bytes)
    }
}

/// The least height of each node: repeated until nothing changes, as nodes may refer to themselves.
fn heights(nodes: &[Node]) -> Vec<u32> {
    let mut heights = vec![NEVER; nodes.len()];
    loop {
        let mut changed = false;
        for (at, node) in nodes.iter().enumerate() {
            let of = |node: &NodeId| heights[*node as usize];
            let height = match node {
                Node::Literals { texts, .. } => {
                    if texts.is_empty() {
                        NEVER
                    } else {
                        0
                    }
                }
                Node::Text { min, max } => {
                    if min > max {
                        NEVER
                    } else {
                        0
                    }
                }
                Node::Number { .. } => 0,
                Node::Array { min, max, .. } if min > max => NEVER,
                Node::Array { items, min, .. } => {
                    if *min == 0 {
                        1
                    } else {
                        of(items).saturating_add(1)
                    }
                }
                Node::Object { properties, .. } => {
                    let required = properties.iter().filter(|property| property.required);
                    required.map(|property| of(&property.value)).max().unwrap_or(0).saturating_add(1)
                }
                Node::Map { .. } => 1,
                Node::AnyOf(nodes) => nodes.iter().map(of).min().unwrap_or(NEVER),
            };
            changed |= height != heights[at];
            heights[at] = height;
        }
        if !changed {
            return heights;
        }
    }
}

fn flatten(nodes: &[Node], node: NodeId, seen: &mut [bool], found: &mut Vec<NodeId>) {
    if std::mem::replace(&mut seen[node as usize], true) {
        return;
    }
    match &nodes[node as usize] {
        Node::AnyOf(members) => members.iter().for_each(|&member| flatten(nodes, member, seen, found)),
        _ => found.push(node),
    }
}
