//! How fast the accuracy reward judges: `cargo bench -p rewards --bench answers [-- TABLE.jsonl [THREADS]]`.
//!
//! TABLE is a file of `{"gold", "completion", "expected"}` lines, by default tests/golden/answers.jsonl. Prints how many
//! verdicts are as expected, the verdicts per second of one thread and of all, and the slowest single verdict. Each
//! verdict reads its gold anew, as `judge` does.

use std::time::{Duration, Instant};
use std::{env, fs, thread};

use rewards::{Accuracy, CompletionView, Gold, Problem, RewardFn};
use serde_json::Value;

/// How long each rate is measured.
const MEASURED: Duration = Duration::from_secs(3);

struct Case {
    problem: Problem,
    completion: String,
    expected: Option<bool>,
}

fn cases(path: &str) -> Vec<Case> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    // A hostile table stores its completions as pieces with how often each is repeated.
    let pieces = |row: &Value| -> Option<String> {
        let piece = |piece: &Value| Some(piece[0].as_str()?.repeat(piece[1].as_u64()? as usize));
        row["pieces"].as_array()?.iter().map(piece).collect()
    };
    let case = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:.200}: {error}"));
        let field = |name: &str| row[name].as_str().unwrap_or_else(|| panic!("{line:.200}: no `{name}`")).to_owned();
        let problem = Problem { id: String::new(), question: String::new(), gold: Gold::text(field("gold")) };
        let completion = pieces(&row).unwrap_or_else(|| field("completion"));
        Case { problem, completion, expected: row["expected"].as_bool() }
    };
    text.lines().map(case).collect()
}

fn judge(reward: &Accuracy, case: &Case) -> bool {
    reward.judge(&case.problem, &CompletionView::new(&case.completion, 1, false)).score == Some(1.0)
}

/// Verdicts per second of one thread that judges all cases over and over.
fn rate(reward: &Accuracy, cases: &[Case]) -> f64 {
    let start = Instant::now();
    let mut n_verdicts = 0_usize;
    while start.elapsed() < MEASURED {
        for case in cases {
            std::hint::black_box(judge(reward, case));
        }
        n_verdicts += cases.len();
    }
    n_verdicts as f64 / start.elapsed().as_secs_f64()
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/answers.jsonl");
    let cases = cases(arguments.first().map_or(default, String::as_str));
    let n_threads = arguments.get(1).map_or(2, |n| n.parse().expect("THREADS is a number"));
    let reward = Accuracy::default();

    let (mut n_right, mut n_positive, mut slowest) = (0, 0, (Duration::ZERO, 0));
    for (i, case) in cases.iter().enumerate() {
        // The best of three: a verdict's own time, not that of whatever else the machine did meanwhile.
        let timed = || {
            let start = Instant::now();
            let right = judge(&reward, case);
            (start.elapsed(), right)
        };
        let (time, right) = [timed(), timed(), timed()].into_iter().min().expect("three were made");
        slowest = slowest.max((time, i));
        n_right += usize::from(case.expected == Some(right));
        n_positive += usize::from(right && case.expected == Some(false));
    }
    println!("{n_right} of {} as expected, {n_positive} false positives", cases.len());
    println!("slowest verdict: {:?}, line {}", slowest.0, slowest.1 + 1);
    println!("{:.0} verdicts per second on 1 thread", rate(&reward, &cases));
    let total: f64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(|| rate(&reward, &cases))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no verdict panics")).sum()
    });
    println!("{total:.0} verdicts per second on {n_threads} threads");
}
