//! What one run of a model's program may use.

use serde::{Deserialize, Serialize};

/// What one run of a model's program may use. A program that wants more is stopped, and so is everything it started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Seconds of processor time of each process (`RLIMIT_CPU`), at least 1. This is what stops an endless loop, and it
    /// does not depend on what else the machine is doing. Default 5.
    pub cpu_seconds: u32,
    /// Seconds by the clock for the whole run, from 0.1 to 3600. It stops a program that sleeps. Generous on purpose: on a
    /// busy machine a right program is slow too. Default 15.
    pub wall_seconds: f64,
    /// Address space of each process, in MiB (`RLIMIT_AS`), at least 64. All processes of a run together can reach
    /// `memory_mb * processes`. Default 512.
    pub memory_mb: u64,
    /// Processes and threads of a run together (`RLIMIT_NPROC` in a user namespace of its own), from 4 to 512: the
    /// sandbox itself takes up to three. Default 8.
    pub processes: u32,
    /// Open files of each process (`RLIMIT_NOFILE`), from 16 to 1024. Default 64.
    pub open_files: u32,
    /// Size of the scratch folder, in MiB, from 1 to 4096; it lies in memory. No file can be larger. Default 32.
    pub scratch_mb: u64,
    /// What a run may print, standard output and error together, in KiB, from 1 to 65536. Default 256.
    pub output_kb: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu_seconds: 5,
            wall_seconds: 15.0,
            memory_mb: 512,
            processes: 8,
            open_files: 64,
            scratch_mb: 32,
            output_kb: 256,
        }
    }
}

/// A limit that cannot be kept.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{name} is {value}: it must be from {least} to {most}")]
pub struct InvalidLimit {
    /// The field.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
    /// The least value that works.
    pub least: f64,
    /// The greatest one.
    pub most: f64,
}

impl Limits {
    /// Whether every limit is one that can be kept.
    ///
    /// # Errors
    ///
    /// The first [`InvalidLimit`].
    pub fn check(&self) -> Result<(), InvalidLimit> {
        let rows = [
            ("cpu_seconds", f64::from(self.cpu_seconds), 1.0, 3600.0),
            ("wall_seconds", self.wall_seconds, 0.1, 3600.0),
            ("memory_mb", self.memory_mb as f64, 64.0, 1_048_576.0),
            ("processes", f64::from(self.processes), 4.0, 512.0),
            ("open_files", f64::from(self.open_files), 16.0, 1024.0),
            ("scratch_mb", self.scratch_mb as f64, 1.0, 4096.0),
            ("output_kb", self.output_kb as f64, 1.0, 65_536.0),
        ];
        for (name, value, least, most) in rows {
            // Not `value < least || ..`: NaN must be refused.
            if !(least..=most).contains(&value) {
                return Err(InvalidLimit { name, value, least, most });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_cannot_be_kept_are_refused() {
        assert_eq!(Limits::default().check(), Ok(()));
        for (json, name) in [
            (r#"{"cpu_seconds": 0}"#, "cpu_seconds"),
            (r#"{"wall_seconds": 0.0}"#, "wall_seconds"),
            (r#"{"memory_mb": 1}"#, "memory_mb"),
            (r#"{"processes": 1}"#, "processes"),
            (r#"{"open_files": 3}"#, "open_files"),
            (r#"{"scratch_mb": 0}"#, "scratch_mb"),
            (r#"{"output_kb": 0}"#, "output_kb"),
        ] {
            let limits: Limits = serde_json::from_str(json).unwrap();
            assert_eq!(limits.check().unwrap_err().name, name);
        }
        assert_eq!(Limits { wall_seconds: f64::NAN, ..Limits::default() }.check().unwrap_err().name, "wall_seconds");
        assert!(serde_json::from_str::<Limits>(r#"{"memory": 5}"#).is_err(), "a misspelt limit is no limit");
    }
}
