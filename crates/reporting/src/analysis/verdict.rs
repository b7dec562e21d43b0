//! The verdict as text: never more than the statistics support.

use std::fmt;

use std::collections::HashSet;

use decouple_experiment::{Metric, Outcome};

use super::{
    CONFIDENCE, Comparison, Contest, Interaction, PointSummary, RunOutcome, RunRow, Study, are_several,
    grouped, label,
};
use crate::numbers::{p_value, percent, plural, points as in_points, points_up, probability};

/// The verdict, one sentence per item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Complete sentences, the most important first.
    pub sentences: Vec<String>,
    /// Those of them that a list of experiments shows.
    pub summary: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentences.join(" "))
    }
}

pub(super) fn verdict(
    study: &Study,
    points: &[PointSummary],
    runs: &[RunRow],
    contests: &[Contest],
    interactions: &[Interaction],
) -> Verdict {
    let answers: Vec<Vec<String>> = contests.iter().map(|contest| answer(contest, points)).collect();
    let mut rest: Vec<String> = answers.concat();
    if contests.is_empty() {
        rest.push(NOTHING.to_owned());
    }
    // Interactions at one value of a third axis are in a table; the verdict is about all values
    // together.
    let is_one_of_several = are_several(interactions);
    let (mut first, mut shown) = (Vec::new(), Vec::new());
    for found in interactions.iter().filter(|found| found.given.is_empty()) {
        let Some(sentence) = interaction(found, study.metric, is_one_of_several) else { continue };
        if found.is_shown() {
            shown.push(sentence.clone());
        }
        // An interaction qualifies statements about single points, so it comes first; where contests are
        // reported one by one, nobody overlooks it.
        let is_first = found.is_shown() && contests.len() == 1;
        if is_first { first.push(sentence) } else { rest.push(sentence) }
    }
    rest.extend(unmatched(study, points));
    rest.extend(unsupported(points));
    rest.extend(twins(points));
    rest.extend(losses(runs));
    let summary = summary(&shown, &answers, &rest);
    Verdict { sentences: [first, rest].concat(), summary }
}

/// What a list of experiments shows: the interactions that are `shown`, and of the `rest` the highest point and
/// whether it is told from others, or of several contests the highest point of each. One interaction alone comes
/// first, since a list has room for few sentences.
fn summary(shown: &[String], answers: &[Vec<String>], rest: &[String]) -> Vec<String> {
    let on_points: Vec<String> = match answers {
        [_, _, ..] => answers.iter().filter_map(|answer| answer.first().cloned()).collect(),
        _ => rest.iter().take(2).cloned().collect(),
    };
    let (first, others) = shown.split_at(shown.len().min(1));
    [first, &on_points, others].concat()
}

const NOTHING: &str = "No run has finished, so there is nothing to say yet.";

/// The sentences on one contest.
fn answer(contest: &Contest, points: &[PointSummary]) -> Vec<String> {
    let mut sentences = Vec::new();
    let finished = contest.points.iter().filter(|&&point| points[point].finished() > 0).count();
    match contest.best.map(|best| &points[best]) {
        None => sentences.push(NOTHING.to_owned()),
        Some(only) if contest.points.len() == 1 => sentences.push(one_point(&contest.name(only), only)),
        Some(only) if finished == 1 => {
            sentences.push(one_point(&contest.name(only), only));
            sentences.push("No other point has a finished run to compare it with.".to_owned());
        }
        Some(best) => compared(best, contest, points, &mut sentences),
    }
    if let Some(first) = sentences.first_mut().filter(|_| !contest.shared.is_empty()) {
        *first = format!("With {}, {}", label(&contest.shared), uncapitalised(first));
    }
    sentences
}

fn one_point(name: &str, point: &PointSummary) -> String {
    let mean = percent(point.mean.unwrap_or(f64::NAN));
    match (point.interval, point.unsupported) {
        (Some(interval), _) => format!(
            "{}: {mean} % (interval {} to {} over {} seeds).",
            capitalised(name),
            percent(interval.low),
            percent(interval.high),
            point.finished()
        ),
        (None, Some(reason)) => format!("{}: {mean} %; {reason}.", capitalised(name)),
        (None, None) => format!("{}: {mean} %.", capitalised(name)),
    }
}

/// The sentences on the best point against all others.
fn compared(best: &PointSummary, contest: &Contest, points: &[PointSummary], sentences: &mut Vec<String>) {
    let comparisons = &contest.comparisons;
    if comparisons.is_empty() {
        sentences.push(unjudged(best, contest, points));
        return;
    }
    let mean = percent(best.mean.unwrap_or(f64::NAN));
    let best_name = contest.name(best);
    let likely = |point: &&PointSummary| point.probability_best.unwrap_or(0.0);
    let of_best =
        best.probability_best.map_or(String::new(), |p| format!(" (probability {})", probability(p)));
    let rival =
        contest.points.iter().map(|&point| &points[point]).max_by(|a, b| likely(a).total_cmp(&likely(b)));
    // The probabilities of two equally good points differ a little, which is not worth a word.
    sentences.push(match rival.filter(|rival| likely(rival) > likely(&best) + 0.1) {
        None => format!("Best: {best_name}, {mean} %{of_best}."),
        // A mean of few or widely scattered runs may be the highest by chance.
        Some(rival) => format!(
            "Highest: {best_name}, {mean} %{of_best}; more probably the best is {} ({}).",
            contest.name(rival),
            probability(likely(&rival))
        ),
    });

    let name = |comparison: &&Comparison| contest.name(&points[comparison.point]);
    let is_whole = comparisons.len() + 1 == contest.points.len();
    let (told, open): (Vec<&Comparison>, Vec<&Comparison>) =
        comparisons.iter().partition(|comparison| comparison.told_apart());
    if let Some((closest, rest)) = open.split_first() {
        let rest = listed(rest.iter().map(name).collect());
        sentences.push(format!(
            "The difference from {} is not significant ({}){}.",
            name(closest),
            distance(closest),
            if rest.is_empty() { rest } else { format!(", nor is that from {rest}") }
        ));
    }
    match (told.split_first(), open.is_empty()) {
        (None, _) => {}
        (Some((closest, [])), true) => {
            sentences.push(format!("Significantly better than {} ({}).", name(closest), distance(closest)));
        }
        (Some((closest, rest)), true) => sentences.push(format!(
            "Significantly better than all {} others{}, the closest being {} ({}).",
            rest.len() + 1,
            if is_whole { "" } else { " that can be compared" },
            name(closest),
            distance(closest)
        )),
        (Some(_), false) => {
            sentences.push(format!("Significantly better than {}.", listed(told.iter().map(name).collect())));
        }
    }
    sentences.extend(equality(&best_name, contest, points, &open, is_whole));
    if let Some((seeds, difference)) = contest.detectable {
        let seeds = plural(seeds, "seed");
        sentences.push(format!(
            "{} per point can tell differences of {} points in four of five experiments.",
            capitalised(&seeds),
            points_up(difference)
        ));
    }
}

/// The highest mean, where no difference from it can be judged: of all points that have it.
fn unjudged(best: &PointSummary, contest: &Contest, points: &[PointSummary]) -> String {
    let highest = best.mean.unwrap_or(f64::NAN);
    let finished = || contest.points.iter().map(|&point| &points[point]).filter(|point| point.finished() > 0);
    // Means of the same scores in another order differ by rounding.
    let has_it = |point: &&PointSummary| point.mean.is_some_and(|mean| highest - mean < 1e-9);
    let equal: Vec<String> = finished().filter(has_it).map(|point| contest.name(point)).collect();
    let mean = percent(highest);
    if equal.len() == 1 {
        return format!("Highest: {}, {mean} %; no difference from it can be judged.", equal[0]);
    }
    if equal.len() < finished().count() {
        return format!("Highest: {}, {mean} % each; no difference from them can be judged.", listed(equal));
    }
    let which = if equal.len() == contest.points.len() { "" } else { " with a finished run" };
    format!("All points{which} have the same mean, {mean} %; no difference between them can be judged.")
}

/// What is shown to be equal: the reference and the points within the experiment's margin; otherwise, if no
/// difference is significant, all points that can be compared, which are all of the contest where it `is_whole`;
/// otherwise the best and the point closest to it.
fn equality(
    best: &str,
    contest: &Contest,
    points: &[PointSummary],
    open: &[&Comparison],
    is_whole: bool,
) -> Option<String> {
    let name = |point: usize| contest.name(&points[point]);
    let within: Vec<String> = (contest.against_reference.iter())
        .filter(|row| row.p_equal.is_some_and(|p| p <= 1.0 - CONFIDENCE))
        .map(|row| name(row.comparison.point))
        .collect();
    if let (Some(reference), false) = (contest.reference, within.is_empty()) {
        return Some(format!(
            "Equal to {} within the margin laid down: {} (two one-sided tests, 5 %, Holm).",
            name(reference),
            listed(within)
        ));
    }
    if open.len() == contest.comparisons.len() {
        let margin = contest.flat_within?;
        return Some(format!(
            "No two{} differ by more than {} points (two one-sided tests of each pair, 5 %).",
            if is_whole { "" } else { " of those that can be compared" },
            points_up(margin)
        ));
    }
    // The bound of the simultaneous interval, since the data chose which point is closest.
    let closest = open.first()?;
    let bound = closest.interval.low.abs().max(closest.interval.high.abs());
    Some(format!(
        "{} and {} are equal within {} points (by the 95 % interval for all pairs).",
        capitalised(best),
        name(closest.point),
        points_up(bound)
    ))
}

/// Whether the effect of one axis depends on the other, and by how much.
fn interaction(interaction: &Interaction, metric: Metric, is_one_of_several: bool) -> Option<String> {
    let p = interaction.p_holm?;
    let planned = interaction.ends.as_ref().or(match interaction.contrasts.as_slice() {
        [only] => Some(only),
        _ => None,
    });
    let largest =
        (interaction.contrasts.iter()).max_by(|a, b| a.estimate().abs().total_cmp(&b.estimate().abs()));
    let told = planned.or(largest).filter(|contrast| contrast.interval.is_some());
    let contrast = told.map_or(String::new(), |contrast| {
        // Unlike p, the interval is corrected for no other interaction, and may exclude a zero that p does not.
        let alone = if is_one_of_several { " of this one alone" } else { "" };
        // The interval of one contrast alone says too much of the largest of several.
        let interval = contrast.interval.filter(|_| planned.is_some()).map(|interval| {
            format!(", interval{alone} {} to {}", in_points(interval.low), in_points(interval.high))
        });
        format!(
            ": from {} to {}, {metric} changes by {} points at {} and by {} at {} (difference {}{})",
            contrast.from,
            contrast.to,
            in_points(contrast.at_low),
            label(&[(interaction.along.clone(), contrast.low.clone())]),
            in_points(contrast.at_high),
            label(&[(interaction.along.clone(), contrast.high.clone())]),
            in_points(contrast.estimate()),
            interval.unwrap_or_default(),
        )
    });
    let verb = if interaction.is_shown() { "depends" } else { "is not shown to depend" };
    let averaged = match interaction.averaged.as_slice() {
        [] => String::new(),
        others => format!(", averaged over {}", listed(others.to_vec())),
    };
    Some(format!(
        "The effect of {} {verb} on {}{averaged} (p {}{}){contrast}.",
        interaction.effect,
        interaction.along,
        p_value(p),
        if is_one_of_several { ", Holm" } else { "" }
    ))
}

/// "difference 0.2 points, interval -0.4 to 0.8"
fn distance(comparison: &Comparison) -> String {
    let (difference, interval) = (comparison.estimate.value, comparison.interval);
    format!(
        "difference {} points, interval {} to {}",
        in_points(difference),
        in_points(interval.low),
        in_points(interval.high)
    )
}

/// Why points have no interval: each reason once, with the points it applies to.
fn unsupported(points: &[PointSummary]) -> Vec<String> {
    let without = points.iter().filter_map(|point| Some((point, point.unsupported?.to_string())));
    let reasons = grouped(without, |(_, reason)| reason.clone());
    let all = points.iter().filter(|point| point.finished() > 0).count();
    let sentence = |(reason, of): (String, Vec<(&PointSummary, String)>)| {
        let names: Vec<String> = of.iter().map(|(point, _)| point.label.clone()).collect();
        let of = if names.len() == all { "any point".to_owned() } else { listed(names) };
        format!("No interval and no comparison is given of {of}: {reason}.")
    };
    if all > 1 { reasons.into_iter().map(sentence).collect() } else { Vec::new() }
}

/// Points that are compared with none, since they have the runs of another.
fn twins(points: &[PointSummary]) -> Option<String> {
    let twins = points.iter().filter_map(|point| Some((point, &points[point.runs_of?])));
    let named = twins.map(|(point, other)| format!("{} has runs of {}", point.label, other.label));
    let named = listed(named.collect());
    (!named.is_empty()).then(|| format!("Compared with no other point: {named}."))
}

/// "a, b and c", shortened to four names.
pub(crate) fn listed(mut names: Vec<String>) -> String {
    const SHOWN: usize = 4;
    if names.len() > SHOWN + 1 {
        let hidden = names.len() - SHOWN;
        names.truncate(SHOWN);
        names.push(format!("{hidden} others"));
    }
    // Names that contain commas need another separator.
    let between = if names.iter().any(|name| name.contains(',')) { "; " } else { ", " };
    match names.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(between)),
    }
}

/// Points of different size cannot be compared: a warning if no budget was held and sizes
/// differ.
fn unmatched(study: &Study, points: &[PointSummary]) -> Option<String> {
    let sizes = || points.iter().map(|point| point.costs.parameters as f64);
    let (least, most) = (sizes().fold(f64::INFINITY, f64::min), sizes().fold(0.0, f64::max));
    (study.held.is_none() && most > 1.01 * least && least > 0.0).then(|| {
        format!(
            "No budget was held: the largest network has {:.1} times the parameters of the smallest, so \
             differences may be those of size.",
            most / least
        )
    })
}

/// How many runs count in no mean or are missing, and of which points: each run once, with the first that has it.
fn losses(runs: &[RunRow]) -> Vec<String> {
    let mut seen = HashSet::new();
    // Two points may have a run in common; made-up runs have no id.
    let once: Vec<&RunRow> = runs.iter().filter(|run| run.id.is_empty() || seen.insert(&run.id)).collect();
    let lost = |is: fn(&RunOutcome) -> bool, verb: &str, consequence: &str| {
        let of = grouped(once.iter().filter(|run| is(&run.outcome)), |run| &run.point);
        let sum: usize = of.iter().map(|(_, runs)| runs.len()).sum();
        let names = of.iter().map(|(point, runs)| format!("{} ({})", label(point), runs.len()));
        let names = listed(names.collect());
        (sum > 0).then(|| format!("{sum} of {} {verb}{consequence}: {names}.", plural(once.len(), "run")))
    };
    let is_missing = |outcome: &RunOutcome| !matches!(outcome, RunOutcome::Over(_)) && !outcome.is_unusable();
    let is_diverged = |outcome: &RunOutcome| matches!(outcome, RunOutcome::Over(Outcome::Diverged { .. }));
    let is_failed = |outcome: &RunOutcome| matches!(outcome, RunOutcome::Over(Outcome::Failed { .. }));
    [
        lost(is_diverged, "diverged", " and count in no mean"),
        lost(is_failed, "failed", " and count in no mean"),
        lost(RunOutcome::is_unusable, "cannot be used", " and count in no mean"),
        lost(is_missing, "have not finished", ""),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// For a sentence that continues after a comma.
fn uncapitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}

/// For the first word of a sentence; a key stays as it is typed.
fn capitalised(text: &str) -> String {
    if text.split_whitespace().nth(1) == Some("=") {
        return text.to_owned();
    }
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
