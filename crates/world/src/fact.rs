//! What a document states: one relation of one subject, with one value.

use crate::language;
use crate::names::{Entity, Kind};

/// What a fact says of its subject. Each holds once: a person has one birthplace, a firm one profit in a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Relation {
    /// Person → place of birth.
    Born,
    /// Person → home.
    Lives,
    /// Person → employer.
    Works,
    /// Person → who taught them.
    Teacher,
    /// Firm → place of its main office.
    Base,
    /// Firm → person.
    Founder,
    /// Firm → year.
    Founded,
    /// Place and a building there → person.
    Owner,
    /// Seller, thing and year → buyer, and a price.
    Sold,
    /// Firm and year → amount.
    Profit,
    /// Person and topic → what they said.
    Said,
}

impl Relation {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Born,
        Self::Lives,
        Self::Works,
        Self::Teacher,
        Self::Base,
        Self::Founder,
        Self::Founded,
        Self::Owner,
        Self::Sold,
        Self::Profit,
        Self::Said,
    ];

    /// What it is said of.
    pub fn subject(self) -> Kind {
        match self {
            Self::Born | Self::Lives | Self::Works | Self::Teacher | Self::Sold | Self::Said => Kind::Person,
            Self::Base | Self::Founder | Self::Founded | Self::Profit => Kind::Firm,
            Self::Owner => Kind::Place,
        }
    }

    /// What its value is, where that has a name.
    pub fn value(self) -> Option<Kind> {
        match self {
            Self::Born | Self::Lives | Self::Base => Some(Kind::Place),
            Self::Works => Some(Kind::Firm),
            Self::Teacher | Self::Founder | Self::Owner | Self::Sold => Some(Kind::Person),
            Self::Founded | Self::Profit | Self::Said => None,
        }
    }
}

/// What else of its subject a fact is about. Numbers point into the word lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Detail {
    /// Nothing.
    None,
    /// A kind of building.
    Building(u8),
    /// A thing sold in a year.
    Thing(u8, u16),
    /// A year.
    Year(u16),
    /// What was spoken of.
    Topic(u8),
}

/// What a fact says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// A name.
    Entity(Entity),
    /// A year or an amount.
    Number(u32),
    /// Words.
    Quote(Quote),
}

/// As an answer gives it.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Entity(entity) => f.write_str(&entity.name()),
            Self::Number(number) => write!(f, "{number}"),
            Self::Quote(quote) => f.write_str(&quote.phrases().collect::<Vec<_>>().join(" ")),
        }
    }
}

/// What somebody said: a clause, and a second one with a time or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quote {
    pub(crate) first: [u8; 2],
    /// How it goes on, a clause, and when.
    pub(crate) second: Option<[u8; 4]>,
}

impl Quote {
    pub(crate) fn phrases(self) -> impl Iterator<Item = &'static str> {
        let clause = |subject: u8, predicate: u8| [language::WHO[subject as usize], language::DOES[predicate as usize]];
        let second = self.second.map(|[join, subject, predicate, time]| {
            let [who, does] = clause(subject, predicate);
            [language::JOINS[join as usize], who, does, language::TIMES[time as usize]]
        });
        clause(self.first[0], self.first[1]).into_iter().chain(second.into_iter().flatten())
    }
}

/// A fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it says.
    pub relation: Relation,
    /// Of whom.
    pub subject: Entity,
    /// Of what of theirs.
    pub detail: Detail,
    /// Its value.
    pub value: Value,
    /// What the thing was sold for, in crowns; 0 for other relations.
    pub price: u32,
}

/// What holds once.
pub(crate) type Key = (Relation, Entity, Detail);

impl Fact {
    pub(crate) fn key(&self) -> Key {
        (self.relation, self.subject, self.detail)
    }

    /// Whom it names.
    pub(crate) fn entities(&self) -> impl Iterator<Item = Entity> + use<> {
        let value = if let Value::Entity(entity) = self.value { Some(entity) } else { None };
        std::iter::once(self.subject).chain(value)
    }
}
