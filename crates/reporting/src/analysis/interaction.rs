//! Whether the effect of one axis depends on the other, where a study crosses two.

use super::{CONFIDENCE, PointSummary, Study, contest::changes_images};
use crate::statistics::{
    InteractionTest, Interval, Residual, Table, difference_p, holm, interaction_test, mean, t_quantile,
};

/// The interaction of the two axes of a study.
#[derive(Clone, Debug, PartialEq)]
pub struct Interaction {
    /// The axis whose effect is asked for at the ends of the other: `intermediate`.
    pub effect: String,
    /// The other one: what is varied of the data, else `segments`.
    pub along: String,
    /// The test of any interaction at all.
    pub test: Option<InteractionTest>,
    /// One difference of differences for each value of `effect` but its base.
    pub contrasts: Vec<Contrast>,
}

impl Interaction {
    /// Whether the test tells the effects from ones that only add up.
    pub fn is_shown(&self) -> bool {
        self.test.is_some_and(|test| test.p <= 1.0 - CONFIDENCE)
    }
}

/// By how much more a change helps at one end than at the other: `(y(high, to) - y(high, from)) - (y(low, to)
/// - y(low, from))`, over the seeds that all four points finished.
#[derive(Clone, Debug, PartialEq)]
pub struct Contrast {
    /// Value that is changed.
    pub from: String,
    /// Value that it is changed to.
    pub to: String,
    /// The end where less is expected: the fewest segments.
    pub low: String,
    /// The other end.
    pub high: String,
    /// Effect of the change at `low`.
    pub at_low: f64,
    /// Effect of the change at `high`.
    pub at_high: f64,
    /// Common seeds.
    pub seeds: usize,
    /// Interval of `at_high - at_low` at [`CONFIDENCE`], from the spread pooled over all points.
    pub interval: Option<Interval>,
    /// P-value, corrected for all contrasts (Holm).
    pub p_holm: Option<f64>,
}

impl Contrast {
    /// The difference of differences.
    pub fn estimate(&self) -> f64 {
        self.at_high - self.at_low
    }
}

/// The interaction of a study with two crossed axes of at least two values each; `None` for any other.
pub(super) fn interaction(
    study: &Study,
    points: &[PointSummary],
    table: &Table,
    residual: Option<Residual>,
) -> Option<Interaction> {
    let [first, second] = study.axes.as_slice() else { return None };
    // What segments do is asked for at the ends of the data, all else at the ends of the segments.
    let comes_second = second.name == "segments" && !changes_images(&first.name);
    let (along, effect) =
        if comes_second || changes_images(&second.name) { (second, first) } else { (first, second) };
    let along_values = values(points, &along.name, true);
    let effect_values = values(points, &effect.name, false);
    let find = |a: &str, b: &str| {
        points.iter().position(|p| p.value(&along.name) == Some(a) && p.value(&effect.name) == Some(b))
    };
    let cells: Option<Vec<Vec<usize>>> =
        along_values.iter().map(|a| effect_values.iter().map(|b| find(a, b)).collect()).collect();
    let cells = cells.filter(|cells| cells.len() > 1 && cells[0].len() > 1)?;

    let base = study.reference.iter().find(|(axis, _)| *axis == effect.name).map(|(_, value)| value.as_str());
    let base = base.and_then(|base| effect_values.iter().position(|value| *value == base)).unwrap_or(0);
    let (low, high) = (&cells[0], &cells[cells.len() - 1]);
    let mut contrasts: Vec<Contrast> = (0..effect_values.len())
        .filter(|&value| value != base)
        .filter_map(|value| {
            let effects = |ends: &[usize]| (table[ends[value]].iter()).zip(&table[ends[base]]);
            let both = effects(low).zip(effects(high));
            let (at_low, at_high): (Vec<f64>, Vec<f64>) =
                both.filter_map(|((a, b), (c, d))| Some(((*a)? - (*b)?, (*c)? - (*d)?))).unzip();
            Some(Contrast {
                from: effect_values[base].to_owned(),
                to: effect_values[value].to_owned(),
                low: along_values.first()?.to_string(),
                high: along_values.last()?.to_string(),
                at_low: mean(&at_low)?,
                at_high: mean(&at_high)?,
                seeds: at_low.len(),
                interval: None,
                p_holm: None,
            })
        })
        .collect();
    doubt(&mut contrasts, residual);
    let rows = cells.iter().map(|row| row.iter().map(|&point| table[point].clone()).collect());
    Some(Interaction {
        effect: effect.name.clone(),
        along: along.name.clone(),
        test: interaction_test(&rows.collect::<Vec<_>>()),
        contrasts,
    })
}

/// Fills in intervals and p-values.
fn doubt(contrasts: &mut [Contrast], residual: Option<Residual>) {
    let Some(residual) = residual else { return };
    let df = residual.degrees_of_freedom;
    let error = |contrast: &Contrast| residual.standard_error(&[1.0, -1.0, -1.0, 1.0], contrast.seeds);
    let p: Option<Vec<f64>> =
        contrasts.iter().map(|contrast| difference_p(contrast.estimate(), error(contrast), df)).collect();
    for (contrast, p) in contrasts.iter_mut().zip(holm(&p.unwrap_or_default())) {
        contrast.p_holm = Some(p);
        contrast.interval =
            t_quantile(CONFIDENCE, df).map(|t| Interval::around(contrast.estimate(), t * error(contrast)));
    }
}

/// The values that points take on an axis, each once: by decoupling level, or in the points' order.
fn values<'a>(points: &'a [PointSummary], axis: &str, by_level: bool) -> Vec<&'a str> {
    let mut values: Vec<(&str, f64)> = Vec::new();
    for point in points {
        if let Some(value) = point.value(axis).filter(|value| values.iter().all(|(known, _)| known != value))
        {
            values.push((value, point.level));
        }
    }
    if by_level && axis == "segments" {
        values.sort_by(|a, b| a.1.total_cmp(&b.1));
    }
    values.into_iter().map(|(value, _)| value).collect()
}
