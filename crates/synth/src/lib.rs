//! Documents in, verified multi-hop questions out (§3 of the paper, whose data and code were never published).
//!
//! ```text
//! documents ─► Corpus (classes, filters, near-duplicates) ─► facts ─► Graph ─► walks ─► questions ──┐
//!                                                              └─► tables ─► SQL ─► questions ──────┼─► context ─► checks ─► rows
//!                                                              └─► dialogues ─► quotes ─────────────┤                 └─► rejects
//!                                          clusters ─► proposer ─► solvers ─► verifiers ────────────┘
//! ```
//!
//! Everything here is a function of its arguments and a seed: no files, no clock, no threads, so that the same corpus and the same seed
//! give the same rows on every machine and in a browser. A row carries its [`data::Derivation`], and [`audit`] computes it again.

mod again;
mod agents;
mod ask;
mod audit;
mod candidate;
mod checks;
mod choice;
mod context;
mod corpus;
mod describe;
mod dialogue;
mod estimate;
mod extract;
mod fact;
mod graph;
mod hash;
mod measure;
mod mutate;
mod near;
mod overlap;
mod plan;
mod prose;
mod row;
#[cfg(feature = "sql")]
mod sql;
#[cfg(feature = "sql")]
mod table;
mod trial;
mod walk;

pub use again::{Prompts, prompts};
pub use agents::{AgentCounts, AgentSettings, Call, Choice, Said, Task};
pub use audit::{Audit, Finding, Kept, audit, audit_kept};
pub use candidate::{Candidate, Reject};
pub use checks::{Checks, Passed, STEPS, Waterfall};
pub use choice::{multiple_choice, others};
pub use context::{Context, Shelf, assemble, part_title};
pub use corpus::{Class, Corpus, CorpusReport, Filters, Source, names_something, parts};
pub use dialogue::{DialogueSettings, dialogues};
pub use estimate::{Assumed, Estimate, Load, Prose, ROLES, Rates, Size, at_most, estimate};
pub use extract::{ExtractSettings, Extracted, Extraction, Extractor};
pub use fact::facts;
pub use graph::{Feasible, Graph, GraphReport};
pub use mutate::holds_if;
pub use overlap::Benchmarks;
pub use plan::{Ask, Event, Ground, Group, Maker, Outcome, Tried, make};
pub use prose::Woven;
pub use row::{item, row_id};
#[cfg(feature = "sql")]
pub use sql::{SqlError, run as run_sql};
#[cfg(feature = "sql")]
pub use table::{TableSettings, mutated, numeric};
pub use trial::{Trial, TrialError, TrialSettings, attempt, is_right};
pub use walk::{WalkSettings, chains};
