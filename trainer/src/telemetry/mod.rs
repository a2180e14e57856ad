//! What a run tells: metrics, progress, the closing report and its picture.

pub mod curves;
pub mod format;
pub mod metrics;
pub mod progress;
pub mod report;
pub mod statistics;
mod stopwatch;
pub(crate) mod student;
pub(crate) mod table;
pub mod time_table;

pub use metrics::{MetricsRow, StepMetrics};
pub use progress::{Progress, ProgressMode};
pub use report::{EvalRow, EvalSummary, Summary};
pub use stopwatch::{Stopwatch, UpdateSeconds};
pub use time_table::TimeTable;
