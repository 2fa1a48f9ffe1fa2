//! Lessons in finding: names, and the sentence of a document that has each.
//!
//! A question about a document is a few words of answer to a hundred words of text. Asked for six sentences of it, a model learns six times
//! from the same text where to look, which is what it needs first.

use std::collections::HashMap;

use crate::names::{Entity, Kind};
use crate::words::words;
use crate::{World, WorldError, sentences};

impl World {
    /// A document and at most `asks` of the names that stand in one of its sentences only, as a conversation: the first name is asked for
    /// with the document, each reply is the sentence, word for word, or its first `begin` words: of a whole sentence all but the first word
    /// is copied, and most of a lesson's tokens teach nothing about where to look.
    pub fn finding(&self, index: u64, asks: usize, begin: Option<usize>) -> Result<Vec<(String, String)>, WorldError> {
        let (story, _) = self.item_story(index)?;
        let mut random = self.random(&[index, 3]);
        let spans = sentences(&story.text);
        let mut places: HashMap<Entity, Vec<usize>> = HashMap::new();
        for (place, span) in spans.iter().enumerate() {
            for entity in names(&story.text[span.clone()]) {
                places.entry(entity).or_default().push(place);
            }
        }
        let mut single: Vec<(Entity, usize)> =
            places.into_iter().filter(|(_, places)| places.len() == 1).map(|(entity, places)| (entity, places[0])).collect();
        // A map has no order of its own.
        single.sort_unstable();
        random.shuffle(&mut single);
        single.truncate(asks.max(1));
        let text = story.text.replace('\n', " ");
        let turn = |(number, (entity, place)): (usize, (Entity, usize))| {
            let name = entity.name();
            let asked = if number == 0 { format!("<text>\n{text}\n</text>\n{name}") } else { name };
            let sentence = &story.text[spans[place].clone()];
            let reply = match begin {
                Some(count) => sentence.split_whitespace().take(count.max(1)).collect::<Vec<_>>().join(" "),
                None => sentence.to_string(),
            };
            (asked, reply)
        };
        Ok(single.into_iter().enumerate().map(turn).collect())
    }
}

/// The names of a sentence, each once.
fn names(sentence: &str) -> Vec<Entity> {
    let words = words(sentence);
    let kinds = [Kind::Person, Kind::Firm, Kind::Place];
    let pairs = words.windows(2).flat_map(|pair| kinds.into_iter().filter_map(|kind| Entity::parse(kind, [pair[0], pair[1]])));
    let mut found: Vec<Entity> = pairs.collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use crate::{Split, World, WorldSettings};

    #[test]
    fn each_name_is_asked_for_where_it_stands_once() {
        let world = World::new(WorldSettings { words: [40, 90], names: 64, ..WorldSettings::tiny(4, Split::Train) }).unwrap();
        let mut asked = 0;
        for index in 0..60 {
            let turns = world.finding(index, 6, None).unwrap();
            assert_eq!(turns, world.finding(index, 6, None).unwrap());
            let document = turns[0].0.strip_prefix("<text>\n").unwrap().split_once("\n</text>\n").unwrap().0.to_string();
            for (number, (name, sentence)) in turns.iter().enumerate() {
                let name = name.rsplit('\n').next().unwrap();
                assert_eq!(document.matches(name).count(), 1, "{name} in {document}");
                assert!(sentence.contains(name) && document.contains(sentence.as_str()), "{sentence}");
                assert!(turns[..number].iter().all(|(before, _)| before.rsplit('\n').next() != Some(name)));
            }
            asked += turns.len();
            let begun = world.finding(index, 6, Some(2)).unwrap();
            for ((name, sentence), (same, begin)) in turns.iter().zip(&begun) {
                assert!(name == same && sentence.starts_with(begin.as_str()) && begin.split(' ').count() == 2, "{begin}: {sentence}");
            }
        }
        assert!(asked > 240, "{asked}");
    }
}
