use super::*;
use crate::corpus::Class;
use data::{Document, Span};

/// A document of lines `relation: value`, and the fact of each about `subject`.
pub fn lines(id: &str, title: &str, rows: &[(&str, &str, &str)]) -> (Source, Vec<Fact>) {
    let (mut text, mut facts) = (String::new(), Vec::new());
    for (subject, relation, value) in rows {
        let start = text.len() + relation.len() + 2;
        text.push_str(&format!("{relation}: {value}\n"));
        let span = Span { doc: id.into(), start, end: start + value.len() };
        let fact = hash::id("fact", [id, relation, value, &start.to_string()]);
        facts.push(Fact {
            id: fact,
            subject: subject.to_string(),
            relation: relation.to_string(),
            value: value.to_string(),
            span,
            call: None,
        });
    }
    let document = Document::plain(id, id, text);
    (Source { document, title: title.into(), class: Class::General, tokens: 1, sha256: String::new(), whole: None }, facts)
}

/// A document about itself.
pub fn page(title: &str, facts: &[(&str, &str)]) -> (Source, Vec<Fact>) {
    let rows: Vec<_> = facts.iter().map(|(relation, value)| (title, *relation, *value)).collect();
    lines(&format!("pages/{}.json", title.to_lowercase()), title, &rows)
}

pub fn graph(pages: impl IntoIterator<Item = (Source, Vec<Fact>)>) -> Graph {
    let mut graph = Graph::default();
    pages.into_iter().for_each(|(source, facts)| graph.add(&source, facts));
    graph
}

fn shown(graph: &Graph) -> Vec<String> {
    let mut edges: Vec<_> =
        graph.edges().iter().map(|edge| format!("{} {} {} {}", edge.from, edge.relation, edge.which, edge.to)).collect();
    edges.sort();
    edges
}

fn pages() -> Vec<(Source, Vec<Fact>)> {
    vec![
        page("Peru", &[("Names › long", "Republic of Peru"), ("Trade › partners", "US 30%, Brazil 20%, Chile 5%"), ("Twin", "The Gambia")]),
        page(
            "Chile",
            &[
                ("Names › long", "Republic of Chile"),
                ("Trade - partners", "Peru 9%, Atlantis 3%, UK 1%"),
                ("Speech", "Peru, Spanish, Aymara"),
            ],
        ),
        page("Gambia", &[("Names › long", "Islamic Republic of the Gambia"), ("Trade › partners", "US 10%, Peru 8%, Chile 8%")]),
        page("United States", &[("Names › long", "United States of America"), ("Names › short", "US or USA"), ("Twin", "Chile, Peru")]),
        page("United Kingdom", &[("Names › long", "United Kingdom of Great Britain"), ("Names › short", "UK or GB"), ("Twin", "none")]),
    ]
}

#[test]
fn links_do_not_depend_on_what_comes_first() {
    let forward = graph(pages());
    let mut pages = pages();
    pages.reverse();
    let mut backward = graph(pages).edges();
    let mut edges = forward.edges();
    let key = |edge: &Edge| (edge.from.clone(), edge.which.clone(), edge.to.clone());
    edges.sort_by_key(key);
    backward.sort_by_key(key);
    // A relation is called as it was first spelled.
    let spelled = |edge: &Edge| Edge { id: String::new(), relation: names::key(&edge.relation), ..edge.clone() };
    assert_eq!(edges.iter().map(spelled).collect::<Vec<_>>(), backward.iter().map(spelled).collect::<Vec<_>>());
    assert_eq!(
        shown(&forward),
        [
            "Chile Trade › partners largest Peru",
            // Of Chile the smallest: an acronym that the document itself gives. `Atlantis` is in the way of nothing.
            "Chile Trade › partners smallest United Kingdom",
            // Two share Gambia's least.
            "Gambia Trade › partners largest United States",
            "Peru Trade › partners largest United States",
            "Peru Trade › partners smallest Chile",
            "Peru Twin only Gambia",
            "United States Twin first Chile",
        ]
    );
    let edge = forward.edges().into_iter().find(|edge| edge.to == "United Kingdom").unwrap();
    assert_eq!(edge.facts.len(), 2, "the list and the alias");
    let alias = forward.facts.iter().find(|fact| fact.id == edge.facts[1]).unwrap();
    assert_eq!(alias.value, "UK or GB");
    assert_eq!(edge.id, edge_id(&edge));
}

#[test]
fn what_is_no_document_or_two_is_counted() {
    let mut pages = pages();
    pages.push(page("Georgia", &[("Names › long", "State of Georgia"), ("Names › short", "UK or GA")]));
    let graph = graph(pages);
    let report = graph.report();
    assert_eq!((report.documents, report.entities, report.edges), (6, 6, 7));
    assert_eq!(report.unresolved.get("Atlantis"), Some(&1));
    // Languages are mostly no documents, so none of them is taken for one.
    assert!(!shown(&graph).iter().any(|edge| edge.contains("Speech")));
    assert_eq!((report.alone, report.longest), (1, 4));
    assert_eq!(report.relations["Trade › partners"], 5);
    let fact = graph.facts.iter().find(|fact| fact.value == "The Gambia").unwrap();
    assert_eq!(graph.elsewhere(fact), ["Chile, Peru", "none"]);
}

#[test]
fn a_name_of_two_is_nobodys() {
    let mut pages = pages();
    pages.push(page("Ukraina", &[("Names › long", "Ukraina Koalition"), ("Names › short", "UK")]));
    assert!(!shown(&graph(pages)).iter().any(|edge| edge.ends_with("United Kingdom")));
}

#[test]
fn rows_are_about_documents_or_entities_of_their_own() {
    let table = lines("meta.csv", "meta", &[("1790-Hale-1", "by", "Hale"), ("1790-Hale-1", "year", "1790"), ("1799-Reed", "by", "Reed")]);
    let people = lines("people.csv", "people", &[("Hale", "party", "Whig"), ("Hale", "born", "1740"), ("Reed", "party", "Tory")]);
    let speech = lines("speeches/1790-Hale-1.txt", "First address", &[]);
    let graph = graph([table, people, speech]);
    assert_eq!(shown(&graph), ["1799-Reed by only Reed", "First address by only Hale"]);
    let view = View::new(&graph);
    let node = view.nodes.iter().find(|node| node.title == "First address").unwrap();
    assert_eq!(node.facts.len(), 2);
    assert_eq!(view.fact(*node.facts.values().next().unwrap()).subject, "First address");
}

#[test]
fn the_first_of_a_list_with_a_fact_each_is_followed() {
    let list = page("Peru", &[("Twins", "Chile"), ("Twins", "Mali"), ("Area", "5 km")]);
    let graph = graph([list, page("Chile", &[("Twins", "Mali")]), page("Mali", &[])]);
    assert_eq!(shown(&graph), ["Chile Twins only Mali", "Peru Twins first Chile"]);
}

#[test]
fn a_corpus_without_walks_says_why() {
    let short = |pages: Vec<(Source, Vec<Fact>)>, hops| graph(pages).feasible(hops, 10).short.unwrap();
    assert_eq!(short(vec![page("Peru", &[("Area", "5 km")])], 2), "2 links need 3 entities, and there are 1");
    let plain = || ["A", "B", "C"].map(|title| page(title, &[]));
    assert!(short(plain().to_vec(), 2).starts_with("no document states facts"));
    let unrelated = ["A", "B", "C"].map(|title| page(title, &[("Area", "5 km")]));
    assert!(short(unrelated.to_vec(), 2).starts_with("no value names another document"));
    let two = vec![page("A", &[("to", "B")]), page("B", &[("to", "C")]), page("C", &[])];
    assert_eq!(graph(two.clone()).feasible(2, 10), Feasible { walks: 1, more: false, short: None });
    let more = ["D", "E"].map(|title| page(title, &[]));
    let reason = short([two, more.to_vec()].concat(), 3);
    assert_eq!(reason, "the longest walk found has 2 links; 3 of 5 entities link to no other");
}
