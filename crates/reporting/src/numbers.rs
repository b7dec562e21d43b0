//! Formats numbers for people. Files for programs have full precision instead.

use decouple_spectrum::cost::grouped;

/// A count with a unit prefix and four digits at most: `980`, `102.3k`, `11.8M`.
pub fn short_count(value: u64) -> String {
    let mut scaled = value as f64;
    for prefix in ["", "k", "M", "G", "T"] {
        if prefix.is_empty() && value < 1000 {
            return value.to_string();
        }
        // 999.96k would print as 1000.0k.
        if scaled < 999.95 {
            return format!("{scaled:.1}{prefix}");
        }
        scaled /= 1000.0;
    }
    format!("{scaled:.1}P")
}

/// Numbers along an axis, as `show` writes them, without decimals that are zero in all of them: `400k`, `450k`.
pub(crate) fn along_axis(values: &[f64], show: fn(f64) -> String) -> Vec<String> {
    let shown: Vec<String> = values.iter().map(|&value| show(value)).collect();
    let whole = |text: &String| match text.split_once('.') {
        None => Some(text.clone()),
        Some((front, decimals)) => {
            let unit = decimals.trim_start_matches('0');
            (!unit.starts_with(|c: char| c.is_ascii_digit())).then(|| format!("{front}{unit}"))
        }
    };
    let trimmed: Option<Vec<String>> = shown.iter().map(whole).collect();
    trimmed.unwrap_or(shown)
}

/// A width with two digits.
pub(crate) fn short_width(width: f64) -> String {
    if width < 9.95 {
        format!("{:.1}", width).trim_end_matches(".0").to_owned()
    } else {
        format!("{width:.0}")
    }
}

/// A share in percent with one digit: `89.2`.
pub fn percent(share: f64) -> String {
    points(share)
}

/// A difference of shares in percentage points with one digit, and no minus before a zero.
pub fn points(difference: f64) -> String {
    let text = format!("{:.1}", 100.0 * difference);
    if text == "-0.0" { "0.0".to_owned() } else { text }
}

/// A margin in percentage points with one digit, rounded up, so that a claim of equality stays true.
pub(crate) fn points_up(margin: f64) -> String {
    format!("{:.1}", (1000.0 * margin - 1e-9).ceil() / 10.0)
}

/// A difference of shares in percentage points with its sign and two digits, and no sign before a zero.
pub fn signed_points(difference: f64) -> String {
    let text = format!("{:+.2}", 100.0 * difference);
    if text == "+0.00" || text == "-0.00" { "0.00".to_owned() } else { text }
}

/// A p-value with its relation: `< 0.001`, `= 0.032`. Next to 5 % it has a digit more, so that it is seen on which
/// side it lies.
pub fn p_value(p: f64) -> String {
    match format!("= {p:.3}") {
        _ if p < 0.001 => "< 0.001".to_owned(),
        near if near == "= 0.050" => format!("= {p:.4}"),
        shown => shown,
    }
}

/// A probability with two digits; no finite number of runs makes one certain.
pub(crate) fn probability(p: f64) -> String {
    if p < 0.995 { format!("{p:.2}") } else { "> 0.99".to_owned() }
}

/// `1 seed`, `3 seeds`, `1,200 seeds`.
pub fn plural(n: usize, noun: &str) -> String {
    format!("{} {noun}{}", grouped(n as u64), if n == 1 { "" } else { "s" })
}

/// Seconds with three digits: `9.13`, `91.3`, `913`.
pub fn seconds(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// A duration for people: `0.5 s`, `40 s`, `12 min`, `3.5 h`, `2.1 days`, `3.4 years`.
pub fn duration(secs: f64) -> String {
    match secs {
        secs if secs < 9.95 => format!("{secs:.1} s"),
        secs if secs < 99.5 => format!("{secs:.0} s"),
        secs if secs < 5400.0 => format!("{:.0} min", secs / 60.0),
        secs if secs < 48.0 * 3600.0 => format!("{:.1} h", secs / 3600.0),
        secs if secs < 730.0 * 86_400.0 => format!("{:.1} days", secs / 86_400.0),
        secs => format!("{:.1} years", secs / (365.25 * 86_400.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_carry_four_digits_at_most() {
        let shown: Vec<String> =
            [0, 999, 1000, 102_340, 999_960, 11_800_000, u64::MAX].map(short_count).to_vec();
        assert_eq!(shown, ["0", "999", "1.0k", "102.3k", "1.0M", "11.8M", "18446.7P"]);
    }

    #[test]
    fn an_axis_has_no_decimals_that_are_all_zero() {
        let counts = |values: &[f64]| along_axis(values, |value| short_count(value as u64));
        assert_eq!(counts(&[0.0, 400_000.0, 450_000.0]), ["0", "400k", "450k"]);
        assert_eq!(counts(&[3e6, 3.5e6]), ["3.0M", "3.5M"]);
        assert_eq!(along_axis(&[0.0, 50.0, 200.0], seconds), ["0", "50", "200"]);
    }

    #[test]
    fn a_zero_has_no_sign() {
        assert_eq!([points(-0.0001), points(0.0123), points(-0.0123)], ["0.0", "1.2", "-1.2"]);
        assert_eq!(
            [signed_points(-1e-9), signed_points(0.0123), signed_points(-0.01)],
            ["0.00", "+1.23", "-1.00"]
        );
    }

    #[test]
    fn a_p_value_shows_on_which_side_of_five_percent_it_lies() {
        let shown = [0.0009, 0.0314, 0.0496, 0.0504, 0.0506].map(p_value);
        assert_eq!(shown, ["< 0.001", "= 0.031", "= 0.0496", "= 0.0504", "= 0.051"]);
    }

    #[test]
    fn no_probability_is_certain() {
        assert_eq!(
            [0.0, 0.5, 0.9949, 0.995, 1.0].map(probability),
            ["0.00", "0.50", "0.99", "> 0.99", "> 0.99"]
        );
    }

    #[test]
    fn seconds_carry_three_digits() {
        assert_eq!([seconds(9.126), seconds(91.26), seconds(912.6)], ["9.13", "91.3", "913"]);
    }

    #[test]
    fn times_carry_their_largest_unit() {
        assert_eq!(
            [0.5, 40.0, 700.0, 12_600.0, 400_000.0, 1e8].map(duration),
            ["0.5 s", "40 s", "12 min", "3.5 h", "4.6 days", "3.2 years"]
        );
    }
}
