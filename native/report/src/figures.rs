//! Numbers as people read them.

/// 1234567 as 1,234,567.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the largest binary unit that leaves a number of at least 1.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = as_double(count) / 1024.0;
    let mut unit = 0;
    // Whatever rounds to 1024 is 1 of the next unit.
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{} {}", three_digits(value), UNITS[unit])
}

/// A positive number with about three digits that matter.
pub(crate) fn three_digits(value: f64) -> String {
    match value {
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v if v >= 0.9995 => format!("{v:.2}"),
        v if v >= 0.1 => format!("{v:.3}"),
        0.0 => "0".to_owned(),
        v => format!("{v:.4}"),
    }
}

/// A duration in words as long as it needs.
pub(crate) fn seconds(value: f64) -> String {
    let value = if value.is_finite() { value.max(0.0) } else { 0.0 };
    match value {
        0.0 => "0 s".to_owned(),
        v if v < 1e-3 => format!("{} µs", three_digits(v * 1e6)),
        v if v < 1.0 => format!("{} ms", three_digits(v * 1e3)),
        v if v < 59.95 => format!("{v:.1} s"),
        v if v < 3_599.5 => {
            let whole = v.round();
            format!("{:.0} min {:02.0} s", (whole / 60.0).floor(), whole % 60.0)
        }
        v => {
            let minutes = (v / 60.0).round();
            format!("{:.0} h {:02.0} min", (minutes / 60.0).floor(), minutes % 60.0)
        }
    }
}

/// A share as per cent, with the digits that `evaluate` promises.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[expect(clippy::as_conversions, reason = "figures for people need no more than a double's precision")]
pub(crate) fn as_double(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn sizes_and_times_have_the_unit_that_fits() {
        for (count, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.00 KiB"),
            (1_048_575, "1.00 MiB"),
            (90_000_000_000, "83.8 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        for (value, text) in [
            (0.0, "0 s"),
            (0.000_012, "12.0 µs"),
            (0.0123, "12.3 ms"),
            (59.94, "59.9 s"),
            (59.96, "1 min 00 s"),
            (3_599.6, "1 h 00 min"),
            (7_530.0, "2 h 06 min"),
            (f64::NAN, "0 s"),
        ] {
            assert_eq!(seconds(value), text);
        }
    }
}
