//! Stable ids: what is the same has the same id on every machine and in every run.

use sha2::{Digest, Sha256};

/// SHA-256 of the parts, each after its length, in hexadecimal.
pub fn sha256<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The id of a thing of this kind: `fact:3f2a…`, 16 hexadecimal digits of [`sha256`].
pub fn id<'a>(kind: &str, parts: impl IntoIterator<Item = &'a str>) -> String {
    format!("{kind}:{}", &sha256(parts)[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_part_ends_matters() {
        assert_eq!(id("fact", ["ab", "c"]), id("fact", ["ab", "c"]));
        assert_ne!(id("fact", ["ab", "c"]), id("fact", ["a", "bc"]));
        assert_eq!(id("fact", [""]).len(), 5 + 16);
    }
}
