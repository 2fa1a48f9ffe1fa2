//! Rules against Python's own library, against the tricks a policy finds, and against any text at all.

use proptest::prelude::*;
use reward::{Rule, UnknownRule, sequence_ratio};
use serde_json::Value;

fn score(rule: &str, reply: &str, golds: &[&str]) -> f64 {
    let golds: Vec<String> = golds.iter().map(|gold| gold.to_string()).collect();
    rule.parse::<Rule>().unwrap().score(reply, &golds)
}

fn golden(name: &str) -> Value {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn sequence_ratios_are_difflibs_to_the_last_bit() {
    let golden = golden("mrcr.json");
    let texts: Vec<&str> = golden["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let pairs = golden["pairs"].as_array().unwrap();
    let (mut long, mut asymmetric) = (0, 0);
    for pair in pairs {
        let [a, b] = [0, 1].map(|at| texts[pair[at].as_u64().unwrap() as usize]);
        let expected: f64 = pair[2].as_str().unwrap().parse().unwrap();
        assert_eq!(sequence_ratio(a, b).to_bits(), expected.to_bits(), "{a:?}\n{b:?}\n{} instead of {expected}", sequence_ratio(a, b));
        long += usize::from(b.chars().count() >= 200);
        asymmetric += usize::from(sequence_ratio(b, a) != expected);
    }
    // The pairs tell the heuristic, and which text is which.
    assert!(pairs.len() >= 2000 && long >= 1000 && asymmetric >= 100, "{} {long} {asymmetric}", pairs.len());
}

#[test]
fn mrcr_asks_for_the_prefix_and_scores_the_rest() {
    let gold = "mWEa9DrPT3The rain fell on the harbour.";
    assert_eq!(score("mrcr", gold, &[gold]), 1.0);
    assert_eq!(score("mrcr", &format!("<think>Which one?</think>\n\n{gold}"), &[gold]), 1.0);
    assert_eq!(score("mrcr", "The rain fell on the harbour.", &[gold]), 0.0);
    assert_eq!(score("mrcr", &format!("Here it is: {gold}"), &[gold]), 0.0);
    assert_eq!(score("mrcr", &format!("<think>{gold}"), &[gold]), 0.0);
    let half = score("mrcr", "mWEa9DrPT3The rain", &[gold]);
    // The prefix itself counts for nothing: 8 characters of 8 and of 29 are matched.
    assert_eq!(half, 16.0 / 37.0);
    assert_eq!(score("mrcr", "short", &["short"]), 0.0);
}

#[test]
fn containment_is_of_whole_words_in_the_final_answer() {
    for (reply, gold) in [
        ("Paris", "Paris"),
        ("<think>Rome or Paris?</think>Therefore, the answer is (Paris).", "paris"),
        ("The answer is Paris, France.", "Paris"),
        ("The answer is the city of Paris. It lies on the Seine, and it is not London, Rome, or Berlin.", "Paris"),
        ("It is neither London nor Rome. The capital is Paris.", "Paris"),
        ("**Answer:** \\boxed{\\text{New York}}", "New York"),
        ("The answer is J. K. Rowling.", "J. K. Rowling"),
        ("The answer is December 12, 1990, in London", "December 12, 1990"),
        ("The answer is Trinidad and Tobago", "Trinidad and Tobago"),
        ("The answer is red, green and blue.", "red, green, and blue"),
        ("The answer is “Schindler’s List”.", "Schindler's List"),
        ("The answer is $1,234.50", "1234.50"),
        ("因此，答案是：巴黎。", "巴黎"),
        ("答案是法国首都巴黎", "巴黎"),
        ("The answer is A", "A"),
        ("The answer is []", "[]"),
        ("The answer is Paris, not London", "Paris"),
        ("The answer is not enough information", "not enough information"),
        ("The answer is:\n1. red\n2. green", "1. red\n2. green"),
    ] {
        assert_eq!(score("contain", reply, &[gold]), 1.0, "{reply} / {gold}");
        assert_eq!(score("contain", reply, &["something else", gold]), 1.0);
    }
    for (reply, gold) in [
        // The mirror of containment: the reply in the gold.
        ("The answer is P", "Paris"),
        ("The answer is a", "a long answer"),
        ("The answer is .", "Paris"),
        ("", "Paris"),
        ("The answer is Paris", ""),
        ("The answer is Paris", "the"),
        ("The answer is the", "an"),
        // Parts of words and numbers.
        ("The answer is Russia", "us"),
        ("The answer is 1995", "5"),
        ("The answer is 3.5", "3"),
        ("The answer is 3.5", "35"),
        ("The answer is 3.5", "5"),
        ("The answer is -5", "5"),
        ("The answer is 5", "-5"),
        // Elsewhere than in the answer.
        ("<think>Paris</think>The answer is London", "Paris"),
        ("Paris it may be. The answer is London", "Paris"),
        ("Paris\nLondon", "Paris"),
        ("<think>The answer is Paris", "Paris"),
        // The opposite.
        ("The answer is not Paris", "Paris"),
        ("The answer is certainly never in Paris", "Paris"),
        ("答案不是巴黎。答案是：不是巴黎", "巴黎"),
        // The template, not filled in.
        ("Therefore, the answer is (insert answer here).", "insert answer here too"),
    ] {
        assert_eq!(score("contain", reply, &[gold]), 0.0, "{reply} / {gold}");
    }
}

/// Naming every candidate is worth 1 under plain containment, which is why it is no reward.
#[test]
fn listing_every_candidate_is_worth_nothing() {
    let cities = ["London", "Rome", "Paris", "Berlin", "Madrid", "Vienna", "Lisbon"];
    for separator in [", ", "; ", " / ", "/", " or ", " and ", " & ", "\n", "\n- ", " | ", ". ", "、", "，", " ", " – or even "] {
        for count in 3..=cities.len() {
            let dump = cities[..count].join(separator);
            for reply in [format!("The answer is {dump}."), format!("The answer is (one of: {dump})"), dump.clone()] {
                // Nothing between them: a few names read as one long name. One a line or sentence: the last one counts where none is stated.
                let last = !reply.starts_with("The") && (separator == ". " || separator.contains('\n')) && count == 3;
                if separator == " " && count < 7 || last {
                    continue;
                }
                assert_eq!(score("contain", &reply, &["Paris"]), 0.0, "{reply}");
            }
        }
    }
    assert_eq!(score("cem", "The answer is London, Rome, Paris, Berlin.", &["Paris"]), 1.0);
    assert_eq!(score("contain", "The answer is London or Paris", &["Paris"]), 0.0);
    assert_eq!(score("contain", "The answer is either Paris", &["Paris"]), 0.0);
    let essay = format!("The answer is that {} Paris", "the document speaks of many places in many words ".repeat(3));
    assert_eq!(score("contain", &essay, &["Paris"]), 0.0);
    // One after another: only the last counts.
    let repeated: String = cities.iter().map(|city| format!("The answer is {city}. ")).collect();
    assert_eq!(score("contain", &repeated, &["Paris"]), 0.0);
    assert_eq!(score("exact", &repeated, &["Paris"]), 0.0);
    let letters: String = ["A", "B", "C", "D"].iter().map(|letter| format!("The answer is {letter}. ")).collect();
    assert_eq!(["A", "B", "C", "D"].map(|gold| score("letter", &letters, &[gold])), [0.0, 0.0, 0.0, 1.0]);
    for reply in ["The answer is 1, 2, 3, 4, 5", "The answer is 3 or 4", "The answer is 1-10", "The answer is 1 2 3 4", "1, 2, 3", "1 to 5"]
    {
        for gold in ["2", "3", "5", "10"] {
            assert_eq!(score("numeric", reply, &[gold]), f64::from(u8::from(reply.ends_with("2 3 4") && gold == "1")), "{reply} / {gold}");
        }
    }
}

#[test]
fn equality_is_of_normalised_texts() {
    assert_eq!(score("exact", "The answer is the  Eiffel Tower!", &["eiffel tower"]), 1.0);
    assert_eq!(score("exact", "The answer is the Eiffel Tower in Paris", &["eiffel tower"]), 0.0);
    assert_eq!(score("exact", "\\boxed{42}", &["42"]), 1.0);
    assert_eq!(score("exact", "The answer is A", &["the"]), 0.0);
}

#[test]
fn letters_are_read_in_their_usual_phrasings() {
    for reply in [
        "B",
        "(B)",
        "B.",
        "B. Paris",
        "(B) Paris",
        "**B**",
        "The correct answer is (B)",
        "The correct answer is B.",
        "Therefore, the answer is (B).",
        "**The correct answer is (B) Paris.**",
        "The answer is option B, because of the harbour.",
        "The correct choice is (C)? No. The answer is B",
        "Answer: B",
        "**Answer**: b)",
        "Final answer: \\boxed{B}",
        "$\\boxed{\\text{B}}$",
        "\\boxed{(B)}",
        "<think>A? The answer is A.</think>\n\nThe answer is B",
        "The answer is:\n\nB",
        "答案是B",
        "正确答案是：（B）。",
        "答案为选项B",
        "I compared all.\nOption B",
        "The answer is B because A is false",
        "The answer is B. I believe that this answer is well supported.",
        "The answer is \"B\"",
    ] {
        assert_eq!(score("letter", reply, &["B"]), 1.0, "{reply}");
        assert_eq!(score("letter", reply, &["(B) Paris"]), 1.0, "{reply}");
        assert_eq!(score("letter", reply, &["A"]) + score("letter", reply, &["C"]), 0.0, "{reply}");
    }
    for reply in [
        "",
        "The answer is A or B",
        "The answer is B, A",
        "The answer is B. Wait: the answer is A or C",
        "The answer is A and B",
        "The answer is (A) or (B)",
        "The answer is B/C",
        "The answer is Both",
        "The answer is Berlin",
        "The answer is a big question",
        "The answer is A big question",
        "The answer is I think C",
        "Berlin is the answer",
        "A city on a river, I believe",
        "<think>The answer is B",
        "B\nor something else",
        "Bratislava",
        "The answer is AB",
        "A, B, C, D",
    ] {
        let found: Vec<&str> = ["A", "B", "C", "D", "I"].into_iter().filter(|gold| score("letter", reply, &[gold]) > 0.0).collect();
        assert!(found.is_empty(), "{reply}: {found:?}");
    }
}

#[test]
fn numbers_are_pythons() {
    let golden = golden("numbers.json");
    let rows = golden["read"].as_array().unwrap();
    assert!(rows.len() >= 1000);
    for row in rows {
        let (text, value) = (row[0].as_str().unwrap(), row[1].as_str().unwrap());
        assert_eq!(score("numeric:0", &format!("So the answer is {text}"), &[value]), 1.0, "{text} / {value}");
    }
    let rows = golden["close"].as_array().unwrap();
    assert!(rows.len() >= 1000);
    for row in rows {
        let [said, gold] = [0, 1].map(|at| row[at].as_str().unwrap());
        let rule = format!("numeric:{}", row[2]);
        assert_eq!(score(&rule, said, &[gold]), f64::from(u8::from(row[3].as_bool().unwrap())), "{row}");
    }
}

#[test]
fn a_number_has_its_own_scale_and_sign() {
    for (reply, gold) in [
        ("The answer is 12.5%", "12.5"),
        ("The answer is 12.5%", "0.125"),
        ("The answer is 12.5 percent", "12.5%"),
        ("The answer is 0.125", "12.5%"),
        ("The answer is $3.5 million", "3500000"),
        ("The answer is 3,500,000 dollars", "$3.5 million"),
        ("The total is 50 + 8 = 58.", "58"),
        ("The answer is yes", "True"),
        ("The answer is No, it is not", "no"),
        ("In 2019 it was 42.", "42"),
        ("The answer is 99.9", "100"),
        ("The answer is 0.001", "0"),
    ] {
        assert_eq!(score("numeric", reply, &[gold]), 1.0, "{reply} / {gold}");
    }
    for (reply, gold) in [
        ("The answer is 12.5", "0.125"),
        ("The answer is 0.125", "12.5"),
        ("The answer is 125%", "12.5"),
        ("The answer is 1250%", "12.5%"),
        ("The answer is 0.125%", "12.5%"),
        ("The answer is 42000", "42"),
        ("The answer is 3.5", "3.5 million"),
        ("The answer is -42", "42"),
        ("The answer is 42", "-42"),
        ("The answer is 99.8", "100"),
        ("The answer is 0.002", "0"),
        ("The answer is not known", "42"),
        ("The answer is yes", "False"),
        ("The answer is 1", "True"),
        ("In 42 years it was 7.", "42"),
        ("The answer is inf", "42"),
        ("The answer is NaN", "42"),
    ] {
        assert_eq!(score("numeric", reply, &[gold]), 0.0, "{reply} / {gold}");
    }
    assert_eq!([score("numeric:abs:0.5", "7.5", &["8"]), score("numeric:abs:0.5", "7.4", &["8"])], [1.0, 0.0]);
}

#[test]
fn form_is_a_closed_think_block_and_a_stated_answer() {
    for reply in ["<think>a</think>The answer is B", "a</think>\nAnswer: B", "The answer is B", " <think>\n</think>\\boxed{B}"] {
        assert_eq!(score("format", reply, &[]), 1.0, "{reply}");
    }
    for reply in [
        "",
        "B",
        "<think>a</think>B",
        "<think>The answer is B",
        "<think>a</think><think>b</think>The answer is B",
        "<think><think>a</think>The answer is B",
        "a</think>b</think>The answer is B",
        "Well <think>a</think>The answer is B",
        "<think>a</think>The answer is (insert answer here)",
        "<think>The answer is B</think>",
    ] {
        assert_eq!(score("format", reply, &[]), 0.0, "{reply}");
    }
}

#[test]
fn names_are_read_and_written_and_answers_checked() {
    for name in ["contain", "cem", "exact", "letter", "numeric", "numeric:0.01", "numeric:abs:0.5", "mrcr", "format"] {
        assert_eq!(name.parse::<Rule>().unwrap().to_string(), name);
    }
    for name in ["", "Contain", "contain:1", "numeric:", "numeric:x", "numeric:NaN", "numeric:-1", "numeric:inf", "letter:A"] {
        let error: UnknownRule = name.parse::<Rule>().unwrap_err();
        assert!(error.to_string().contains("numeric"), "{error}");
    }
    let check =
        |rule: &str, golds: &[&str]| rule.parse::<Rule>().unwrap().check(&golds.iter().map(|gold| gold.to_string()).collect::<Vec<_>>());
    for (rule, gold) in [("letter", "B"), ("letter", "(C) x"), ("numeric", "1,000"), ("numeric", "True"), ("contain", "x")] {
        assert_eq!(check(rule, &[gold]), Ok(()), "{rule} {gold}");
    }
    for (rule, golds) in
        [("letter", &["Paris"][..]), ("numeric", &["Paris"]), ("numeric", &["5 or 6"]), ("contain", &[]), ("exact", &[" "])]
    {
        assert!(check(rule, golds).is_err(), "{rule} {golds:?}");
    }
    assert_eq!(check("format", &[]), Ok(()));
}

/// A policy that runs away writes hundreds of kilobytes of anything.
#[test]
fn long_replies_are_scored_in_no_time() {
    let gold = format!("mWEa9DrPT3{}", "It rained on the harbour, and nobody had asked who built its walls. ".repeat(40));
    let golds = [gold.clone(), "42".into(), "B".into()];
    let size = 100_000;
    for piece in [
        "a",
        " ",
        "1 ",
        "1,",
        "-",
        "\\frac{1}{2} ",
        "\\boxed{",
        "\\boxed{1} ",
        "\\text{",
        "{",
        "The answer is ",
        "the answer is 1 or ",
        "The answer is A or B. ",
        "\n",
        "答案是",
        "<think>",
        "</think>",
        "$",
        "minus ",
        "1/2/",
        "1×10^3 ",
        "It rained on the harbour, and nobody had asked. ",
        "e h t a ",
        ". ",
    ] {
        for reply in [
            piece.repeat(size / piece.len()),
            format!("The answer is {}", piece.repeat(size / piece.len())),
            format!("mWEa9DrPT3{}", piece.repeat(size / piece.len())),
        ] {
            for rule in ["contain", "cem", "exact", "letter", "numeric", "mrcr", "format"] {
                let started = std::time::Instant::now();
                let score = rule.parse::<Rule>().unwrap().score(&reply, &golds);
                let took = started.elapsed().as_secs_f64();
                assert!((0.0..=1.0).contains(&score) && took < 10.0, "{rule} {piece:?}: {took} s");
            }
        }
    }
}

fn rules() -> impl Strategy<Value = Rule> {
    let names = ["contain", "cem", "exact", "letter", "numeric", "numeric:0", "numeric:abs:2", "mrcr", "format"];
    proptest::sample::select(names.to_vec()).prop_map(|name| name.parse().unwrap())
}

/// Texts with the pieces that rules look for among anything else.
fn texts() -> impl Strategy<Value = String> {
    let pieces = [
        "<think>",
        "</think>",
        "the answer is ",
        "Answer:",
        "答案是",
        "\\boxed{",
        "}",
        "{",
        "*",
        "(",
        "A",
        "B)",
        "or",
        "and",
        ", ",
        "-",
        "$",
        "%",
        "1",
        "2,000",
        ".5",
        "1e9",
        "/",
        "×10^",
        "\\frac{",
        "}{",
        "million",
        "万",
        "k",
        " ",
        "\n",
        "=",
        "not",
        "yes",
        "İ",
        "ß",
        "ǅ",
        "\u{0301}",
        "😀",
        "．",
        "１",
        "’",
        "。",
        "mWEa9DrPT3",
        "insert answer here",
    ];
    let piece = prop_oneof![4 => proptest::sample::select(pieces.to_vec()).prop_map(str::to_string), 1 => "(?s).{0,4}"];
    proptest::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_text_has_a_score_between_0_and_1(rule in rules(), reply in texts(), golds in proptest::collection::vec(texts(), 0..3)) {
        let _ = rule.check(&golds);
        let score = rule.score(&reply, &golds);
        prop_assert!((0.0..=1.0).contains(&score), "{}: {}", rule, score);
    }

    #[test]
    fn a_reply_that_is_the_gold_is_right(gold in "[A-Za-z]{2,9}( [A-Za-z]{2,9}){0,3}") {
        prop_assume!(!gold.to_lowercase().contains("answer") && !["a", "an", "the"].contains(&gold.to_lowercase().as_str()));
        for rule in ["contain", "exact"] {
            prop_assert_eq!(score(rule, &format!("<think>x</think>Therefore, the answer is ({gold})."), &[&gold]), 1.0);
            prop_assert_eq!(score(rule, &format!("{gold}."), &[&gold]), 1.0);
        }
    }

    #[test]
    fn a_number_is_itself_and_not_another(value in -1e9f64..1e9, slip in proptest::sample::select(vec![100.0, 0.01, 10.0, -1.0, 1.01])) {
        prop_assume!(value.abs() > 1e-3);
        let text = format!("{value:.6}");
        prop_assert_eq!(score("numeric", &format!("The answer is {text}"), &[&text]), 1.0);
        prop_assert_eq!(score("numeric", &format!("The answer is {:.9}", value * slip), &[&text]), 0.0);
    }

    #[test]
    fn a_text_matches_itself_whole(a in texts(), b in texts()) {
        prop_assert!((0.0..=1.0).contains(&sequence_ratio(&a, &b)));
        prop_assert_eq!(sequence_ratio(&a, &a), 1.0);
    }
}
