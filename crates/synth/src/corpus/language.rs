//! In which language a text is, told from its letters and smallest words.

/// Bytes of the text that are looked at, at three places each.
const SAMPLE: usize = 8 << 10;
/// Small words that have to be met before a language is told by them.
const LEAST: usize = 5;

const EN: u8 = 1;
const DE: u8 = 2;
const FR: u8 = 4;
const ES: u8 = 8;
const IT: u8 = 16;
const PT: u8 = 32;
const NL: u8 = 64;
const LATIN: [(&str, u8); 7] = [("en", EN), ("de", DE), ("fr", FR), ("es", ES), ("it", IT), ("pt", PT), ("nl", NL)];

/// The text's language as an ISO 639-1 code: `zh`, `ja`, `ko`, `ru`, `ar`, `hi`, `el`, `he`, `th` by the script of most letters (other
/// languages of these scripts are taken for the one named), `en`, `de`, `fr`, `es`, `it`, `pt`, `nl` by their smallest words. None where
/// it is not told: another language in Latin letters, too few words. Looks at 24 KiB at most: the beginning, the middle, the end.
pub fn language(text: &str) -> Option<&'static str> {
    let mut scripts =
        [("latin", 0usize), ("zh", 0), ("ja", 0), ("ko", 0), ("ru", 0), ("ar", 0), ("hi", 0), ("el", 0), ("he", 0), ("th", 0)];
    let mut words = [0usize; LATIN.len()];
    for sample in samples(text) {
        for c in sample.chars().filter(|c| c.is_alphabetic()) {
            let at = match c {
                '\u{0}'..='\u{24F}' | '\u{1E00}'..='\u{1EFF}' => 0,
                '\u{3400}'..='\u{9FFF}' | '\u{20000}'..='\u{2FFFF}' => 1,
                '\u{3040}'..='\u{30FF}' => 2,
                '\u{1100}'..='\u{11FF}' | '\u{AC00}'..='\u{D7AF}' => 3,
                '\u{400}'..='\u{52F}' => 4,
                '\u{600}'..='\u{6FF}' => 5,
                '\u{900}'..='\u{97F}' => 6,
                '\u{370}'..='\u{3FF}' => 7,
                '\u{590}'..='\u{5FF}' => 8,
                '\u{E00}'..='\u{E7F}' => 9,
                _ => continue,
            };
            scripts[at].1 += 1;
        }
        for word in sample.split(|c: char| !c.is_alphabetic()).filter(|word| (1..=5).contains(&word.len())) {
            let of = small_word(&word.to_lowercase());
            for (count, (_, language)) in words.iter_mut().zip(LATIN) {
                *count += usize::from(of & language != 0);
            }
        }
    }
    // Japanese is written in Chinese characters too, but not without its own.
    if scripts[2].1 * 10 > scripts[1].1 {
        scripts[2].1 += std::mem::take(&mut scripts[1].1);
    }
    // A character of these is a word or a syllable and counts for more than a letter.
    (1..=3).for_each(|at| scripts[at].1 *= 3);
    let (script, most) = scripts.into_iter().rev().max_by_key(|(_, count)| *count)?;
    if most == 0 {
        return None;
    }
    if script != "latin" {
        return Some(script);
    }
    let (first, most) = words.iter().enumerate().rev().max_by_key(|(_, count)| **count)?;
    let second = words.iter().enumerate().filter(|(at, _)| *at != first).map(|(_, count)| *count).max().unwrap_or(0);
    (*most >= LEAST && *most > second).then(|| LATIN[first].0)
}

/// The beginning, the middle and the end; the whole of a short text.
fn samples(text: &str) -> Vec<&str> {
    if text.len() <= 3 * SAMPLE {
        return vec![text];
    }
    let piece = |from: usize| &text[text.floor_char_boundary(from)..text.floor_char_boundary(from + SAMPLE)];
    vec![piece(0), piece(text.len() / 2 - SAMPLE / 2), piece(text.len() - SAMPLE)]
}

/// Languages in which it is one of the most common words.
fn small_word(word: &str) -> u8 {
    match word {
        "the" | "and" | "that" | "with" | "this" | "which" | "from" | "have" | "are" | "it" | "by" | "not" | "or" | "to" => EN,
        "of" => EN | NL,
        "was" => EN | DE | NL,
        "is" => EN | NL,
        "in" => EN | DE | IT | NL,
        "der" | "und" | "das" | "mit" | "den" | "nicht" | "auf" | "ist" | "ein" | "eine" | "dem" | "auch" | "sich" | "von" | "für"
        | "zu" => DE,
        "die" => DE | NL,
        "les" | "et" | "des" | "une" | "dans" | "est" | "pour" | "qui" | "sur" | "pas" | "au" | "ce" | "du" | "avec" => FR,
        "le" | "il" => FR | IT,
        "la" => FR | ES | IT,
        "un" => FR | ES | IT,
        "de" => FR | ES | PT | NL,
        "que" => FR | ES | PT,
        "el" | "los" | "las" | "y" => ES,
        "en" => ES | FR | NL,
        "una" => ES | IT,
        "por" | "se" => ES | PT,
        "del" => ES | IT,
        "con" => ES | IT,
        "su" => ES | IT,
        "para" => ES | PT,
        "di" | "che" | "per" | "non" | "sono" | "della" | "gli" | "nel" | "da" | "è" => IT,
        "o" | "os" | "as" | "em" | "não" | "uma" | "um" | "do" | "dos" | "com" | "mais" | "ao" | "na" | "no" => PT,
        "het" | "een" | "van" | "dat" | "niet" | "zijn" | "op" | "te" | "voor" | "met" | "aan" | "er" | "ook" => NL,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_told_apart() {
        for (code, text) in [
            (
                "en",
                "All human beings are born free and equal in dignity and rights. They are endowed with reason and should act in a spirit of brotherhood.",
            ),
            (
                "de",
                "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt und sollen im Geist der Brüderlichkeit begegnen.",
            ),
            (
                "fr",
                "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et doivent agir les uns envers les autres dans un esprit de fraternité.",
            ),
            (
                "es",
                "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están de razón y conciencia, deben comportarse los unos con los otros.",
            ),
            (
                "it",
                "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti. Essi sono dotati di ragione e di coscienza e devono agire gli uni verso gli altri in spirito di fratellanza che non è.",
            ),
            (
                "pt",
                "Todos os seres humanos nascem livres e iguais em dignidade e em direitos. Dotados de razão e de consciência, devem agir uns para com os outros em espírito de fraternidade.",
            ),
            (
                "nl",
                "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren. Zij zijn begiftigd met verstand en geweten, en behoren zich jegens elkander in een geest van broederschap te gedragen.",
            ),
            ("zh", "人人生而自由，在尊严和权利上一律平等。"),
            ("ja", "東京都は日本国首都。人口最大の都市で、世界有数の国際都市"),
            ("ru", "Все люди рождаются свободными и равными в своем достоинстве и правах."),
            ("ko", "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다."),
        ] {
            assert_eq!(language(text), Some(code), "{text}");
            // Where samples are cut, characters are not.
            assert_eq!(language(&format!("{text} ").repeat(3000)), Some(code), "{text}");
        }
        assert_eq!((language("area 5 km, x = 7"), language("")), (None, None));
    }
}
