//! Keys of `[tune]`.

use super::values::{
    COUNT, NOT_NEGATIVE, POSITIVE,
    Values::{AnyOf, Flag, List, Table},
    WHOLE,
};
use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "tune.learning-rate",
        "Learning rates that every point tries on validation images before its seeds are run with the best: a list, or a range over which the `tries` are spread.",
        AnyOf(&[List(&POSITIVE, ""), Table("`{ from = ..., to = ... }`")]),
        "",
    ),
    key(
        "tune.weight-decay",
        "Weight decays tried with each of them; by default the trial's own.",
        AnyOf(&[List(&NOT_NEGATIVE, ""), Table("`{ from = ..., to = ... }`")]),
        "",
    ),
    key(
        "tune.tries",
        "How many of the combinations are tried, drawn once for all points; by default all. For ranges, how many points of Sobol's sequence.",
        COUNT,
        "",
    ),
    key(
        "tune.finalists",
        "How many of a point's best tries are run with more seeds before one is chosen.",
        COUNT,
        "1",
    ),
    key("tune.seeds", "Total number of seeds that a finalist is run with.", COUNT, "1"),
    key(
        "tune.halving",
        "Whether the worse half of a point's tries, by validation log-loss, is stopped after seven eighths of the epochs. Earlier ones say little about the final ones.",
        Flag,
        "false",
    ),
    key("tune.seed", "Seed of all tries.", WHOLE, "1000"),
];
