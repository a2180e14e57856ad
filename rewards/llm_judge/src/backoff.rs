//! How long to wait before a request is sent again.

use std::time::Duration;

use sha2::{Digest, Sha256};

/// The wait before retry `attempt`, counted from 1, of the request at `address`: `first_seconds` doubled with each attempt,
/// at most `limit_seconds`, less up to a half of it.
///
/// What is taken off depends on address and attempt alone, so that requests that failed together do not come back together
/// and a run can be repeated.
pub(crate) fn wait(address: &str, attempt: u32, first_seconds: f64, limit_seconds: f64) -> Duration {
    let seconds = (first_seconds * 2f64.powi(attempt.saturating_sub(1).min(60) as i32)).min(limit_seconds);
    let hash = Sha256::digest(format!("{address} {attempt}"));
    let share = f64::from(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])) / f64::from(u32::MAX);
    Duration::from_secs_f64(seconds * (1.0 - share / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_differ() {
        let seconds = |address: &str, attempt| wait(address, attempt, 1.0, 60.0).as_secs_f64();
        for attempt in 1..2000 {
            let most = 2f64.powi(attempt as i32 - 1).min(60.0);
            let got = seconds("a", attempt);
            assert!((most / 2.0..=most).contains(&got), "{attempt}: {got}");
            assert_eq!(got, seconds("a", attempt));
        }
        assert_ne!(seconds("a", 1), seconds("b", 1));
        assert_ne!(seconds("a", 10), seconds("a", 11));
    }
}
