//! Whether a value satisfies a schema, written from the specification and sharing nothing with the engine.

use serde_json::Value;

/// `Err` says what is wrong.
pub fn validate(whole: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let schema = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Bool(false) => return Err("nothing is allowed".into()),
        schema => schema.as_object().unwrap(),
    };
    let fail = |what: &str| Err(format!("{what}: {value}"));
    for (key, asked) in schema {
        match key.as_str() {
            "$ref" => {
                let pointer = asked.as_str().unwrap().strip_prefix('#').unwrap();
                validate(whole, whole.pointer(pointer).unwrap(), value)?;
            }
            "type" => {
                let names: Vec<&str> =
                    asked.as_array().map_or_else(|| vec![asked.as_str().unwrap()], |all| all.iter().map(|n| n.as_str().unwrap()).collect());
                if !names.iter().any(|name| has_type(value, name)) {
                    return fail("type");
                }
            }
            "enum" if !asked.as_array().unwrap().contains(value) => return fail("enum"),
            "const" if asked != value => return fail("const"),
            "anyOf" | "allOf" | "oneOf" => {
                let members = asked.as_array().unwrap();
                let good = members.iter().filter(|member| validate(whole, member, value).is_ok()).count();
                let enough = match key.as_str() {
                    "anyOf" => good > 0,
                    "allOf" => good == members.len(),
                    _ => good == 1,
                };
                if !enough {
                    return fail(key);
                }
            }
            _ => {}
        }
    }
    let size = |key: &str| schema.get(key).map(|bound| bound.as_u64().unwrap() as usize);
    let within =
        |length: usize, low: &str, high: &str| size(low).is_none_or(|low| low <= length) && size(high).is_none_or(|high| length <= high);
    match value {
        Value::String(text) if !within(text.chars().count(), "minLength", "maxLength") => fail("length"),
        Value::Array(items) => {
            if !within(items.len(), "minItems", "maxItems") {
                return fail("items");
            }
            items.iter().try_for_each(|item| schema.get("items").map_or(Ok(()), |schema| validate(whole, schema, item)))
        }
        Value::Object(members) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
                if !members.contains_key(name.as_str().unwrap()) {
                    return fail("required");
                }
            }
            for (key, member) in members {
                match (properties.and_then(|all| all.get(key)), schema.get("additionalProperties")) {
                    (Some(schema), _) | (None, Some(schema)) => validate(whole, schema, member)?,
                    (None, None) => {}
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn has_type(value: &Value, name: &str) -> bool {
    match (value, name) {
        (Value::Null, "null") | (Value::Bool(_), "boolean") | (Value::String(_), "string") => true,
        (Value::Number(_), "number") | (Value::Array(_), "array") | (Value::Object(_), "object") => true,
        (Value::Number(number), "integer") => number.is_i64() || number.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => false,
    }
}

#[test]
fn the_validator_refuses() {
    use serde_json::json;
    let whole = json!({"$defs": {"n": {"type": "integer"}}});
    for (schema, good, bad) in [
        (json!({"type": "integer"}), json!(3), json!(3.5)),
        (json!({"type": ["string", "null"]}), json!(null), json!(1)),
        (json!({"enum": ["a", 1]}), json!(1), json!("b")),
        (json!({"const": {"a": []}}), json!({"a": []}), json!({"a": [1]})),
        (json!({"type": "string", "minLength": 2}), json!("é中"), json!("é")),
        (json!({"type": "string", "maxLength": 2}), json!("é中"), json!("abc")),
        (json!({"type": "array", "items": {"$ref": "#/$defs/n"}}), json!([1, 2]), json!([1, "2"])),
        (json!({"type": "array", "minItems": 1, "maxItems": 2}), json!([1]), json!([])),
        (json!({"type": "array", "minItems": 1, "maxItems": 2}), json!([1]), json!([1, 2, 3])),
        (json!({"type": "object", "required": ["a"]}), json!({"a": 1}), json!({})),
        (json!({"properties": {"a": {"type": "null"}}}), json!({"a": null}), json!({"a": 1})),
        (json!({"properties": {"a": true}, "additionalProperties": false}), json!({"a": 1}), json!({"b": 1})),
        (json!({"additionalProperties": {"type": "null"}}), json!({"b": null}), json!({"b": 1})),
        (json!({"anyOf": [{"type": "null"}, {"type": "string"}]}), json!("a"), json!(1)),
        (json!({"oneOf": [{"type": "number"}, {"type": "integer"}]}), json!(0.5), json!(1)),
    ] {
        validate(&whole, &schema, &good).unwrap();
        assert!(validate(&whole, &schema, &bad).is_err(), "{schema} takes {bad}");
    }
}
