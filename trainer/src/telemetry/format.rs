//! Numbers and durations as people read them.

/// A duration in the two largest fitting units: `6 min 32 s`, `2 h 05 min`, `3 d 04 h`, `12 s`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "?".to_owned();
    }
    let seconds = seconds.max(0.0).round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A large number in three digits: `31.2k`, `1.05M`, `870`.
pub fn compact(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 999.5e6 => (value / 1e9, "G"),
        size if size >= 999.5e3 => (value / 1e6, "M"),
        size if size >= 999.5 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let decimals = match scaled.abs() {
        _ if unit.is_empty() => 0,
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    format!("{scaled:.decimals$}{unit}")
}

/// A small number to two digits, in powers of ten below 0.001: `0.0021`, `3.1e-7`.
pub fn small(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 1e-3 => format!("{value:.1e}"),
        size if size < 0.0995 => format!("{value:.4}"),
        _ => format!("{value:.3}"),
    }
}

/// An integer with commas between the thousands: `1,024`.
pub fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (digit_idx, digit) in digits.chars().enumerate() {
        if digit_idx > 0 && (digits.len() - digit_idx).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A model may write anything, control sequences for the terminal included: shown as their Unicode pictures.
pub fn printable(text: &str) -> String {
    let show = |c: char| match c {
        '\n' => '\n',
        '\t' => ' ',
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        _ => c,
    };
    text.chars().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |seconds: f64, expected: &str| assert_eq!(duration(seconds), expected);
        check(0.2, "0 s");
        check(59.4, "59 s");
        check(59.6, "1 min 00 s");
        check(392.0, "6 min 32 s");
        check(7_500.0, "2 h 05 min");
        check(273_600.0, "3 d 04 h");
        check(f64::NAN, "?");
    }

    #[test]
    fn numbers() {
        let check = |value: f64, expected: &str| assert_eq!(compact(value), expected);
        check(870.4, "870");
        check(999.6, "1.00k");
        check(31_249.0, "31.2k");
        check(99_960.0, "100k");
        check(1_050_000.0, "1.05M");
        check(2.5e9, "2.50G");
        let check = |value: f64, expected: &str| assert_eq!(small(value), expected);
        check(0.0, "0");
        check(3.12e-7, "3.1e-7");
        check(0.0021, "0.0021");
        check(0.413, "0.413");
        let check = |value: u64, expected: &str| assert_eq!(thousands(value), expected);
        check(0, "0");
        check(999, "999");
        check(1_024, "1,024");
        check(1_234_567, "1,234,567");
    }
}
