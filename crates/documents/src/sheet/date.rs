//! Days since an epoch as dates and times.

use super::number;

/// What a number format makes of days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// A date, and a time where there is one.
    Date,
    /// A time of day.
    Time,
    /// Hours that do not end at 24.
    Duration,
}

impl Shows {
    /// What a format code shows of days; `None` for a code of numbers.
    pub fn of(code: &str) -> Option<Self> {
        let (mut date, mut time, mut month) = (false, false, false);
        let mut chars = code.chars();
        while let Some(c) = chars.next() {
            match c.to_ascii_lowercase() {
                '"' => while chars.next().is_some_and(|c| c != '"') {},
                '\\' | '_' | '*' => _ = chars.next(),
                '[' => {
                    let inside: String = chars.by_ref().take_while(|c| *c != ']').collect();
                    if matches!(&*inside.to_ascii_lowercase(), "h" | "hh" | "m" | "mm" | "s" | "ss") {
                        return Some(Self::Duration);
                    }
                }
                'y' | 'd' => date = true,
                'h' | 's' => time = true,
                'm' => month = true,
                // `General`, `0.0E+00`: no days.
                'g' | '#' | '?' | '@' => return None,
                ';' => break,
                _ => {}
            }
        }
        match (date, time, month) {
            (true, ..) | (false, false, true) => Some(Self::Date),
            (false, true, _) => Some(Self::Time),
            (false, false, false) => None,
        }
    }
}

/// Days as `2024-03-05`, `2024-03-05 14:30:00`, `14:30:00`, `36:00:00`.
pub fn shown(days: f64, shows: Shows, from_1904: bool) -> String {
    let seconds = (days * 86_400.0).round();
    // Up to the year 9999; what lies outside is shown as the number it is.
    if !(0.0..2_958_466.0 * 86_400.0).contains(&seconds) {
        return number::general(days);
    }
    let (whole, rest) = (seconds as u64 / 86_400, seconds as u64 % 86_400);
    let time = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    match shows {
        Shows::Duration => format!("{}:{:02}:{:02}", seconds as u64 / 3600, rest / 60 % 60, rest % 60),
        Shows::Time => time,
        Shows::Date => {
            let day = date(whole, from_1904);
            if rest == 0 { day } else { format!("{day} {time}") }
        }
    }
}

/// Day 1 is 1900-01-01, and day 60 is a 29 February that was none; or day 0 is 1904-01-01.
fn date(serial: u64, from_1904: bool) -> String {
    // Days from 1970-01-01.
    let days = match (from_1904, serial) {
        (true, serial) => serial as i64 - 24_107,
        (false, 60) => return "1900-02-29".to_string(),
        (false, serial @ 0..60) => serial as i64 - 25_568,
        (false, serial) => serial as i64 - 25_569,
    };
    // Howard Hinnant's civil_from_days: years begin in March, so that leap days come last.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_days_are_told_from_codes_of_numbers() {
        for (code, shows) in [
            ("yyyy\\-mm\\-dd", Some(Shows::Date)),
            ("[$-409]d\\-mmm\\-yy;@", Some(Shows::Date)),
            ("mmm", Some(Shows::Date)),
            ("h:mm AM/PM", Some(Shows::Time)),
            ("mm:ss", Some(Shows::Time)),
            ("[h]:mm", Some(Shows::Duration)),
            ("General", None),
            ("#,##0 \"days\"", None),
            ("0.00E+00", None),
            ("[Red]0.0", None),
            ("0\" m\"", None),
        ] {
            assert_eq!(Shows::of(code), shows, "{code}");
        }
    }

    /// Against Python: `datetime.date(1899, 12, 30) + datetime.timedelta(days)`.
    #[test]
    fn days_are_dates() {
        let of = |days| shown(days, Shows::Date, false);
        assert_eq!([of(1.0), of(59.0), of(60.0), of(61.0)], ["1900-01-01", "1900-02-28", "1900-02-29", "1900-03-01"]);
        assert_eq!([of(45356.0), of(36585.0), of(2_958_465.0)], ["2024-03-05", "2000-02-29", "9999-12-31"]);
        assert_eq!([of(45356.75), of(-1.0), of(f64::NAN)], ["2024-03-05 18:00:00".into(), "-1".into(), number::general(f64::NAN)]);
        assert_eq!(shown(43894.0, Shows::Date, true), "2024-03-05");
        assert_eq!([shown(0.5, Shows::Time, false), shown(1.5, Shows::Duration, false)], ["12:00:00", "36:00:00"]);
    }
}
