//! People, firms and places, each named by two words; and the years.
//!
//! A name belongs to one split by its *pair* of words, so the splits share no name and every word of both is common: a word-level model
//! has met each word of the held-out names, only never together.

use serde::Deserialize;

use crate::random::Random;

/// Which half of the world: no name, year or sentence template is in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// For training: three quarters of the names and years.
    #[default]
    Train,
    /// For measuring.
    Held,
}

impl Split {
    /// `train` or `held`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Held => "held",
        }
    }

    fn of(held: bool) -> Self {
        if held { Self::Held } else { Self::Train }
    }
}

/// What a name names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// First name and family name: `Anna Reed`.
    Person,
    /// A family name and a trade: `Reed Glass`.
    Firm,
    /// `Hale Cross`.
    Place,
}

/// A person, firm or place: its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entity {
    /// What it is.
    pub kind: Kind,
    pub(crate) first: u8,
    pub(crate) last: u8,
}

impl Entity {
    pub(crate) fn lists(kind: Kind) -> (&'static [&'static str], &'static [&'static str]) {
        match kind {
            Kind::Person => (&FIRST, &FAMILY),
            Kind::Firm => (&FAMILY, &TRADE),
            Kind::Place => (&ROOT, &LANDMARK),
        }
    }

    /// The two words of its name.
    pub fn words(self) -> [&'static str; 2] {
        let (first, last) = Self::lists(self.kind);
        [first[self.first as usize], last[self.last as usize]]
    }

    /// Its name.
    pub fn name(self) -> String {
        self.words().join(" ")
    }

    /// The split it belongs to.
    pub fn split(self) -> Split {
        Split::of((self.first + self.last) % 4 == 3)
    }

    /// Whether its name has a word that tells the other apart: any but a landmark or a trade, of which there are few.
    pub(crate) fn shares_word(self, other: Self) -> bool {
        let telling = |entity: Self| entity.words().into_iter().take(if entity.kind == Kind::Person { 2 } else { 1 });
        telling(self).any(|word| telling(other).any(|known| known == word))
    }

    /// The one of this name.
    pub fn parse(kind: Kind, words: [&str; 2]) -> Option<Self> {
        let (first, last) = Self::lists(kind);
        let at = |list: &[&str], word: &str| list.iter().position(|known| *known == word).map(|at| at as u8);
        Some(Self { kind, first: at(first, words[0])?, last: at(last, words[1])? })
    }
}

/// The names one world draws from: the first `count` of each list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    pub split: Split,
    pub count: usize,
}

impl Names {
    /// Of any split there are at least a quarter of `count` × 12 of a kind.
    pub const LEAST: usize = 8;

    fn counts(self, kind: Kind) -> (usize, usize) {
        let (first, last) = Entity::lists(kind);
        (first.len().min(self.count), last.len().min(self.count))
    }

    pub fn draw(self, kind: Kind, random: &mut Random) -> Entity {
        let (first, last) = self.counts(kind);
        loop {
            let entity = Entity { kind, first: random.below(first) as u8, last: random.below(last) as u8 };
            if entity.split() == self.split {
                return entity;
            }
        }
    }

    /// One that shares no word with these, as far as a hundred draws find one.
    pub fn draw_apart(self, kind: Kind, from: &[Entity], random: &mut Random) -> Entity {
        let mut drawn = self.draw(kind, random);
        for _ in 0..100 {
            if from.iter().all(|entity| !drawn.shares_word(*entity)) {
                break;
            }
            drawn = self.draw(kind, random);
        }
        drawn
    }

    /// Another that shares one word with this one.
    pub fn look_alike(self, of: Entity, random: &mut Random) -> Entity {
        let (first, last) = self.counts(of.kind);
        loop {
            let entity = if random.chance(0.5) {
                Entity { first: random.below(first) as u8, ..of }
            } else {
                Entity { last: random.below(last) as u8, ..of }
            };
            if entity != of && entity.split() == self.split {
                return entity;
            }
        }
    }
}

/// Years are of one split by decades, so that a firm has neighbouring years.
pub(crate) const FIRST_YEAR: u16 = 1800;
const DECADES: u16 = 20;

/// The split that a year belongs to.
pub fn split_of_year(year: u16) -> Split {
    Split::of(year / 10 % 4 == 2)
}

/// The first year of a decade of this split.
pub(crate) fn draw_decade(split: Split, random: &mut Random) -> u16 {
    loop {
        let year = FIRST_YEAR + 10 * random.below(DECADES as usize) as u16;
        if split_of_year(year) == split {
            return year;
        }
    }
}

pub(crate) fn draw_year(split: Split, random: &mut Random) -> u16 {
    draw_decade(split, random) + random.below(10) as u16
}

#[rustfmt::skip]
pub(crate) const FIRST: [&str; 64] = [
    "Ada", "Adam", "Alice", "Amos", "Anna", "Arthur", "Basil", "Bella", "Bruno", "Carl", "Cecil", "Clara", "Cora", "Daisy", "David", "Diana",
    "Edgar", "Edith", "Ella", "Emil", "Emma", "Ernest", "Esther", "Felix", "Flora", "Frank", "Fred", "George", "Grace", "Greta", "Hanna",
    "Harold", "Hazel", "Helen", "Henry", "Hugo", "Ida", "Irene", "Isaac", "Ivan", "Jack", "Jane", "Joan", "Jonas", "Julia", "Karl", "Kate",
    "Laura", "Leo", "Lewis", "Lily", "Lucas", "Mabel", "Martin", "Mary", "Max", "Milo", "Nina", "Nora", "Oscar", "Otto", "Paul", "Peter",
    "Rosa",
];
#[rustfmt::skip]
pub(crate) const FAMILY: [&str; 64] = [
    "Abbot", "Archer", "Baker", "Barnes", "Barton", "Bell", "Bishop", "Black", "Boyd", "Brook", "Brown", "Burns", "Carter", "Chase", "Clark",
    "Cole", "Cook", "Cooper", "Crane", "Curtis", "Dawson", "Dean", "Drake", "Ellis", "Fisher", "Fletcher", "Foster", "Fox", "Gibson",
    "Grant", "Gray", "Harper", "Hart", "Hayes", "Hobbs", "Hudson", "Hunt", "Jordan", "Kemp", "Knight", "Lamb", "Lane", "Mason", "Miller",
    "Moss", "Nash", "Nolan", "Palmer", "Parker", "Pierce", "Porter", "Quinn", "Reed", "Rhodes", "Sharp", "Shaw", "Slater", "Swift", "Tanner",
    "Turner", "Wade", "Walker", "Webb", "York",
];
#[rustfmt::skip]
pub(crate) const ROOT: [&str; 48] = [
    "Alder", "Amber", "Aspen", "Barley", "Beacon", "Birch", "Bracken", "Briar", "Cedar", "Chalk", "Clover", "Copper", "Crow", "Dover",
    "Eagle", "Elder", "Elm", "Ember", "Falcon", "Fern", "Flint", "Frost", "Golden", "Hale", "Harrow", "Heron", "Holly", "Ivy", "Juniper",
    "Kestrel", "Larch", "Linden", "Maple", "Marsh", "Meadow", "Oak", "Otter", "Pine", "Raven", "Rowan", "Rush", "Sable", "Silver", "Sparrow",
    "Stag", "Thorn", "Willow", "Winter",
];
#[rustfmt::skip]
pub(crate) const LANDMARK: [&str; 12] =
    ["Bay", "Bridge", "Cross", "Field", "Ford", "Green", "Hill", "Lake", "Park", "Point", "Vale", "Wood"];
#[rustfmt::skip]
pub(crate) const TRADE: [&str; 12] =
    ["Boats", "Books", "Cables", "Clocks", "Cloth", "Foods", "Glass", "Paper", "Salt", "Steel", "Tiles", "Tools"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_names_are_unique_sorted_and_in_both_splits() {
        let mut all: Vec<&str> = [&FIRST[..], &FAMILY, &ROOT, &LANDMARK, &TRADE].concat();
        for list in [&FIRST[..], &FAMILY, &ROOT, &LANDMARK, &TRADE] {
            assert!(list.is_sorted());
        }
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
        for count in [Names::LEAST, 13, 64] {
            for split in [Split::Train, Split::Held] {
                let names = Names { split, count };
                for kind in [Kind::Person, Kind::Firm, Kind::Place] {
                    let (first, last) = names.counts(kind);
                    for (list, at) in [(first, 0), (last, 1)] {
                        let mut random = Random::new(&[count as u64]);
                        let met: std::collections::HashSet<&str> = (0..6000).map(|_| names.draw(kind, &mut random).words()[at]).collect();
                        assert_eq!(met.len(), list, "{split:?} {kind:?}");
                    }
                }
            }
        }
    }
}
