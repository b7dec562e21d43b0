//! Keys of `[trial.network]`.

use std::ops::Bound::Included;

use super::values::{
    CHANNELS, COUNT, DEPTH, POSITIVE,
    Values::{AnyOf, Flag, List, Noted, OneOf, OrList, Real, Table, Whole, Words},
    WHOLE,
};
use super::{Key, key, measured};

pub(super) const KEYS: &[Key] = &[
    key(
        "network.family",
        "The architecture. Each family reads some of the keys below and has its own defaults; the ones here are mini-xception's. A key that a family does not read is refused.",
        Noted(&[
            ("mini-xception", ""),
            ("xception", ""),
            ("inception-v3", ""),
            ("simple-inception", "Inception V3's frame with the modules of the paper's figure 3"),
            ("vgg-16", ""),
            ("resnet-18", ""),
            ("resnet-50", ""),
            ("resnet-152", ""),
            ("resnext-50", ""),
        ]),
        "\"mini-xception\"",
    ),
    key(
        "network.numerics",
        "Which implementation a published network follows: epsilon of batch norms, padding, biases.",
        Words(&["keras", "timm"]),
        "\"keras\"",
    ),
    key(
        "network.segments",
        "Independent segments of the spatial convolutions: one value for all stages, or one per stage. More segments than a layer has channels means per-channel there.",
        OrList(&[
            COUNT,
            Words(&["per-channel"]),
            Table("`{ channels-per-segment = N }`, `{ level = L }` with L from 0 to 1"),
        ]),
        "\"per-channel\"",
    ),
    measured(
        "network.channels-per-segment",
        "The same, expressed as the width of a group, which means the same in every layer; instead of `segments`.",
        OrList(&[COUNT, Noted(&[("all", "one segment")])]),
        "channels",
        "",
    ),
    key(
        "network.module",
        "What a module consists of: a 1x1 and a spatial convolution, or only a spatial convolution over segments (mini-xception, xception).",
        Words(&["spectrum", "plain"]),
        "\"spectrum\"",
    ),
    key(
        "network.order",
        "Which of a module's two convolutions comes first.",
        Noted(&[("pointwise-first", "Inception"), ("spatial-first", "separable convolution")]),
        "\"pointwise-first\"",
    ),
    key(
        "network.intermediate",
        "The activation between the two convolutions.",
        Words(&["none", "relu", "elu"]),
        "\"none\"",
    ),
    key(
        "network.norm",
        "Where batch norm is: once per module, after its second convolution, or after both.",
        Words(&["module", "both"]),
        "\"module\"",
    ),
    key(
        "network.norm-epsilon",
        "Added to the variance by every batch norm.",
        Real(Included(1e-12), Included(1.0)),
        "0.001",
    ),
    key(
        "network.norm-momentum",
        "Share of the new batch in the running mean and variance of every batch norm.",
        Real(Included(1e-6), Included(1.0)),
        "0.1",
    ),
    key("network.residual", "Whether flows have linear residual connections.", Flag, "true"),
    key(
        "network.dense",
        "Further inputs of the modules of a middle block besides the previous module: the block's input, or that and the outputs of all earlier modules (mini-xception, xception).",
        Words(&["none", "first", "all"]),
        "\"none\"",
    ),
    measured("network.kernel", "Rows and columns of the spatial kernels.", OneOf(&[3, 5, 7]), "pixels", "3"),
    measured("network.stem", "Width of the stem convolution.", CHANNELS, "channels", "16"),
    measured(
        "network.stem-kernel",
        "Rows and columns of the stem's kernel; 1 leaves all spatial structure to the modules (mini-xception).",
        OneOf(&[1, 3]),
        "pixels",
        "3",
    ),
    measured(
        "network.entry",
        "Width of each entry stage; a stage halves the map.",
        List(&CHANNELS, ""),
        "channels",
        "[16, 32, 64]",
    ),
    measured(
        "network.middle",
        "Blocks of the middle flow, as wide as the last entry stage.",
        Whole(0, Some(100)),
        "blocks",
        "2",
    ),
    measured("network.modules", "Modules in a middle block.", DEPTH, "modules", "3"),
    measured("network.exit", "Width of the exit flow.", CHANNELS, "channels", "128"),
    measured(
        "network.inner",
        "Widths between the two convolutions of a module, for each entry stage, the middle flow and the exit flow; by default the modules' own (mini-xception).",
        List(&CHANNELS, ", one per stage"),
        "channels",
        "[]",
    ),
    key(
        "network.size",
        "How much of the budget's quantity this point has, instead of as much as the reference.",
        COUNT,
        "",
    ),
    key(
        "network.allocation",
        "Seed of another, random allocation of width and depth; a budget then scales the whole (mini-xception).",
        AnyOf(&[WHOLE, Words(&["own"])]),
        "\"own\"",
    ),
    key(
        "network.small-stem",
        "Whether the stem of a published network keeps the size of the map, for images of about 32 pixels.",
        Flag,
        "false",
    ),
    measured(
        "network.channels",
        "Channel counts that replace those of a published network, from input to output.",
        List(&CHANNELS, ", as many as the network's own"),
        "channels",
        "",
    ),
    key(
        "network.fully-connected",
        "Outputs of dense layers before the logits (xception, inception-v3, simple-inception).",
        List(&CHANNELS, ""),
        "[]",
    ),
    key(
        "network.width",
        "Multiplies all channel counts. Under a budget it applies to the reference; the widths of the other points follow from the budget.",
        POSITIVE,
        "1.0",
    ),
    key(
        "network.dropout",
        "Share of the values before the logits that are zeroed in training.",
        Real(Included(0.0), Included(0.99)),
        "0.0",
    ),
];
