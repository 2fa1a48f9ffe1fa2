//! What a rewritten memory has that the one before had not, and the other way round: items first, then the words inside them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use unicode_segmentation::UnicodeSegmentation;

use crate::cite::{SentenceLines, split_sentences};

/// The most cells of one table of the alignment; what is larger is cut where both sides have the same unique thing, and a part without
/// any counts as replaced. So the time is at most a thousand steps per word, whatever the texts.
const CELLS: usize = 1 << 20;
/// How deep [`align`] cuts.
const DEEPEST: usize = 8;
/// The most words that are compared to find out which item became which, in one stretch without equal items.
const COMPARED: usize = 32 << 20;
/// Items that share this much of their letters are one item that changed.
const ALIKE: f32 = 0.5;

/// One item (a sentence, a list item, a heading, a line of a table) of two texts, with the white space and the list marker around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// What became of it.
    pub kind: ChangeKind,
    /// Its text, in order, none empty. Within a stretch of changed words what was dropped comes before what was added.
    pub pieces: Vec<Piece<'a>>,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It stands in both, but for white space and its list marker; those are pieces of their own where they differ.
    Kept,
    /// It is only in the text after.
    Added,
    /// It is only in the text before.
    Dropped,
    /// At least half of its letters are in both, in the same words but for upper case; the pieces say which.
    Changed,
}

/// A stretch of whole words, punctuation and white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// In both texts.
    Kept(&'a str),
    /// Only in the text after.
    Added(&'a str),
    /// Only in the text before.
    Dropped(&'a str),
}

/// The items of both texts in an order that keeps the order of each: the pieces kept and dropped, one after the other, are `before`,
/// those kept and added are `after`, byte for byte. An item that moved is dropped in one place and added in the other.
///
/// Words are those of UAX #29; in scripts without spaces, characters.
pub fn changes<'a>(before: &'a str, after: &'a str) -> Vec<Change<'a>> {
    let (old, new) = (items(before), items(after));
    let mut out = Vec::new();
    let mut at = (0, 0);
    let words = |item: &Item<'a>| item.body.split_whitespace().collect::<Vec<&str>>();
    let (keys_old, keys_new) = numbered(old.iter().map(words), new.iter().map(words));
    let stands = align(&keys_old, &keys_new);
    for (i, j) in stands.into_iter().chain([(old.len(), new.len())]) {
        between(&old[at.0..i], &new[at.1..j], &mut out);
        if let (Some(old), Some(new)) = (old.get(i), new.get(j)) {
            out.push(Change { kind: ChangeKind::Kept, pieces: kept(old, new) });
        }
        at = (i + 1, j + 1);
    }
    out
}

/// One item of a text.
struct Item<'a> {
    /// With list marker and white space.
    text: &'a str,
    /// Without.
    body: &'a str,
    /// Bytes before it.
    lead: usize,
}

/// The items of a text; one after the other their texts are the text.
fn items(text: &str) -> Vec<Item<'_>> {
    let bodies = split_sentences(text, SentenceLines::Ends);
    let mut out = Vec::with_capacity(bodies.len());
    let mut from = 0;
    for (number, &(start, end)) in bodies.iter().enumerate() {
        let to = match bodies.get(number + 1) {
            // The line ends between two items are the first one's, the marker after them the second one's.
            Some(&(next, _)) => match text[end..next].rfind('\n') {
                Some(line) => end + line + 1,
                None => end + (text[end..next].len() - text[end..next].trim_start().len()),
            },
            None => text.len(),
        };
        out.push(Item { text: &text[from..to], body: &text[start..end], lead: start - from });
        from = to;
    }
    if out.is_empty() && !text.is_empty() {
        out.push(Item { text, body: "", lead: text.len() });
    }
    out
}

/// The same number for equal things, another for others.
fn numbered<T: Hash + Eq>(a: impl Iterator<Item = T>, b: impl Iterator<Item = T>) -> (Vec<u64>, Vec<u64>) {
    let mut numbers: HashMap<T, u64> = HashMap::new();
    let mut number = |thing: T| {
        let next = numbers.len() as u64;
        *numbers.entry(thing).or_insert(next)
    };
    (a.map(&mut number).collect(), b.map(&mut number).collect())
}

fn hash(word: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    word.hash(&mut hasher);
    hasher.finish()
}

/// A stretch without equal items: pairs those that are alike, so that the letters they share are most.
fn between<'a>(old: &[Item<'a>], new: &[Item<'a>], out: &mut Vec<Change<'a>>) {
    let mut at = (0, 0);
    for (i, j) in alike(old, new).into_iter().chain([(old.len(), new.len())]) {
        let dropped = old[at.0..i].iter().map(|item| Change { kind: ChangeKind::Dropped, pieces: vec![Piece::Dropped(item.text)] });
        let added = new[at.1..j].iter().map(|item| Change { kind: ChangeKind::Added, pieces: vec![Piece::Added(item.text)] });
        out.extend(dropped.chain(added));
        if let (Some(old), Some(new)) = (old.get(i), new.get(j)) {
            out.push(Change { kind: ChangeKind::Changed, pieces: pieces(old.text, new.text) });
        }
        at = (i + 1, j + 1);
    }
}

/// Ascending pairs of items that are alike, with the greatest sum of likeness.
fn alike(old: &[Item], new: &[Item]) -> Vec<(usize, usize)> {
    if old.is_empty() || new.is_empty() {
        return Vec::new();
    }
    let (before, after) = (old.iter().map(Bag::new).collect::<Vec<_>>(), new.iter().map(Bag::new).collect::<Vec<_>>());
    let words = |bags: &[Bag]| bags.iter().map(|bag| bag.words.len() + 1).sum::<usize>();
    if words(&before).saturating_mul(new.len()).saturating_add(words(&after).saturating_mul(old.len())) > COMPARED {
        return Vec::new();
    }
    // best[i][j]: the most for the items from i and j on.
    let width = new.len() + 1;
    let mut best = vec![0.0f32; (old.len() + 1) * width];
    let mut paired = vec![false; best.len()];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            let apart = best[(i + 1) * width + j].max(best[i * width + j + 1]);
            let likeness = before[i].likeness(&after[j]);
            let together = likeness + best[(i + 1) * width + j + 1];
            let pair = likeness >= ALIKE && together > apart;
            paired[i * width + j] = pair;
            best[i * width + j] = if pair { together } else { apart };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    while i < old.len() && j < new.len() {
        if paired[i * width + j] {
            out.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if best[(i + 1) * width + j] >= best[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    out
}

/// The words of an item (their hashes, sorted), each with its letters.
struct Bag {
    words: Vec<(u64, usize)>,
    letters: usize,
}

impl Bag {
    fn new(item: &Item) -> Self {
        let said = item.body.unicode_words().map(|word| (hash(&word.to_lowercase()), word.chars().count()));
        let mut words: Vec<(u64, usize)> = said.collect();
        words.sort_unstable();
        Self { letters: words.iter().map(|(_, letters)| letters).sum(), words }
    }

    /// Letters of the words in both, of all letters: 0 to 1.
    fn likeness(&self, other: &Self) -> f32 {
        let (mut i, mut j, mut shared) = (0, 0, 0);
        while let (Some(a), Some(b)) = (self.words.get(i), other.words.get(j)) {
            shared += if a == b { 2 * a.1 } else { 0 };
            (i, j) = (i + usize::from(a <= b), j + usize::from(b <= a));
        }
        shared as f32 / (self.letters + other.letters).max(1) as f32
    }
}

/// An item that stands in both.
fn kept<'a>(old: &Item<'a>, new: &Item<'a>) -> Vec<Piece<'a>> {
    if old.text == new.text || old.body != new.body {
        return pieces(old.text, new.text);
    }
    let inside = |item: &Item<'a>| item.lead..item.lead + item.body.len();
    let (in_old, in_new) = (inside(old), inside(new));
    let mut out = pieces(&old.text[..in_old.start], &new.text[..in_new.start]);
    out.push(Piece::Kept(new.body));
    out.extend(pieces(&old.text[in_old.end..], &new.text[in_new.end..]));
    out.retain(|piece| !matches!(piece, Piece::Kept("")));
    out
}

/// Two texts word by word.
fn pieces<'a>(before: &'a str, after: &'a str) -> Vec<Piece<'a>> {
    if before == after {
        return Some(Piece::Kept(after)).filter(|_| !after.is_empty()).into_iter().collect();
    }
    let (old, new) = (words(before), words(after));
    let mut same = align_words(&old, &new);
    apart(&mut same, &old, new.len());
    let mut out = Vec::new();
    // Byte offsets up to which each text is written.
    let mut from = (0, 0);
    let (starts, ends) = (offsets(&old), offsets(&new));
    let mut same = same.into_iter().peekable();
    while from.0 < before.len() || from.1 < after.len() {
        let (i, j) = same.peek().copied().unwrap_or((old.len(), new.len()));
        let to = (starts[i], ends[j]);
        out.extend(Some(Piece::Dropped(&before[from.0..to.0])).filter(|_| from.0 < to.0));
        out.extend(Some(Piece::Added(&after[from.1..to.1])).filter(|_| from.1 < to.1));
        let mut at = (i, j);
        from = to;
        while same.next_if_eq(&at).is_some() {
            at = (at.0 + 1, at.1 + 1);
        }
        let to = (starts[at.0], ends[at.1]);
        out.extend(Some(Piece::Kept(&after[from.1..to.1])).filter(|_| from.1 < to.1));
        from = to;
    }
    out
}

/// Words, punctuation and white space; a list marker's spaces too.
fn words(text: &str) -> Vec<&str> {
    text.split_word_bounds().collect()
}

fn is_word(word: &str) -> bool {
    word.contains(char::is_alphanumeric)
}

/// Ascending pairs of equal words, and of equal punctuation and white space between them: words decide, so that a common space is no
/// reason to keep other words apart.
fn align_words(old: &[&str], new: &[&str]) -> Vec<(usize, usize)> {
    let places = |words: &[&str]| (0..words.len()).filter(|&at| is_word(words[at])).collect::<Vec<_>>();
    let (all_old, all_new) = numbered(old.iter(), new.iter());
    let (said_old, said_new) = (places(old), places(new));
    let pick = |numbers: &[u64], places: &[usize]| places.iter().map(|&at| numbers[at]).collect::<Vec<_>>();
    let said = align(&pick(&all_old, &said_old), &pick(&all_new, &said_new));
    let mut out = Vec::new();
    let mut from = (0, 0);
    for (i, j) in said.into_iter().map(|(i, j)| (said_old[i], said_new[j])).chain([(old.len(), new.len())]) {
        align_into((&all_old[from.0..i], from.0), (&all_new[from.1..j], from.1), 0, &mut out);
        out.extend(Some((i, j)).filter(|_| i < old.len()));
        from = (i + 1, j + 1);
    }
    out
}

/// Where each word begins, and where the last one ends.
fn offsets(words: &[&str]) -> Vec<usize> {
    let mut at = 0;
    let mut out = vec![0];
    for word in words {
        at += word.len();
        out.push(at);
    }
    out
}

/// Takes back pairs that are only white space or punctuation between changed words: `a b` for `c d` is one change and not two.
fn apart(same: &mut Vec<(usize, usize)>, old: &[&str], new: usize) {
    let mut out: Vec<(usize, usize)> = Vec::with_capacity(same.len());
    let mut from = 0;
    while from < same.len() {
        let mut to = from + 1;
        while to < same.len() && same[to] == (same[to - 1].0 + 1, same[to - 1].1 + 1) {
            to += 1;
        }
        let (first, last) = (same[from], same[to - 1]);
        let previous = out.last().map_or((0, 0), |&(i, j)| (i + 1, j + 1));
        let next = same.get(to).copied().unwrap_or((old.len(), new));
        // Words on both sides were replaced by words.
        let replaced = first.0 > previous.0 && first.1 > previous.1 && next.0 > last.0 + 1 && next.1 > last.1 + 1;
        let said = (first.0..=last.0).any(|word| is_word(old[word]));
        if said || !replaced {
            out.extend(&same[from..to]);
        }
        from = to;
    }
    *same = out;
}

/// Ascending pairs of equal things: a longest common subsequence where the texts are not too large for one, else cut at unique things.
fn align(a: &[u64], b: &[u64]) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    align_into((a, 0), (b, 0), 0, &mut out);
    out
}

fn align_into((a, a_from): (&[u64], usize), (b, b_from): (&[u64], usize), depth: usize, out: &mut Vec<(usize, usize)>) {
    let front = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let back = a[front..].iter().rev().zip(b[front..].iter().rev()).take_while(|(a, b)| a == b).count();
    out.extend((0..front).map(|n| (a_from + n, b_from + n)));
    let (inner_a, inner_b) = (&a[front..a.len() - back], &b[front..b.len() - back]);
    let (at_a, at_b) = (a_from + front, b_from + front);
    if inner_a.len().saturating_mul(inner_b.len()) <= CELLS {
        longest(inner_a, inner_b, |i, j| out.push((at_a + i, at_b + j)));
    } else if depth < DEEPEST {
        let (mut i, mut j) = (0, 0);
        for (next_i, next_j) in unique(inner_a, inner_b).into_iter().chain([(inner_a.len(), inner_b.len())]) {
            if (next_i, next_j) != (inner_a.len(), inner_b.len()) || (i, j) != (0, 0) {
                align_into((&inner_a[i..next_i], at_a + i), (&inner_b[j..next_j], at_b + j), depth + 1, out);
                if next_i < inner_a.len() {
                    out.push((at_a + next_i, at_b + next_j));
                }
            }
            (i, j) = (next_i + 1, next_j + 1);
        }
    }
    out.extend((0..back).map(|n| (a_from + a.len() - back + n, b_from + b.len() - back + n)));
}

/// A longest common subsequence, by the table of lengths.
fn longest(a: &[u64], b: &[u64], mut each: impl FnMut(usize, usize)) {
    let width = b.len() + 1;
    // length[i][j]: of the longest for a[i..] and b[j..].
    let mut length = vec![0u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            let skip = length[(i + 1) * width + j].max(length[i * width + j + 1]);
            length[i * width + j] = if a[i] == b[j] { length[(i + 1) * width + j + 1] + 1 } else { skip };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        if a[i] == b[j] {
            each(i, j);
            (i, j) = (i + 1, j + 1);
        } else if length[(i + 1) * width + j] >= length[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
}

/// The longest ascending pairs of things that are on each side exactly once.
fn unique(a: &[u64], b: &[u64]) -> Vec<(usize, usize)> {
    let mut places: HashMap<u64, (usize, usize, usize, usize)> = HashMap::new();
    for (at, &thing) in a.iter().enumerate() {
        let place = places.entry(thing).or_default();
        (place.0, place.1) = (place.0 + 1, at);
    }
    for (at, &thing) in b.iter().enumerate() {
        let place = places.entry(thing).or_default();
        (place.2, place.3) = (place.2 + 1, at);
    }
    let once = |thing: &u64| places.get(thing).filter(|place| (place.0, place.2) == (1, 1)).map(|place| (place.1, place.3));
    let pairs: Vec<(usize, usize)> = a.iter().filter_map(once).collect();
    // piles[n]: the pair that ends the ascending run of n + 1 pairs with the smallest end; before: the pair in front of each.
    let mut piles: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (number, pair) in pairs.iter().enumerate() {
        let pile = piles.partition_point(|&top| pairs[top].1 < pair.1);
        before.push(pile.checked_sub(1).map(|under| piles[under]));
        if pile == piles.len() {
            piles.push(number);
        } else {
            piles[pile] = number;
        }
    }
    let mut out = Vec::new();
    let mut at = piles.last().copied();
    while let Some(number) = at {
        out.push(pairs[number]);
        at = before[number];
    }
    out.reverse();
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// (before, after) as the changes say.
    fn both(changes: &[Change]) -> (String, String) {
        let (mut before, mut after) = (String::new(), String::new());
        for piece in changes.iter().flat_map(|change| &change.pieces) {
            match piece {
                Piece::Kept(text) => [&mut before, &mut after].into_iter().for_each(|side| side.push_str(text)),
                Piece::Added(text) => after.push_str(text),
                Piece::Dropped(text) => before.push_str(text),
            }
        }
        (before, after)
    }

    /// `=` kept, `+` added, `-` dropped, `~` changed, each with its words in [-…-] and [+…+].
    fn said(before: &str, after: &str) -> Vec<String> {
        let changes = changes(before, after);
        assert_eq!(both(&changes), (before.to_string(), after.to_string()));
        let piece = |piece: &Piece| match piece {
            Piece::Kept(text) => text.to_string(),
            Piece::Added(text) => format!("[+{text}+]"),
            Piece::Dropped(text) => format!("[-{text}-]"),
        };
        let change = |change: &Change| {
            let text = change.pieces.iter().map(piece).collect::<String>();
            match change.kind {
                ChangeKind::Kept => format!("= {text}"),
                ChangeKind::Added => format!("+ {text}"),
                ChangeKind::Dropped => format!("- {text}"),
                ChangeKind::Changed => format!("~ {text}"),
            }
        };
        changes.iter().map(change).collect()
    }

    #[test]
    fn items_are_kept_added_dropped_and_changed() {
        let before = "- The mill was sold in 1931.\n- Mara Voss was the seller.\n- The weather was bad.\n- Nothing on the price yet.";
        let after = "- The mill was sold in 1931.\n- Mara Voss was the only seller.\n- Nothing on the price yet.\n- A bridge was built downstream.\n";
        let expected = [
            "= - The mill was sold in 1931.\n",
            "~ - Mara Voss was the [+only +]seller.\n",
            "- [-- The weather was bad.\n-]",
            "= - Nothing on the price yet.[+\n+]",
            "+ [+- A bridge was built downstream.\n+]",
        ];
        assert_eq!(said(before, after), expected);
        assert_eq!(said("", ""), [""; 0]);
        assert_eq!(said("", "One."), ["+ [+One.+]"]);
        assert_eq!(said("One.", "\n "), ["- [-One.-]", "+ [+\n +]"]);
    }

    #[test]
    fn a_number_is_one_word_and_words_side_by_side_are_one_change() {
        assert_eq!(said("Airports: 1,600 in all", "Airports: 1,700 in all"), ["~ Airports: [-1,600-][+1,700+] in all"]);
        assert_eq!(said("Nicaragua: 0 marines", "Nicaragua: about 1,600 marines"), ["~ Nicaragua: [-0-][+about 1,600+] marines"]);
        assert_eq!(
            said("The mill at Ouse belonged to the town of Ely", "The mill at Ouse belonged to the Voss family's heirs"),
            ["~ The mill at Ouse belonged to the [-town of Ely-][+Voss family's heirs+]"]
        );
    }

    #[test]
    fn sentences_of_one_line_are_items_and_markers_are_none() {
        assert_eq!(
            said("One is here. Two is there.", "One is here. Three is new. Two is there."),
            ["= One is here. ", "+ [+Three is new. +]", "= Two is there."]
        );
        assert_eq!(said("2. Kept as it is\n", "1. Kept as it is\n"), ["= [-2-][+1+]. Kept as it is\n"]);
    }

    #[test]
    fn scripts_without_spaces_change_by_the_character() {
        assert_eq!(said("磨坊于1931年售出。", "磨坊于1932年售出。"), ["~ 磨坊于[-1931-][+1932+]年售出。"]);
        assert_eq!(said("这座桥由市政府建造。", "这座桥由省政府建造。"), ["~ 这座桥由[-市-][+省+]政府建造。"]);
        assert_eq!(said("โรงสีขายแล้ว", "โรงสีซื้อแล้ว").concat(), "~ โรงสี[-ขาย-][+ซื้อ+]แล้ว");
    }

    #[test]
    fn what_is_about_something_else_is_not_a_change() {
        let said = said("The mill was sold in 1931.", "The bridge was built in 1902.");
        assert_eq!(said, ["- [-The mill was sold in 1931.-]", "+ [+The bridge was built in 1902.+]"]);
    }

    #[test]
    fn long_texts_are_compared_in_bounded_time_and_cut_where_they_agree() {
        // 15K items on each side, all but one word in twenty different: no table of 15K × 15K.
        let side =
            |word: &str| (0..15_000).map(|n| if n % 20 == 0 { format!("same{n}\n") } else { format!("{word}{n}\n") }).collect::<String>();
        let (before, after) = (side("a"), side("b"));
        let since = std::time::Instant::now();
        let found = changes(&before, &after);
        assert_eq!(found.iter().filter(|change| change.kind == ChangeKind::Kept).count(), 750);
        assert_eq!(both(&found), (before, after));
        // The worst: nothing is unique, nothing agrees for long.
        let (before, after) = ("a\nb\n".repeat(15_000), "b\nb\na\n".repeat(10_000));
        assert_eq!(both(&changes(&before, &after)), (before, after));
        let (before, after) = ("a b ".repeat(15_000), "b b a ".repeat(10_000));
        assert_eq!(both(&changes(&before, &after)), (before, after));
        assert!(since.elapsed().as_secs() < 20, "{:?}", since.elapsed());
    }

    /// Texts that have much in common: the lines and words of a few, shuffled.
    fn notes() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec![
            "mill",
            "1,600",
            "sold",
            "The",
            "Voss",
            "磨坊",
            "售出。",
            "“quote”",
            "a\u{301}",
            "- ",
            "2. ",
            "\n",
            "\n\n",
            ". ",
            " ",
            "\r\n",
            "# ",
            "|",
            "\u{202e}",
            "👩‍👧",
        ]);
        prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn changes_lead_from_one_text_to_the_other_and_back(before in notes(), after in notes()) {
            let found = changes(&before, &after);
            prop_assert_eq!(both(&found), (before.clone(), after.clone()));
            for change in &found {
                let dropped = change.pieces.iter().all(|piece| matches!(piece, Piece::Dropped(_)));
                let added = change.pieces.iter().all(|piece| matches!(piece, Piece::Added(_)));
                let kept = change.pieces.iter().any(|piece| matches!(piece, Piece::Kept(_)));
                prop_assert!(!change.pieces.is_empty() && change.pieces.iter().all(|piece| !matches!(piece, Piece::Kept("") | Piece::Added("") | Piece::Dropped(""))));
                match change.kind {
                    ChangeKind::Kept | ChangeKind::Changed => prop_assert!(kept || change.pieces.iter().all(|piece| matches!(piece, Piece::Added(text) | Piece::Dropped(text) if text.trim().is_empty())), "{:?}", change),
                    ChangeKind::Added => prop_assert!(added),
                    ChangeKind::Dropped => prop_assert!(dropped),
                }
            }
            // The same text is kept, all of it.
            prop_assert!(changes(&before, &before).iter().all(|change| change.kind == ChangeKind::Kept && matches!(change.pieces[..], [Piece::Kept(_)])));
            // The other way round holds as well.
            prop_assert_eq!(both(&changes(&after, &before)), (after, before));
        }

        #[test]
        fn any_text_is_put_together_again(before in ".{0,80}", after in "(?s).{0,80}") {
            prop_assert_eq!(both(&changes(&before, &after)), (before, after));
        }

        /// Against the definition: no common subsequence is longer.
        #[test]
        fn pairs_are_a_longest_common_subsequence(a in prop::collection::vec(0u64..4, 0..9), b in prop::collection::vec(0u64..4, 0..9)) {
            let pairs = align(&a, &b);
            prop_assert!(pairs.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 < two[1].1));
            prop_assert!(pairs.iter().all(|&(i, j)| a[i] == b[j]));
            let is_in_b = |mask: u32| {
                let mut rest = b.iter();
                (0..a.len()).filter(|n| mask >> n & 1 == 1).all(|n| rest.any(|other| *other == a[n]))
            };
            let longest = (0..1u32 << a.len()).filter(|&mask| is_in_b(mask)).map(u32::count_ones).max().unwrap_or(0);
            prop_assert_eq!(pairs.len(), longest as usize);
        }
    }
}
