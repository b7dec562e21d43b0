//! Class weights for the loss or the score, from a file with one number per class.

use std::path::Path;

use crate::error::named_file;
use crate::{DataError, class_names};

/// The numbers in `file`, one per line in the order of the labels, none negative or beyond single precision,
/// and at least one above 0.
pub(crate) fn read(file: &Path, classes: usize) -> Result<Vec<f64>, DataError> {
    let list = |problem: String| DataError::File { file: file.to_owned(), problem };
    let text = class_names::text(file).map_err(|problem| list(named_file(file, problem)))?;
    let number = |(line, text): (usize, &str)| {
        let found =
            text.trim().parse::<f64>().ok().filter(|number| (0.0..=f64::from(f32::MAX)).contains(number));
        found.ok_or_else(|| list(format!("line {}: expected a number from 0, found `{text}`", line + 1)))
    };
    let weights = text.lines().enumerate().map(number).collect::<Result<Vec<f64>, _>>()?;
    if weights.len() != classes {
        return Err(list(format!("{} lines, but `data.classes` is {classes}", weights.len())));
    }
    if weights.iter().all(|&weight| weight == 0.0) {
        return Err(list("every class has weight 0, so nothing would count".to_owned()));
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_a_class_is_read_or_the_line_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("weights.txt");
        for (text, expected) in [
            ("1\nx\n", "line 2: expected a number from 0, found `x`"),
            ("1\n-1\n", "line 2: expected a number from 0, found `-1`"),
            ("inf\n1\n", "line 1: expected a number"),
            ("1e39\n1\n", "line 1: expected a number"),
            ("1\n", "1 lines, but `data.classes` is 2"),
            ("0\n0\n", "every class has weight 0"),
        ] {
            std::fs::write(&file, text).unwrap();
            let message = read(&file, 2).unwrap_err().to_string();
            assert!(
                message.starts_with(&file.display().to_string()) && message.contains(expected),
                "{message}"
            );
        }
        std::fs::write(&file, "0.25\r\n 3e2\n").unwrap();
        assert_eq!(read(&file, 2).unwrap(), [0.25, 300.0]);
    }
}
