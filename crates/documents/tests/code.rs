//! Cuts of real sources: this crate's own, and small ones of each language.

use documents::code_cuts;

/// The first line behind each cut.
fn firsts<'a>(name: &str, text: &'a str) -> Vec<&'a str> {
    code_cuts(name, text).unwrap().into_iter().map(|cut| text[cut..].lines().next().unwrap_or("").trim()).collect()
}

#[test]
fn rust_items_keep_their_comments_and_attributes() {
    let text = "use a::b;\n\n/// Says so.\n#[must_use]\npub fn one<'a>(x: &'a str) -> char {\n    if x == \"}\" { '{' } else { r#\"\"}\"#; '\\'' }\n}\n\n\
        impl Thing {\n    const N: u8 = 1;\n\n    /// Two.\n    fn two(&self) {\n        loop {\n        }\n    }\n    fn three() -> impl Fn() {\n        || {\n        }\n    }\n}\nconst X: u8 = 2;\n";
    assert_eq!(
        firsts("a.rs", text),
        ["/// Says so.", "", "impl Thing {", "/// Two.", "fn three() -> impl Fn() {", "}", "const X: u8 = 2;"]
    );
}

#[test]
fn python_functions_and_methods() {
    let text = "import os\n\n# About f.\n@deco(\n    1)\ndef f(x):\n    s = '''\ndef not_this():\n'''\n    def inner():\n        pass\n    return s\n\nX = 1\n\nclass A:\n    y = 2\n\n    def m(self):\n        pass\n\n    async def n(self):\n        pass\n";
    assert_eq!(firsts("a.py", text), ["# About f.", "X = 1", "class A:", "def m(self):", "async def n(self):"]);
}

#[test]
fn javascript_strings_templates_and_regexes_hide_braces() {
    let text = "import x from 'y'\n\nconst re = /[/{]\"/g\nexport function a() {\n  return `}${ {b: '}'}.b }{`\n}\n\nclass B extends C {\n  get() {\n    return 1 / 2\n  }\n}\nmodule.exports = { a,\n b }\n";
    let cuts = firsts("a.js", text);
    assert_eq!(cuts, ["export function a() {", "", "class B extends C {", "get() {", "}", "module.exports = { a,"]);
}

#[test]
fn c_functions_between_directives() {
    let text = "#include <a.h>\n#define M(x) { \\\n  x\n\n/* About f. */\nstatic int\nf(struct s *p)\n{\n  return '}' + \"{\"[0];\n}\n\nstruct s {\n  int x;\n};\n\nint g(void) {\n  return 1;\n}\n";
    assert_eq!(firsts("a.c", text), ["/* About f. */", "", "struct s {", "", "int g(void) {"]);
}

#[test]
fn other_languages() {
    let go = "package main\n\nimport \"fmt\"\n\n// F does.\nfunc F() {\n\tfmt.Println(`}`)\n}\n\nfunc (t *T) G() {\n\tx()\n}\n";
    assert_eq!(firsts("a.go", go), ["// F does.", "", "func (t *T) G() {"]);
    let java = "package p;\n\n/** Doc. */\npublic class A {\n    int x;\n\n    @Override\n    public void f() {\n        g();\n    }\n\n    void g() {\n    }\n}\n";
    assert_eq!(firsts("A.java", java), ["/** Doc. */", "@Override", "", "void g() {", "}"]);
    let ruby = "require 'x'\n\nclass A\n  # About m.\n  def m\n    [1].each do |x|\n      p x\n    end\n  end\n\n  def n\n    2\n  end\nend\n\nputs A.new.m\n";
    assert_eq!(firsts("a.rb", ruby), ["class A", "# About m.", "def n", "puts A.new.m"]);
    let shell = "#!/bin/sh\n\n# About f.\nf() {\n  echo \"}\" ${x#y}\n}\n\nf\n";
    assert_eq!(firsts("a.sh", shell), ["# About f.", ""]);
    assert!(code_cuts("a.txt", "x").is_none());
}

/// In well-formatted Rust each item of a file begins at the margin: all of the crate's functions with a body have a cut right above
/// them or their comments.
#[test]
fn this_crates_functions_are_all_found() {
    let mut functions = 0;
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let cuts = code_cuts("x.rs", &text).unwrap();
            let (mut at, mut above) = (0, 0);
            for line in text.split_inclusive('\n') {
                let words = line.trim_start();
                let goes_with_next = words.starts_with("//") || words.starts_with("#[");
                let is_function = (words.starts_with("fn ") || words.starts_with("pub fn ")) && line.len() - words.len() <= 4;
                let has_body = line.ends_with("{\n");
                if is_function && has_body && !text[..above].is_empty() {
                    assert!(cuts.contains(&above), "{}: no cut above {words}", path.display());
                    functions += 1;
                }
                at += line.len();
                if !goes_with_next {
                    above = at;
                }
            }
        }
    }
    assert!(functions > 150, "{functions}");
}

#[test]
fn documents_of_source_code_have_their_cuts() {
    let text = "/// One.\nfn one() {\n}\n\n/// Two.\nfn two() {\n}\n";
    let document = |name: &str| documents::convert(name, text.as_bytes()).unwrap().document;
    let code = document("src/a.rs");
    assert_eq!((code.code, code.cuts.clone()), (true, code_cuts("a.rs", text).unwrap()));
    assert!(code.cuts.iter().any(|&cut| text[cut..].starts_with("/// Two.")));
    assert_eq!(code.place("src/a.rs", text.find("fn two").unwrap()), "src/a.rs:6");
    let (style, prose) = (document("a.css"), document("a.txt"));
    assert_eq!((style.code, style.cuts.len()), (true, 0));
    assert_eq!((prose.code, prose.cuts.len(), prose.place("a.txt", 9)), (false, 0, "a.txt, line 2".into()));
}
