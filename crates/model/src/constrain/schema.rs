//! From a JSON Schema to a grammar.
//!
//! | keyword | |
//! | --- | --- |
//! | `type` | a name or a list of names; without it the kinds that the other keywords speak of, else any value |
//! | `enum`, `const` | written in one way each; with `type` those of that type |
//! | `properties`, `required`, `additionalProperties` | keys in the order of `properties`, no others; without `properties` any keys, with values of the schema of `additionalProperties` |
//! | `items`, `minItems`, `maxItems` | |
//! | `minLength`, `maxLength` | in characters |
//! | `anyOf`, `oneOf`, `allOf` | alone; of `oneOf` no two may allow the same value; `allOf` of one |
//! | `$ref` | within the schema: `#`, `#/$defs/name` and other pointers |
//!
//! Annotations (`title`, `description`, …) are passed over. Every other keyword is an error: a form that is half held is none.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::grammar::{Grammar, Node, NodeId, Property, UNBOUNDED};
use super::literals::Literals;
use crate::error::{ModelError, Result};

/// Keywords that say nothing of what is allowed, or, as `$defs`, nothing by themselves.
const ANNOTATIONS: [&str; 14] = [
    "title",
    "description",
    "default",
    "examples",
    "example",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "definitions",
    "$anchor",
];
/// Keywords that speak of one type.
const OF_TYPES: [(&str, &str); 8] = [
    ("properties", "object"),
    ("required", "object"),
    ("additionalProperties", "object"),
    ("items", "array"),
    ("minItems", "array"),
    ("maxItems", "array"),
    ("minLength", "string"),
    ("maxLength", "string"),
];
const TYPES: [&str; 7] = ["object", "array", "string", "number", "integer", "boolean", "null"];
/// Schemas within each other, at most.
const DEPTH: usize = 200;

/// The grammar of what a schema allows, in bytes that can be `spelt`: a key or fixed value with another one is written with escapes.
///
/// # Errors
/// A keyword that is not known, or has no such value; a schema that nothing satisfies.
pub fn compile(schema: &Value, spelt: &dyn Fn(u8) -> bool) -> Result<Grammar> {
    let (nodes, inferred, exclusive) = (Vec::new(), Vec::new(), Vec::new());
    let mut compiler = Compiler { whole: schema, spelt, nodes, inferred, refs: HashMap::new(), any: None, exclusive };
    let root = compiler.schema(schema, "", 0)?;
    let Compiler { nodes, mut inferred, exclusive, .. } = compiler;
    let grammar = Grammar::new(nodes, root);
    inferred.push(false); // the string that the grammar adds
    if grammar.choices(root).is_empty() {
        return Err(wrong("", "no value satisfies it"));
    }
    if !grammar.fits(root, 0) {
        return Err(wrong("", format!("its values have more than {} lists and objects within each other", super::grammar::DEPTH)));
    }
    for (place, members) in exclusive {
        for (at, &one) in members.iter().enumerate() {
            for (other_at, &other) in members.iter().enumerate().skip(at + 1) {
                if !super::exclusive::are_exclusive(&grammar, &inferred, one, other) {
                    let message =
                        format!("`oneOf`: a value may satisfy both {at} and {other_at}, and then it satisfies neither; `anyOf` allows it");
                    return Err(wrong(&place, message));
                }
            }
        }
    }
    Ok(grammar)
}

fn wrong(place: &str, message: impl Into<String>) -> ModelError {
    ModelError::Schema { place: if place.is_empty() { "its root".into() } else { format!("`{place}`") }, message: message.into() }
}

struct Compiler<'a> {
    whole: &'a Value,
    spelt: &'a dyn Fn(u8) -> bool,
    nodes: Vec<Node>,
    /// Nodes whose type the schema does not state: it allows values of other types as well.
    inferred: Vec<bool>,
    refs: HashMap<&'a str, NodeId>,
    any: Option<NodeId>,
    /// Place and members of each `oneOf`.
    exclusive: Vec<(String, Vec<NodeId>)>,
}

impl<'a> Compiler<'a> {
    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.inferred.push(false);
        self.nodes.len() as NodeId - 1
    }

    fn literals(&mut self, values: Vec<Value>) -> NodeId {
        let texts: Vec<String> = values.iter().map(|value| self.written(value)).collect();
        let texts = Literals::new(texts.iter().map(String::as_bytes));
        self.add(Node::Literals { texts, values })
    }

    /// A value as the reply has it.
    fn written(&self, value: &Value) -> String {
        let text = value.to_string();
        if text.bytes().all(self.spelt) { text } else { escaped(&text) }
    }

    /// Any value.
    fn any(&mut self) -> NodeId {
        if let Some(any) = self.any {
            return any;
        }
        let any = self.add(Node::AnyOf(Vec::new()));
        self.any = Some(any);
        let members = vec![
            self.literals(vec![json!(true), json!(false), Value::Null]),
            self.add(Node::Text { min: 0, max: UNBOUNDED }),
            self.add(Node::Number { integer: false }),
            self.add(Node::Array { items: any, min: 0, max: UNBOUNDED }),
            self.add(Node::Map { value: any }),
        ];
        self.nodes[any as usize] = Node::AnyOf(members);
        any
    }

    fn schema(&mut self, schema: &'a Value, place: &str, depth: usize) -> Result<NodeId> {
        if depth > DEPTH {
            return Err(wrong(place, "too many schemas within each other"));
        }
        let schema = match schema {
            Value::Bool(true) => return Ok(self.any()),
            Value::Bool(false) => return Ok(self.add(Node::AnyOf(Vec::new()))),
            Value::Object(schema) => schema,
            other => return Err(wrong(place, format!("a schema is an object, not `{other}`"))),
        };
        let known = |key: &str| {
            ANNOTATIONS.contains(&key)
                || OF_TYPES.iter().any(|of| of.0 == key)
                || matches!(key, "type" | "enum" | "const" | "anyOf" | "oneOf" | "allOf" | "$ref")
                // It asks for nothing.
                || (key == "uniqueItems" && schema[key] == false)
        };
        if let Some(key) = schema.keys().find(|key| !known(key)) {
            return Err(wrong(
                place,
                format!(
                    "the keyword `{key}` is not supported by the local engine: leave it out and check the reply, or use a server that holds to it"
                ),
            ));
        }
        for key in ["$ref", "anyOf", "oneOf", "allOf"] {
            if let Some(value) = schema.get(key) {
                alone(schema, &[key], place)?;
                return self.combined(key, value, place, depth);
            }
        }
        let types = types(schema, place)?;
        if schema.contains_key("enum") || schema.contains_key("const") {
            alone(schema, &["enum", "const", "type"], place)?;
            return self.fixed(schema, types, place);
        }
        self.typed(schema, types, place, depth)
    }

    /// `$ref`, `anyOf`, `oneOf` and `allOf`.
    fn combined(&mut self, key: &str, value: &'a Value, place: &str, depth: usize) -> Result<NodeId> {
        let place = format!("{place}/{key}");
        if key == "$ref" {
            return self.reference(value, &place, depth);
        }
        let members = value.as_array().filter(|members| !members.is_empty());
        let members = members.ok_or_else(|| wrong(&place, "is a list of schemas that is not empty"))?;
        if key == "allOf" && members.len() > 1 {
            return Err(wrong(&place, "only one schema is supported here: write what several ask for as one"));
        }
        let compiled = members.iter().enumerate().map(|(at, member)| self.schema(member, &format!("{place}/{at}"), depth + 1));
        let compiled = compiled.collect::<Result<Vec<NodeId>>>()?;
        if key == "oneOf" {
            self.exclusive.push((place, compiled.clone()));
        }
        Ok(self.add(Node::AnyOf(compiled)))
    }

    fn reference(&mut self, value: &'a Value, place: &str, depth: usize) -> Result<NodeId> {
        let pointer =
            value.as_str().and_then(|text| text.strip_prefix('#')).filter(|pointer| pointer.is_empty() || pointer.starts_with('/'));
        let pointer =
            pointer.ok_or_else(|| wrong(place, format!("{value} is not `#` or `#/…`: only references within the schema are followed")))?;
        if let Some(&node) = self.refs.get(pointer) {
            return Ok(node);
        }
        let target = self.whole.pointer(pointer).ok_or_else(|| wrong(place, format!("`#{pointer}` is not in the schema")))?;
        // Its number is known before its content, which may refer to it.
        let node = self.add(Node::AnyOf(Vec::new()));
        self.refs.insert(pointer, node);
        let content = self.schema(target, pointer, depth + 1)?;
        self.nodes[node as usize] = Node::AnyOf(vec![content]);
        Ok(node)
    }

    /// `enum` and `const`.
    fn fixed(&mut self, schema: &'a Map<String, Value>, types: Option<Vec<&'a str>>, place: &str) -> Result<NodeId> {
        let listed = match schema.get("enum") {
            Some(Value::Array(values)) => Some(values.clone()),
            Some(other) => return Err(wrong(place, format!("`enum` is a list, not `{other}`"))),
            None => None,
        };
        let mut values = match (listed, schema.get("const")) {
            (Some(values), Some(constant)) => values.into_iter().filter(|value| value == constant).collect(),
            (Some(values), None) => values,
            (None, constant) => constant.cloned().into_iter().collect(),
        };
        if let Some(types) = types {
            values.retain(|value| types.iter().any(|name| is_of(value, name)));
        }
        if values.is_empty() {
            return Err(wrong(place, "`enum`, `const` and `type` leave no value"));
        }
        Ok(self.literals(values))
    }

    fn typed(&mut self, schema: &'a Map<String, Value>, types: Option<Vec<&'a str>>, place: &str, depth: usize) -> Result<NodeId> {
        let spoken_of = |name: &str| OF_TYPES.iter().any(|of| of.1 == name && schema.contains_key(of.0));
        let stated = types.is_some();
        let types = types.unwrap_or_else(|| TYPES.into_iter().filter(|name| spoken_of(name)).collect());
        if types.is_empty() {
            return Ok(self.any());
        }
        if let Some((key, of)) = OF_TYPES.iter().find(|of| schema.contains_key(of.0) && !types.contains(&of.1)) {
            return Err(wrong(place, format!("`{key}` is for the type `{of}`, which is not among its types")));
        }
        let mut members = Vec::new();
        for name in &types {
            let node = match *name {
                "object" => self.object(schema, place, depth)?,
                "array" => {
                    let items = match schema.get("items") {
                        Some(items) => self.schema(items, &format!("{place}/items"), depth + 1)?,
                        None => self.any(),
                    };
                    let (min, max) =
                        (bound(schema, "minItems", place)?.unwrap_or(0), bound(schema, "maxItems", place)?.unwrap_or(UNBOUNDED));
                    self.add(Node::Array { items, min, max })
                }
                "string" => {
                    let (min, max) =
                        (bound(schema, "minLength", place)?.unwrap_or(0), bound(schema, "maxLength", place)?.unwrap_or(UNBOUNDED));
                    self.add(Node::Text { min, max })
                }
                "number" => self.add(Node::Number { integer: false }),
                // Every integer is a number.
                "integer" if types.contains(&"number") => continue,
                "integer" => self.add(Node::Number { integer: true }),
                "boolean" => self.literals(vec![json!(true), json!(false)]),
                _ => self.literals(vec![Value::Null]),
            };
            self.inferred[node as usize] = !stated;
            members.push(node);
        }
        Ok(if members.len() == 1 { members[0] } else { self.add(Node::AnyOf(members)) })
    }

    fn object(&mut self, schema: &'a Map<String, Value>, place: &str, depth: usize) -> Result<NodeId> {
        let others = schema.get("additionalProperties");
        let properties = match schema.get("properties") {
            Some(Value::Object(properties)) => properties.iter().collect(),
            Some(other) => return Err(wrong(place, format!("`properties` is an object, not `{other}`"))),
            None => Vec::new(),
        };
        let required: Vec<&str> = match schema.get("required") {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            Some(other) => return Err(wrong(place, format!("`required` is a list of names, not `{other}`"))),
            None => Vec::new(),
        };
        if let Some(name) = required.iter().find(|name| properties.iter().all(|(key, _)| key.as_str() != **name)) {
            return Err(wrong(place, format!("`required` names `{name}`, which is not among its `properties`")));
        }
        let closed = others == Some(&Value::Bool(false));
        if properties.is_empty() && !closed {
            let value = match others {
                Some(others) => self.schema(others, &format!("{place}/additionalProperties"), depth + 1)?,
                None => self.any(),
            };
            return Ok(self.add(Node::Map { value }));
        }
        if others.is_some_and(|others| !others.is_boolean()) {
            return Err(wrong(place, "`additionalProperties` with a schema is not supported beside `properties`"));
        }
        let texts: Vec<String> = properties.iter().map(|(name, _)| self.written(&Value::String((*name).clone()))).collect();
        let keys = Literals::new(texts.iter().map(String::as_bytes));
        let mut members = Vec::new();
        for (name, value) in properties {
            let value = self.schema(value, &format!("{place}/properties/{name}"), depth + 1)?;
            members.push(Property { name: name.clone(), value, required: required.contains(&name.as_str()) });
        }
        Ok(self.add(Node::Object { keys, properties: members, closed }))
    }
}

/// JSON without characters of several bytes: outside of strings it has none.
fn escaped(json: &str) -> String {
    let mut units = [0; 2];
    let mut escape = |c: char| c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
    json.chars().map(|c| if c.is_ascii() { c.to_string() } else { escape(c) }).collect()
}

/// Errors with a keyword beside those of `keys`.
fn alone(schema: &Map<String, Value>, keys: &[&str], place: &str) -> Result<()> {
    match schema.keys().find(|key| !keys.contains(&key.as_str()) && !ANNOTATIONS.contains(&key.as_str())) {
        Some(other) => Err(wrong(place, format!("`{other}` beside `{}` is not supported", keys[0]))),
        None => Ok(()),
    }
}

/// The names of `type`.
fn types<'a>(schema: &'a Map<String, Value>, place: &str) -> Result<Option<Vec<&'a str>>> {
    let Some(value) = schema.get("type") else { return Ok(None) };
    let names: Vec<&Value> = match value {
        Value::Array(names) => names.iter().collect(),
        name => vec![name],
    };
    let known = |value: &&'a Value| value.as_str().filter(|name| TYPES.contains(name));
    if let Some(unknown) = names.iter().find(|name| known(name).is_none()) {
        return Err(wrong(place, format!("`type`: {unknown} is not one of {}", TYPES.join(", "))));
    }
    let mut types: Vec<&str> = names.iter().filter_map(known).collect();
    if types.is_empty() {
        return Err(wrong(place, "`type` names none"));
    }
    types.sort_unstable();
    types.dedup();
    Ok(Some(types))
}

fn bound(schema: &Map<String, Value>, key: &str, place: &str) -> Result<Option<u32>> {
    let Some(value) = schema.get(key) else { return Ok(None) };
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| *number < UNBOUNDED);
    number.map(Some).ok_or_else(|| wrong(place, format!("`{key}` is a whole number, not `{value}`")))
}

/// Whether a value has a type.
pub fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "boolean" => value.is_boolean(),
        _ => value.is_null(),
    }
}
