//! The prompt's own tags inside a document: they are data and must not end the section, close the memory or look like thinking.

/// Every tag a prompt or a reply is parsed by.
const NAMES: [&str; 9] = ["problem", "previous_memory", "memory", "plan", "sections", "section", "text", "notes", "think"];

/// Text with the angle brackets of the prompt's own tags turned into square ones: `</section>` becomes `[/section]`. Byte for byte as
/// long as before, so spans and token counts taken from either are the same places in both. All other markup stays.
pub fn neutralise(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        out.push_str(&rest[..open]);
        rest = &rest[open..];
        match tag_length(rest) {
            Some(length) => {
                out.push('[');
                out.push_str(&rest[1..length - 1]);
                out.push(']');
                rest = &rest[length..];
            }
            None => {
                out.push('<');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Where the first of our tags begins, or the text's end: past it, a reply without complete tags repeats the prompt.
pub fn first_tag(text: &str) -> usize {
    text.match_indices('<').map(|(at, _)| at).find(|&at| tag_length(&text[at..]).is_some()).unwrap_or(text.len())
}

/// The bytes of the tag `text` begins with, if it is one of ours, however it is spaced and in whatever case.
fn tag_length(text: &str) -> Option<usize> {
    let inside = text[1..].trim_start();
    let inside = inside.strip_prefix('/').unwrap_or(inside).trim_start();
    let name = NAMES.iter().find(|name| {
        let begins = inside.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        begins && inside[name.len()..].trim_start().starts_with('>')
    })?;
    let after = inside[name.len()..].trim_start();
    Some(text.len() - after.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_tags_become_square_and_all_else_stays() {
        assert_eq!(neutralise("a </section> < Memory >b</ plan\n><p>x < y</p>"), "a [/section] [ Memory ]b[/ plan\n]<p>x < y</p>");
        assert_eq!(neutralise("<sectional> <memory <é> <"), "<sectional> <memory <é> <");
        assert_eq!(neutralise("<<think>>"), "<[think]>");
    }

    #[test]
    fn no_byte_moves() {
        for text in ["<<memory>>é</text>", "</think><problem>汉字<PREVIOUS_MEMORY>", "<"] {
            let out = neutralise(text);
            assert_eq!(out.len(), text.len());
            assert!(text.char_indices().zip(out.char_indices()).all(|((a, x), (b, y))| a == b && (x == y || "<>".contains(x))));
            assert_eq!(neutralise(&out), out);
        }
    }
}
