//! The small world: seeded documents of any length in plain English over a small vocabulary, and questions about them whose answers
//! and evidence are known.
