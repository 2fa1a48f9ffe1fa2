use wasm_encoder::{ExportKind, ExportSection, Function, NameMap, NameSection, TypeSection, ValType};

use super::*;

/// Functions with a constant each; the last one calls all of them.
fn module(functions: &[(&str, i32)]) -> Vec<u8> {
    let (mut types, mut own, mut exports, mut code) =
        (TypeSection::new(), FunctionSection::new(), ExportSection::new(), CodeSection::new());
    types.ty().function([], [ValType::I32]);
    let mut names = NameMap::new();
    for (at, &(name, value)) in functions.iter().enumerate() {
        own.function(0);
        exports.export(name, ExportKind::Func, at as u32);
        names.append(at as u32, name);
        let mut body = Function::new([]);
        body.instructions().i32_const(value);
        if at + 1 == functions.len() {
            (0..at).for_each(|other| {
                body.instructions().call(other as u32).i32_add();
            });
        }
        body.instructions().end();
        code.function(&body);
    }
    let mut section = NameSection::new();
    section.functions(&names);
    let mut module = Module::new();
    module.section(&types).section(&own).section(&exports).section(&code).section(&section);
    module.finish()
}

/// Bodies by the names they are exported with, and the numbers in the order of the code.
fn exported(wasm: &[u8]) -> HashMap<String, (u32, Vec<u8>)> {
    let source = Source::read(wasm).unwrap();
    let mut found = HashMap::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::ExportSection(exports) = payload.unwrap() {
            for export in exports {
                let export = export.unwrap();
                found.insert(export.name.into(), (export.index, source.bodies[export.index as usize].as_bytes().to_vec()));
            }
        }
    }
    found
}

#[test]
fn functions_are_put_beside_their_like_and_called_where_they_are() {
    let given = [
        ("<B as Clone>::clone::h0123456789abcdef", 2),
        ("zoo", 9),
        ("<A<T> as Clone>::clone::h1123456789abcdef", 1),
        ("again", 9),
        ("all", 0),
    ];
    let before = module(&given);
    let after = ordered(&before).unwrap();
    let (old, new) = (exported(&before), exported(&after));
    for (name, _) in &given[..4] {
        assert_eq!(old[*name].1, new[*name].1, "{name}");
    }
    assert_eq!(new["zoo"].0, new["again"].0, "the same bytes are there once");
    assert_eq!(new["all"].0, 2, "after both that clone: Clone comes before lower case");
    let calls: Vec<u32> = given[..4].iter().map(|(name, _)| new[*name].0).collect();
    let mut expected = Function::new([]);
    expected.instructions().i32_const(0);
    calls.iter().for_each(|&number| {
        expected.instructions().call(number).i32_add();
    });
    expected.instructions().end();
    assert_eq!(new["all"].1, expected.into_raw_body());
    assert!(Source::read(&after).unwrap().names.is_empty(), "names are left out");
}

#[test]
fn a_module_without_names_is_refused() {
    assert!(ordered(&module(&[])).is_err());
}

#[test]
fn places() {
    assert_eq!(place("<alloc::vec::Vec<T> as core::clone::Clone>::clone::h0123456789abcdef"), "core::clone::Clone::clone");
    assert_eq!(place("<A as From<B>>::from"), "From::from");
    assert_eq!(place("model::load::happens"), "model::load::happens");
}
