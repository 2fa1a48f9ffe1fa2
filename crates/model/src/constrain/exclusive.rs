//! Whether no value satisfies two schemas: what `oneOf` asks of its members.

use serde_json::Value;

use super::grammar::{Grammar, Node, NodeId};
use super::schema::is_of;

/// How far properties and elements are looked into.
const DEPTH: usize = 8;

/// Whether it is certain that no value that is written for one node satisfies the schema of the other. `inferred` has the nodes whose
/// schemas allow values of other types as well.
pub fn are_exclusive(grammar: &Grammar, inferred: &[bool], one: NodeId, other: NodeId) -> bool {
    Pairs { grammar, inferred }.exclusive(one, other, 0)
}

struct Pairs<'a> {
    grammar: &'a Grammar,
    inferred: &'a [bool],
}

impl Pairs<'_> {
    fn exclusive(&self, one: NodeId, other: NodeId, depth: usize) -> bool {
        let pairs = || self.grammar.choices(one).iter().flat_map(|a| self.grammar.choices(other).iter().map(move |b| (*a, *b)));
        depth < DEPTH && pairs().all(|(a, b)| self.apart(a, b, depth))
    }

    fn apart(&self, a: NodeId, b: NodeId, depth: usize) -> bool {
        let (one, other) = (self.grammar.node(a), self.grammar.node(b));
        match (one, other) {
            (Node::Literals { values, .. }, Node::Literals { values: others, .. }) => {
                values.iter().all(|value| !others.iter().any(|other| same(value, other)))
            }
            (Node::Literals { values, .. }, _) => values.iter().all(|value| self.refuses(b, value)),
            (_, Node::Literals { values, .. }) => values.iter().all(|value| self.refuses(a, value)),
            (Node::Text { min, max }, Node::Text { min: low, max: high }) => max < low || high < min,
            (Node::Number { .. }, Node::Number { .. }) => false,
            (Node::Array { items, min, max }, Node::Array { items: others, min: low, max: high }) => {
                max < low || high < min || (*min > 0 && *low > 0 && self.exclusive(*items, *others, depth + 1))
            }
            (Node::Object { .. }, Node::Object { .. }) => self.keeps_out(one, other, depth) || self.keeps_out(other, one, depth),
            (Node::Map { .. } | Node::Object { .. }, Node::Map { .. } | Node::Object { .. }) => false,
            _ => !self.inferred[a as usize] && !self.inferred[b as usize],
        }
    }

    /// Whether a key that `one` requires tells its values from those of `other`.
    fn keeps_out(&self, one: &Node, other: &Node, depth: usize) -> bool {
        let (Node::Object { properties, .. }, Node::Object { properties: others, closed, .. }) = (one, other) else { return false };
        properties.iter().filter(|property| property.required).any(|property| {
            match others.iter().find(|other| other.name == property.name) {
                Some(other) => self.exclusive(property.value, other.value, depth + 1),
                None => *closed,
            }
        })
    }

    /// Whether a node's schema surely refuses a value.
    fn refuses(&self, node: NodeId, value: &Value) -> bool {
        let name = match self.grammar.node(node) {
            Node::Text { min, max } => {
                let length = value.as_str().map(|text| text.chars().count() as u32);
                return length.map_or(!self.inferred[node as usize], |length| length < *min || length > *max);
            }
            Node::Number { integer: true } => "integer",
            Node::Number { .. } => "number",
            Node::Array { .. } => "array",
            _ => "object",
        };
        !is_of(value, name) && !self.inferred[node as usize]
    }
}

/// Equal as JSON Schema has it: 1 and 1.0 are.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b))),
        _ => a == b,
    }
}
