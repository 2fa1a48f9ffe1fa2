//! Retrieval: passages tile their documents, and scores are those of the Python package rank_bm25 (`retrieve/make_scores.py`).

use agent::Passages;
use data::Document;
use proptest::prelude::*;

#[derive(serde::Deserialize)]
struct Scores {
    texts: Vec<String>,
    singles: Vec<Single>,
    questions: Vec<Question>,
}

#[derive(serde::Deserialize)]
struct Single {
    word: String,
    idf: f64,
    scores: Vec<f64>,
}

#[derive(serde::Deserialize)]
struct Question {
    question: String,
    scores: Vec<f64>,
}

fn fixture() -> (Scores, Passages) {
    let scores: Scores = serde_json::from_str(include_str!("retrieve/scores.json")).unwrap();
    let documents: Vec<Document> =
        scores.texts.iter().enumerate().map(|(i, text)| Document::plain(i.to_string(), "", text.as_str())).collect();
    let passages = Passages::new(&documents);
    assert_eq!(passages.spans().count(), documents.len(), "each text is one passage");
    (scores, passages)
}

/// The score of each text.
fn scores_of(passages: &Passages, texts: usize, query: &str) -> Vec<f64> {
    let mut out = vec![0.0; texts];
    for (span, score) in passages.top(query, usize::MAX) {
        out[span.doc.parse::<usize>().unwrap()] = score;
    }
    out
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn scores_of_questions_are_rank_bm25s() {
    let (fixture, passages) = fixture();
    for Question { question, scores } in &fixture.questions {
        let ours = scores_of(&passages, scores.len(), question);
        assert!(scores.iter().any(|&score| score > 1.0) && largest_difference(&ours, scores) < 1e-12, "{question}");
        // A planted fault: one score off by a thousandth is seen.
        let mut faulty = scores.clone();
        *faulty.iter_mut().max_by(|a, b| a.total_cmp(b)).unwrap() *= 1.001;
        assert!(largest_difference(&ours, &faulty) > 1e-4, "{question}");
    }
}

/// The unchanged package: score over idf is the part that depends on the passage.
#[test]
fn the_part_beside_idf_is_the_unchanged_packages() {
    let (fixture, passages) = fixture();
    assert!(fixture.singles.len() >= 6);
    for Single { word, idf, scores } in &fixture.singles {
        let n = scores.iter().filter(|&&score| score != 0.0).count() as f64;
        let all = scores.len() as f64;
        let our_idf = (1.0 + (all - n + 0.5) / (n + 0.5)).ln();
        let ours: Vec<f64> = scores_of(&passages, scores.len(), word).iter().map(|score| score / our_idf).collect();
        let theirs: Vec<f64> = scores.iter().map(|score| score / idf).collect();
        assert!(n > 0.0 && largest_difference(&ours, &theirs) < 1e-12, "{word}");
    }
}

fn demo() -> Document {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/documents/demo.txt");
    Document::plain("demo", "demo.txt", std::fs::read_to_string(path).unwrap())
}

#[test]
fn the_bundled_questions_find_their_passages() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/documents/");
    let questions: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(format!("{path}questions.json")).unwrap()).unwrap();
    for question in questions.as_array().unwrap() {
        let name = question["document"].as_str().unwrap();
        let document = Document::plain(name, name, std::fs::read_to_string(format!("{path}{name}")).unwrap());
        let passages = Passages::new(std::slice::from_ref(&document));
        let top = passages.top(question["question"].as_str().unwrap(), 5);
        for evidence in question["evidence"].as_array().unwrap() {
            assert!(top.iter().any(|(span, _)| document.text[span.start..span.end].contains(evidence.as_str().unwrap())), "{evidence}");
        }
    }
}

#[test]
fn passages_are_some_hundred_words_of_whole_sentences() {
    let document = demo();
    let passages = Passages::new(std::slice::from_ref(&document));
    let spans: Vec<_> = passages.spans().collect();
    let words: Vec<usize> = spans.iter().map(|span| document.text[span.start..span.end].split_whitespace().count()).collect();
    let (short, long) = (words[..words.len() - 1].iter().min().unwrap(), words.iter().max().unwrap());
    assert!(*short >= 60 && *long <= 240, "{words:?}");
    let mean = words.iter().sum::<usize>() as f64 / words.len() as f64;
    assert!((110.0..200.0).contains(&mean), "{mean}");
}

#[test]
fn equal_passages_come_in_order_and_strangers_not_at_all() {
    let documents: Vec<Document> =
        (0..9).map(|i| Document::plain(i.to_string(), "", if i % 2 == 0 { "a red ship" } else { "a blue car" })).collect();
    let found = Passages::new(&documents).top("RED ships, red", 3);
    assert_eq!(found.iter().map(|(span, _)| span.doc.as_str()).collect::<Vec<_>>(), ["0", "2", "4"]);
    assert!(Passages::new(&documents).top("green", 3).is_empty());
    assert!(Passages::new(&documents).top("", 3).is_empty() && Passages::new(&[]).top("red", 3).is_empty());
    let chinese = [Document::plain("a", "", "他在北京学习。"), Document::plain("b", "", "她在上海工作。")];
    assert_eq!(Passages::new(&chinese).top("谁在上海？", 1)[0].0.doc, "b");
}

proptest! {
    #[test]
    fn passages_tile_their_document(text in "(\\PC|[ \n.a-z。字]){0,400}", copies in 1_usize..30, query in "\\PC{0,20}") {
        let text = text.repeat(copies);
        let document = Document::plain("d", "", text.as_str());
        let passages = Passages::new(std::slice::from_ref(&document));
        let mut from = 0;
        for span in passages.spans() {
            prop_assert!(span.start == from && span.end > from && text.get(span.start..span.end).is_some());
            from = span.end;
        }
        prop_assert_eq!(from, text.len());
        let found = passages.top(&query, 4);
        prop_assert!(found.len() <= 4 && found.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    }
}
