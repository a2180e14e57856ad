//! Settings that change at given steps: `KEY_from_step = [[step, value], ..]` beside `KEY`.

use std::fmt::Display;

use super::checks::Section;

/// The value at `step`, counted from 1: `first` until the first change.
pub(super) fn value_at<T: Copy>(first: T, changes: &[(u64, T)], step: u64) -> T {
    changes.iter().rev().find(|(from, _)| *from <= step).map_or(first, |(_, value)| *value)
}

/// Every value there is.
pub(super) fn values<T: Copy>(first: T, changes: &[(u64, T)]) -> impl Iterator<Item = T> {
    std::iter::once(first).chain(changes.iter().map(|(_, value)| *value))
}

/// Notes steps of `key` that do not rise from 2 on, and values that are not `fine`.
///
/// - `expected`: what a value has to be, as a phrase; `why`: what another would mean
pub(super) fn check<T: Copy + Display>(
    key: &str,
    changes: &[(u64, T)],
    fine: impl Fn(T) -> bool,
    [expected, why]: [&str; 2],
    at: &mut Section<'_, '_>,
) {
    let mut after = 1;
    for &(step, value) in changes {
        if step <= after {
            let title = format!("`{key}`: step {step} does not come after step {after}");
            let help =
                "list the steps in order, from step 2 on: the value of step 1 stands in the key without `_from_step`";
            at.fail(key, title, "expected [[step, value], ..] in order", help);
        }
        after = step;
        if !fine(value) {
            at.fail(key, format!("`{key}` holds {value}"), expected, why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DeepSeek-R1-Zero: 32,768 tokens, from step 8,200 of its counting on 65,536.
    #[test]
    fn a_value_holds_from_its_step_on() {
        let changes = [(8_200, 65_536), (9_000, 1)];
        let at = |step| value_at(32_768, &changes, step);
        assert_eq!([1, 8_199, 8_200, 8_999, 9_000, 20_000].map(at), [32_768, 32_768, 65_536, 65_536, 1, 1]);
        assert_eq!(values(32_768, &changes).max(), Some(65_536));
        assert_eq!(value_at(7, &[], 3), 7);
    }
}
