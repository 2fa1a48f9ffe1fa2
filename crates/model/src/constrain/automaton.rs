//! The pushdown automaton that reads a reply byte by byte: a stack of what is open, outermost first. Where a schema leaves several ways
//! there are several stacks. A stack always can be completed: it never opens what it could not close.

use super::grammar::{Grammar, Node, NodeId, UNBOUNDED};
use super::literals::Literals;
use super::number::Number;
use super::text::{Next, Phase};

/// What is open, outermost first; empty when the reply is complete.
pub type Stack = Vec<Frame>;

/// Something that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Frame {
    /// A value is to come; `spaced` after the one white space that may stand before it.
    Value { node: NodeId, spaced: bool },
    /// Within a fixed text.
    Literal { node: NodeId, at: u32 },
    /// Within a string of so many characters, as far as the node's bounds ask for their number.
    Text { node: NodeId, phase: Phase, count: u32 },
    /// Within a number.
    Number { node: NodeId, number: Number },
    /// Within a key of the object below; keys before `next` are past.
    Key { node: NodeId, at: u32, next: u32 },
    /// An object.
    Object { node: NodeId, next: u32, place: Place },
    /// A list with so many elements, as far as its bounds ask for their number.
    Array { node: NodeId, count: u32, place: Place },
    /// An object with any keys.
    Map { node: NodeId, place: Place },
}

/// Where in a list or an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// After the opening bracket.
    Open,
    /// After that and white space.
    OpenSpaced,
    /// After a key.
    Colon,
    /// After an element or value.
    After,
    /// After that and white space: only the closing bracket may follow.
    AfterSpaced,
    /// After a comma.
    Comma,
    /// After that and white space.
    CommaSpaced,
}

/// Stacks beyond these are not followed. What is left out could only have been written in more ways.
const MOST: usize = 64;

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n')
}

impl Grammar {
    /// Where nothing has been written.
    pub fn start(&self) -> Stack {
        vec![Frame::Value { node: self.root, spaced: false }]
    }

    /// Whether the reply may end here.
    pub fn may_end(&self, stack: &[Frame]) -> bool {
        match stack {
            [] => true,
            [Frame::Number { number, .. }] => number.ends(),
            [Frame::Literal { node, at }] => self.literals(*node).end(*at).is_some(),
            _ => false,
        }
    }

    /// All that `stacks` become by `byte`, sorted; whether there is any.
    pub fn step_all(&self, stacks: &[Stack], byte: u8, out: &mut Vec<Stack>) -> bool {
        out.clear();
        stacks.iter().for_each(|stack| self.step(stack, byte, out));
        if out.len() > 1 {
            out.sort_unstable();
            out.dedup();
            out.truncate(MOST);
        }
        !out.is_empty()
    }

    /// Adds what `stack` becomes by `byte`.
    pub fn step(&self, stack: &[Frame], byte: u8, out: &mut Vec<Stack>) {
        let Some((&top, base)) = stack.split_last() else { return };
        let mut go = |frames: &[Frame]| out.push([base, frames].concat());
        match top {
            Frame::Value { node, spaced } => {
                if is_space(byte) {
                    if !spaced {
                        go(&[Frame::Value { node, spaced: true }]);
                    }
                    return;
                }
                self.begin(base, node, byte, out);
            }
            Frame::Literal { node, at } => {
                if let Some(next) = self.literals(node).next(at, byte) {
                    go(self.literal(node, next).as_slice());
                }
                if self.literals(node).end(at).is_some() {
                    self.step(base, byte, out);
                }
            }
            Frame::Text { node, phase, count } => {
                let (min, max) = self.bounds(node);
                match phase.next(byte) {
                    Some(Next::Closed) if count >= min => go(&[]),
                    Some(Next::In(phase, begins)) if !begins || count < max => {
                        go(&[Frame::Text { node, phase, count: count_on(count, u32::from(begins), min, max) }]);
                    }
                    _ => {}
                }
            }
            Frame::Number { node, number } => match number.next(byte, matches!(self.node(node), Node::Number { integer: true })) {
                Some(number) => go(&[Frame::Number { node, number }]),
                None if number.ends() => self.step(base, byte, out),
                None => {}
            },
            Frame::Key { node, at, next } => {
                let depth = stack.len() - 1;
                let Some(at) = self.keys(node).next(at, byte).filter(|&at| self.has_key(node, at, next, depth)) else { return };
                match self.keys(node).end(at) {
                    // The key replaces the object's frame, which stands below.
                    Some(key) => {
                        out.push([&base[..base.len() - 1], &[Frame::Object { node, next: key + 1, place: Place::Colon }]].concat())
                    }
                    None => go(&[Frame::Key { node, at, next }]),
                }
            }
            Frame::Object { node, next, place } => self.object(base, node, next, place, byte, out),
            Frame::Array { node, count, place } => self.array(base, node, count, place, byte, out),
            Frame::Map { node, place } => self.map(base, node, place, byte, out),
        }
    }

    /// A value's first byte.
    fn begin(&self, base: &[Frame], node: NodeId, byte: u8, out: &mut Vec<Stack>) {
        for &node in self.choices(node) {
            if !self.fits(node, base.len()) {
                continue;
            }
            let frame = match (self.node(node), byte) {
                (Node::Literals { texts, .. }, _) => match texts.next(Literals::ROOT, byte) {
                    Some(at) => self.literal(node, at),
                    None => continue,
                },
                (Node::Text { .. }, b'"') => Some(Frame::Text { node, phase: Phase::Between, count: 0 }),
                (Node::Number { .. }, _) => match Number::first(byte) {
                    Some(number) => Some(Frame::Number { node, number }),
                    None => continue,
                },
                (Node::Array { .. }, b'[') => Some(Frame::Array { node, count: 0, place: Place::Open }),
                (Node::Object { .. }, b'{') => Some(Frame::Object { node, next: 0, place: Place::Open }),
                (Node::Map { .. }, b'{') => Some(Frame::Map { node, place: Place::Open }),
                _ => continue,
            };
            out.push([base, frame.as_slice()].concat());
        }
    }

    fn object(&self, base: &[Frame], node: NodeId, next: u32, place: Place, byte: u8, out: &mut Vec<Stack>) {
        let Node::Object { keys, properties, .. } = self.node(node) else { return };
        let mut go = |next: u32, place: Place, above: &[Frame]| out.push([base, &[Frame::Object { node, next, place }], above].concat());
        let depth = base.len() + 1;
        let closes = || properties[next as usize..].iter().all(|property| !property.required);
        let more = || self.has_key(node, Literals::ROOT, next, depth);
        match (place, byte) {
            (Place::Colon, b':') => {
                let value = properties[next as usize - 1].value;
                go(next, Place::After, &[Frame::Value { node: value, spaced: false }]);
            }
            (Place::Open, _) if is_space(byte) => go(next, Place::OpenSpaced, &[]),
            (Place::Comma, _) if is_space(byte) => go(next, Place::CommaSpaced, &[]),
            (Place::After, _) if is_space(byte) && closes() => go(next, Place::AfterSpaced, &[]),
            (Place::After, b',') if more() => go(next, Place::Comma, &[]),
            (Place::Open | Place::OpenSpaced | Place::After | Place::AfterSpaced, b'}') if closes() => out.push(base.to_vec()),
            (Place::Open | Place::OpenSpaced | Place::Comma | Place::CommaSpaced, b'"') if more() => {
                if let Some(at) = keys.next(Literals::ROOT, byte) {
                    go(next, place, &[Frame::Key { node, at, next }]);
                }
            }
            _ => {}
        }
    }

    fn array(&self, base: &[Frame], node: NodeId, count: u32, place: Place, byte: u8, out: &mut Vec<Stack>) {
        let &Node::Array { items, min, max } = self.node(node) else { return };
        let frame = |count: u32, place: Place| Frame::Array { node, count, place };
        let mut go = |frames: &[Frame]| out.push([base, frames].concat());
        let more = count < max && self.fits(items, base.len() + 1);
        match (place, byte) {
            (Place::Open, _) if is_space(byte) => go(&[frame(count, Place::OpenSpaced)]),
            (Place::After, _) if is_space(byte) && count >= min => go(&[frame(count, Place::AfterSpaced)]),
            (Place::Open | Place::OpenSpaced | Place::After | Place::AfterSpaced, b']') if count >= min => go(&[]),
            (Place::After, b',') if more => {
                go(&[frame(count_on(count, 1, min, max), Place::After), Frame::Value { node: items, spaced: false }]);
            }
            (Place::Open | Place::OpenSpaced, _) if more => {
                let base = [base, &[frame(count_on(count, 1, min, max), Place::After)]].concat();
                self.begin(&base, items, byte, out);
            }
            _ => {}
        }
    }

    fn map(&self, base: &[Frame], node: NodeId, place: Place, byte: u8, out: &mut Vec<Stack>) {
        let &Node::Map { value } = self.node(node) else { return };
        let mut go = |frames: &[Frame]| out.push([base, frames].concat());
        let frame = |place: Place| Frame::Map { node, place };
        let more = self.fits(value, base.len() + 1);
        match (place, byte) {
            (Place::Colon, b':') => go(&[frame(Place::After), Frame::Value { node: value, spaced: false }]),
            (Place::Open, _) if is_space(byte) => go(&[frame(Place::OpenSpaced)]),
            (Place::Comma, _) if is_space(byte) => go(&[frame(Place::CommaSpaced)]),
            (Place::After, _) if is_space(byte) => go(&[frame(Place::AfterSpaced)]),
            (Place::After, b',') if more => go(&[frame(Place::Comma)]),
            (Place::Open | Place::OpenSpaced | Place::After | Place::AfterSpaced, b'}') => go(&[]),
            (Place::Open | Place::OpenSpaced | Place::Comma | Place::CommaSpaced, b'"') if more => {
                go(&[frame(Place::Colon), Frame::Text { node: self.text, phase: Phase::Between, count: 0 }]);
            }
            _ => {}
        }
    }

    /// Whether a key that begins with what led to `at` may come next: one at or after `next`, before or at the first that must be there,
    /// whose value fits within `depth` lists and objects.
    fn has_key(&self, node: NodeId, at: u32, next: u32, depth: usize) -> bool {
        let Node::Object { keys, properties, .. } = self.node(node) else { return false };
        let required = properties[next as usize..].iter().position(|property| property.required);
        let end = required.map_or(properties.len() as u32, |at| next + at as u32 + 1);
        keys.within(at, next..end).iter().any(|&key| self.fits(properties[key as usize].value, depth))
    }

    fn literals(&self, node: NodeId) -> &Literals {
        match self.node(node) {
            Node::Literals { texts, .. } => texts,
            other => unreachable!("a literal's node is {other:?}"),
        }
    }

    fn keys(&self, node: NodeId) -> &Literals {
        match self.node(node) {
            Node::Object { keys, .. } => keys,
            other => unreachable!("a key's node is {other:?}"),
        }
    }

    /// The frame within a fixed text; none where it is complete and no other goes on from it.
    fn literal(&self, node: NodeId, at: u32) -> Option<Frame> {
        (!self.literals(node).is_last(at)).then_some(Frame::Literal { node, at })
    }

    /// The characters a string may have.
    pub fn bounds(&self, node: NodeId) -> (u32, u32) {
        match self.node(node) {
            Node::Text { min, max } => (*min, *max),
            _ => (0, UNBOUNDED),
        }
    }
}

/// A count that goes on only as far as its bounds ask, so that equal states are equal.
pub fn count_on(count: u32, more: u32, min: u32, max: u32) -> u32 {
    count.saturating_add(more).min(if max == UNBOUNDED { min } else { max })
}
