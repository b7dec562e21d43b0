//! The tables of a report as text in cells, for HTML, Markdown and LaTeX alike.

use decouple_experiment::Metric;

use crate::analysis::{
    Analysis, Contest, Interaction, PointSummary, are_several, ending, grouped, label, power_plan, scatter,
};
use crate::numbers::{
    p_value, percent, points as in_points, points_up, probability, seconds, short_count, short_width,
    signed_points,
};
use crate::statistics::{Interval, OnOtherImages, Optimum, expected_best, quadratic_surface};

/// A table of a report.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table {
    /// Its title.
    pub(super) title: String,
    /// A note that explains how to read it, in a sentence or two.
    pub(super) note: String,
    /// Name of each column, and whether it holds numbers.
    pub(super) columns: Vec<(String, bool)>,
    /// Rows with one cell per column.
    pub(super) rows: Vec<Vec<String>>,
    /// The rows to highlight.
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
    let images = analysis.contests.iter().map(|contest| on_images(contest, &analysis.points));
    let is_one_of_several = are_several(&analysis.interactions);
    let interactions = (analysis.interactions.iter())
        .map(|found| interaction(found, analysis.study.metric, is_one_of_several));
    let tables = std::iter::once(summary(analysis))
        .chain(against)
        .chain(images)
        .chain([best_width(analysis), scaling(analysis)])
        .chain(interactions)
        .chain([surfaces(analysis), tries(analysis), power(analysis)]);
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

/// The points with their costs and scores.
fn summary(analysis: &Analysis) -> Option<Table> {
    let axes: Vec<&str> = analysis.study.axis_names().collect();
    let words = if axes.is_empty() { vec!["point"] } else { axes };
    let are_disturbed =
        analysis.points.iter().any(|point| point.train_secs.is_some() && point.steps.is_none());
    let times = match analysis.study.times_compare() {
        false => " Step times are left out: the runs are of several builds or machines.",
        true if are_disturbed => " Step times are left out: other work on the machine shows in them.",
        true => "",
    };
    let is_without = |contest: &Contest| {
        let of = |has: fn(&PointSummary) -> bool| contest.points.iter().any(|&k| has(&analysis.points[k]));
        of(|point| point.sample.is_some()) && !of(|point| point.probability_best.is_some())
    };
    let unknown = if analysis.contests.iter().any(is_without) {
        "; not known where a point of a comparison has too few runs to tell its spread"
    } else {
        ""
    };
    let mut table = Table::new(
        "The points",
        format!(
            "{} in percent: the mean over seeds and Student's 95 % interval of it. P(best): the probability \
             that a point is the best, from the posterior of a model in which means and spreads are shrunk as far \
             as the runs say{unknown}.{times}",
            analysis.study.metric.title()
        ),
        &words,
        &["width", "parameters", "MACs", "step ms", "seeds", analysis.study.metric.name(), "95 %", "P(best)"],
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
        or_absent(point.probability_best, probability),
    ]);
    cells
}

/// Every point of a contest against its reference.
fn against_reference(contest: &Contest, points: &[PointSummary]) -> Option<Table> {
    let reference = &points[contest.reference?];
    let mut table = Table::new(
        &format!("Against {}", reference.label),
        "The interval holds jointly for all pairs of these points (95 %; the wider of Tukey and Kramer's and Games and \
         Howell's), the same wherever a difference is quoted. p: each difference with its own spread, corrected for \
         the comparisons of this table alone (Holm), which are fewer. Equal within: the margin that two one-sided \
         tests at 5 % show for the pair.",
        &["point"],
        &["seeds", "difference, points", "95 %", "p (Holm)", "equal within"],
    );
    let is_laid_down = contest.against_reference.iter().any(|row| row.p_equal.is_some());
    if is_laid_down {
        table.columns.push(("p (equal, Holm)".to_owned(), true));
    }
    table.rows = contest
        .against_reference
        .iter()
        .map(|row| {
            let comparison = &row.comparison;
            let point = &points[comparison.point];
            let p = |p: Option<f64>| or_absent(p, p_cell);
            let mut cells = vec![
                contest.name(point),
                point.finished().to_string(),
                signed_points(comparison.estimate.value),
                range(comparison.interval, in_points),
                p(row.p_holm),
                or_absent(comparison.equal_within, points_up),
            ];
            cells.extend(is_laid_down.then(|| p(row.p_equal)));
            cells
        })
        .collect();
    Some(table)
}

/// Every point of a contest against its reference, as it would be on other test images.
fn on_images(contest: &Contest, points: &[PointSummary]) -> Option<Table> {
    let reference = &points[contest.reference?];
    let mut table = Table::new(
        &format!("On other images: against {}", reference.label),
        "The test images are a sample, too. Errors: the standard error of the difference over seeds alone and over \
         images alone; the interval (95 %, this difference alone) is over both. Same: p of the claim that the two \
         points do alike on every single image, over the swaps of their runs within seeds (all, or 20,000 of more than \
         14 seeds); of points without six or more seeds, the same for both, over the splits of their runs (all, or \
         20,000 of more than 16 runs).",
        &["point"],
        &["difference, points", "error, seeds", "error, images", "95 % over both", "same, p"],
    );
    table.rows = contest
        .on_images
        .iter()
        .map(|row| {
            let of = |value: fn(&OnOtherImages) -> f64| {
                or_absent(row.difference.as_ref(), |found| format!("{:.2}", 100.0 * value(found)))
            };
            vec![
                contest.name(&points[row.point]),
                or_absent(row.difference, |found| signed_points(found.difference)),
                of(|found| found.seeds_error),
                of(|found| found.images_error),
                or_absent(row.difference, |found| range(found.interval, in_points)),
                or_absent(row.p_same, p_cell),
            ]
        })
        .collect();
    Some(table)
}

/// Where the smooth curves over the group width are highest, and how that shifts.
fn best_width(analysis: &Analysis) -> Option<Table> {
    let shifts: Vec<String> = (analysis.curves.iter())
        .flat_map(|curve| curve.shifts.iter().map(move |shift| (curve, shift)))
        .map(|(curve, (axis, shift, interval))| {
            let of = if curve.shared.is_empty() { String::new() } else { format!(" ({})", label(&curve.shared)) };
            format!(
                " From the least to the largest {axis}{of} it moves by {shift:.1} doublings, 95 % interval {:.1} to {:.1}.",
                interval.low, interval.high
            )
        })
        .collect();
    let is_cut = analysis.curves.iter().flat_map(|curve| &curve.lines).any(|line| line.highest.is_none());
    let unknown = if is_cut {
        " Not known where a point beyond those of the curve has too few runs to tell its spread: the best may lie there."
    } else {
        ""
    };
    let mut table = Table::new(
        "The best width of a group",
        format!(
            "A smooth curve over the logarithm of channels per segment (the geometric mean over the layers), each point with \
             its own spread; the best width is that of the curve, the interval holds 95 % of the curves that the runs \
             allow. At an end: the share of them that are highest at the least or largest width tried, beyond which the \
             best may lie.{unknown}{}",
            shifts.concat()
        ),
        &["curve"],
        &["points", "best width", "95 %", "at an end"],
    );
    for curve in &analysis.curves {
        // A single width has no best one.
        let lines = curve.lines.iter().filter(|line| line.range.low < line.range.high);
        table.rows.extend(lines.map(|line| {
            let coordinates = [&line.at[..], &curve.shared].concat();
            let width = |log: f64| short_width(log.exp());
            vec![
                if coordinates.is_empty() { "all points".to_owned() } else { label(&coordinates) },
                line.points.len().to_string(),
                or_absent(line.highest, width),
                or_absent(line.best, |best| range(best.interval, |log| short_width(log.exp()))),
                or_absent(line.best, |best| format!("{:.2}", best.at_an_end)),
            ]
        }));
    }
    Some(table)
}

/// How the error falls with size.
fn scaling(analysis: &Analysis) -> Option<Table> {
    let mut table = Table::new(
        "Error against size",
        "error = floor + a (parameters)^-exponent, fitted to each group width; the intervals (95 %) are of laws fitted to \
         means drawn about those of the runs.",
        &["width of a group"],
        &["floor, %", "95 %", "exponent", "95 %"],
    );
    table.rows = (analysis.scalings.iter())
        .map(|scaling| {
            let law = &scaling.law;
            vec![
                scaling.value.clone(),
                percent(law.floor),
                range(law.floor_interval, percent),
                // An error that does not fall has no exponent.
                or_absent(Some(law.exponent).filter(|_| law.above > 0.0), |exponent| {
                    format!("{exponent:.2}")
                }),
                range(law.exponent_interval, |value| match value.is_finite() {
                    true => format!("{value:.2}"),
                    false => "∞".to_owned(),
                }),
            ]
        })
        .collect();
    Some(table)
}

/// Differences of differences, where two axes are crossed.
fn interaction(interaction: &Interaction, metric: Metric, is_one_of_several: bool) -> Option<Table> {
    let corrected = (interaction.p_holm.filter(|_| is_one_of_several))
        .map_or(String::new(), |p| format!("; corrected for all that are tested (Holm) p {}", p_value(p)));
    let test = match interaction.test {
        Some(test) => format!(
            "Test of any interaction, each cell with its own spread: F({:.1}, {:.1}) = {:.2}, p {}{corrected}. ",
            test.numerator_df,
            test.denominator_df,
            test.f,
            p_value(test.p)
        ),
        None if interaction.shares_runs => {
            "No test of any interaction: it takes cells to be independent, and some have runs in common. "
                .to_owned()
        }
        None => "No test of any interaction: the spread of a cell is not known. ".to_owned(),
    };
    let ends = interaction.ends.as_ref().and_then(|ends| {
        Some(format!(
            " From the least to the largest value ({} → {}), which the runs do not choose, the difference is {} \
             points, 95 % interval {}, p {}, of this one alone.",
            ends.from,
            ends.to,
            signed_points(ends.estimate()),
            range(ends.interval?, in_points),
            p_value(ends.p_holm?)
        ))
    });
    let (effect, along) = (&interaction.effect, &interaction.along);
    let first = interaction.contrasts.first()?;
    let mut table = Table::new(
        &format!("Interaction of {along} and {effect}{}", circumstances(interaction)),
        format!(
            "{test}Each row: by how many points {metric} changes with {effect}, at the two ends of {along}, and \
             the difference of these changes with its 95 % interval; p is corrected for the rows of this table (Holm).{}",
            ends.unwrap_or_default()
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
                or_absent(contrast.p_holm, p_cell),
            ]
        })
        .collect();
    Some(table)
}

/// A p-value without a relation where it is exact.
fn p_cell(p: f64) -> String {
    p_value(p).trim_start_matches("= ").to_owned()
}

/// ", given kernel = 3"; ", averaged over kernel"; nothing where there is no other axis.
fn circumstances(interaction: &Interaction) -> String {
    let given = interaction.given.iter().map(|(axis, value)| format!(", given {axis} = {value}"));
    let averaged = match interaction.averaged.as_slice() {
        [] => String::new(),
        others => format!(", averaged over {}", others.join(" and ")),
    };
    given.collect::<String>() + &averaged
}

/// The surface fitted to each point's tries, and the expected best of a number of tries.
fn surfaces(analysis: &Analysis) -> Option<Table> {
    const BUDGETS: [usize; 4] = [1, 2, 4, 8];
    let mut table = Table::new(
        "What the tries say of the recipe",
        "A quadratic surface of validation log-loss over the logarithms of learning rate and weight decay, fitted to each \
         point's tries: its optimum with the 95 % interval of each, or a warning where it lies at an edge of what was tried, \
         or the surface has no lowest point. Best of n: the log-loss to be expected of the best of n of the tries (J. Dodge et al., 2019).",
        &["point", "optimum"],
        &["learning rate", "weight decay", "best of 1", "best of 2", "best of 4", "best of 8"],
    );
    for (point, own) in grouped(&analysis.study.tries, |tried| &tried.point) {
        let scored: Vec<([f64; 2], f64)> = (own.iter())
            .filter_map(|tried| {
                let setting = tried.setting;
                Some(([setting.learning_rate.ln(), setting.weight_decay.ln()], tried.score()?))
            })
            .filter(|(place, _)| place.iter().all(|log| log.is_finite()))
            .collect();
        // Of the first seed, which every recipe was tried with: the finalists' others are no tries.
        let first = own.iter().map(|tried| tried.seed).min();
        let first = own.iter().filter(|tried| Some(tried.seed) == first);
        let losses: Vec<f64> = first.filter_map(|tried| tried.score()).collect();
        let optimum = quadratic_surface(&scored);
        let said = match &optimum {
            None => "too few tries for a surface",
            Some(Optimum::AtEdge { has_lowest: false, .. }) => "no lowest point: widen the ranges",
            Some(Optimum::AtEdge { .. }) => "at an edge of what was tried: widen the ranges",
            Some(Optimum::Inside { intervals: None, .. }) => "inside, but not told well by these tries",
            Some(Optimum::Inside { .. }) => "inside",
        };
        let short = |log: f64| format!("{:.1e}", log.exp());
        let optimum = |k: usize| match &optimum {
            Some(Optimum::Inside { place, intervals: Some(intervals) }) => {
                format!("{} ({})", short(place[k]), range(intervals[k], short))
            }
            found => or_absent(found.as_ref(), |found| short(found.place()[k])),
        };
        let mut cells = vec![label(point), said.to_owned(), optimum(0), optimum(1)];
        cells.extend(
            BUDGETS.map(|tries| or_absent(expected_best(&losses, tries), |loss| format!("{loss:.4}"))),
        );
        table.rows.push(cells);
    }
    Some(table)
}

/// The tries that chose the tuned recipes.
fn tries(analysis: &Analysis) -> Option<Table> {
    let mut table = Table::new(
        "Tries",
        "What chose each point's tuned recipe, by log-loss on validation images. A try that was stopped stands where \
         it stood then.",
        &["point", "ended"],
        &[
            "seed",
            "learning rate",
            "weight decay",
            "epochs",
            "validation log-loss",
            &format!("validation {}", analysis.study.metric),
        ],
    );
    table.rows = (analysis.study.tries.iter())
        .map(|tried| {
            vec![
                label(&tried.point),
                ending(&tried.outcome),
                tried.seed.to_string(),
                tried.setting.learning_rate.to_string(),
                tried.setting.weight_decay.to_string(),
                tried.epochs.to_string(),
                or_absent(tried.log_loss, |loss| format!("{loss:.4}")),
                or_absent(tried.score, |share| format!("{:.2}", 100.0 * share)),
            ]
        })
        .collect();
    table.highlights = (0..table.rows.len()).filter(|&index| analysis.study.tries[index].is_chosen).collect();
    Some(table)
}

/// How many seeds would detect how large a difference.
fn power(analysis: &Analysis) -> Option<Table> {
    let scatter = scatter(analysis)?;
    let sds = [scatter.least, scatter.typical, scatter.most].map(|sd| format!("{:.2}", 100.0 * sd));
    let mut table = Table::new(
        "Seeds needed",
        format!(
            "To tell a true difference of two points with a chance of 80 %, all pairs together at 95 %, if runs scatter \
             about their point as they did here: by {} to {} points, {} at the typical point.",
            sds[0], sds[2], sds[1]
        ),
        &[],
        &["true difference, points", "seeds, typical points", "seeds, with the point that scatters most"],
    );
    let plan = power_plan(analysis, &[0.001, 0.002, 0.005, 0.01, 0.02], 0.8);
    let seeds = |seeds: Option<usize>| or_absent(seeds, |seeds| seeds.to_string());
    table.rows = plan
        .into_iter()
        .map(|needed| vec![in_points(needed.difference), seeds(needed.typical), seeds(needed.most)])
        .collect();
    Some(table)
}
