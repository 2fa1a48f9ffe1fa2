//! Byte strings in one tree, walked with whatever follows their bytes.

/// The tree, in preorder.
#[derive(Default)]
pub struct Trie {
    nodes: Vec<TrieNode>,
    /// What the strings stand for, in their order.
    items: Vec<u32>,
}

struct TrieNode {
    byte: u8,
    /// From 0.
    depth: u16,
    /// The node after all that lie below this one.
    end: u32,
    /// `items[first..own]` end here, `items[first..all]` here or below.
    first: u32,
    own: u32,
    all: u32,
}

/// A node as a walk sees it.
pub struct Seen<'a> {
    /// Bytes that lead to it.
    pub length: usize,
    /// Items that end here.
    pub own: &'a [u32],
    /// Items that end here or go on from here.
    pub all: &'a [u32],
}

impl Trie {
    /// Of pairs of a string, not empty, and what it stands for.
    pub fn new(mut entries: Vec<(&[u8], u32)>) -> Self {
        entries.sort_unstable();
        let mut nodes: Vec<TrieNode> = Vec::new();
        let mut items = Vec::with_capacity(entries.len());
        // The nodes on the way to the string before.
        let mut path: Vec<usize> = Vec::new();
        let mut last: &[u8] = &[];
        for (bytes, item) in entries {
            let common = bytes.iter().zip(last).take_while(|(a, b)| a == b).count();
            close(&mut nodes, &mut path, common, items.len());
            for (depth, &byte) in bytes.iter().enumerate().skip(common) {
                path.push(nodes.len());
                let first = items.len() as u32;
                nodes.push(TrieNode { byte, depth: depth as u16, end: 0, first, own: first, all: 0 });
            }
            items.push(item);
            if let Some(&node) = path.last() {
                nodes[node].own = items.len() as u32;
            }
            last = bytes;
        }
        close(&mut nodes, &mut path, 0, items.len());
        Self { nodes, items }
    }

    /// Goes down from `root`: `step` gives a child's state from its parent's and a byte, and says whether there is one; `visit` sees
    /// each node that has one and says whether to go on below it.
    pub fn walk<S: Clone + Default>(
        &self,
        root: S,
        mut step: impl FnMut(&S, u8, &mut S) -> bool,
        mut visit: impl FnMut(&S, Seen<'_>) -> bool,
    ) {
        let mut states = vec![root];
        let mut at = 0;
        while let Some(node) = self.nodes.get(at) {
            let depth = node.depth as usize;
            if states.len() < depth + 2 {
                states.resize(depth + 2, S::default());
            }
            let (parents, children) = states.split_at_mut(depth + 1);
            let (first, own, all) = (node.first as usize, node.own as usize, node.all as usize);
            let seen = || Seen { length: depth + 1, own: &self.items[first..own], all: &self.items[first..all] };
            let below = step(&parents[depth], node.byte, &mut children[0]) && visit(&children[0], seen());
            at = if below { at + 1 } else { node.end as usize };
        }
    }
}

/// Ends the nodes of `path` past its first `keep`.
fn close(nodes: &mut [TrieNode], path: &mut Vec<usize>, keep: usize, items: usize) {
    let end = nodes.len() as u32;
    for node in path.drain(keep..) {
        (nodes[node].end, nodes[node].all) = (end, items as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_sees_every_string_once_and_what_lies_below() {
        let words: [&[u8]; 7] = [b"b", b"abc", b"ab", b"a", b"abd", b"ab", b"xyz"];
        let trie = Trie::new(words.iter().zip(0..).map(|(word, number)| (*word, number)).collect());
        let (mut found, mut below) = (vec![Vec::new(); 7], Vec::new());
        let append = |parent: &Vec<u8>, byte: u8, child: &mut Vec<u8>| {
            *child = [parent.as_slice(), &[byte]].concat();
            byte != b'x'
        };
        trie.walk(Vec::new(), append, |text: &Vec<u8>, seen| {
            assert_eq!(text.len(), seen.length);
            seen.own.iter().for_each(|&item| found[item as usize].push(text.clone()));
            let mut all = seen.all.to_vec();
            all.sort_unstable();
            below.push((text.clone(), all));
            text != b"abd"
        });
        for (word, found) in words.iter().zip(&found) {
            assert_eq!(found.as_slice(), if *word == b"xyz" { &[][..] } else { std::slice::from_ref(found.first().unwrap()) });
            assert!(found.iter().all(|text| text == word));
        }
        let below_of = |text: &[u8]| below.iter().find(|(other, _)| other == text).unwrap().1.clone();
        assert_eq!((below_of(b"a"), below_of(b"ab"), below_of(b"b")), (vec![1, 2, 3, 4, 5], vec![1, 2, 4, 5], vec![0]));
    }
}
