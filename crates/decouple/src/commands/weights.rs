//! `decouple weights`: converts weights from and to the formats of other programs.

use decouple_spectrum::weights::{convert, convert_with_new_head, file::WeightFile, inspect, names::Naming};
use decouple_training::start_values::start_values;

use super::{
    model::{description, tell_prefix},
    targets::check,
};
use crate::{
    arguments::{Conversion, Weights},
    failure::{Failure, SUCCESS, USAGE},
    text::{answer, grouped},
};

pub(crate) fn run(weights: &Weights) -> Result<u8, Failure> {
    match weights {
        Weights::Import(conversion) => write(conversion, Some(Naming::Decouple)),
        Weights::Export(conversion) => write(conversion, None),
        Weights::Convert(conversion) => write(conversion, None),
        Weights::Inspect(arguments) => answer(&format!("{}\n", inspect(&arguments.file)?)),
    }
}

fn write(conversion: &Conversion, own: Option<Naming>) -> Result<u8, Failure> {
    let Conversion { source, target, .. } = conversion;
    check(target, source)?;
    let Some(to) = conversion.to.or(own) else {
        refuse!(USAGE, "no format for the target's names: expected --to timm, keras or decouple");
    };
    let file = WeightFile::open(source)?;
    let from = conversion.from.unwrap_or_else(|| Naming::of(file.header()));
    let description = description(&conversion.model, &file, from)?;
    tell_prefix(&file, from, &description)?;
    let graph = description.graph()?;
    match conversion.new_head {
        Some(seed) => {
            let mut start = start_values(&graph, seed);
            convert_with_new_head(source, from, &description, target, to, |id| {
                std::mem::take(&mut start[id.0])
            })?;
            say!("{}: initialised a new head of {} classes", target.display(), description.classes);
        }
        None => convert(source, from, Some(&description), target, to)?,
    }
    let values: usize = graph.parameters.iter().map(|parameter| parameter.len()).sum();
    say!(
        "{}: {} values of {} with the names of {to}",
        target.display(),
        grouped(values as u64),
        description.network.family
    );
    Ok(SUCCESS)
}
