//! The order of a module's functions, so that it packs small.
//!
//! gzip finds what was there before within 32 KiB. A module of Rust has hundreds of functions that one generic one became, nearly the same bytes each; lying
//! side by side they cost little more than one. wasm-bindgen writes functions by their size, which parts them. Here they are put in the order of
//! the name they have in the source, a trait's method before the type it is of, and functions that are the same bytes become one. The names are left
//! out of what is written. Nothing else changes: what is called is the same code.

use std::collections::HashMap;
use std::convert::Infallible;

use anyhow::bail;
use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{CodeSection, FunctionSection, Module};
use wasmparser::{CodeSectionReader, CustomSectionReader, FunctionBody, FunctionSectionReader, KnownCustom, Name, Parser, Payload};

/// The module `wasm` in that order. It must have names.
pub fn ordered(wasm: &[u8]) -> anyhow::Result<Vec<u8>> {
    let source = Source::read(wasm)?;
    if source.names.is_empty() {
        bail!("the module has no names to order its functions by");
    }
    let mut plan = Plan::new(&source);
    let mut module = Module::new();
    plan.parse_core_module(&mut module, Parser::new(0), wasm).map_err(|problem| anyhow::anyhow!("{problem}"))?;
    Ok(module.finish())
}

/// What the order is made from.
struct Source<'a> {
    /// How many functions come from outside; they have the first numbers.
    imported: u32,
    /// Types of the module's own functions.
    types: Vec<u32>,
    bodies: Vec<FunctionBody<'a>>,
    /// By number.
    names: HashMap<u32, &'a str>,
}

impl<'a> Source<'a> {
    fn read(wasm: &'a [u8]) -> anyhow::Result<Self> {
        let mut source = Self { imported: 0, types: Vec::new(), bodies: Vec::new(), names: HashMap::new() };
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        source.imported += u32::from(matches!(import?.ty, wasmparser::TypeRef::Func(_)));
                    }
                }
                Payload::FunctionSection(functions) => source.types = functions.into_iter().collect::<Result<_, _>>()?,
                Payload::CodeSectionEntry(body) => source.bodies.push(body),
                Payload::CustomSection(section) => source.read_names(&section)?,
                _ => {}
            }
        }
        Ok(source)
    }

    fn read_names(&mut self, section: &CustomSectionReader<'a>) -> anyhow::Result<()> {
        let KnownCustom::Name(names) = section.as_known() else { return Ok(()) };
        for part in names {
            if let Name::Function(map) = part? {
                for naming in map {
                    let naming = naming?;
                    self.names.insert(naming.index, naming.name);
                }
            }
        }
        Ok(())
    }

    fn name(&self, own: usize) -> &'a str {
        self.names.get(&(self.imported + own as u32)).copied().unwrap_or_default()
    }
}

/// Where each function goes.
struct Plan {
    /// The module's own functions, as they are written.
    order: Vec<usize>,
    /// New numbers by old ones.
    numbers: Vec<u32>,
}

impl Plan {
    fn new(source: &Source) -> Self {
        let bytes = |own: usize| source.bodies[own].as_bytes();
        let mut same: HashMap<(u32, &[u8]), usize> = HashMap::new();
        let stands_for: Vec<usize> =
            (0..source.bodies.len()).map(|own| *same.entry((source.types[own], bytes(own))).or_insert(own)).collect();
        let mut order: Vec<usize> = same.into_values().collect();
        order.sort_by_cached_key(|&own| (place(source.name(own)), bytes(own), own));
        let mut numbers: Vec<u32> = (0..source.imported).collect();
        let mut of_own = vec![0; source.bodies.len()];
        order.iter().zip(source.imported..).for_each(|(&own, number)| of_own[own] = number);
        numbers.extend(stands_for.iter().map(|&own| of_own[own]));
        Self { order, numbers }
    }
}

impl Reencode for Plan {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error> {
        Ok(self.numbers[function as usize])
    }

    fn parse_function_section(&mut self, functions: &mut FunctionSection, section: FunctionSectionReader<'_>) -> Result<(), Error> {
        let types: Vec<u32> = section.into_iter().collect::<Result<_, _>>()?;
        for own in self.order.clone() {
            functions.function(self.type_index(types[own])?);
        }
        Ok(())
    }

    fn parse_code_section(&mut self, code: &mut CodeSection, section: CodeSectionReader<'_>) -> Result<(), Error> {
        let bodies: Vec<FunctionBody> = section.into_iter().collect::<Result<_, _>>()?;
        for own in self.order.clone() {
            self.parse_function_body(code, bodies[own].clone())?;
        }
        Ok(())
    }

    fn parse_custom_section(&mut self, module: &mut Module, section: CustomSectionReader<'_>) -> Result<(), Error> {
        match section.as_known() {
            KnownCustom::Name(_) => Ok(()),
            _ => utils::parse_custom_section(self, module, section),
        }
    }
}

/// What a function is sorted by: `<Vec<T> as Clone>::clone::h0123456789abcdef` is among all that clone.
fn place(name: &str) -> String {
    let name = match name.rsplit_once("::h") {
        Some((before, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => before,
        _ => name,
    };
    let of_trait = name.strip_prefix('<').and_then(|rest| rest.split_once(" as ")).and_then(|(_, rest)| {
        let (of, method) = rest.rsplit_once(">::")?;
        Some(format!("{}::{method}", of.split('<').next()?))
    });
    of_trait.unwrap_or_else(|| name.into())
}

#[cfg(test)]
mod tests;
