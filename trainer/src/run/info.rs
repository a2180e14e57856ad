//! What a run was started with (`run.json`): identity, program, machine, time.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The commit the program was built from, `-modified` appended if its sources differed; `unknown` outside of git.
pub const COMMIT: &str = match option_env!("GRPO_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// The version in the manifest.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the caller knows about a run when it opens the folder.
#[derive(Debug, Clone)]
pub struct RunFacts {
    /// The run file, as the user named it.
    pub run_file: PathBuf,
    /// The resolved run file: what `run.toml` will contain.
    pub resolved: String,
    /// Hash of what in it decides the results: two runs of one identity are the same run.
    pub identity: String,
    /// Name and identity of each of its stages.
    pub stages: Vec<(String, String)>,
    /// Version of libtorch.
    pub libtorch: String,
    /// `cpu`, `cuda:0`, ...
    pub device: String,
    /// Threads used by libtorch.
    pub threads: usize,
}

/// The content of `run.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Hash of what in the resolved run file decides the results.
    pub identity: String,
    /// The run file, as the user named it.
    pub run_file: PathBuf,
    /// Version of the program.
    pub version: String,
    /// Commit of the program, see [`COMMIT`].
    pub commit: String,
    /// Version of libtorch.
    pub libtorch: String,
    /// Device the run computes on.
    pub device: String,
    /// Threads used by libtorch.
    pub threads: usize,
    /// The computer.
    pub machine: Machine,
    /// The command line.
    pub command: Vec<String>,
    /// Time of the first start, UTC, `2026-11-23T07:15:00Z`.
    pub started_at: String,
    /// Later starts of the same run, with what may have changed.
    #[serde(default)]
    pub resumed: Vec<Resumption>,
}

/// One start with `--resume`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumption {
    /// Time of this start, UTC.
    pub at: String,
    /// Commit of the program that went on with the run.
    pub commit: String,
    /// The computer it went on with it on.
    pub machine: Machine,
}

impl RunInfo {
    /// The record of a run that starts now, on this machine, by this command line.
    pub fn now(facts: &RunFacts) -> RunInfo {
        RunInfo {
            identity: facts.identity.clone(),
            run_file: facts.run_file.clone(),
            version: VERSION.to_owned(),
            commit: COMMIT.to_owned(),
            libtorch: facts.libtorch.clone(),
            device: facts.device.clone(),
            threads: facts.threads,
            machine: Machine::this(),
            command: command_line(),
            started_at: utc_now(),
            resumed: Vec::new(),
        }
    }
}

impl Resumption {
    /// A resumption that happens now, on this machine.
    pub fn now() -> Resumption {
        Resumption { at: utc_now(), commit: COMMIT.to_owned(), machine: Machine::this() }
    }
}

/// The computer a run ran on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name, or its architecture where the system does not tell the name.
    pub cpu: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Memory in GiB, rounded; 0 if unknown.
    pub memory_gib: u64,
}

impl Machine {
    /// This computer.
    pub fn this() -> Machine {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Machine {
            cpu: colon_field(&cpuinfo, "model name").unwrap_or(std::env::consts::ARCH).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory_gib(&meminfo),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cores = if self.cores == 1 { "core" } else { "cores" };
        write!(f, "{}, {} {cores}", self.cpu, self.cores)?;
        if self.memory_gib > 0 {
            write!(f, ", {} GiB", self.memory_gib)?;
        }
        Ok(())
    }
}

/// `name : value` in the tables below `/proc`.
fn colon_field<'a>(table: &'a str, name: &str) -> Option<&'a str> {
    table.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name && !value.trim().is_empty()).then_some(value.trim())
    })
}

fn memory_gib(meminfo: &str) -> u64 {
    let kib = colon_field(meminfo, "MemTotal").and_then(|value| value.strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map_or(0, |kib| (kib + (1 << 19)) >> 20)
}

fn command_line() -> Vec<String> {
    std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect()
}

/// Now, in UTC, to the second: `2026-11-23T07:15:00Z`.
pub fn utc_now() -> String {
    utc(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Seconds since 1970 as a date and time of the Gregorian calendar.
fn utc(unix_seconds: u64) -> String {
    let (days, seconds) = (unix_seconds / 86_400, unix_seconds % 86_400);
    // Years are counted from March, which puts the leap day last, and in eras of 400 years, which all have 146,097
    // days; 719,468 days lie between 0000-03-01 and 1970-01-01.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        // Each checked with `date -u -d @N`.
        let check = |unix_seconds: u64, expected: &str| assert_eq!(utc(unix_seconds), expected);
        check(0, "1970-01-01T00:00:00Z");
        check(951_782_399, "2000-02-28T23:59:59Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(1_709_251_199, "2024-02-29T23:59:59Z");
        check(1_795_418_100, "2026-11-23T07:15:00Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
    }

    #[test]
    fn the_machine_tables_are_read() {
        let cpuinfo = "processor\t: 0\nvendor_id\t: X\nmodel name\t: Example CPU @ 2.00GHz\n\nprocessor\t: 1\n";
        assert_eq!(colon_field(cpuinfo, "model name"), Some("Example CPU @ 2.00GHz"));
        assert_eq!(memory_gib("MemTotal:       16374500 kB\nMemFree: 1 kB\n"), 16);
        assert_eq!(memory_gib(""), 0);
        assert!(Machine::this().cores >= 1);
        let machine = Machine { cpu: "Example".into(), cores: 1, memory_gib: 0 };
        assert_eq!(machine.to_string(), "Example, 1 core");
    }
}
