//! Where source code may be cut: before and behind functions, methods, classes and other items with a body.
//!
//! A light lexer, not a parser: it knows each language's comments, strings and brackets, so that a brace in a string is no brace, and
//! which words open a body that holds items of its own (`class`, `impl`, `namespace`). Code it misunderstands is cut in worse places,
//! and never lost: cuts are only advice.

mod braces;
mod indents;

/// How a language's items are told.
enum Family {
    Braces(braces::Language),
    Indents(indents::Language),
}

/// Byte offsets of line beginnings where source code is best cut, ascending, without 0 and the end; `None` for a `name` whose
/// extension is of no language known here. Comments and attributes right above an item go with it. Time is linear.
pub fn code_cuts(name: &str, text: &str) -> Option<Vec<usize>> {
    let mut cuts = match family(&crate::format::extension(name))? {
        Family::Braces(language) => braces::cuts(text, &language),
        Family::Indents(language) => indents::cuts(text, &language),
    };
    cuts.sort_unstable();
    cuts.dedup();
    cuts.retain(|&cut| cut > 0 && cut < text.len());
    Some(cuts)
}

/// Whether an extension is that of source code.
pub(crate) fn is_code(extension: &str) -> bool {
    const WITHOUT_CUTS: [&str; 22] = [
        "sql", "hs", "ml", "mli", "fs", "clj", "lisp", "el", "scm", "erl", "r", "pl", "pm", "vb", "pas", "f90", "asm", "s", "css", "scss",
        "less", "tcl",
    ];
    family(extension).is_some() || WITHOUT_CUTS.contains(&extension)
}

fn family(extension: &str) -> Option<Family> {
    use braces::Language;
    let c = Language { preprocessor: true, ..Language::default() };
    let js = Language { templates: true, regexes: true, lines_end_statements: true, ..Language::default() };
    let lines = Language { lines_end_statements: true, triple_quotes: true, ..Language::default() };
    Some(match extension {
        "rs" => Family::Braces(Language { rust: true, ..Language::default() }),
        "js" | "jsx" | "mjs" | "cjs" | "ts" | "tsx" | "mts" | "cts" => Family::Braces(js),
        "go" => Family::Braces(Language { raw_backticks: true, lines_end_statements: true, ..Language::default() }),
        "c" | "h" | "cc" | "cpp" | "cxx" | "hh" | "hpp" | "hxx" | "m" | "mm" | "cu" | "ino" => Family::Braces(c),
        "cs" => Family::Braces(Language { preprocessor: true, triple_quotes: true, ..Language::default() }),
        "java" => Family::Braces(Language { triple_quotes: true, ..Language::default() }),
        "kt" | "kts" | "scala" | "swift" | "groovy" | "gradle" => Family::Braces(lines),
        "php" => Family::Braces(Language { hash_comments: true, ..Language::default() }),
        "dart" | "zig" | "proto" | "wgsl" | "glsl" | "hlsl" | "d" => {
            Family::Braces(Language { triple_quotes: true, ..Language::default() })
        }
        "sh" | "bash" | "zsh" => {
            Family::Braces(Language { shell: true, hash_comments: true, lines_end_statements: true, ..Language::default() })
        }
        "py" | "pyi" | "pyx" => Family::Indents(indents::PYTHON),
        "rb" | "rake" => Family::Indents(indents::RUBY),
        "lua" => Family::Indents(indents::LUA),
        "ex" | "exs" => Family::Indents(indents::ELIXIR),
        "jl" => Family::Indents(indents::JULIA),
        _ => return None,
    })
}
