//! A keyword search does not answer multi-hop questions: the names on the way are not in the question, and its words are not the text's.

use std::collections::{BTreeMap, HashMap};

use world::{Split, World, WorldSettings, sentences, words};

/// The `k` best of `sentences` for `query` by BM25 (k₁ 1.2, b 0.75).
fn bm25(sentences: &[Vec<String>], query: &[String], k: usize) -> Vec<usize> {
    let count = sentences.len() as f64;
    let mean = sentences.iter().map(Vec::len).sum::<usize>() as f64 / count;
    let mut with: HashMap<&str, f64> = HashMap::new();
    for sentence in sentences {
        let mut distinct: Vec<&str> = sentence.iter().map(String::as_str).collect();
        distinct.sort_unstable();
        distinct.dedup();
        distinct.into_iter().for_each(|word| *with.entry(word).or_default() += 1.0);
    }
    let score = |sentence: &Vec<String>| -> f64 {
        let one = |word: &String| {
            let often = sentence.iter().filter(|other| *other == word).count() as f64;
            let n = with.get(word.as_str()).copied().unwrap_or(0.0);
            let idf = (1.0 + (count - n + 0.5) / (n + 0.5)).ln();
            idf * often * 2.2 / (often + 1.2 * (0.25 + 0.75 * sentence.len() as f64 / mean))
        };
        query.iter().map(one).sum()
    };
    let mut ranked: Vec<(usize, f64)> = sentences.iter().map(score).enumerate().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked.into_iter().take(k).map(|(at, _)| at).collect()
}

/// Words in lower case, numbers whole, without punctuation.
fn terms(text: &str) -> Vec<String> {
    let split = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    split.map(str::to_lowercase).collect()
}

#[test]
fn a_keyword_search_rarely_finds_all_evidence_or_the_answer() {
    const K: usize = 8;
    for split in [Split::Train, Split::Held] {
        let world = World::new(WorldSettings { split, words: [1_500, 3_000], ..WorldSettings::default() }).unwrap();
        // By links: questions, all evidence found, the answer among what was found.
        let mut shares: BTreeMap<u8, [f64; 3]> = BTreeMap::new();
        for index in 0..250 {
            let (story, _) = world.item_story(index).unwrap();
            let question = &story.questions[0];
            let spans = sentences(&story.text);
            let split: Vec<Vec<String>> = spans.iter().map(|span| terms(&story.text[span.clone()])).collect();
            let best = bm25(&split, &terms(&question.question), K);
            let all = question.evidence.iter().all(|span| best.iter().any(|at| spans[*at].start == span.start));
            let answer = match question.options.get(usize::from(question.answers[0].as_bytes()[0].wrapping_sub(b'A'))) {
                Some(option) => option.as_str(),
                None => question.answers[0].strip_prefix(&question.code).unwrap_or_default().trim_start(),
            };
            let needle = words(answer);
            let holds = |at: &usize| words(&story.text[spans[*at].clone()]).windows(needle.len()).any(|window| window == needle);
            let share = shares.entry(question.hops).or_default();
            share[0] += 1.0;
            share[1] += f64::from(u8::from(all));
            share[2] += f64::from(u8::from(best.iter().any(holds)));
        }
        for (hops, [questions, all, answer]) in shares {
            let (all, answer) = (all / questions, answer / questions);
            println!(
                "{split:?}, {hops} links, {questions} questions: BM25 top {K} has all evidence of {all:.3}, the answer of {answer:.3}"
            );
            assert!(questions > 30.0);
            assert!(hops == 1 || (all < 0.3 && answer < 0.3), "{hops} links");
        }
    }
}
