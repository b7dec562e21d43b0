//! `decouple compare`: two experiments side by side.

use std::{collections::BTreeSet, path::Path};

use decouple_experiment::{Difference, Metric, Run, Sweep, differences};
use decouple_reporting::{Analysis, Pair, Side, analyse, side_by_side};
use serde_json::json;

use super::{
    experiment::{ledger, read_with_runs},
    report::{code, needs_runs, tell_problems},
};
use crate::{
    arguments::{Common, Compare, Format},
    failure::{Failure, USAGE},
    text::{TextTable, plural, print, short_count},
};

pub(crate) fn run(common: &Common, arguments: &Compare) -> Result<u8, Failure> {
    let (first, first_found, first_images) = found(common, &arguments.first)?;
    let (second, second_found, second_images) = found(common, &arguments.second)?;
    // One of the two may have none yet.
    let has_runs = |sweep: &Sweep| needs_runs(sweep, &ledger(common, sweep));
    has_runs(&second).or_else(|_| has_runs(&first))?;
    let keys = recipes(&first, &second);
    let pairs = side_by_side(&first_found, &second_found);
    let [metric, other] = [&first_found, &second_found].map(|found| found.study.metric);
    if metric != other {
        refuse!(
            USAGE,
            "{} is scored by {metric} but {} by {other}, so they cannot be compared",
            first.name,
            second.name
        );
    }
    warn(
        &keys,
        &pairs,
        first_images != second_images && !first_images.is_empty() && !second_images.is_empty(),
    );
    tell_problems(&first, &first_found);
    tell_problems(&second, &second_found);
    let names = [&first.name[..], &second.name];
    print(&match arguments.format {
        Format::Human => human(names, metric, &keys, &pairs),
        Format::Json => format!("{}\n", document(names, &keys, &pairs)),
    })?;
    // The worse of the two.
    Ok(code(&first_found).max(code(&second_found)))
}

/// An experiment, what its runs on disk say, and the checksums of their images.
fn found(common: &Common, file: &Path) -> Result<(Sweep, Analysis, BTreeSet<String>), Failure> {
    let sweep = read_with_runs(common, file, &[])?;
    let contents = ledger(common, &sweep).read()?;
    let is_own = |run: &&Run| sweep.trials.iter().any(|trial| trial.id == run.id);
    let images = contents.runs.iter().filter(is_own).filter_map(|run| run.identity().data).collect();
    let analysis = analyse(&sweep, &contents);
    Ok((sweep, analysis, images))
}

/// The keys in which the first trials of both differ, apart from what either varies.
fn recipes(first: &Sweep, second: &Sweep) -> Vec<Difference> {
    let (Some(a), Some(b)) = (first.trials.first(), second.trials.first()) else { return Vec::new() };
    let varied = |key: &str| {
        // In a condition the experiments may differ.
        let axes = first.axes.iter().chain(&second.axes).filter(|axis| !axis.is_fixed());
        axes.map(|axis| axis.name.as_str()).any(|axis| key == axis || key.ends_with(&format!(".{axis}")))
    };
    differences(&a.record, &b.record).into_iter().filter(|difference| !varied(&difference.key)).collect()
}

/// Warns of causes, other than the networks, of a difference in accuracy.
fn warn(keys: &[Difference], pairs: &[Pair], has_other_images: bool) {
    let data: Vec<_> = keys.iter().map(|d| d.key.as_str()).filter(|key| key.starts_with("data.")).collect();
    if !data.is_empty() {
        say!(
            "warning: the two are trained on different images ({}), so differences may be due to the data",
            data.join(", ")
        );
    } else if has_other_images {
        say!(
            "warning: the two are trained on different images under the same names (their checksums differ), so \
             differences may be due to the data"
        );
    }
    let count = pairs.iter().filter(|pair| pair.is_uneven()).count();
    if count > 0 {
        let points = plural(count, "point");
        say!("warning: {points} with networks of different sizes, so differences may be due to size");
    }
}

fn human(names: [&str; 2], metric: Metric, keys: &[Difference], pairs: &[Pair]) -> String {
    let mut text = String::new();
    if !keys.is_empty() {
        let mut table = TextTable::new(3, &["key", names[0], names[1]]);
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        for key in keys {
            table.push(vec![key.key.clone(), value(&key.first), value(&key.second)]);
        }
        text += &format!("{table}\n");
    }
    let header = ["point", names[0], "params", names[1], "params", "difference", "95 % interval"];
    let mut table = TextTable::new(1, &header);
    for pair in pairs {
        let mut row = vec![pair.label.clone()];
        row.extend([pair.first, pair.second].into_iter().flat_map(cells));
        row.push(pair.difference.map_or("-".to_owned(), |share| format!("{:+.2}", 100.0 * share)));
        let interval = |low: f64, high: f64| format!("{:+.2} to {:+.2}", 100.0 * low, 100.0 * high);
        row.push(pair.interval.map_or("-".to_owned(), |i| interval(i.low, i.high)));
        table.push(row);
    }
    text + &format!(
        "{table}\ntest {metric} in %, mean over seeds (how many); the difference is {} less {}, in points, \
         each at 95 % by itself\n",
        names[1], names[0]
    )
}

fn cells(side: Option<Side>) -> [String; 2] {
    let Some(side) = side else { return ["-".to_owned(), "-".to_owned()] };
    let mean = side.mean.map_or("-".to_owned(), |mean| format!("{:.2} ({})", 100.0 * mean, side.seeds));
    [mean, short_count(side.parameters)]
}

fn document(names: [&str; 2], keys: &[Difference], pairs: &[Pair]) -> serde_json::Value {
    let side = |side: Option<Side>| {
        side.map(|Side { seeds, mean, sd, parameters }| {
            json!({ "seeds": seeds, "accuracy_mean": mean, "accuracy_sd": sd, "parameters": parameters })
        })
    };
    let pair = |pair: &Pair| {
        json!({
            "point": pair.label,
            "first": side(pair.first),
            "second": side(pair.second),
            "difference": pair.difference,
            "interval": pair.interval.map(|interval| [interval.low, interval.high]),
        })
    };
    json!({
        "experiments": names,
        "keys": keys.iter().map(|d| json!({ "key": d.key, "first": d.first, "second": d.second })).collect::<Vec<_>>(),
        "points": pairs.iter().map(pair).collect::<Vec<_>>(),
    })
}
