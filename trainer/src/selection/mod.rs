//! Selection of samples: rejection sampling as DeepSeek-R1 has it, and curation as s1 has it.
//!
//! Everything here is a pure function over rows. No file, no clock, no model; what is drawn is drawn by an address that names
//! the row itself, so that the order of the input does not change what is chosen.
//!
//! Rejection sampling (DeepSeek-R1, arXiv 2501.12948 v1 section 2.3.3, v2 appendix B.3.3) is [`select`]: the [`Screen`] gives each
//! sample its first [`Reason`] to be dropped, duplicates among the others go ([`Duplicates`]), and [`Keep`] chooses among what
//! is left of each problem. [`mix`] joins other data in a given proportion, and [`Statistics`] is the table of it, like R1's
//! Table 5. Curation (s1, arXiv 2501.19393, section 2.2) is [`Curation`], which gives back its [`Funnel`].

mod choice;
mod contamination;
mod curate;
mod draw;
mod duplicates;
mod filters;
mod layout;
mod mix;
mod reason;
mod sample;
mod screen;
mod statistics;
mod text;

pub use choice::{Choice, Keep, select};
pub use contamination::{Contamination, DecontaminationOptions, EvaluationRow, Hit};
pub use curate::{CurateError, Curated, Curation, Funnel, FunnelStep, PassRate, Solver};
pub use duplicates::Duplicates;
pub use filters::{Correctness, Filters};
pub use layout::{Layout, Parts};
pub use mix::{Ingredient, MixCount, MixError, Mixed, Row, mix};
pub use reason::{Reason, Rejection};
pub use sample::{Provenance, Sample};
pub use screen::Screen;
pub use statistics::{DomainCounts, Statistics, rounds};
