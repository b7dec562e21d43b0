//! Average precisions beside those of scikit-learn (tools/ranking-fixtures.py).

use decouple_training::ranking::average_precision;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    /// (image, class).
    scores: Vec<Vec<f32>>,
    labels: Vec<Vec<u16>>,
    weights: Option<Vec<f64>>,
    each: Vec<Option<f64>>,
    mean: f64,
}

#[test]
fn average_precisions_are_those_of_scikit_learn() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/ranking.json")).expect("the fixture");
    assert_eq!(cases.len(), 6);
    for Case { name, scores, labels, weights, each, mean } in cases {
        let found: Vec<Option<f64>> = (scores.iter().zip(&labels))
            .map(|(row, labels)| average_precision(row, labels, weights.as_deref()))
            .collect();
        for (found, expected) in found.iter().zip(&each) {
            match (found, expected) {
                (Some(found), Some(expected)) => {
                    assert!((found - expected).abs() < 1e-12, "{name}: {found} {expected}");
                }
                _ => assert_eq!(found, expected, "{name}"),
            }
        }
        let counted: Vec<f64> = found.into_iter().flatten().collect();
        assert!((counted.iter().sum::<f64>() / counted.len() as f64 - mean).abs() < 1e-12, "{name}");
    }
}
