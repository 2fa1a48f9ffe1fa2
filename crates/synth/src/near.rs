//! Near-duplicates by MinHash and locality-sensitive hashing.
//!
//! A text is the set of its shingles, five words in a row. The share of shingles that two texts have in common is estimated by how many
//! of 256 smallest hashes agree (Broder, "On the resemblance and containment of documents", 1997). All 256 come from one hash of each
//! shingle: its first bits say for which of them it counts (Li, Owen and Zhang, "One Permutation Hashing", 2012), and those for which
//! none counted are copied from others (Shrivastava, "Optimal Densification for Fast and Accurate Minwise Hashing", 2017). Only texts
//! that agree in all eight hashes of one of 32 bands are compared (Indyk and Motwani, 1998), so a text costs the same however many there
//! are: at a likeness of 0.8 three in a thousand are missed, at 0.9 none in 10⁷.

use std::collections::{BTreeSet, HashMap};

/// Words of a shingle.
const SHINGLE: usize = 5;
/// Smallest hashes of a text.
const HASHES: usize = 256;
/// Hashes of a band.
const BAND: usize = 8;
/// Texts with the same band that are compared, the earliest ones: more would make a text's cost grow with their number.
const MOST_ALIKE: usize = 64;
/// Texts of so few shingles keep them all and are compared exactly.
const FEW: usize = 256;

/// Texts that are not near-duplicates of each other.
#[derive(Debug, Default)]
pub struct Near {
    kept: Vec<Sketch>,
    /// (number of the band, its hashes) as one hash → texts, by their index.
    bands: HashMap<u64, Vec<u32>>,
}

#[derive(Debug)]
struct Sketch {
    /// The smallest hashes; none where there was no word.
    smallest: Vec<u32>,
    /// All shingles, sorted, where they are few.
    all: Option<Vec<u64>>,
}

impl Near {
    /// The likeness from which on a text counts as a near-duplicate unless a person says otherwise.
    pub const LIKENESS: f64 = 0.8;

    /// The earlier text that this one is most like, by its index, and how like, if that is at least `least`: the share of shingles they
    /// have in common, exact for texts of at most 256 shingles and within 0.05 (two standard deviations) for others. If there is none
    /// the text is kept, under the next index from 0 on.
    pub fn add(&mut self, text: &str, least: f64) -> Option<(usize, f64)> {
        let sketch = Sketch::new(text);
        let keys: Vec<u64> = sketch.bands().collect();
        let alike: BTreeSet<u32> = keys.iter().filter_map(|key| self.bands.get(key)).flatten().copied().collect();
        let mut best: Option<(usize, f64)> = None;
        for index in alike {
            let likeness = sketch.likeness(&self.kept[index as usize]);
            // Of equal ones the earliest.
            if likeness >= least && best.is_none_or(|(_, most)| likeness > most) {
                best = Some((index as usize, likeness));
            }
        }
        if best.is_none() {
            let index = self.kept.len() as u32;
            for key in keys {
                let same = self.bands.entry(key).or_default();
                if same.len() < MOST_ALIKE {
                    same.push(index);
                }
            }
            self.kept.push(sketch);
        }
        best
    }
}

impl Sketch {
    fn new(text: &str) -> Self {
        let mut smallest = [u32::MAX; HASHES];
        let mut full = [false; HASHES];
        let mut all = Vec::with_capacity(FEW + 1);
        shingles(text, SHINGLE, |shingle| {
            let hash = mix(shingle);
            let at = (hash >> 56) as usize;
            smallest[at] = smallest[at].min(hash as u32);
            full[at] = true;
            if all.len() <= 4 * FEW {
                all.push(shingle);
            }
        });
        if all.is_empty() {
            return Self { smallest: Vec::new(), all: Some(all) };
        }
        let seen = all.len();
        all.sort_unstable();
        all.dedup();
        let all = (seen <= 4 * FEW && all.len() <= FEW).then_some(all);
        let found = smallest;
        for at in (0..HASHES).filter(|&at| !full[at]) {
            // Two texts look for the same others in the same order. Some hash is there, and a random one is met soon.
            let mut tries = (0..).map(|attempt| (mix((at as u64) << 32 | attempt) >> 56) as usize);
            smallest[at] = tries.find(|&other| full[other]).map_or(u32::MAX, |other| found[other]);
        }
        Self { smallest: smallest.to_vec(), all }
    }

    fn bands(&self) -> impl Iterator<Item = u64> {
        self.smallest
            .chunks_exact(BAND)
            .enumerate()
            .map(|(band, hashes)| hashes.iter().fold(mix(band as u64), |sum, hash| mix(sum ^ u64::from(*hash))))
    }

    fn likeness(&self, other: &Self) -> f64 {
        if let (Some(a), Some(b)) = (&self.all, &other.all) {
            let shared = a.iter().filter(|shingle| b.binary_search(shingle).is_ok()).count();
            return shared as f64 / (a.len() + b.len() - shared).max(1) as f64;
        }
        let same = self.smallest.iter().zip(&other.smallest).filter(|(a, b)| a == b).count();
        same as f64 / HASHES as f64
    }
}

/// Calls `each` with a hash of every `length` words in a row; of a shorter text, once with all its words. Case and punctuation do not
/// count, and a character of a script without spaces is a word. Hashes are the same on every machine.
pub fn shingles(text: &str, length: usize, mut each: impl FnMut(u64)) {
    // A polynomial in the words' hashes, rolled on: sum = Σ wordᵢ · Bⁿ⁻ⁱ.
    const B: u64 = 0x9E37_79B9_7F4A_7C15;
    let length = length.max(1);
    let oldest = (0..length).fold(1_u64, |power, _| power.wrapping_mul(B));
    let mut ring = vec![0_u64; length];
    let (mut sum, mut count, mut at) = (0_u64, 0_usize, 0_usize);
    words(text, |word| {
        sum = sum.wrapping_mul(B).wrapping_add(word).wrapping_sub(oldest.wrapping_mul(ring[at]));
        ring[at] = word;
        at = if at + 1 == length { 0 } else { at + 1 };
        count += 1;
        if count >= length {
            each(sum);
        }
    });
    if (1..length).contains(&count) {
        each(sum);
    }
}

/// Calls `each` with a hash of every word, in order.
fn words(text: &str, mut each: impl FnMut(u64)) {
    const SEED: u64 = 0xCBF2_9CE4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01B3;
    let bytes = text.as_bytes();
    let (mut at, mut word) = (0, SEED);
    while at < bytes.len() {
        let byte = bytes[at];
        if byte.is_ascii() {
            at += 1;
            if byte.is_ascii_alphanumeric() {
                word = (word ^ u64::from(byte | 0x20)).wrapping_mul(PRIME);
            } else if word != SEED {
                each(mix(word));
                word = SEED;
            }
            continue;
        }
        let c = text[at..].chars().next().unwrap_or(' ');
        at += c.len_utf8();
        let alone = ('\u{2E80}'..='\u{9FFF}').contains(&c) || ('\u{F900}'..='\u{FAFF}').contains(&c) || c >= '\u{20000}';
        if (alone || !c.is_alphanumeric()) && word != SEED {
            each(mix(word));
            word = SEED;
        }
        if c.is_alphanumeric() {
            for c in c.to_lowercase() {
                word = (word ^ u64::from(u32::from(c))).wrapping_mul(PRIME);
            }
            if alone {
                each(mix(word));
                word = SEED;
            }
        }
    }
    if word != SEED {
        each(mix(word));
    }
}

/// The finisher of MurmurHash3 (Appleby).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    z = (z ^ (z >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    z ^ (z >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use world::Random;

    fn text(words: &[usize]) -> String {
        words.iter().map(|word| format!("w{word} ")).collect()
    }

    /// Two texts of so many words of which this share of shingles is common.
    fn pair(likeness: f64, length: usize, random: &mut Random) -> (String, String) {
        let shared = (2.0 * likeness / (1.0 + likeness) * length as f64) as usize;
        let mut word = || random.below(1 << 40);
        let common: Vec<usize> = (0..shared).map(|_| word()).collect();
        let mut one = || text(&common.iter().copied().chain((shared..length).map(|_| word())).collect::<Vec<_>>());
        (one(), one())
    }

    #[test]
    fn likeness_is_estimated_and_alike_ones_are_found() {
        let mut random = Random::new(&[3]);
        for (likeness, found) in [(0.95, true), (0.88, true), (0.7, false), (0.3, false), (0.0, false)] {
            for _ in 0..4 {
                let (a, b) = pair(likeness, 6000, &mut random);
                let estimate = Sketch::new(&a).likeness(&Sketch::new(&b));
                // Three standard deviations: √(J(1 − J) / 256).
                assert!((estimate - likeness).abs() <= 3.0 * (likeness * (1.0 - likeness) / 256.0).sqrt() + 0.01, "{likeness}: {estimate}");
                let mut near = Near::default();
                assert_eq!(near.add(&a, 0.8), None);
                assert_eq!(near.add(&b, 0.8).is_some(), found, "{likeness}");
            }
        }
    }

    #[test]
    fn hashes_for_which_no_shingle_counts_do_not_make_texts_alike() {
        let mut random = Random::new(&[4]);
        let estimates = (0..20).map(|_| {
            let (a, b) = pair(0.3, 400, &mut random);
            Sketch::new(&a).likeness(&Sketch::new(&b))
        });
        let mean = estimates.sum::<f64>() / 20.0;
        // Three standard deviations of the mean.
        assert!((mean - 0.3).abs() < 0.03, "{mean}");
    }

    #[test]
    fn short_texts_are_compared_exactly() {
        let mut near = Near::default();
        let first = "One two three four five six seven eight nine ten, eleven twelve thirteen fourteen.";
        assert_eq!(near.add(first, 0.5), None);
        assert_eq!(near.add("something else", 0.5), None);
        assert_eq!(near.add("", 0.5), None);
        assert_eq!(near.add("", 0.5), None);
        assert_eq!(near.add(&first.to_uppercase().replace(',', " —"), 0.5), Some((0, 1.0)));
        assert_eq!(near.add("Something, else!", 0.5), Some((1, 1.0)));
        // Ten shingles of fourteen words, nine of which are the same.
        assert_eq!(near.add(&first.replace("fourteen", "fifteen"), 0.5), Some((0, 9.0 / 11.0)));
        assert_eq!(near.add("书是好书人是好人天气很好", 0.8), None);
        assert_eq!(near.add("书是好书，人是好人；天气很好。", 0.8), Some((4, 1.0)));
    }

    #[test]
    fn shingles_are_a_set_of_words_in_their_order() {
        let of = |text: &str| {
            let mut all = Vec::new();
            shingles(text, 3, |shingle| all.push(shingle));
            all
        };
        assert_eq!(of("a b c d").len(), 2);
        assert_eq!(of("x A-b: C")[1..], of("a b c")[..]);
        assert_ne!(of("a b c"), of("b a c"));
        assert_eq!(of("书abc好"), of("书 abc, 好"));
        assert_eq!((of("").len(), of("a b").len()), (0, 1));
        assert_eq!(of("ÄRGER im Haus"), of("ärger, im haus"));
    }
}
