//! Spellings of units, and where a clause ends.

/// Signs that stand before an amount.
pub const SIGNS: [char; 9] = ['$', '€', '£', '¥', '₹', '₩', '₽', '￥', '₿'];

/// Codes that may stand before an amount, with or without a space.
pub const CODES: [&str; 12] = ["USD", "EUR", "GBP", "CNY", "RMB", "JPY", "HKD", "INR", "CHF", "CAD", "AUD", "KRW"];

/// (word, power of ten, only after a currency).
pub const MAGNITUDES: [(&str, i32, bool); 20] = [
    ("thousand", 3, false),
    ("million", 6, false),
    ("millions", 6, false),
    ("billion", 9, false),
    ("billions", 9, false),
    ("trillion", 12, false),
    ("trillions", 12, false),
    ("mln", 6, false),
    ("mn", 6, false),
    ("bn", 9, false),
    ("tn", 12, false),
    ("k", 3, true),
    ("m", 6, true),
    ("b", 9, true),
    ("t", 12, true),
    // Longer ones first: they are looked for as beginnings.
    ("万亿", 12, false),
    ("百万", 6, false),
    ("千万", 7, false),
    ("万", 4, false),
    ("亿", 8, false),
];

/// Words before a number that make it a bound.
const BOUNDS: [&str; 20] = [
    "less than",
    "more than",
    "fewer than",
    "greater than",
    "no more",
    "at least",
    "at most",
    "up to",
    "over",
    "under",
    "below",
    "above",
    "nearly",
    "almost",
    "exceeding",
    "exceeds",
    "between",
    "from",
    "<",
    ">",
];

/// (spellings, unit). A spelling that is a prefix of another is no danger: both must end where a word ends.
const NAMES: &[(&[&str], &str)] = &[
    (&["%", "percent", "per cent", "pct"], "%"),
    (&["‰"], "‰"),
    (
        &["sq km", "km²", "km2", "km^2", "square kilometers", "square kilometres", "square kilometer", "square kilometre", "平方公里"],
        "sq km",
    ),
    (&["sq m", "m²", "m2", "m^2", "square meters", "square metres", "平方米"], "sq m"),
    (&["sq mi", "square miles", "square mile"], "sq mi"),
    (&["sq ft", "square feet", "square foot"], "sq ft"),
    (&["sq nm"], "sq nm"),
    (&["cu km", "km³", "km3", "cubic kilometers", "cubic kilometres"], "cu km"),
    (&["cu m", "m³", "m3", "cubic meters", "cubic metres", "立方米"], "cu m"),
    (&["cu ft", "cubic feet"], "cu ft"),
    (&["km", "kilometers", "kilometres", "kilometer", "kilometre", "公里", "千米"], "km"),
    (&["m", "meters", "metres", "meter", "metre", "米"], "m"),
    (&["cm", "centimeters", "centimetres", "厘米"], "cm"),
    (&["mm", "millimeters", "millimetres", "毫米"], "mm"),
    (&["nm", "nautical miles", "nautical mile"], "nm"),
    (&["mi", "miles", "mile"], "mi"),
    (&["ft", "feet", "foot"], "ft"),
    (&["yd", "yards", "yard"], "yd"),
    (&["ha", "hectares", "hectare", "公顷"], "ha"),
    (&["acres", "acre"], "acres"),
    (&["kg", "kilograms", "kilogram", "公斤", "千克"], "kg"),
    (&["g", "grams", "gram"], "g"),
    (&["mg"], "mg"),
    (&["lb", "lbs"], "lb"),
    (&["tons", "ton"], "tons"),
    (&["tonnes", "tonne", "metric tons", "metric ton", "吨"], "tonnes"),
    (&["Mt"], "Mt"),
    (&["Gt"], "Gt"),
    (&["bbl", "barrels", "barrel"], "bbl"),
    (&["liters", "litres", "liter", "litre"], "liters"),
    (&["kW"], "kW"),
    (&["MW"], "MW"),
    (&["GW"], "GW"),
    (&["kWh"], "kWh"),
    (&["MWh"], "MWh"),
    (&["GWh"], "GWh"),
    (&["TWh"], "TWh"),
    (&["Hz"], "Hz"),
    (&["kHz"], "kHz"),
    (&["MHz"], "MHz"),
    (&["GHz"], "GHz"),
    (&["KB", "kB"], "KB"),
    (&["MB"], "MB"),
    (&["GB"], "GB"),
    (&["TB"], "TB"),
    (&["°C", "degrees Celsius", "℃"], "°C"),
    (&["°F", "degrees Fahrenheit"], "°F"),
    (&["ms", "milliseconds", "millisecond"], "ms"),
    (&["seconds"], "seconds"),
    (&["minutes", "minute", "min"], "minutes"),
    (&["hours", "hour", "hr", "hrs", "h", "小时"], "hours"),
    (&["days", "day", "天"], "days"),
    (&["weeks", "week"], "weeks"),
    (&["months", "month", "个月"], "months"),
    (&["years", "year", "yrs", "yr", "岁"], "years"),
    (&["US dollars", "U.S. dollars", "dollars", "dollar"], "$"),
    (&["euros", "euro", "欧元"], "€"),
    (&["yen", "日元"], "¥"),
    (&["yuan", "元", "人民币"], "元"),
    (&["美元"], "$"),
    (&["people", "persons", "person", "人"], "people"),
    (&["inhabitants", "inhabitant"], "inhabitants"),
];

/// What the last word of a rate may be measured against: `kWh/day`, `cu m/yr`, `km/h`.
const AGAINST: [&str; 12] = ["day", "yr", "year", "h", "hr", "hour", "s", "sq km", "km", "capita", "person", "woman"];

/// Words that do not count anything: with one of them it is a sentence.
const GLUE: [&str; 24] = [
    "a", "an", "and", "are", "as", "at", "by", "for", "from", "has", "have", "in", "into", "is", "of", "on", "or", "that", "the", "to",
    "was", "were", "which", "with",
];

/// The unit at the start of the text (spaces before it are passed over) and its length with them. `opens`: the number before it begins
/// a clause, so that a noun alone may be what it counts.
pub fn read(rest: &str, opens: bool) -> Option<(String, usize)> {
    let words = rest.trim_start_matches([' ', '\u{a0}']);
    let gap = rest.len() - words.len();
    let known = known(words);
    if let Some((unit, len)) = known
        && !words[len..].starts_with('/')
        && !words[len..].starts_with(" per ")
    {
        return Some((unit.to_string(), gap + len));
    }
    if gap == 0 && known.is_none() && !words.starts_with('/') {
        return None;
    }
    if let Some((unit, len)) = rate(words) {
        return Some((unit, gap + len));
    }
    known.map(|(unit, len)| (unit.to_string(), gap + len)).or_else(|| counted(words).filter(|_| opens).map(|(unit, len)| (unit, gap + len)))
}

/// A unit of the list, the longest that fits, up to the end of a word.
fn known(words: &str) -> Option<(&'static str, usize)> {
    let fits = |name: &&&str| {
        words.strip_prefix(**name).is_some_and(|after| !name.ends_with(|c: char| c.is_ascii_alphanumeric()) || ends_word(after))
    };
    let all = NAMES.iter().flat_map(|(names, unit)| names.iter().map(move |name| (name, *unit)));
    all.filter(|(name, _)| fits(name)).max_by_key(|(name, _)| name.len()).map(|(name, unit)| (unit, name.len()))
}

fn ends_word(after: &str) -> bool {
    !after.starts_with(|c: char| c.is_alphanumeric() && c.is_ascii() || matches!(c, '²' | '³' | '\'' | '’' | '-' | '^'))
}

/// `deaths/1,000 live births`, `children born/woman`, `per 100 inhabitants`, `bbl/day`: words, `/` or `per`, perhaps a number, words, up to
/// the end of the clause (after a well-known unit of time, anywhere).
fn rate(words: &str) -> Option<(String, usize)> {
    let clause = &words[..clause_len(words)];
    let (above, below, joint) = match (clause.find('/'), clause.find("per ").filter(|&at| at == 0 || clause[..at].ends_with(' '))) {
        (Some(at), _) => (&clause[..at], &clause[at + 1..], "/"),
        (None, Some(at)) => (&clause[..at], &clause[at + 4..], "per"),
        (None, None) => return None,
    };
    let above_words = above.split_whitespace().count();
    let plain = |word: &str| word.replace("(s)", "").chars().all(|c| c.is_alphabetic()) && !GLUE.contains(&word);
    let fine = known(above.trim()).is_some_and(|(_, len)| len == above.trim().len())
        || above.split_whitespace().all(|word| word.len() > 2 && plain(word) && word.starts_with(char::is_lowercase));
    if above_words > 3 || !fine || above_words == 0 && joint == "/" {
        return None;
    }
    if let Some(against) = AGAINST.iter().filter(|name| below.strip_prefix(**name).is_some_and(ends_word)).max_by_key(|name| name.len()) {
        let len = clause.len() - below.len() + against.len();
        return Some((spaced(&words[..len]), len));
    }
    let number = below.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(below.len());
    let noun = below[number..].trim();
    let count = noun.split_whitespace().count();
    let ok = (1..=3).contains(&count) && noun.split_whitespace().all(plain) && (number == 0 || below[number..].starts_with(' '));
    let len = clause.trim_end().len();
    ok.then(|| (spaced(&words[..len]), len))
}

/// One or two words in lower case, the last of them a plural, that end the clause: `provinces`, `administrative districts`.
fn counted(words: &str) -> Option<(String, usize)> {
    let clause = words[..clause_len(words)].trim_end();
    let lower = |word: &str| word.len() > 2 && word.bytes().all(|b| b.is_ascii_lowercase()) && !GLUE.contains(&word);
    let count = clause.split_whitespace().count();
    let ok = (1..=2).contains(&count) && clause.split_whitespace().all(lower) && clause.ends_with('s');
    ok.then(|| (spaced(clause), clause.len()))
}

fn spaced(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Bytes up to where the clause ends. A comma between digits does not end it, nor does `(s)`.
fn clause_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let mut last = 0;
    for (at, c) in text.char_indices() {
        let ends = match c {
            ',' => !(digit(at.checked_sub(1)) && digit(Some(at + 1))),
            '.' => !digit(Some(at + 1)),
            '(' => !text[at..].starts_with("(s)"),
            ')' => !text[..at].ends_with("(s"),
            ';' | '+' | '|' | '\n' | ':' | '；' | '，' | '。' | '、' | '（' | '）' => true,
            // Long enough for any unit.
            _ => at > 80,
        };
        if ends {
            return at;
        }
        last = at + c.len_utf8();
    }
    last
}

/// Whether nothing more is said of a number after which this text stands.
pub fn closes_clause(rest: &str) -> bool {
    let rest = rest.trim_start_matches([' ', '\u{a0}', '"']);
    let mut chars = rest.chars();
    match chars.next() {
        None => true,
        Some('.') => !chars.next().is_some_and(char::is_alphanumeric),
        Some('/') => chars.next().is_some_and(char::is_alphabetic),
        Some(c) => matches!(c, ',' | ';' | '(' | ')' | '+' | '|' | '\n' | '；' | '，' | '。' | '、' | '（' | '）'),
    }
}

/// Whether what stands before makes it a bound: `less than`, `up to`.
pub fn bounded_before(preceding: &str) -> bool {
    // More than the longest of them.
    let near = preceding[preceding.ceil_char_boundary(preceding.len().saturating_sub(20))..].to_lowercase();
    let word = |bound: &str| near.strip_suffix(bound).is_some_and(|before| !before.ends_with(char::is_alphanumeric));
    BOUNDS.iter().any(|bound| word(bound))
}

/// Whether what follows makes it a bound: `and over`, `or more`, `+`.
pub fn bounded_after(rest: &str) -> bool {
    let near = rest.trim_start();
    let near = near.strip_prefix("of age").map_or(near, str::trim_start);
    ["and over", "and older", "and above", "and under", "or over", "or more", "or less", "or older", "or fewer", "or younger"]
        .iter()
        .any(|bound| near.starts_with(bound))
        || rest.starts_with('+') && !rest.starts_with("++")
}
