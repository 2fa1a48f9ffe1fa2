//! Names as they are compared: without case, accents, articles and punctuation, whichever way round they are written.

/// Letters with marks, and what they are without: the Latin scripts of Europe.
const PLAIN: [(&str, &str); 24] = [
    ("àáâãäåāăąǎ", "a"),
    ("çćĉċč", "c"),
    ("ďđð", "d"),
    ("èéêëēĕėęě", "e"),
    ("ĝğġģ", "g"),
    ("ĥħ", "h"),
    ("ìíîïĩīĭįı", "i"),
    ("ĵ", "j"),
    ("ķ", "k"),
    ("ĺļľŀł", "l"),
    ("ñńņňŋ", "n"),
    ("òóôõöøōŏőǒ", "o"),
    ("ŕŗř", "r"),
    ("śŝşšș", "s"),
    ("ţťŧț", "t"),
    ("ùúûüũūŭůűųǔ", "u"),
    ("ŵ", "w"),
    ("ýÿŷ", "y"),
    ("źżž", "z"),
    ("æ", "ae"),
    ("œ", "oe"),
    ("ß", "ss"),
    ("þ", "th"),
    ("ﬁ", "fi"),
];

/// What two spellings of one name have in common. Also of a relation's words. Empty where there is no letter or digit.
pub fn key(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            // `U.S.` and `d'Ivoire` are one word each.
            '.' | '\'' | '’' | 'ʼ' | '\u{300}'..='\u{36f}' => {}
            '&' => plain.push_str(" and "),
            c if c.is_ascii_alphanumeric() => plain.push(c.to_ascii_lowercase()),
            c if c.is_alphanumeric() => c.to_lowercase().for_each(|c| fold(c, &mut plain)),
            _ => plain.push(' '),
        }
    }
    let words: Vec<&str> = plain.split_whitespace().collect();
    match &words[..] {
        ["the", rest @ ..] if !rest.is_empty() => rest.join(" "),
        words => words.join(" "),
    }
}

fn fold(c: char, out: &mut String) {
    match PLAIN.iter().find(|(marked, _)| marked.contains(c)) {
        Some((_, plain)) => out.push_str(plain),
        // The dot that `İ` leaves behind.
        None if ('\u{300}'..='\u{36f}').contains(&c) => {}
        None => out.push(c),
    }
}

/// All keys a name goes by, the whole name's first: without what stands in parentheses, and turned round at its one comma
/// (`Korea, South`).
pub fn keys(name: &str) -> Vec<String> {
    let mut out = vec![key(name)];
    if let (Some(open), true) = (name.find('('), name.trim_end().ends_with(')')) {
        out.push(key(&name[..open]));
    }
    if let Some((head, tail)) = name.split_once(',')
        && !tail.contains(',')
        && (1..=3).contains(&tail.split_whitespace().count())
    {
        out.push(key(&format!("{} {head}", tail.trim())));
    }
    out.retain(|key| key.contains(char::is_alphabetic));
    let mut seen = Vec::new();
    out.retain(|key| {
        !seen.contains(key) && {
            seen.push(key.clone());
            true
        }
    });
    out
}

/// What a mention of a name is looked up by: its keys, and its letters where it is an acronym.
pub fn mention(name: &str) -> Vec<String> {
    let mut out = keys(name);
    out.extend(acronym(name));
    out
}

/// `US` of `US` or `U.S.`: two to six capitals. Case tells an acronym's key from a name's.
fn acronym(word: &str) -> Option<String> {
    let bare = word.trim().replace('.', "");
    ((2..=6).contains(&bare.len()) && bare.bytes().all(|b| b.is_ascii_uppercase())).then_some(bare)
}

/// The acronyms of a value that is nothing else: `US` and `USA` of `US or USA`.
pub fn acronyms(value: &str) -> Vec<String> {
    let words = value.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '/')).filter(|word| !matches!(*word, "" | "or" | "and"));
    let mut out = words.map(acronym).collect::<Option<Vec<String>>>().unwrap_or_default();
    out.sort_unstable();
    out.dedup();
    out
}

/// Whether an acronym is made of the initials of a name's words, all but those in lower case (`of`, `the`).
pub fn abbreviates(acronym: &str, name: &str) -> bool {
    let begins = |word: &str| word.chars().find(|c| c.is_alphanumeric()).filter(|c| !c.is_lowercase());
    let initials: String = name.split(|c: char| c.is_whitespace() || c == '-').filter_map(begins).collect();
    key(&initials) == key(acronym)
}

/// Whether a value may be a name: a few words beginning with a capital, and no list of them.
pub fn is_name(value: &str) -> bool {
    let value = value.trim();
    let words = value.split_whitespace().count();
    let begins = value.chars().next().is_some_and(|c| c.is_alphabetic() && !c.is_lowercase());
    begins && value.len() <= 100 && words <= 9 && !value.contains([';', ':', '\n', '[']) && !value.bytes().any(|b| b.is_ascii_digit())
}

/// Whether `key` has the words of `part` in it, side by side.
pub fn has(key: &str, part: &str) -> bool {
    !part.is_empty()
        && key.match_indices(part).any(|(at, _)| {
            let (before, after) = (&key[..at], &key[at + part.len()..]);
            (before.is_empty() || before.ends_with(' ')) && (after.is_empty() || after.starts_with(' '))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_name_have_a_key_in_common() {
        for (one, other) in [
            ("The Gambia", "gambia"),
            ("Korea, South", "South Korea"),
            ("Bahamas, The", "The Bahamas"),
            ("Holy See (Vatican City)", "HOLY SEE"),
            ("Côte d’Ivoire", "Cote d'Ivoire"),
            ("Trinidad & Tobago", "Trinidad and Tobago"),
            ("U.S.", "US"),
            ("Łódź", "Lodz"),
        ] {
            assert!(keys(one).iter().any(|key| keys(other).contains(key)), "{one} {other}");
        }
        for (one, other) in [("Guinea", "Guinea-Bissau"), ("Niger", "Nigeria"), ("Congo (A)", "Congo (B)"), ("Sudan", "South Sudan")] {
            assert_ne!(key(one), key(other));
        }
        assert_eq!(mention("US"), ["us", "US"]);
        assert_eq!(keys("(1,2)"), [""; 0]);
    }

    #[test]
    fn acronyms_are_initials_in_order() {
        for (acronym, name) in [("US", "United States"), ("USA", "United States of America"), ("DRC", "Democratic Republic of the Congo")] {
            assert!(abbreviates(acronym, name), "{name}");
        }
        for (acronym, name) in
            [("US", "Saint Ursula"), ("UK", "Ukraine"), ("USA", "United States"), ("DC", "Democratic Republic of the Congo")]
        {
            assert!(!abbreviates(acronym, name), "{name}");
        }
        assert_eq!(acronyms("US or USA"), ["US", "USA"]);
        assert_eq!(acronyms("I.O.M."), ["IOM"]);
        assert_eq!(acronyms("AM 3, FM 11"), [""; 0]);
    }

    proptest! {
        #[test]
        fn a_key_is_its_own_key(name in "\\PC{0,30}") {
            let once = key(&name);
            // "the" is dropped once: `The The` is a band.
            prop_assume!(!once.starts_with("the "));
            prop_assert_eq!(key(&once), once.clone());
            prop_assert!(once.is_empty() || has(&once, once.split(' ').next().unwrap()));
        }
    }
}
