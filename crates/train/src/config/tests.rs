use super::Config;
use super::keys::KEYS;
use super::rl::TABLES;
use crate::rl::recipe::Recipe;

/// That every key of the sections is written and explained in a template.
fn explained(template: &str, sections: impl Fn(&str) -> bool, others: &[&str]) {
    for (section, keys) in KEYS.iter().filter(|(section, _)| sections(section)) {
        let heads = [format!("\n[{section}]"), format!("\n# [{section}]")];
        let Some(start) = heads.iter().find_map(|head| template.find(head)) else { panic!("[{section}] is not in the template") };
        let rest = &template[start + 1..];
        let text = rest.split("\n\n").next().unwrap();
        for key in *keys {
            let said = text
                .lines()
                .any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} =")) || line.contains(&format!("or {key} = N")));
            let name = format!("{section}.{key}");
            assert_eq!(said, !others.contains(&name.as_str()), "`{name}` is not in the template, or should not be");
        }
    }
}

#[test]
fn the_templates_explain_every_key() {
    explained(Config::TEMPLATE, |section| !TABLES.contains(&section), &[]);
    explained(Recipe::TEMPLATE, |_| true, &["train.epochs", "train.batch_tokens", "data.loss"]);
}
