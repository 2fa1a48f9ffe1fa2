use super::Config;
use super::keys::KEYS;

#[test]
fn the_template_explains_every_key() {
    for (section, keys) in KEYS {
        let heads = [format!("\n[{section}]"), format!("\n# [{section}]")];
        let Some(start) = heads.iter().find_map(|head| Config::TEMPLATE.find(head)) else { panic!("[{section}] is not in the template") };
        let rest = &Config::TEMPLATE[start + 1..];
        let text = rest.split("\n\n").next().unwrap();
        for key in *keys {
            let said = text
                .lines()
                .any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} =")) || line.contains(&format!("or {key} = N")));
            assert!(said, "`{section}.{key}` is not in the template");
        }
    }
}
