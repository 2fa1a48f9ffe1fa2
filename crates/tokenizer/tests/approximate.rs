//! The tokenizer without a vocabulary: its figures against a real one.

use std::path::Path;

use tokenizer::Tokenizer;

/// Qwen3's tokens and ours for every text in `LONGHAND_TEXTS`, whole and in pieces of about a thousand tokens.
#[test]
fn figures_against_qwen3() {
    let (Some(models), Some(texts)) = (std::env::var_os("LONGHAND_MODELS"), std::env::var_os("LONGHAND_TEXTS")) else {
        println!("not run: LONGHAND_MODELS or LONGHAND_TEXTS is not set");
        return;
    };
    let real = Tokenizer::from_json(&std::fs::read(Path::new(&models).join("qwen3-tokenizer/tokenizer.json")).unwrap()).unwrap();
    let ours = Tokenizer::approximate();
    let mut files: Vec<_> = std::fs::read_dir(texts).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let (all, estimate) = (real.count(&text).unwrap(), ours.count(&text).unwrap());
        let pieces = tokenizer::chunks(&real, &text, 1000).unwrap();
        let mut ratios: Vec<f64> = pieces
            .iter()
            .filter(|piece| piece.tokens > 300)
            .map(|piece| ours.count(&text[piece.start..piece.end]).unwrap() as f64 / piece.tokens as f64)
            .collect();
        ratios.sort_by(f64::total_cmp);
        let at = |share: f64| ratios.get((ratios.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
        let share = estimate as f64 / all as f64;
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        if ["english", "chinese", "code", "json"].iter().any(|kind| name.starts_with(kind)) {
            assert!((0.95..1.7).contains(&share), "{name}: {share}");
        }
        println!(
            "{:24} {all:8} {:5.2}  pieces: least {:4.2}, 1% {:4.2}, half {:4.2}",
            file.file_stem().unwrap().to_string_lossy(),
            estimate as f64 / all as f64,
            at(0.0),
            at(0.01),
            at(0.5)
        );
    }
}

/// Texts and what Qwen3's tokenizer makes of them.
#[test]
fn short_texts_are_not_counted_too_low() {
    let ours = Tokenizer::approximate();
    let real = std::env::var_os("LONGHAND_MODELS")
        .and_then(|models| std::fs::read(Path::new(&models).join("qwen3-tokenizer/tokenizer.json")).ok())
        .map(|json| Tokenizer::from_json(&json).unwrap());
    for (text, tokens) in [
        (
            "All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience and should act towards one another in a spirit of brotherhood.",
            33,
        ),
        ("人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神互相对待。", 28),
        ("fn main() {\n    let total: u64 = (1..=100).filter(|n| n % 3 == 0).sum();\n    println!(\"{total}\");\n}\n", 40),
        ("{\"name\": \"Iceland\", \"population\": 331918, \"area_km2\": 103000, \"languages\": [\"Icelandic\", \"English\"]}", 42),
    ] {
        if let Some(real) = &real {
            assert_eq!(real.count(text).unwrap(), tokens, "{text}");
        }
        let share = ours.count(text).unwrap() as f64 / tokens as f64;
        assert!((0.95..1.75).contains(&share), "{share}: {text}");
    }
}

#[test]
fn documents_are_cut_by_it() {
    let tokenizer = Tokenizer::approximate();
    assert!(tokenizer.is_approximate());
    let text = include_str!("../src/approximate.rs").repeat(3);
    let chunks = tokenizer::chunks(&tokenizer, &text, 300).unwrap();
    assert!(chunks.len() > 10);
    assert_eq!(chunks.iter().map(|chunk| &text[chunk.start..chunk.end]).collect::<String>(), text);
    assert!(chunks.iter().all(|chunk| chunk.tokens <= 300 && tokenizer.count(&text[chunk.start..chunk.end]) == Ok(chunk.tokens)));
}
