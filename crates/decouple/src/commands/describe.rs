//! `decouple describe`: a network layer by layer.

use decouple_spectrum::{
    budget::{Quantity, solve},
    cost::Cost,
    drawing::svg,
    graph::Graph,
    network::NetworkSpec,
    networks::figures,
    segments::{Schedule, Segments},
    table::{LayerRow, layer_rows},
};
use serde_json::json;

use super::model;
use crate::{
    arguments::{Budget, Describe, Picture},
    failure::{Failure, SUCCESS, USAGE},
    text::{Table, bytes, grouped, print},
};

pub(crate) fn run(arguments: &Describe) -> Result<u8, Failure> {
    let name = arguments.family.as_deref().unwrap_or_default();
    if let Some(number) = name.strip_prefix("figure-").and_then(|number| number.parse().ok()) {
        let Some(graph) = figures::module(number) else {
            return Err(Failure::new(USAGE, format!("`{name}` is no module: expected figure-1 to figure-4")));
        };
        return show(arguments, &graph, 1.0, figures::TITLES[number - 1]);
    }
    let spec = network(arguments)?;
    let (input, classes) = model::images(spec.family, arguments.input, arguments.classes);
    let (spec, width) = match arguments.budget {
        None => {
            let width = spec.width;
            (spec, width)
        }
        Some(budget) => {
            let hold = quantity(budget);
            let own = NetworkSpec::of(spec.family, spec.numerics);
            let reference = NetworkSpec { segments: own.segments, ..spec.clone() };
            let target = hold.of(&reference.graph(input, classes)?.cost());
            let solved = solve(&spec, input, classes, hold, target)?;
            (solved.spec, solved.width)
        }
    };
    show(arguments, &spec.graph(input, classes)?, width, &title(&spec, width))
}

fn show(arguments: &Describe, graph: &Graph, width: f64, title: &str) -> Result<u8, Failure> {
    match arguments.format {
        Picture::Human => print(&human(graph, width, arguments.batch))?,
        Picture::Json => print(&format!("{}\n", document(graph, width, arguments.batch)))?,
        Picture::Svg => print(&svg(graph, title))?,
    }
    Ok(SUCCESS)
}

/// What stands over the picture of a network.
fn title(spec: &NetworkSpec, width: f64) -> String {
    let segments = match &spec.segments {
        Schedule::Uniform(Segments::PerChannel) => "one segment a channel".to_owned(),
        Schedule::Uniform(Segments::Count(1)) => "1 segment".to_owned(),
        Schedule::Uniform(Segments::Count(count)) => format!("{count} segments"),
        other => format!("segments {other}"),
    };
    let segments = if spec.family.reads("segments") { format!(", {segments}") } else { String::new() };
    let width = if width == 1.0 { String::new() } else { format!(", width {width:.3}") };
    format!("{}{segments}{width}", spec.family)
}

fn quantity(budget: Budget) -> Quantity {
    match budget {
        Budget::Parameters => Quantity::Parameters,
        Budget::Macs => Quantity::Macs,
        Budget::Activations => Quantity::Activations,
    }
}

/// The network that the options ask for: read as the `[trial.network]` section
/// of an experiment file would be.
fn network(arguments: &Describe) -> Result<NetworkSpec, Failure> {
    let segments = arguments.segments.as_deref().map(|segments| format!("segments={segments}"));
    model::network(arguments.family.as_deref(), segments.iter().chain(&arguments.set).map(String::as_str))
}

/// The layers as a table, with totals.
fn human(graph: &Graph, width: f64, batch: usize) -> String {
    let mut table =
        Table::new(2, &["layer", "operation", "output", "segments", "params", "MACs", "activations"]);
    let number = |count: u64| if count == 0 { String::new() } else { grouped(count) };
    let cells = |cost: &Cost| [number(cost.parameters), number(cost.macs), number(cost.activations)];
    for LayerRow { name, op, output, segments, cost } in layer_rows(graph) {
        let segments = segments.map_or(String::new(), |segments| format!("{segments} of {}", output.c));
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
        bytes(graph.training_bytes(batch)),
    )
}

fn document(graph: &Graph, width: f64, batch: usize) -> serde_json::Value {
    let layers: Vec<_> = layer_rows(graph)
        .iter()
        .map(|row| {
            json!({
                "name": row.name,
                "operation": row.op,
                "output": [row.output.h, row.output.w, row.output.c],
                "segments": row.segments,
                "cost": row.cost,
            })
        })
        .collect();
    json!({
        "width": width,
        "level": graph.level(),
        "cost": graph.cost(),
        "training_bytes": graph.training_bytes(batch),
        "layers": layers,
    })
}
