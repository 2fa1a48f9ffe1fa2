use super::*;

fn imports(path: &str) -> Option<&'static str> {
    match path {
        "shared/a.wgsl" => Some("#import \"shared/b.wgsl\"\nconst a = 1;"),
        "shared/b.wgsl" => Some("const b = {{N}};"),
        "shared/bad.wgsl" => Some("\n#if N\n"),
        _ => None,
    }
}

fn expand(source: &str, defines: &[(&str, i64)]) -> Result<Module> {
    preprocess("op", source, defines, Target::default(), &imports)
}

fn fails(source: &str, defines: &[(&str, i64)]) -> String {
    expand(source, defines).expect_err("it must be refused").to_string()
}

#[test]
fn a_branch_is_chosen_and_constants_are_filled() {
    let source = "#if N == 1\none\n#elif N % 2 == 0 && !(N < 4)\neven {{N * 2 - 1}}\n#else\nother\n#endif";
    assert_eq!(expand(source, &[("N", 1)]).unwrap().source, "one\n");
    assert_eq!(expand(source, &[("N", 4)]).unwrap().source, "even 7\n");
    assert_eq!(expand(source, &[("N", 2)]).unwrap().source, "other\n");
}

#[test]
fn a_false_branch_hides_everything_inside_it() {
    let source = "#if 0\n#import \"nowhere\"\n#if UNKNOWN\n#elif UNKNOWN\n#else\n#endif\n{{UNKNOWN}}\n#else\nkept\n#endif";
    assert_eq!(expand(source, &[]).unwrap().source, "kept\n");
}

#[test]
fn an_import_is_pasted_once_and_lines_keep_their_origin() {
    let module = expand("#import \"shared/a.wgsl\"\n#import \"shared/b.wgsl\"\nx", &[("N", 3)]).unwrap();
    assert_eq!(module.source, "const b = 3;\nconst a = 1;\nx\n");
    assert_eq!(module.origin(1).unwrap(), "shared/b.wgsl:1");
    assert_eq!(module.origin(2).unwrap(), "shared/a.wgsl:2");
    assert_eq!(module.origin(3).unwrap(), "op:3");
    assert_eq!(module.explain("error at wgsl:2:7: what").0, "shared/a.wgsl:2");
}

#[test]
fn the_header_is_written_for_the_target() {
    let source = "#enable f16\n#enable subgroups\nx";
    let all = Target { f16: true, subgroups: true, web: false };
    assert_eq!(preprocess("op", source, &[], all, &imports).unwrap().source, "enable f16;\nx\n");
    let web = Target { web: true, ..all };
    assert_eq!(preprocess("op", source, &[], web, &imports).unwrap().source, "enable f16;\nenable subgroups;\nx\n");
    assert!(fails(source, &[]).contains("the target has no `f16`"));
}

#[test]
fn errors_name_file_and_line() {
    assert_eq!(fails("x\n{{M}}", &[]), "shader op:2: `M` is not defined");
    assert_eq!(fails("#if 1", &[]), "shader op:1: #if without #endif");
    assert_eq!(fails("\n#endif", &[]), "shader op:2: #endif without #if");
    assert_eq!(fails("#if 1\n#else\n#else\n#endif", &[]), "shader op:3: #else after #else");
    assert_eq!(fails("#include \"x\"", &[]), "shader op:1: `#include` is not a directive");
    assert_eq!(fails("#import \"x\"", &[]), "shader op:1: there is no `x` to import");
    assert_eq!(fails("#import \"shared/bad.wgsl\"", &[("N", 1)]), "shader shared/bad.wgsl:2: #if without #endif");
    assert_eq!(fails("{{1 / 0}}", &[]), "shader op:1: division by zero");
    assert_eq!(fails("{{1 2}}", &[]), "shader op:1: `2` is not expected in `1 2`");
    assert_eq!(fails("{{(1}}", &[]), "shader op:1: `(` without `)`");
    assert_eq!(fails("{{1", &[]), "shader op:1: `{{` without `}}`");
    assert_eq!(fails("#enable bf16", &[]), "shader op:1: `#enable bf16` is not known");
}
