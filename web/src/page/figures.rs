//! Figures as people read them.

/// `639 MB`, `1.8 GB`.
pub fn bytes(count: f64) -> String {
    match count {
        count if count >= 1e9 => format!("{:.1} GB", count / 1e9),
        count if count >= 1e6 => format!("{:.0} MB", count / 1e6),
        count if count >= 1e3 => format!("{:.0} kB", count / 1e3),
        count => format!("{count:.0} bytes"),
    }
}

/// `7,700`.
pub fn count(count: usize) -> String {
    let digits = count.to_string();
    let mut said = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            said.push(',');
        }
        said.push(digit);
    }
    said
}

/// `25 s`, `3 min`, `1 h 20 min`.
pub fn duration(milliseconds: f64) -> String {
    let seconds = (milliseconds / 1000.0).ceil();
    match seconds {
        seconds if seconds < 90.0 => format!("{seconds:.0} s"),
        seconds if seconds < 5400.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.0} h {:.0} min", (seconds / 3600.0).floor(), (seconds / 60.0 % 60.0).floor()),
        seconds => format!("{:.0} days", seconds / 86400.0),
    }
}

/// `2.05 million`, `30.5 billion`.
pub fn parameters(count: f64) -> String {
    if count >= 1e9 { format!("{:.1} billion", count / 1e9) } else { format!("{:.2} million", count / 1e6) }
}

/// Day and time.
pub fn date(milliseconds: f64) -> String {
    let date = js_sys::Date::new(&milliseconds.into());
    let options = js_sys::Object::new();
    for (name, value) in [("dateStyle", "medium"), ("timeStyle", "short")] {
        let _ = js_sys::Reflect::set(&options, &name.into(), &value.into());
    }
    date.to_locale_string("en", &options).into()
}

/// One of it, or so many: `1 section`, `12 sections`.
pub fn many(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{} {what}s", count(number)) }
}
