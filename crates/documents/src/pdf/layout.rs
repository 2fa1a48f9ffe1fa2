//! Glyphs on a page → lines in reading order.
//!
//! Glyphs that follow one another on a baseline make a fragment, fragments on a baseline make a row. Rows that share a gutter with
//! prose on both sides are columns, read one after the other; rows of a table have gutters too, but little text between them, and
//! stay rows, their cells apart in proportion to the gap.

use hayro_interpret::kurbo::Point;

/// A glyph: its characters, where its baseline begins and ends (y downwards), its em.
pub struct Piece {
    pub text: String,
    pub from: Point,
    pub to: Point,
    pub size: f64,
}

/// A gap that is a space between words, in em.
const SPACE: f64 = 0.15;
/// Dots in a row that only lead the eye to the next cell.
const LEADER: usize = 4;
/// A gap that parts fragments, in em.
const APART: f64 = 0.8;

/// Glyphs in a row along a baseline.
struct Fragment {
    text: String,
    x0: f64,
    x1: f64,
    y: f64,
    size: f64,
}

/// Fragments on one baseline, from left to right.
struct Row {
    fragments: Vec<Fragment>,
    y: f64,
    size: f64,
}

/// The page's text: what stands upright, then what stands on its side or its head.
pub fn text(pieces: Vec<Piece>) -> String {
    let mut turned: [Vec<Piece>; 4] = Default::default();
    for mut piece in pieces {
        let (dx, dy) = (piece.to.x - piece.from.x, piece.to.y - piece.from.y);
        let turn = match () {
            _ if dx.abs() >= dy.abs() && dx >= 0.0 => 0,
            _ if dx.abs() >= dy.abs() => 2,
            _ if dy > 0.0 => 1,
            _ => 3,
        };
        // Quarter turns until the baseline runs to the right.
        for _ in 0..turn {
            for point in [&mut piece.from, &mut piece.to] {
                *point = Point::new(point.y, -point.x);
            }
        }
        turned[turn].push(piece);
    }
    turned.into_iter().map(upright).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n")
}

fn upright(pieces: Vec<Piece>) -> String {
    let mut out = String::new();
    blocks(rows(fragments(pieces)), &mut out, 0);
    out.trim_end().to_string()
}

fn fragments(pieces: Vec<Piece>) -> Vec<Fragment> {
    let mut fragments: Vec<Fragment> = Vec::new();
    // The last glyph's place, to see one drawn twice to look bold.
    let mut last: Option<(String, Point)> = None;
    for piece in pieces {
        let blank = piece.text.chars().all(char::is_whitespace);
        // Some fonts say that a glyph is " .": where there is a space, its width shows.
        let text = if blank { " ".to_string() } else { plain(piece.text.trim()) };
        if let Some((there, at)) = &last
            && *there == text
            && (*at - piece.from).hypot() < 0.1 * piece.size
        {
            continue;
        }
        last = Some((text.clone(), piece.from));
        let (x0, x1) = (piece.from.x, piece.to.x.max(piece.from.x));
        if let Some(open) = fragments.last_mut() {
            let (gap, em) = (x0 - open.x1, open.size.max(piece.size));
            // Small raised glyphs are notes and powers: on the line they are raised from.
            let on_line = (open.y - piece.from.y).abs() < 0.4 * em;
            if on_line && gap > -0.5 * em && gap < APART * em {
                if gap > SPACE * em && !open.text.ends_with(' ') && !blank {
                    open.text.push(' ');
                }
                if !(blank && open.text.ends_with(' ')) {
                    open.text.push_str(&text);
                }
                // A space is as wide as the font says, but what follows it shows where the word ends.
                open.x1 = open.x1.max(x1);
                if piece.size > open.size {
                    (open.size, open.y) = (piece.size, piece.from.y);
                }
                continue;
            }
        }
        if !blank {
            fragments.push(Fragment { text, x0, x1, y: piece.from.y, size: piece.size });
        }
    }
    fragments.retain_mut(|fragment| {
        fragment.text.truncate(fragment.text.trim_end().len());
        !fragment.text.is_empty()
    });
    fragments
}

/// Ligatures as the letters they are, without control characters.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            'ﬀ' => out.push_str("ff"),
            'ﬁ' => out.push_str("fi"),
            'ﬂ' => out.push_str("fl"),
            'ﬃ' => out.push_str("ffi"),
            'ﬄ' => out.push_str("ffl"),
            'ﬅ' | 'ﬆ' => out.push_str("st"),
            '\u{ad}' => out.push('-'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn rows(mut fragments: Vec<Fragment>) -> Vec<Row> {
    fragments.sort_by(|a, b| a.y.total_cmp(&b.y));
    let mut rows: Vec<Row> = Vec::new();
    for fragment in fragments {
        match rows.last_mut() {
            Some(row) if (fragment.y - row.y).abs() < 0.4 * row.size.max(fragment.size).min(2.0 * row.size.min(fragment.size)) => {
                // The row lies where its largest letters do.
                if fragment.size > row.size {
                    (row.size, row.y) = (fragment.size, fragment.y);
                }
                row.fragments.push(fragment);
            }
            _ => rows.push(Row { y: fragment.y, size: fragment.size, fragments: vec![fragment] }),
        }
    }
    for row in &mut rows {
        row.fragments.sort_by(|a, b| a.x0.total_cmp(&b.x0));
    }
    rows
}

/// Writes rows, columns one after the other. `depth` bounds columns in columns.
fn blocks(rows: Vec<Row>, out: &mut String, depth: usize) {
    let all = || rows.iter().flat_map(|row| &row.fragments);
    let from = all().map(|fragment| fragment.x0).fold(f64::INFINITY, f64::min);
    let to = all().map(|fragment| fragment.x1).fold(f64::NEG_INFINITY, f64::max);
    let mut rest = rows.into_iter().peekable();
    let mut plain: Vec<Row> = Vec::new();
    while rest.peek().is_some() {
        let mut run: Vec<Row> = Vec::new();
        let mut gutters = vec![(from, to)];
        // As many rows as share a gutter.
        while let Some(row) = rest.peek() {
            let free = shared(&gutters, row);
            if free.is_empty() {
                break;
            }
            gutters = free;
            run.extend(rest.next());
        }
        if run.is_empty() {
            plain.extend(rest.next());
            continue;
        }
        match columns_at(&run, &gutters).filter(|_| depth < 4) {
            Some(x) => {
                lines(std::mem::take(&mut plain), out);
                let (mut left, mut right) = (Vec::new(), Vec::new());
                for row in run {
                    let (l, r): (Vec<_>, Vec<_>) = row.fragments.into_iter().partition(|fragment| fragment.x0 < x);
                    for (side, fragments) in [(&mut left, l), (&mut right, r)] {
                        if !fragments.is_empty() {
                            side.push(Row { y: row.y, size: row.size, fragments });
                        }
                    }
                }
                blocks(left, out, depth + 1);
                blocks(right, out, depth + 1);
            }
            None => plain.extend(run),
        }
    }
    lines(plain, out);
}

/// What of the gutters so far is free in this row, too, and about a letter wide.
fn shared(gutters: &[(f64, f64)], row: &Row) -> Vec<(f64, f64)> {
    let mut free = Vec::new();
    for &(from, to) in gutters {
        let mut at = from;
        for fragment in &row.fragments {
            free.push((at, fragment.x0.min(to)));
            at = at.max(fragment.x1);
        }
        free.push((at, to));
    }
    free.retain(|(from, to)| to - from > 0.9 * APART * row.size);
    free
}

/// The gutter with prose on both sides, if there is one: three lines or more, most of them longer than a table's cells.
fn columns_at(run: &[Row], gutters: &[(f64, f64)]) -> Option<f64> {
    let prose = |on_side: &dyn Fn(&Fragment) -> bool| {
        let mut lengths: Vec<usize> = Vec::new();
        for row in run {
            let length: usize =
                row.fragments.iter().filter(|fragment| on_side(fragment)).map(|f| f.text.chars().count()).max().unwrap_or(0);
            if length > 0 {
                lengths.push(length);
            }
        }
        lengths.sort_unstable();
        lengths.len() >= 3 && lengths[lengths.len() / 2] >= 22
    };
    gutters.iter().map(|(from, to)| (from + to) / 2.0).find(|&x| prose(&|fragment| fragment.x0 < x) && prose(&|fragment| fragment.x0 >= x))
}

/// Writes rows as lines, a blank line where the gap is larger than the block's usual one.
fn lines(rows: Vec<Row>, out: &mut String) {
    if rows.is_empty() {
        return;
    }
    if !out.is_empty() {
        out.push('\n');
    }
    let mut steps: Vec<f64> = rows.windows(2).map(|pair| pair[1].y - pair[0].y).filter(|step| *step > 0.0).collect();
    steps.sort_by(f64::total_cmp);
    let usual = steps.get(steps.len() / 2).copied().unwrap_or(f64::INFINITY);
    let left = rows.iter().map(|row| row.fragments[0].x0).fold(f64::INFINITY, f64::min);
    let mut before: Option<f64> = None;
    for row in &rows {
        if let Some(y) = before
            && row.y - y > 1.35 * usual
            && row.y - y > 1.3 * row.size
        {
            out.push('\n');
        }
        before = Some(row.y);
        line(row, left, out);
    }
}

fn line(row: &Row, left: f64, out: &mut String) {
    let wide = |gap: f64| (gap / (0.5 * row.size)).round().clamp(2.0, 40.0) as usize;
    let cells = row.fragments.windows(2).filter(|pair| pair[1].x0 - pair[0].x1 > 1.2 * row.size).count();
    // A table's row whose first cells are empty begins where its first full one stands.
    if cells > 0 && row.fragments[0].x0 - left > 1.2 * row.size {
        out.push_str(&" ".repeat(wide(row.fragments[0].x0 - left)));
    }
    let mut x1 = None;
    for fragment in &row.fragments {
        if let Some(x1) = x1 {
            let gap: f64 = fragment.x0 - x1;
            if gap > 1.2 * row.size {
                out.push_str(&" ".repeat(wide(gap)));
            } else if gap > SPACE * row.size {
                out.push(' ');
            }
        }
        without_leaders(&fragment.text, out);
        x1 = Some(x1.map_or(fragment.x1, |x1: f64| x1.max(fragment.x1)));
    }
    out.push('\n');
}

/// Appends the text, an ellipsis for each row of dots that leads from a name to its figures: it is most of such a line.
fn without_leaders(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find('.') {
        let run = rest[at..].find(|c| c != '.' && c != ' ').map_or(rest.len(), |end| at + end);
        if rest[at..run].matches('.').count() < LEADER {
            out.push_str(&rest[..at + 1]);
            rest = &rest[at + 1..];
            continue;
        }
        out.push_str(rest[..at].trim_end());
        out.push_str(if out.is_empty() || out.ends_with(['\n', ' ']) { "…" } else { " …" });
        rest = &rest[run..];
        if !rest.is_empty() {
            out.push(' ');
        }
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_dots_are_an_ellipsis_and_other_dots_stay() {
        let said = |text: &str| {
            let mut out = String::new();
            without_leaders(text, &mut out);
            out
        };
        assert_eq!(said("Robbery. . . . . . . 102.1"), "Robbery … 102.1");
        assert_eq!(said("Robbery . . . ."), "Robbery …");
        assert_eq!(said("....5"), "… 5");
        assert_eq!(said("Well... 1.5 e.g. it. U.S.A. was"), "Well... 1.5 e.g. it. U.S.A. was");
    }

    #[test]
    fn a_glyph_that_says_it_is_a_space_and_a_point_is_a_point() {
        assert_eq!(page(&[(0.0, 0.0, "1"), (5.0, 0.0, " ."), (15.0, 0.0, "6")]), "1.6");
    }

    /// Words at places, ten units to the em, five to a letter.
    fn page(lines: &[(f64, f64, &str)]) -> String {
        let piece = |x: f64, y: f64, text: &str| {
            let to = x + 5.0 * text.chars().count() as f64;
            Piece { text: text.to_string(), from: Point::new(x, y), to: Point::new(to, y), size: 10.0 }
        };
        text(lines.iter().map(|&(x, y, text)| piece(x, y, text)).collect())
    }

    #[test]
    fn columns_under_a_title_over_both() {
        let prose = "some twenty-four letters";
        let mut lines = vec![(0.0, 0.0, "A title that runs over the whole width of the page, over both")];
        for row in 1..5 {
            lines.push((0.0, 12.0 * f64::from(row), prose));
            // The columns' lines need not stand level.
            lines.push((150.0, 12.0 * f64::from(row) + 5.0, "right twenty-two letters"));
        }
        let column = |words: &str| [words; 4].join("\n");
        assert_eq!(page(&lines), format!("{}\n\n{}\n\n{}", lines[0].2, column(prose), column("right twenty-two letters")));
    }

    #[test]
    fn gaps_are_spaces_where_no_glyph_says_so() {
        assert_eq!(page(&[(0.0, 0.0, "two"), (18.0, 0.0, "words"), (43.5, 0.0, "!")]), "two words!");
    }

    #[test]
    fn rows_of_a_table_stay_rows() {
        let mut lines = Vec::new();
        for row in 0..4 {
            lines.extend([
                (0.0, 12.0 * f64::from(row), "name"),
                (60.0, 12.0 * f64::from(row), "1.5"),
                (100.0, 12.0 * f64::from(row), "2.5"),
            ]);
        }
        assert_eq!(page(&lines), ["name        1.5     2.5"; 4].join("\n"));
    }

    #[test]
    fn text_on_its_side_comes_last_and_bold_by_two_strokes_once() {
        let upright = |x: f64, text: &str| Piece { text: text.into(), from: Point::new(x, 0.0), to: Point::new(x + 5.0, 0.0), size: 10.0 };
        let up = |y: f64, text: &str| Piece { text: text.into(), from: Point::new(90.0, y), to: Point::new(90.0, y - 5.0), size: 10.0 };
        let pieces = vec![up(50.0, "u"), up(45.0, "p"), upright(0.0, "a"), upright(0.2, "a"), upright(5.0, "b")];
        assert_eq!(text(pieces), "ab\n\nup");
    }
}
