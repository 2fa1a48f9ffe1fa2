//! Random schemas of everything that is supported, all of which some value satisfies.

use serde_json::{Map, Value, json};

/// A splitmix64 stream.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    pub fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// Keys and strings that share beginnings, need escapes, and have characters of several bytes.
const NAMES: [&str; 14] = ["a", "ab", "abc", "name", "nam", "é", "中文", "中", "😀", "q\"uote", "back\\slash", "line\nend", "", "a b"];
const VALUES: [&str; 12] = ["red", "reddish", "re", "", "中", "中文", "😀", "\"", "\\", "\u{1}", "true", "1"];

/// A schema; the references of its parts are within the whole.
pub fn random(random: &mut Random) -> Value {
    let mut whole = schema(random, 3);
    if random.below(4) == 0 {
        whole = json!({"type": "object", "properties": {"tree": {"$ref": "#/$defs/tree"}, "rest": whole}, "required": ["tree"], "additionalProperties": false});
        whole["$defs"] = json!({"tree": {"type": "object", "properties": {"v": {"type": "integer"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 2}}, "required": ["v", "kids"]}});
    }
    whole
}

fn schema(random: &mut Random, depth: usize) -> Value {
    let kinds = if depth == 0 { 8 } else { 14 };
    let mut schema = match random.below(kinds) {
        0 => json!({"type": "integer"}),
        1 => json!({"type": "number"}),
        2 => json!({"type": random.one(&["boolean", "null"])}),
        3 => bounded(random, json!({"type": "string"}), "minLength", "maxLength", 6),
        4 => json!({"enum": values(random)}),
        5 => json!({"const": random.one(&[json!("red"), json!(-1.5), json!({"a": [1, null]}), json!("é\n"), json!([])])}),
        6 => bounded(random, json!({"type": ["string", "null", "integer"]}), "minLength", "maxLength", 4),
        7 => json!({"type": "string", "enum": ["a", "ab", "abc", 3, "é"]}),
        8 => {
            let items = schema_of(random, depth);
            bounded(random, json!({"type": "array", "items": items}), "minItems", "maxItems", 3)
        }
        9 | 10 => object(random, depth),
        11 => json!({"anyOf": [schema_of(random, depth), schema_of(random, depth)]}),
        12 => exclusive(random, depth),
        _ => match random.below(4) {
            0 => json!({}),
            1 => json!({"type": "object", "additionalProperties": schema_of(random, depth)}),
            2 => json!({"type": "array", "maxItems": 2}),
            _ => json!({"allOf": [schema_of(random, depth)], "description": "one"}),
        },
    };
    if random.below(5) == 0 {
        schema["title"] = json!("a title");
    }
    schema
}

fn schema_of(random: &mut Random, depth: usize) -> Value {
    schema(random, depth - 1)
}

fn bounded(random: &mut Random, mut schema: Value, low: &str, high: &str, most: usize) -> Value {
    let min = random.below(most);
    if random.below(2) == 0 {
        schema[low] = json!(min);
    }
    if random.below(3) > 0 {
        schema[high] = json!(min + random.below(most));
    }
    schema
}

fn values(random: &mut Random) -> Vec<Value> {
    let more = [json!(1), json!(10), json!(105), json!(true), Value::Null, json!([1, "a"]), json!({"k": "v"})];
    (0..1 + random.below(6)).map(|_| if random.below(3) > 0 { json!(random.one(&VALUES)) } else { random.one(&more) }).collect()
}

fn object(random: &mut Random, depth: usize) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for _ in 0..random.below(5) {
        let name = random.one(&NAMES);
        properties.insert(name.into(), schema_of(random, depth));
        if random.below(2) == 0 && !required.contains(&json!(name)) {
            required.push(json!(name));
        }
    }
    let mut schema = json!({"type": "object", "properties": properties, "required": required});
    if random.below(2) == 0 {
        schema["additionalProperties"] = json!(random.below(2) == 0);
    }
    schema
}

/// Members that a key or their type tells apart.
fn exclusive(random: &mut Random, depth: usize) -> Value {
    if random.below(2) == 0 {
        return json!({"oneOf": [{"type": "string", "maxLength": 3}, {"type": "array", "items": schema_of(random, depth), "maxItems": 2}, {"type": "null"}]});
    }
    let member = |kind: &str, random: &mut Random| {
        let rest = schema_of(random, depth);
        json!({"type": "object", "properties": {"kind": {"const": kind}, "rest": rest}, "required": ["kind"]})
    };
    json!({"oneOf": [member("red", random), member("reddish", random)]})
}
