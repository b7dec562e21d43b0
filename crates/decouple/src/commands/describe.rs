//! `decouple describe`: a network layer by layer.

use decouple_experiment::{StepTimer, TrainingSpec, Trial};
use decouple_kernels::geometry::MapShape;
use decouple_spectrum::{
    budget::{solve, step_time},
    cost::Cost,
    drawing::svg,
    error::SpecError,
    graph::Graph,
    layer_table::{LayerRow, layer_rows},
    network::{NetworkSpec, figures},
};
use decouple_training::forecast;
use serde_json::json;

use super::{experiment::is_experiment, model};
use crate::{
    arguments::{Common, Describe, Picture},
    clock::StepClock,
    failure::{Failure, USAGE},
    text::{TextTable, answer, bytes, grouped},
};

pub(crate) fn run(common: &Common, arguments: &Describe) -> Result<u8, Failure> {
    let batch = arguments.batch as usize;
    let name = arguments.family.as_deref().unwrap_or_default();
    if let Some(number) = name.strip_prefix("figure-").and_then(|number| number.parse().ok()) {
        let Some(graph) = figures::module(number) else {
            refuse!(USAGE, "`{name}` is not a module: expected figure-1 to figure-4");
        };
        refuse_options_of_networks(arguments, name)?;
        return show(arguments, &graph, 1.0, figures::TITLES[number - 1]);
    }
    let spec = match network(arguments) {
        Err(_) if is_experiment(name) => {
            refuse!(
                USAGE,
                "`{name}` is an experiment, whose networks `decouple plan {name}` lists: expected a family"
            )
        }
        spec => spec?,
    };
    let (input, classes) = model::images(spec.family, arguments.input, arguments.classes);
    let own = NetworkSpec::of(spec.family, spec.numerics);
    let reference = NetworkSpec { segments: own.segments, ..spec.clone() };
    let (spec, width) = match arguments.budget {
        None => {
            let width = spec.width;
            (spec, width)
        }
        Some(held) => match held.counted() {
            Some(hold) => {
                let target = hold.of(&reference.graph(input, classes)?.cost());
                let solved = solve(&spec, input, classes, hold, target)?;
                (solved.spec, solved.width)
            }
            None => {
                let images = Images { input, classes, batch };
                timed(&mut StepClock::new(common), &spec, &reference, images)?
            }
        },
    };
    show(arguments, &spec.graph(input, classes)?, width, &model::title(&spec, width))
}

fn show(arguments: &Describe, graph: &Graph, width: f64, title: &str) -> Result<u8, Failure> {
    match arguments.format {
        Picture::Human => answer(&human(graph, width, arguments.batch as usize)),
        Picture::Json => answer(&format!("{}\n", document(graph, width, arguments.batch as usize))),
        Picture::Svg => answer(&svg(graph, title)),
    }
}

/// What a step is timed on.
#[derive(Clone, Copy)]
struct Images {
    input: MapShape,
    classes: usize,
    batch: usize,
}

impl Images {
    /// A trial whose steps are those of `network` on such images.
    fn trial(self, network: &NetworkSpec) -> Result<Trial, SpecError> {
        Trial::to_time(network, self.input, self.classes, self.batch)
    }
}

/// The network and the width at which its training step takes as long as one of
/// `reference`: measured, or remembered from an earlier measurement.
fn timed(
    clock: &mut StepClock,
    spec: &NetworkSpec,
    reference: &NetworkSpec,
    images: Images,
) -> Result<(NetworkSpec, f64), Failure> {
    let beside = images.trial(reference)?;
    let compare = |network: &NetworkSpec| clock.compare(&images.trial(network)?, &beside);
    let nearest = step_time::solve(spec, images.input, images.classes, beside.cost.macs, compare)
        .map_err(|error| Failure::new(USAGE, error))?;
    let comparison = nearest.comparison;
    say!("a training step takes {comparison}");
    if comparison.is_uncertain() {
        say!("warning: the machine is busy, so the width found is uncertain");
    }
    if comparison.meets_budget() {
        return Ok((nearest.spec, nearest.width));
    }
    let limit = 100.0 * step_time::TOLERANCE;
    let reason = format!("the nearest width, {:.4}, takes {comparison}", nearest.width);
    Err(Failure::new(USAGE, format!("no width meets the step time within {limit} %: {reason}")))
}

/// The network that the options ask for: read as the `[trial.network]` section
/// of an experiment file would be.
fn network(arguments: &Describe) -> Result<NetworkSpec, Failure> {
    let family = arguments.family.iter().map(|family| ("FAMILY", format!("family={family}")));
    let segments = arguments.segments.iter().map(|segments| ("--segments", format!("segments={segments}")));
    model::network(family.chain(segments).chain(model::set(&arguments.set)))
}

/// A module of the paper is drawn as it is there.
fn refuse_options_of_networks(arguments: &Describe, name: &str) -> Result<(), Failure> {
    let Describe { segments, set, budget, input, classes, .. } = arguments;
    let options = [
        ("--segments", segments.is_some()),
        ("--set", !set.is_empty()),
        ("--budget", budget.is_some()),
        ("--input", input.is_some()),
        ("--classes", classes.is_some()),
    ];
    if let Some((option, _)) = options.iter().find(|(_, is_given)| *is_given) {
        refuse!(
            USAGE,
            "{option} is about networks, and {name} is a module as the paper has it: expected a family"
        );
    }
    Ok(())
}

/// The layers as a table, with totals.
fn human(graph: &Graph, width: f64, batch: usize) -> String {
    let mut table =
        TextTable::new(2, &["layer", "operation", "output", "segments", "params", "MACs", "activations"]);
    let number = |count: u64| if count == 0 { String::new() } else { grouped(count) };
    let cells = |cost: &Cost| [number(cost.parameters), number(cost.macs), number(cost.activations)];
    for LayerRow { name, op, output, segments, cost } in layer_rows(graph) {
        let segments =
            segments.map_or(String::new(), |[segments, channels]| format!("{segments} of {channels}"));
        let mut row = vec![name, op, output.to_string(), segments];
        row.extend(cells(&cost));
        table.push(row);
    }
    let cost = graph.cost();
    let mut row = vec!["total".to_owned(), String::new(), String::new(), String::new()];
    row.extend(cells(&cost));
    table.push(row);
    format!(
        "{table}\nwidth {width:.4} · decoupling level {:.3} · {} running statistics · about {} to train at batch {batch}\n",
        graph.level(),
        grouped(cost.statistics),
        bytes(training_bytes(graph, batch)),
    )
}

/// Of a training with the defaults, but for the batch, on one thread.
fn training_bytes(graph: &Graph, batch: usize) -> u64 {
    forecast::bytes(graph, &TrainingSpec { batch, ..TrainingSpec::default() }, 1)
}

fn document(graph: &Graph, width: f64, batch: usize) -> serde_json::Value {
    let layers: Vec<_> = layer_rows(graph)
        .iter()
        .map(|row| {
            json!({
                "name": row.name,
                "operation": row.op,
                "output": [row.output.h, row.output.w, row.output.c],
                "segments": row.segments.map(|[segments, _]| segments),
                "channels": row.segments.map(|[_, channels]| channels),
                "cost": row.cost,
            })
        })
        .collect();
    json!({
        "width": width,
        "level": graph.level(),
        "cost": graph.cost(),
        "training_bytes": training_bytes(graph, batch),
        "layers": layers,
    })
}
