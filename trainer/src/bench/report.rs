//! What was measured, as a table for people and as JSON for programs.

use std::fmt::Write as _;

use policy::Dtype;
use serde::Serialize;

use super::machine::{Arithmetic, Limits};
use super::subject::StepSize;
use super::timing::Timed;
use crate::telemetry::format::{compact, thousands};

/// The least that a decoding step can take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Floor {
    /// Seconds that a step of all rows took.
    pub step_seconds: f64,
    /// Seconds to read the weights and the keys and values once from memory. Of weights that stay in a cache this is no
    /// floor.
    pub bytes_seconds: f64,
    /// Seconds of its matrix products at the peak.
    pub flops_seconds: f64,
}

impl Floor {
    /// How many times the larger of the two a step took.
    pub fn times(&self) -> f64 {
        self.step_seconds / self.bytes_seconds.max(self.flops_seconds)
    }
}

/// One phase of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Phase {
    /// `prefill`, `decode`, ...
    pub name: &'static str,
    /// Sequences, where they are sampled.
    pub rows: Option<usize>,
    /// Median over the measured runs.
    pub seconds: f64,
    /// Measured runs.
    pub n_runs: usize,
    /// Tokens that came of it: prompt tokens of `prefill`, drawn ones when sampling, completion tokens in training.
    pub tokens: f64,
    /// Tokens a second.
    pub tokens_per_second: f64,
    /// Floating point operations of its matrix products, counted from the model's shape.
    pub matrix_flops: f64,
    /// Operations a second.
    pub matrix_flops_per_second: f64,
    /// Of the peak in the kind computed in; none for what is no matrix product.
    pub share_of_peak: Option<f64>,
    /// Of `decode`.
    pub floor: Option<Floor>,
    /// Of `update`: seconds in forward passes; the rest is head and backward passes.
    pub forward_seconds: Option<f64>,
    /// Of `update`: passes.
    pub n_micro_batches: Option<usize>,
    /// Bytes resident before the phase: weights, and what earlier phases left.
    pub resident_before: Option<u64>,
    /// The most during it.
    pub resident_peak: Option<u64>,
}

impl Phase {
    pub(super) fn new(name: &'static str, rows: Option<usize>, timed: Timed, tokens: f64, matrix_flops: f64) -> Self {
        Self {
            name,
            rows,
            seconds: timed.seconds,
            n_runs: timed.n_runs,
            tokens,
            tokens_per_second: tokens / timed.seconds,
            matrix_flops,
            matrix_flops_per_second: matrix_flops / timed.seconds,
            share_of_peak: None,
            floor: None,
            forward_seconds: None,
            n_micro_batches: None,
            resident_before: timed.resident_before,
            resident_peak: timed.resident_peak,
        }
    }

    /// - `peak`: operations a second
    pub(super) fn hold_against(&mut self, peak: f64) {
        self.share_of_peak = (self.matrix_flops > 0.0).then(|| self.matrix_flops_per_second / peak);
    }

    fn label(&self) -> String {
        self.rows.map_or_else(|| self.name.to_owned(), |rows| format!("{} {rows}", self.name))
    }
}

/// Everything that one call measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version and commit of the program.
    pub program: String,
    /// Name of the processor.
    pub processor: String,
    /// `cpu`, `cuda:0`
    pub device: String,
    /// Threads that compute.
    pub threads: usize,
    /// A shape or a folder.
    pub model: String,
    /// Its trainable values.
    pub n_parameters: i64,
    /// `float32` or `bfloat16`: what the phases compute in.
    pub dtype: &'static str,
    /// The size of a step.
    pub step: StepSize,
    /// What the machine can do.
    pub limits: Limits,
    /// What the phases did.
    pub phases: Vec<Phase>,
    /// Share of the machine's processor time that others used meanwhile.
    pub others_fraction: Option<f64>,
}

/// Above this share in other hands, times say as much about them.
const QUIET: f64 = 0.12;

impl Report {
    /// The table for people.
    pub fn table(&self) -> String {
        let mut text = self.limits_text();
        let step = self.step;
        let _ = writeln!(
            text,
            "\n{}: {} weights, {}; {} prompts of {} tokens x {} completions of {}",
            self.model,
            compact(self.n_parameters as f64),
            self.dtype,
            step.prompts,
            step.prompt_tokens,
            step.group_size,
            step.completion_tokens
        );
        let _ = writeln!(
            text,
            "{:<13} {:>9} {:>5} {:>11} {:>10} {:>8}  peak memory",
            "phase", "seconds", "runs", "tokens/s", "GFLOP/s", "of peak"
        );
        for phase in &self.phases {
            let _ = writeln!(text, "{}", row(phase));
        }
        text.push_str(&self.notes());
        text
    }

    fn limits_text(&self) -> String {
        let limits = &self.limits;
        let mut text = format!("{}, {}, {} threads; {}\n", self.processor, self.device, self.threads, self.program);
        for (name, arithmetic) in [("float32", &limits.float32), ("bfloat16", &limits.bfloat16)] {
            let Arithmetic { multiply_add_flops, instructions, matmul_flops } = arithmetic;
            let registers =
                multiply_add_flops.zip(instructions.as_ref()).map_or_else(String::new, |(flops, instructions)| {
                    format!("multiply-adds {:.0} GFLOP/s ({instructions}), ", flops / 1e9)
                });
            let size = limits.matmul_size;
            let _ =
                writeln!(text, "{name:<9} {registers}matrix product {:.0} GFLOP/s ({size} cubed)", matmul_flops / 1e9);
        }
        let _ = writeln!(
            text,
            "{:<9} read {:.1} GB/s, read and written {:.1} GB/s",
            "memory",
            limits.read_bytes / 1e9,
            limits.triad_bytes / 1e9
        );
        text
    }

    fn notes(&self) -> String {
        let mut text = String::new();
        for (phase, floor) in self.phases.iter().filter_map(|phase| Some((phase, phase.floor?))) {
            let _ = writeln!(
                text,
                "{}: {:.3} ms a step; weights and cache read once {:.3} ms, products at the peak {:.3} ms: {:.1} times the floor",
                phase.label(),
                floor.step_seconds * 1e3,
                floor.bytes_seconds * 1e3,
                floor.flops_seconds * 1e3,
                floor.times()
            );
        }
        for (phase, forward) in self.phases.iter().filter_map(|phase| Some((phase, phase.forward_seconds?))) {
            let n_passes = phase.n_micro_batches.unwrap_or(1);
            let _ = writeln!(text, "{}: forward {forward:.3} s of it, in {n_passes} passes", phase.label());
        }
        if let Some(others) = self.others_fraction {
            let _ = writeln!(text, "others used {:.0} % of the machine meanwhile", others * 100.0);
            if others > QUIET {
                text.push_str("that is too much: these times are not to be relied on\n");
            }
        }
        text
    }
}

fn row(phase: &Phase) -> String {
    let matrix = |value: String| if phase.matrix_flops > 0.0 { value } else { "-".to_owned() };
    let tokens = if phase.tokens > 0.0 { thousands(phase.tokens_per_second.round() as u64) } else { "-".to_owned() };
    format!(
        "{:<13} {:>9.4} {:>5} {:>11} {:>10} {:>8}  {}",
        phase.label(),
        phase.seconds,
        phase.n_runs,
        tokens,
        matrix(format!("{:.1}", phase.matrix_flops_per_second / 1e9)),
        matrix(phase.share_of_peak.map_or_else(String::new, |share| format!("{:.1} %", share * 100.0))),
        phase.resident_peak.map_or_else(String::new, |bytes| format!("{} MB", thousands(bytes / 1_000_000)))
    )
    .trim_end()
    .to_owned()
}

/// As in run files.
pub fn dtype_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Float32 => "float32",
        Dtype::BFloat16 => "bfloat16",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(name: &'static str, seconds: f64, tokens: f64, flops: f64) -> Phase {
        let timed = Timed { seconds, n_runs: 3, resident_before: None, resident_peak: Some(12_345_678_901) };
        let mut phase = Phase::new(name, (name == "decode").then_some(8), timed, tokens, flops);
        phase.hold_against(4e11);
        phase
    }

    #[test]
    fn rows_hold_rates_and_shares() {
        let decode = phase("decode", 0.5, 4_000.0, 1e11);
        assert_eq!(row(&decode), "decode 8         0.5000     3       8,000      200.0   50.0 %  12,345 MB");
        let optimizer = phase("optimizer", 0.25, 0.0, 0.0);
        assert_eq!(row(&optimizer), "optimizer        0.2500     3           -          -        -  12,345 MB");
        assert_eq!(optimizer.share_of_peak, None);
    }

    #[test]
    fn the_floor_is_the_larger_of_the_two() {
        let floor = Floor { step_seconds: 6.0, bytes_seconds: 2.0, flops_seconds: 3.0 };
        assert_eq!(floor.times(), 2.0);
        assert_eq!(Floor { bytes_seconds: 4.0, ..floor }.times(), 1.5);
    }
}
