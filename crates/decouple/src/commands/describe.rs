//! `decouple describe`: a network layer by layer.

use decouple_spectrum::{
    budget::{Quantity, solve},
    cost::Cost,
    graph::Graph,
    network::NetworkSpec,
    segments::{Schedule, Segments},
    table::{LayerRow, layer_rows},
};
use serde_json::json;

use super::section_text;
use crate::{
    arguments::{Budget, Describe, Extents, Format},
    failure::{Failure, SUCCESS, USAGE},
    text::{Table, bytes, grouped, print},
};

pub(crate) fn run(arguments: &Describe) -> Result<u8, Failure> {
    let spec = network(arguments)?;
    let Extents(input) = arguments.input;
    let (spec, width) = match arguments.budget {
        None => {
            let width = spec.width;
            (spec, width)
        }
        Some(budget) => {
            let hold = quantity(budget);
            let reference = NetworkSpec { segments: Schedule::Uniform(Segments::PerChannel), ..spec.clone() };
            let target = hold.of(&reference.graph(input, arguments.classes)?.cost());
            let solved = solve(&spec, input, arguments.classes, hold, target)?;
            (solved.spec, solved.width)
        }
    };
    let graph = spec.graph(input, arguments.classes)?;
    match arguments.format {
        Format::Human => print(&human(&graph, width, arguments.batch))?,
        Format::Json => print(&format!("{}\n", document(&graph, width, arguments.batch)))?,
    }
    Ok(SUCCESS)
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
    let family = arguments.family.as_deref().map(|family| format!("family={family}"));
    let segments = arguments.segments.as_deref().map(|segments| format!("segments={segments}"));
    let pairs = family.iter().chain(&segments).chain(&arguments.set).map(String::as_str);
    let section = section_text("network", pairs)?;
    let spec: NetworkSpec = toml::from_str(&section).map_err(|error| Failure::new(USAGE, error))?;
    Ok(spec)
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
