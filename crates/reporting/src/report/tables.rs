//! The tables of a report as text in cells, for HTML, Markdown and LaTeX alike.

use decouple_experiment::Outcome;

use crate::analysis::{Analysis, Contest, PointSummary, label, power_plan};
use crate::numbers::{p_value, percent, points as in_points, seconds, short_count, signed_points};
use crate::statistics::Interval;

/// A table of a report.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table {
    /// What it is, in a few words.
    pub(super) title: String,
    /// What a reader must know to read it, in a sentence or two.
    pub(super) note: String,
    /// Name of each column, and whether numbers stand in it.
    pub(super) columns: Vec<(String, bool)>,
    /// Rows with a cell a column.
    pub(super) rows: Vec<Vec<String>>,
    /// The rows that stand out.
    pub(super) highlights: Vec<usize>,
}

impl Table {
    fn new(title: &str, note: impl Into<String>, words: &[&str], numbers: &[&str]) -> Self {
        let column = |is_number: bool| move |name: &&str| ((*name).to_owned(), is_number);
        Self {
            title: title.to_owned(),
            note: note.into(),
            columns: words.iter().map(column(false)).chain(numbers.iter().map(column(true))).collect(),
            ..Self::default()
        }
    }
}

/// Every table of a report that has a row.
pub(super) fn all(analysis: &Analysis) -> Vec<Table> {
    let against = analysis.contests.iter().map(|contest| against_reference(contest, &analysis.points));
    let tables = std::iter::once(summary(analysis)).chain(against).chain([
        interaction(analysis),
        tries(analysis),
        power(analysis),
    ]);
    tables.flatten().filter(|table| !table.rows.is_empty()).collect()
}

const ABSENT: &str = "–";

fn or_absent<T>(value: Option<T>, text: impl Fn(T) -> String) -> String {
    value.map_or(ABSENT.to_owned(), text)
}

/// "88.1 to 89.4"
fn range(interval: Interval, text: fn(f64) -> String) -> String {
    format!("{} to {}", text(interval.low), text(interval.high))
}

/// The points: what they cost and how well they do.
fn summary(analysis: &Analysis) -> Option<Table> {
    let axes: Vec<&str> = analysis.study.axes.iter().map(|axis| axis.name.as_str()).collect();
    let words = if axes.is_empty() { vec!["point"] } else { axes };
    let times = if analysis.study.times_compare() {
        ""
    } else {
        " Step times are left out: the runs are of several builds or machines."
    };
    let mut table = Table::new(
        "The points",
        format!(
            "Accuracy in percent: the mean over seeds, Student's 95 % interval of it, and the bootstrap's (BCa), \
             which few seeds make too narrow. P(best): the share of resamples of the seeds in which a point is \
             the best.{times}"
        ),
        &words,
        &["width", "parameters", "MACs", "step ms", "seeds", "accuracy", "95 %", "BCa 95 %", "P(best)"],
    );
    table.rows = analysis.points.iter().map(|point| summary_row(analysis, point)).collect();
    table.highlights = analysis.contests.iter().filter_map(|contest| contest.best).collect();
    Some(table)
}

fn summary_row(analysis: &Analysis, point: &PointSummary) -> Vec<String> {
    let mut cells: Vec<String> =
        (analysis.study.axes.iter()).map(|axis| or_absent(point.value(&axis.name), str::to_owned)).collect();
    if cells.is_empty() {
        cells.push(point.label.clone());
    }
    let lost = point.diverged + point.failed + point.missing;
    let seeds = match lost {
        0 => point.finished().to_string(),
        _ => format!("{} of {}", point.finished(), point.finished() + lost),
    };
    cells.extend([
        or_absent(point.width, |width| format!("{width:.2}")),
        short_count(point.costs.parameters),
        short_count(point.costs.macs),
        or_absent(point.step_secs(), |secs| seconds(1e3 * secs)),
        seeds,
        or_absent(point.mean, |mean| format!("{:.2}", 100.0 * mean)),
        or_absent(point.interval, |interval| range(interval, percent)),
        or_absent(point.bootstrap, |interval| range(interval, percent)),
        or_absent(point.probability_best, |p| format!("{p:.2}")),
    ]);
    cells
}

/// Every point of a contest against its reference.
fn against_reference(contest: &Contest, points: &[PointSummary]) -> Option<Table> {
    let reference = &points[contest.reference?];
    let mut table = Table::new(
        &format!("Against {}", reference.label),
        "Paired by seed; the interval is of this difference alone, with the spread pooled over all points; p is \
         corrected for all comparisons of this table (Holm). Correlation: how much of a seed's luck two points \
         share, which pairing takes out of their difference.",
        &["point"],
        &["seeds", "difference, points", "95 %", "p (Holm)", "correlation"],
    );
    table.rows = contest
        .against_reference
        .iter()
        .map(|comparison| {
            let difference = &comparison.difference;
            vec![
                contest.name(&points[comparison.point]),
                difference.pairs.to_string(),
                signed_points(difference.mean),
                or_absent(comparison.interval, |interval| range(interval, in_points)),
                or_absent(comparison.p_holm, |p| p_value(p).trim_start_matches("= ").to_owned()),
                or_absent(difference.correlation, |r| format!("{r:.2}")),
            ]
        })
        .collect();
    Some(table)
}

/// Differences of differences, where two axes are crossed.
fn interaction(analysis: &Analysis) -> Option<Table> {
    let interaction = analysis.interaction.as_ref()?;
    let test = interaction.test.map_or(String::new(), |test| {
        format!(
            "Test of any interaction: F({}, {}) = {:.2}, p {}. ",
            test.numerator_df,
            test.denominator_df,
            test.f,
            p_value(test.p)
        )
    });
    let (effect, along) = (&interaction.effect, &interaction.along);
    let first = interaction.contrasts.first()?;
    let mut table = Table::new(
        &format!("Interaction of {along} and {effect}"),
        format!(
            "{test}Each row: by how many points accuracy changes with {effect}, at the two ends of {along}, and \
             the difference of these changes with its 95 % interval; p is corrected for all rows (Holm)."
        ),
        &[effect.as_str()],
        &[
            "seeds",
            &format!("at {}", first.low),
            &format!("at {}", first.high),
            "difference",
            "95 %",
            "p (Holm)",
        ],
    );
    table.rows = interaction
        .contrasts
        .iter()
        .map(|contrast| {
            vec![
                format!("{} → {}", contrast.from, contrast.to),
                contrast.seeds.to_string(),
                signed_points(contrast.at_low),
                signed_points(contrast.at_high),
                signed_points(contrast.estimate()),
                or_absent(contrast.interval, |interval| range(interval, in_points)),
                or_absent(contrast.p_holm, |p| p_value(p).trim_start_matches("= ").to_owned()),
            ]
        })
        .collect();
    Some(table)
}

/// The tries that chose the tuned recipes.
fn tries(analysis: &Analysis) -> Option<Table> {
    let mut table = Table::new(
        "Tries",
        "What chose each point's tuned recipe, on validation images and with a seed of its own. A try that was \
         stopped stands where it stood then.",
        &["point", "ended"],
        &["learning rate", "weight decay", "epochs", "validation accuracy"],
    );
    table.rows = (analysis.study.tries.iter())
        .map(|tried| {
            let ended = match &tried.outcome {
                Outcome::Finished => "finished".to_owned(),
                Outcome::Diverged { step } => format!("diverged at step {step}"),
                Outcome::Stopped { .. } => "stopped: others were ahead".to_owned(),
                Outcome::Failed { message } => format!("failed: {message}"),
            };
            vec![
                label(&tried.point),
                ended,
                tried.setting.learning_rate.to_string(),
                tried.setting.weight_decay.to_string(),
                tried.epochs.to_string(),
                or_absent(tried.accuracy, |share| format!("{:.2}", 100.0 * share)),
            ]
        })
        .collect();
    table.highlights = (0..table.rows.len()).filter(|&index| analysis.study.tries[index].is_chosen).collect();
    Some(table)
}

/// How many seeds would tell how much.
fn power(analysis: &Analysis) -> Option<Table> {
    let residual = analysis.residual?;
    let mut table = Table::new(
        "Seeds needed",
        format!(
            "To tell a true difference of two points with a chance of 80 %, all comparisons together at 95 %, if \
             runs scatter as they did here: by {:.2} points about their point and seed.",
            100.0 * residual.sd
        ),
        &[],
        &["true difference, points", "seeds a point"],
    );
    let plan = power_plan(analysis, &[0.001, 0.002, 0.005, 0.01, 0.02], 0.8);
    table.rows = plan
        .into_iter()
        .map(|(difference, seeds)| {
            vec![in_points(difference), or_absent(seeds, |seeds: usize| seeds.to_string())]
        })
        .collect();
    Some(table)
}
