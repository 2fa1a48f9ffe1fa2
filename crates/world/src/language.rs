//! Everything the world can say. A template's words stand as they are written; `{…}` is filled in.
//!
//! Templates of facts and of filler belong to one split each; their words are common to both. Questions are worded alike in both splits:
//! a held-out score measures reading, not understanding of the question. They avoid the words of the templates, so that a search for
//! them finds names at most.

use crate::fact::Relation;
use crate::names::Split;

/// The templates of a fact.
pub(crate) fn facts(relation: Relation, split: Split) -> &'static [&'static str] {
    let [train, held]: [&[&str]; 2] = match relation {
        Relation::Born => [
            &[
                "{subject} was born in {value}.",
                "{subject} came into the world in {value}.",
                "It was in {value} that {subject} was born.",
                "{value} is where {subject} first saw the light.",
            ],
            &["It was in {value} that {subject} came into the world.", "{value} is where {subject} was born."],
        ],
        Relation::Lives => [
            &[
                "{subject} lives in {value}.",
                "{subject} now has a house in {value}.",
                "{value} is where {subject} sleeps these days.",
                "These days {subject} can be found in {value}.",
            ],
            &["{value} is where {subject} now lives.", "These days {subject} has a house in {value}."],
        ],
        Relation::Works => [
            &[
                "{subject} works for {value}.",
                "{value} pays the wages of {subject}.",
                "{subject} is on the staff of {value}.",
                "Every morning {subject} goes to work at {value}.",
            ],
            &["Every morning {subject} works at {value}.", "{subject} is on the staff that {value} pays."],
        ],
        Relation::Teacher => [
            &[
                "{subject} learned the trade from {value}.",
                "{value} taught {subject} for years.",
                "{subject} was once a pupil of {value}.",
                "What {subject} knows came from {value}.",
            ],
            &["{value} once had {subject} as a pupil.", "For years {subject} learned from {value}."],
        ],
        Relation::Base => [
            &[
                "{subject} is based in {value}.",
                "The main office of {subject} stands in {value}.",
                "{subject} is run from {value}.",
                "{value} is where {subject} has its main office.",
            ],
            &["{subject} has its main office in {value}.", "{value} is where {subject} is based."],
        ],
        Relation::Founder => [
            &[
                "{value} set up {subject}.",
                "{subject} was started by {value}.",
                "It was {value} who started {subject}.",
                "{subject} began as an idea of {value}.",
            ],
            &["It was {value} who set up {subject}.", "The idea of {subject} came from {value}."],
        ],
        Relation::Founded => [
            &[
                "{subject} opened its doors in {value}.",
                "In {value} the work of {subject} began.",
                "{subject} goes back to the year {value}.",
                "It was in {value} that {subject} first opened.",
            ],
            &["In {value} {subject} first opened its doors.", "The work of {subject} goes back to {value}."],
        ],
        Relation::Owner => [
            &[
                "The {building} in {subject} belongs to {value}.",
                "{value} has the keys to the {building} in {subject}.",
                "Every month {value} gets the rent of the {building} in {subject}.",
                "The papers of the {building} in {subject} name {value}.",
            ],
            &["{value} has the papers of the {building} in {subject}.", "The rent of the {building} in {subject} goes to {value}."],
        ],
        Relation::Sold => [
            &[
                "In {year} {subject} sold the {thing} to {value} for {price} crowns.",
                "{value} paid {subject} {price} crowns for the {thing} in {year}.",
                "In {year} the {thing} of {subject} went to {value} for {price} crowns.",
                "For {price} crowns {value} got the {thing} of {subject} in {year}.",
            ],
            &[
                "{subject} sold the {thing} for {price} crowns to {value} in {year}.",
                "In {year} {value} paid {price} crowns for the {thing} of {subject}.",
            ],
        ],
        Relation::Profit => [
            &[
                "{subject} made {value} crowns in {year}.",
                "In {year} there were {value} crowns left for {subject}.",
                "The books of {subject} for {year} show a gain of {value} crowns.",
                "For {subject} the year {year} brought a gain of {value} crowns.",
            ],
            &["In {year} the books of {subject} show {value} crowns.", "The year {year} brought {subject} a gain of {value} crowns."],
        ],
        Relation::Said => [
            &[
                "{subject} said of the {topic}: “{quote}”.",
                "About the {topic} {subject} said: “{quote}”.",
                "When asked about the {topic}, {subject} said: “{quote}”.",
                "“{quote}”, said {subject} when asked of the {topic}.",
            ],
            &["“{quote}”, said {subject} about the {topic}.", "When asked of the {topic}, {subject} said: “{quote}”."],
        ],
    };
    match split {
        Split::Train => train,
        Split::Held => held,
    }
}

/// Sentences that answer no question.
pub(crate) fn filler(split: Split) -> &'static [&'static str] {
    match split {
        Split::Train => &[
            "The {adjective} {object} stood by the {spot} {when}.",
            "{When} the {spot} was {adjective} and {adjective}.",
            "Nobody could find the {adjective} {object} {when}.",
            "There was a {adjective} {object} near the {spot}.",
            "{When} two dogs slept by the {spot}.",
            "{When} it rained, and the {spot} was {adjective}.",
            "A {adjective} {object} was left at the {spot}.",
            "People talked about the {adjective} {spot} for days.",
            "{person} walked along the {spot} {when}.",
            "{When} {person} and {person} ate {food} by the {spot}.",
            "{person} brought {food} from {place} {when}.",
            "The road to {place} was {adjective} {when}.",
            "A {adjective} {object} with the name of {firm} stood by the {spot}.",
            "{When} nobody in {place} had seen {person}.",
        ],
        Split::Held => &[
            "{When} a {adjective} {object} stood near the {spot}.",
            "The {spot} was {adjective}, and nobody walked there {when}.",
            "{When} two dogs could find {food} by the {spot}.",
            "People left the {object} at the {adjective} {spot}.",
            "Nobody talked about the {adjective} {object} {when}.",
            "{person} ate {food} near the {spot} {when}.",
            "{When} {person} walked to {place} along the {adjective} road.",
            "{person} had seen the {object} of {firm} by the {spot}.",
        ],
    }
}

/// The value of a fact, said of its subject `{x}`.
pub(crate) fn described(relation: Relation, price: bool) -> &'static str {
    match relation {
        Relation::Born => "the birthplace of {x}",
        Relation::Lives => "the home of {x}",
        Relation::Works => "the employer of {x}",
        Relation::Teacher => "the teacher of {x}",
        Relation::Base => "the seat of {x}",
        Relation::Founder => "the founder of {x}",
        Relation::Founded => "the founding year of {x}",
        Relation::Owner => "the owner of the {building} in {x}",
        Relation::Sold if price => "the price of the {thing} that {x} parted with in {year}",
        Relation::Sold => "the buyer of the {thing} that {x} parted with in {year}",
        Relation::Profit => "the profit of {x} in {year}",
        Relation::Said => "the words of {x} about the {topic}",
    }
}

/// A fact in a question's words.
pub(crate) const STATED: &str = "{x} is {value}.";
pub(crate) const ASK_PERSON: &str = "Who is {x}?";
pub(crate) const ASK_THING: &str = "What is {x}?";
pub(crate) const ASK_REPEAT: &str = "Write {code} and then repeat what {x} said about the {topic}.";
pub(crate) const ASK_REPEAT_NTH: &str = "Write {code} and then repeat the {ordinal} thing that {x} said about the {topic}.";
pub(crate) const ASK_SUM: &str = "What is the total profit of {x} from {from} to {to}?";
pub(crate) const ASK_DIFFERENCE: &str = "By how much was the profit of {x} higher in {more} than in {less}?";
pub(crate) const ASK_LARGEST: &str = "What is the largest profit of {x} from {from} to {to}?";
pub(crate) const ASK_COUNT: &str = "How many people have their birthplace in {x}?";
pub(crate) const ASK_FIRMS: &str = "What is the total profit of all firms with their seat in {x} in {year}?";

/// All of the above, for the vocabulary.
pub(crate) const ASKS: [&str; 9] =
    [ASK_PERSON, ASK_THING, ASK_REPEAT, ASK_REPEAT_NTH, ASK_SUM, ASK_DIFFERENCE, ASK_LARGEST, ASK_COUNT, ASK_FIRMS];

pub(crate) const SECTION: &str = "Part {number}";
pub(crate) const REPLY: &str = "Therefore, the answer is {x}.";
pub(crate) const REPLY_CHOICE: &str = "The correct answer is {x}.";

pub(crate) const PROMPT: &str = include_str!("prompts/full.txt");
pub(crate) const PROMPT_CHOICE: &str = include_str!("prompts/choice.txt");
pub(crate) const PROMPT_REPEAT: &str = include_str!("prompts/repeat.txt");
pub(crate) const PROMPT_SHORT: &str = include_str!("prompts/short.txt");

pub(crate) const ORDINALS: [&str; 4] = ["first", "second", "third", "fourth"];
pub(crate) const LETTERS: [&str; 4] = ["A", "B", "C", "D"];

#[rustfmt::skip]
pub(crate) const BUILDINGS: [&str; 10] = ["bakery", "bank", "chapel", "forge", "inn", "library", "mill", "school", "theatre", "tower"];
#[rustfmt::skip]
pub(crate) const THINGS: [&str; 12] =
    ["barge", "cart", "clock", "coach", "horse", "lamp", "painting", "piano", "plough", "ring", "saddle", "wagon"];
#[rustfmt::skip]
pub(crate) const TOPICS: [&str; 16] = [
    "dance", "election", "fair", "festival", "fire", "flood", "harvest", "market", "parade", "race", "railway", "storm", "strike", "tax",
    "voyage", "wedding",
];

// What people say.
#[rustfmt::skip]
pub(crate) const WHO: [&str; 16] = [
    "the old bridge", "the river", "the north road", "the big barn", "our neighbour", "the young doctor", "the new judge", "the last train",
    "the town hall", "my brother", "my sister", "the captain", "the kitchen", "the garden wall", "the post", "the council",
];
#[rustfmt::skip]
pub(crate) const DOES: [&str; 16] = [
    "is closed", "is very high", "needs new paint", "was late again", "is not to blame", "cannot wait", "has lost the map", "costs too much",
    "will soon be gone", "looks better than before", "makes too much noise", "is full of water", "was never safe", "deserves a second look",
    "has changed a lot", "is worth the trouble",
];
pub(crate) const JOINS: [&str; 4] = ["and", "but", "because", "although"];
pub(crate) const TIMES: [&str; 8] =
    ["this week", "since spring", "every Sunday", "after dark", "this year", "before breakfast", "most nights", "in bad weather"];

// What is said between facts.
#[rustfmt::skip]
pub(crate) const ADJECTIVES: [&str; 20] = [
    "small", "quiet", "green", "dusty", "cold", "bright", "narrow", "wet", "empty", "strange", "heavy", "broken", "warm", "dark", "red",
    "clean", "tall", "plain", "yellow", "noisy",
];
#[rustfmt::skip]
pub(crate) const OBJECTS: [&str; 16] = [
    "basket", "bench", "ladder", "barrel", "bell", "sign", "table", "umbrella", "bicycle", "statue", "box", "stove", "chair", "kite", "drum",
    "net",
];
#[rustfmt::skip]
pub(crate) const SPOTS: [&str; 14] = [
    "river", "square", "harbour", "canal", "orchard", "station", "fence", "path", "shore", "gate", "well", "forest", "pond", "corner",
];
pub(crate) const FOODS: [&str; 8] = ["bread", "apples", "soup", "cheese", "plums", "honey", "nuts", "fish"];
pub(crate) const WHEN: [&str; 8] =
    ["in the morning", "in the evening", "at noon", "that day", "before sunrise", "late at night", "all summer", "the whole week"];
pub(crate) const WHEN_FIRST: [&str; 8] =
    ["In the morning", "In the evening", "At noon", "That day", "Before sunrise", "Late at night", "All summer", "The whole week"];
