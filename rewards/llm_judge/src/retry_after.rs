//! Reads the header `Retry-After` (RFC 9110, 10.2.3): seconds, or a date.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long the server asks to wait; `None` for what cannot be read.
///
/// - `now`: to which a date is compared; one that has passed is no wait
pub(crate) fn read(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A century and more is forever, and can be added to any other time.
        let longest = u64::from(u32::MAX);
        return Some(Duration::from_secs(value.parse().unwrap_or(longest).min(longest)));
    }
    let date = UNIX_EPOCH + Duration::from_secs(imf_fixdate(value)?);
    Some(date.duration_since(now).unwrap_or_default())
}

/// Seconds since 1970 of a date as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn imf_fixdate(value: &str) -> Option<u64> {
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = value.split_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = words[..] else { return None };
    let month = months.iter().position(|name| *name == month)? as u64 + 1;
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    let clock: Vec<u64> = time.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [hour, minute, second] = clock[..] else { return None };
    if !(1970..=9999).contains(&year) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 0000-03-01, in years that begin in March: the leap day is then the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let check = |value: &str, seconds: Option<u64>| {
            assert_eq!(read(value, now), seconds.map(Duration::from_secs), "{value:?}");
        };
        check("0", Some(0));
        check(" 120 ", Some(120));
        check("99999999999999999999999", Some(u64::from(u32::MAX)));
        check("18446744073709551615", Some(u64::from(u32::MAX)));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(0));
        check("Sun, 06 Nov 1994 08:50:37 GMT", Some(60));
        check("Sat, 05 Nov 1994 08:50:37 GMT", Some(0));
        check("Thu, 29 Feb 1996 00:00:00 GMT", Some(825_552_000 - 784_111_777));
        check("Fri, 01 Mar 1996 00:00:00 GMT", Some(825_638_400 - 784_111_777));
        for value in ["", "-1", "1.5", "soon", "Sun, 06 Nov 1994 08:49 GMT", "Sun, 40 Nov 1994 08:49:37 GMT"] {
            check(value, None);
        }
    }
}
