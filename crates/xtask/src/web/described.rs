//! The element's own source against what describes it: types, the description for editors, the package's README.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::shell;

fn read(name: &str) -> String {
    std::fs::read_to_string(shell::root().join("web").join(name)).unwrap()
}

/// Every text between `before` and `after`.
fn between(text: &str, before: &str, after: &str) -> BTreeSet<String> {
    text.split(before).skip(1).filter_map(|rest| Some(rest.split_once(after)?.0.to_string())).collect()
}

fn names(list: &Value) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_string()).collect()
}

/// The public methods of the class.
fn methods(source: &str) -> BTreeSet<String> {
    let class = source.split("class LonghandReader").nth(1).unwrap().split("\n}\n").next().unwrap();
    let own = ["connectedCallback", "disconnectedCallback", "attributeChangedCallback", "addEventListener", "removeEventListener"];
    let name = |line: &str| {
        let line = line.strip_prefix("  ")?;
        let name = line.strip_prefix("async ").unwrap_or(line).split(['(', '<']).next()?;
        let is_name =
            name.starts_with(|first: char| first.is_ascii_lowercase()) && name.chars().all(|letter| letter.is_ascii_alphanumeric());
        (is_name && line.contains('(') && !own.contains(&name)).then(|| name.to_string())
    };
    class.lines().filter_map(name).collect()
}

#[test]
fn the_element_is_what_its_descriptions_say() {
    let (source, types, readme) = (read("embed/longhand.js"), read("embed/longhand.d.ts"), read("embed/README.md"));
    let manifest: Value = serde_json::from_str(&read("embed/custom-elements.json")).unwrap();
    let element = &manifest["modules"][0]["declarations"][0];

    let mut attributes = between(&source, "getAttribute(\"", "\"");
    attributes.extend(between(&source, "hasAttribute(\"", "\""));
    assert_eq!(names(&element["attributes"]), attributes);
    assert_eq!(between(&readme, "\n| `", "`"), attributes);

    let expected = methods(&source);
    assert!(expected.contains("start") && expected.contains("ask"), "{expected:?}");
    assert_eq!(names(&element["members"]), expected);
    assert_eq!(methods(&types), expected);
    for name in &expected {
        assert!(readme.contains(&format!("`{name}(")), "the README says nothing of {name}()");
    }

    let told: String = ["state.rs", "state/hear.rs", "state/tell.rs"].iter().map(|name| read(&format!("src/page/{name}"))).collect();
    let mut events = between(&told, "self.tell(\"", "\"");
    assert!(events.remove("shown"), "the element keeps this one to itself");
    let events: BTreeSet<String> = events.into_iter().map(|name| format!("longhand-{name}")).collect();
    assert_eq!(names(&element["events"]), events);
    assert_eq!(
        between(&types, "\n  \"longhand-", "\": CustomEvent").into_iter().map(|name| format!("longhand-{name}")).collect::<BTreeSet<_>>(),
        events
    );
    for name in &events {
        assert!(readme.contains(&format!("`{name}`")), "the README says nothing of {name}");
    }

    let mut parts: BTreeSet<String> = BTreeSet::new();
    for list in between(&source, ".part = \"", "\"") {
        parts.extend(list.split(' ').map(String::from));
    }
    assert_eq!(names(&element["cssParts"]), parts);
}

#[test]
fn the_strict_policy_is_the_one_we_ask_for() {
    let readme = read("embed/README.md");
    let asked = readme.lines().map(str::trim).find(|line| line.starts_with("script-src")).unwrap();
    let strict: Vec<&str> = crate::app::STRICT.split("; ").collect();
    for rule in asked.split("; ") {
        assert!(strict.contains(&rule), "{rule}");
    }
}
