//! Networks on the command line: a family as it was published, or as a file of weights
//! describes it.

use decouple_experiment::section_of_options;
use decouple_kernels::geometry::MapShape;
use decouple_spectrum::{
    network::{Family, NetworkKey, NetworkSpec},
    segments::{SegmentSchedule, Segments},
    weights::{Description, file::WeightFile, names::Naming, prefix},
};

use crate::{
    arguments::{Extents, Model},
    failure::{Failure, USAGE},
};

/// A key and its value, `key=value`, after the option that gives it.
pub(super) type Typed = (&'static str, String);

/// The values of `--set`.
pub(super) fn set(pairs: &[String]) -> impl Iterator<Item = Typed> {
    pairs.iter().map(|pair| ("--set", pair.clone()))
}

/// The network of these keys: read as the `[trial.network]` section of an experiment file would be.
pub(super) fn network(typed: impl IntoIterator<Item = Typed>) -> Result<NetworkSpec, Failure> {
    let typed: Vec<Typed> = typed.into_iter().collect();
    Ok(section_of_options("network", typed.iter().map(|(option, pair)| (*option, &pair[..])))?)
}

/// Images and number of classes, as typed or as the family was published.
pub(super) fn images(family: Family, input: Option<Extents>, classes: Option<usize>) -> (MapShape, usize) {
    let (own, own_classes) = family.images();
    (input.map_or(own, |Extents(input)| input), classes.unwrap_or(own_classes))
}

/// The network that is asked for, or else the one that `file` notes. Weights with
/// timm's names are taken for timm's numerics unless another is asked for.
pub(super) fn description(model: &Model, file: &WeightFile, naming: Naming) -> Result<Description, Failure> {
    let Some(family) = &model.family else {
        let remedy = "name the network, as in --model xception";
        return Description::of(file)?
            .ok_or_else(|| Failure::new(USAGE, format!("{}: {remedy}", file.path().display())));
    };
    let is_set = model.set.iter().any(|pair| pair.trim_start_matches("network.").starts_with("numerics"));
    let typed = || std::iter::once(("--model", format!("family={family}"))).chain(set(&model.set));
    let spec = network(typed())?;
    let numerics = if naming == Naming::Timm && !is_set && spec.family.reads(NetworkKey::Numerics) {
        Some(("--set", "numerics=timm".to_owned()))
    } else {
        None
    };
    let network = network(typed().chain(numerics))?;
    let (input, classes) = images(network.family, model.input, model.classes);
    if Description::of(file).is_ok_and(|own| own.is_some_and(|own| own.network != network)) {
        let shown = file.path().display();
        say!("warning: {shown}: its weights are of another network than the one asked for, which is taken");
    }
    Ok(Description { network, input: [input.h, input.w, input.c], classes })
}

/// Reports the prefix that was removed from all names in `file`, if any.
pub(super) fn tell_prefix(
    file: &WeightFile,
    naming: Naming,
    description: &Description,
) -> Result<(), Failure> {
    let prefix = prefix(file, naming, description)?;
    if !prefix.is_empty() {
        let file = file.path().display();
        say!("{file}: removed the prefix `{prefix}`, which every name has but no name of the network");
    }
    Ok(())
}

/// What stands over the picture of a network.
pub(super) fn title(spec: &NetworkSpec, width: f64) -> String {
    let segments = match &spec.segments {
        SegmentSchedule::Uniform(Segments::PerChannel) => "one segment per channel".to_owned(),
        SegmentSchedule::Uniform(Segments::Count(1)) => "1 segment".to_owned(),
        SegmentSchedule::Uniform(Segments::Count(count)) => format!("{count} segments"),
        other => format!("segments {other}"),
    };
    let segments =
        if spec.family.reads(NetworkKey::Segments) { format!(", {segments}") } else { String::new() };
    let width = if width == 1.0 { String::new() } else { format!(", width {width:.3}") };
    format!("{}{segments}{width}", spec.family)
}
