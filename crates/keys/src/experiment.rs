//! Keys of `[experiment]`, `[axes]` and `[[zip]]`.

use std::ops::Bound::Excluded;

use super::values::{
    CHANNELS,
    Values::{AnyOf, As, List, Noted, Real, Table, Text, Words},
    WHOLE,
};
use super::{Key, key, measured};

pub(super) const KEYS: &[Key] = &[
    key(
        "experiment.name",
        "Name of the experiment and of its folder under `results`.",
        Text("letters, digits and `.` `_` `-`, beginning with a letter or digit"),
        "",
    ),
    key("experiment.question", "What the experiment asks: the title of its figures.", Text("a string"), ""),
    key(
        "experiment.reference",
        "The point that budgets and differences refer to: axis names with one value each.",
        Table("a table such as `{ segments = \"per-channel\" }`"),
        "{}",
    ),
    key(
        "experiment.budget",
        "The quantity held equal along the sweep, by fitting `network.width` at every point.",
        AnyOf(&[
            Noted(&[
                ("parameters", "trained values"),
                ("macs", "multiply-adds of one image"),
                ("activations", "outputs of convolutions and dense layers for one image"),
                ("step-time", "of a training step, measured on this machine"),
                ("none", ""),
            ]),
            Table("`{ hold = ..., at = \"reference\" }`"),
        ]),
        "\"parameters\"",
    ),
    key("experiment.budget.hold", "The quantity held equal.", As("experiment.budget"), "\"parameters\""),
    key(
        "experiment.budget.at",
        "The point whose cost, at its own width, all points must meet.",
        Words(&["reference"]),
        "\"reference\"",
    ),
    key(
        "experiment.budget.pays",
        "Which channel counts the budget may change: all, or those inside modules while stem and residual stream stay (mini-xception).",
        Words(&["all", "inner"]),
        "\"all\"",
    ),
    measured(
        "experiment.budget.least-channels",
        "The fewest channels that the budget may leave in a layer.",
        CHANNELS,
        "channels",
        "1",
    ),
    key(
        "experiment.hypotheses",
        "What is expected; recorded by `decouple plan --lock`.",
        List(&Text("a sentence"), ""),
        "[]",
    ),
    measured(
        "experiment.margin",
        "The difference within which points count as equal; recorded by `decouple plan --lock`, tested in the report.",
        Real(Excluded(0.0), Excluded(100.0)),
        "points",
        "",
    ),
    key(
        "experiment.analysis",
        "How the runs will be analysed; recorded by `decouple plan --lock`.",
        Text("a string"),
        "\"\"",
    ),
    key(
        "axes",
        "What is varied: a list of values for each key, every combination of which is trained.",
        Table("a table of lists"),
        "{}",
    ),
    key("axes.seed", "Seeds of the runs of every point.", List(&WHOLE, ", all different"), "[0, 1, 2]"),
    key(
        "zip",
        "What is varied together: lists of equal length, read row by row. Several `[[zip]]` tables are crossed with each other and with `[axes]`.",
        List(&Table("a table of lists"), ""),
        "[]",
    ),
];
