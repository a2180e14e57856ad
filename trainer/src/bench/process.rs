//! What this process takes of the machine: memory, processor time, and what others take meanwhile.

use std::fs;

/// Bytes of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Resident {
    /// In memory now.
    pub(super) now: u64,
    /// The most since the process began, or since [`forget_peak`].
    pub(super) peak: u64,
}

/// Resident memory of this process; `None` where the system has no `/proc/self/status`.
pub(super) fn resident() -> Option<Resident> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    };
    Some(Resident { now: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
}

/// Lets the peak start again at what is resident now; where the system refuses, it stays that of the whole process.
pub(super) fn forget_peak() {
    // Refused where /proc may only be read; then nothing is wrong but the peak, which is never too small.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Processor time, in clock ticks: of the machine (busy and in all), and of this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks {
    busy: u64,
    all: u64,
    own: u64,
}

impl Ticks {
    /// Now; `None` where the system does not say.
    pub(super) fn now() -> Option<Self> {
        Self::read(&fs::read_to_string("/proc/stat").ok()?, &fs::read_to_string("/proc/self/stat").ok()?)
    }

    fn read(machine: &str, process: &str) -> Option<Self> {
        let first = machine.lines().next()?.strip_prefix("cpu")?;
        let ticks: Vec<u64> = first.split_whitespace().take(8).map_while(|field| field.parse().ok()).collect();
        let (idle, all) = (ticks.get(3)? + ticks.get(4)?, ticks.iter().sum::<u64>());
        // The name, in parentheses, may hold anything; user and system time are the 12th and 13th field behind it.
        let fields: Vec<&str> = process.rsplit_once(')')?.1.split_whitespace().collect();
        let own = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Self { busy: all - idle, all, own })
    }

    /// The share of the machine's processor time since `earlier` that went to other processes.
    pub(super) fn share_of_others_since(&self, earlier: &Self) -> f64 {
        let others = (self.busy - earlier.busy) as f64 - (self.own - earlier.own) as f64;
        others.max(0.0) / (self.all - earlier.all).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_what_is_busy_and_not_ours() {
        let at = |machine: &str, own: u64| {
            let process = format!("7 (a ) b) R 1 2 3 4 5 6 7 8 9 10 {own} 0 0");
            Ticks::read(&format!("cpu  {machine}\ncpu0 1 2\n"), &process).expect("well formed")
        };
        // user nice system idle iowait irq softirq steal guest
        let before = at("100 0 50 800 50 0 0 0 9", 20);
        let after = at("180 0 60 890 60 0 0 10 9", 70);
        // 200 ticks went by, 100 of them busy, 50 of these ours.
        assert_eq!(after.share_of_others_since(&before), 0.25);
        assert!(Ticks::read("nothing", "").is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_that_is_touched_is_resident() {
        let before = resident().expect("Linux says");
        let block = vec![1u8; 64 << 20];
        let with = resident().expect("Linux says");
        assert!(with.now >= before.now + (48 << 20), "{before:?} {with:?}");
        assert!(with.peak >= with.now);
        drop(std::hint::black_box(block));
    }
}
