//! The ranks of an image's labels among the predictions of a network.

/// Predictions of an image that count.
pub const COUNTED: usize = 100;

/// The number of classes ranked before `label`: those with a larger logit, and earlier ones
/// with the same logit. NaN ranks last, so a broken network is never right by accident; so does
/// a class that does not exist.
pub(crate) fn rank(row: &[f32], label: u16) -> usize {
    let label = usize::from(label);
    let own = row.get(label).copied().unwrap_or(f32::NAN);
    if own.is_nan() {
        return row.len();
    }
    row.iter().enumerate().filter(|&(class, &logit)| logit > own || (logit == own && class < label)).count()
}

/// The number of classes ranked before the best-ranked label of an image.
pub(crate) fn first_rank(row: &[f32], labels: &[u16]) -> usize {
    let logit = |label: u16| row.get(usize::from(label)).copied().unwrap_or(f32::NAN);
    let numbers = labels.iter().copied().filter(|&label| !logit(label).is_nan());
    // Among labels with equal logits, the first class ranks first.
    let first = numbers.reduce(|a, b| {
        let is_before = logit(b) > logit(a) || (logit(b) == logit(a) && b < a);
        if is_before { b } else { a }
    });
    first.map_or(row.len(), |first| rank(row, first))
}

/// The average precision of an image's first [`COUNTED`] predictions, from 0 to 1; its mean
/// over images is MAP@100.
///
/// Label c is at place r_c, the number of classes whose logit is at least its own: ties all get
/// the last of their places, so a network that predicts all classes alike gains nothing from the
/// order in which they are numbered. With p_c the share of labels among those r_c classes,
///
/// sum over labels c with r_c <= 100 of w_c p_c / sum of the 100 largest w of the labels,
///
/// which is 1 if all labels rank first. With equal weights and at most 100 classes it is the
/// label ranking average precision (Schapire and Singer 2000).
///
/// `row`: (class); `labels`: different classes; `weights`: (class), all 1 without. `None` if no
/// label has a positive weight. Cost: labels x classes comparisons.
///
/// ```
/// use decouple_training::ranking::average_precision;
/// // The labels are the first and the third prediction.
/// assert_eq!(average_precision(&[3.0, 2.0, 1.0], &[0, 2], None), Some((1.0 + 2.0 / 3.0) / 2.0));
/// assert_eq!(average_precision(&[3.0, 2.0, 1.0], &[], None), None);
/// ```
pub fn average_precision(row: &[f32], labels: &[u16], weights: Option<&[f64]>) -> Option<f64> {
    let weight = |label: u16| match weights {
        Some(weights) => weights.get(usize::from(label)).copied().unwrap_or(0.0),
        None => 1.0,
    };
    let mut attainable: Vec<f64> = labels.iter().map(|&label| weight(label)).collect();
    attainable.sort_by(|a, b| b.total_cmp(a));
    let attainable: f64 = attainable.iter().take(COUNTED).sum();
    if attainable == 0.0 {
        return None;
    }
    let logit = |label: u16| row.get(usize::from(label)).copied().unwrap_or(f32::NAN);
    let found: f64 = labels
        .iter()
        .map(|&label| {
            // Comparisons with NaN are false, so such a logit has no place.
            let own = logit(label);
            let place = row.iter().filter(|&&other| other >= own).count();
            let labels_in_front = labels.iter().filter(|&&other| logit(other) >= own).count();
            let counts = (1..=COUNTED).contains(&place);
            if counts { weight(label) * labels_in_front as f64 / place as f64 } else { 0.0 }
        })
        .sum();
    Some(found / attainable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_rows() {
        assert_eq!(rank(&[1.0, 3.0, 2.0], 1), 0);
        assert_eq!(rank(&[1.0, 3.0, 2.0], 0), 2);
        assert_eq!(rank(&[2.0, 2.0, 0.0], 1), 1, "of equal logits the first class wins");
        assert_eq!(rank(&[f32::NAN; 3], 0), 3);
        assert_eq!(rank(&[1.0, 2.0], 2), 2, "a class that does not exist");
        assert_eq!(first_rank(&[1.0, 3.0, 2.0], &[0, 2]), 1);
        assert_eq!(first_rank(&[1.0, 3.0, 2.0], &[]), 3);
        assert_eq!([first_rank(&[1.0, 1.0], &[1, 0]), first_rank(&[f32::NAN, 1.0], &[0, 1])], [0, 0]);
    }

    #[test]
    fn precisions_by_hand() {
        let of = |row: &[f32], labels: &[u16]| average_precision(row, labels, None);
        assert_eq!(of(&[0.9, 0.8, 0.1], &[0, 1]), Some(1.0), "all labels in front");
        assert_eq!(of(&[0.1, 0.2, 0.3], &[0]), Some(1.0 / 3.0), "the last of three");
        assert_eq!(of(&[0.3, 0.2, 0.1, 0.0], &[1, 3]), Some((1.0 / 2.0 + 2.0 / 4.0) / 2.0));
        assert_eq!(of(&[1.0, 2.0], &[]), None, "no positives");
        // Equal logits: whichever class the label is, its place is the last of them.
        for label in 0..4 {
            assert_eq!(of(&[0.5; 4], &[label]), Some(1.0 / 4.0));
        }
        assert_eq!(of(&[2.0, 1.0, 1.0], &[1]), Some(1.0 / 3.0));
        assert_eq!(of(&[2.0, 1.0, 1.0], &[1, 2]), Some(2.0 / 3.0));
        assert_eq!(of(&[f32::NAN, f32::NAN], &[0]), Some(0.0), "a broken network");
        assert_eq!(of(&[f32::NAN, 1.0], &[1]), Some(1.0));
    }

    #[test]
    fn predictions_after_the_first_hundred_do_not_count() {
        // Class k is prediction k + 1.
        let row: Vec<f32> = (0..300_u16).map(|class| -f32::from(class)).collect();
        let of = |labels: &[u16]| average_precision(&row, labels, None).unwrap();
        assert_eq!([of(&[99]), of(&[100])], [1.0 / 100.0, 0.0]);
        assert_eq!(of(&[0, 200]), 0.5, "one of two labels is found");
        let many: Vec<u16> = (0..150).collect();
        assert_eq!(of(&many), 1.0, "of 150 labels a hundred can be found");
        // A hundred and one equal predictions: which of them are in front is not said.
        assert_eq!(average_precision(&[1.0; 101], &[0], None), Some(0.0));
        assert_eq!(average_precision(&[1.0; 100], &[99], None), Some(1.0 / 100.0));
    }

    #[test]
    fn classes_count_by_their_weights() {
        let weights = [3.0, 1.0, 0.0];
        let of = |row: &[f32], labels: &[u16]| average_precision(row, labels, Some(&weights));
        // Label 0 at place 1, label 1 at place 3, of which label 2 is another.
        assert_eq!(of(&[3.0, 1.0, 2.0], &[0, 1]), Some((3.0 + 2.0 / 3.0) / 4.0));
        assert_eq!(of(&[3.0, 1.0, 2.0], &[0, 1, 2]), Some(1.0));
        assert_eq!(of(&[3.0, 1.0, 2.0], &[2]), None, "a class that does not count");
    }
}
