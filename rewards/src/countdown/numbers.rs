//! Whether an answer uses every given number exactly as often as it is given.

use super::parse::Step;

/// What is wrong with the numbers used in `steps`, if anything; `given` is sorted. What the answer uses without right is
/// named first, in the order of the answer, then what it leaves out.
pub(super) fn misuse(steps: &[Step], given: &[u64]) -> Option<String> {
    let used_in_order = steps.iter().filter_map(|step| match step {
        Step::Number(number) => Some(*number),
        Step::Negate | Step::Apply(_) => None,
    });
    let mut used: Vec<u64> = used_in_order.clone().collect();
    used.sort_unstable();
    if used == given {
        return None;
    }
    for number in used_in_order {
        match (count(&used, number), count(given, number)) {
            (_, 0) => return Some(format!("uses {number}, which is not given")),
            (n_used, 1) if n_used > 1 => return Some(format!("uses {number} {}", times(n_used))),
            (n_used, n_given) if n_used > n_given => {
                return Some(format!("uses {number} {}, it is given {}", times(n_used), times(n_given)));
            }
            _ => {}
        }
    }
    let (left_out, n_given) =
        given.iter().map(|&number| (number, count(given, number))).find(|&(number, n)| count(&used, number) < n)?;
    Some(match count(&used, left_out) {
        0 => format!("does not use {left_out}"),
        n_used => format!("uses {left_out} {}, it is given {}", times(n_used), times(n_given)),
    })
}

/// How often `number` occurs in `sorted`.
fn count(sorted: &[u64], number: u64) -> usize {
    sorted.partition_point(|&n| n <= number) - sorted.partition_point(|&n| n < number)
}

fn times(count: usize) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        n => format!("{n} times"),
    }
}
