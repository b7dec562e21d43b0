//! Weights in and out: safetensors files with our names and layouts, timm's
//! or Keras'.
//!
//! [`mod@file`] reads and writes the format, [`names`] says what a parameter is
//! called elsewhere, [`permutation`] how it lies in memory there. The functions here
//! put them together: [`read`] fills a network, [`write()`] stores one,
//! [`convert`] goes from one framework's file to another's, and [`inspect`]
//! says what a file holds.
//!
//! Our files describe their network in the metadata ([`Description`]), so that they can be used
//! without further information. A convolution with uneven segments is one flat tensor there,
//! output channel by output channel, since rows of different lengths have no shape; the number
//! of segments is in the description. Other frameworks cannot express such a layer, and
//! exporting it is refused.

pub mod error;
pub mod file;
pub mod foreign;
pub mod header;
pub mod inspection;
pub mod names;
mod naming;
pub mod permutation;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};
use std::path::Path;

use decouple_kernels::geometry::MapShape;
use serde::{Deserialize, Serialize};

use crate::graph::{Graph, ParameterId};
use crate::network::NetworkSpec;
use decouple_disk::Target;
use error::{Mismatches, WeightError};
use file::{WeightFile, write_tensors};
use header::Header;
pub use inspection::inspect;
use names::{NamedTensor, Naming};

/// Version of our files. Other versions are refused.
pub const FORMAT: &str = "1";

/// The longest header that is read: three times that of the deepest network that the keys allow.
pub const MAX_HEADER_BYTES: u64 = 1 << 24;

/// Keys of the metadata in our files.
const FORMAT_KEY: &str = "decouple.format";
const NAMING_KEY: &str = "decouple.names";
const DESCRIPTION_KEY: &str = "decouple.network";
const IMAGES_KEY: &str = "decouple.images";

/// The network that weights belong to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Description {
    /// The network as typed.
    pub network: NetworkSpec,
    /// Rows, columns and channels of its images.
    pub input: [usize; 3],
    /// Its logits.
    pub classes: usize,
}

impl Description {
    /// The network, lowered.
    ///
    /// # Errors
    /// [`WeightError::Spec`] if there is no such network.
    pub fn graph(&self) -> Result<Graph, WeightError> {
        let [h, w, c] = self.input;
        Ok(self.network.graph(MapShape::new(h, w, c), self.classes)?)
    }

    /// The network described in `file`, or `None` if the file is not ours.
    ///
    /// # Errors
    /// [`WeightError::Metadata`] for another version, or a network that this
    /// program does not know.
    pub fn of<R: Read + Seek>(file: &WeightFile<R>) -> Result<Option<Self>, WeightError> {
        let metadata = &file.header().metadata;
        let Some(format) = metadata.get(FORMAT_KEY) else { return Ok(None) };
        let refuse = |key, found: &str, expected: String| {
            Err(WeightError::Metadata {
                path: file.path().to_owned(),
                key,
                found: found.to_owned(),
                expected,
            })
        };
        if format != FORMAT {
            return refuse(FORMAT_KEY, format, format!("{FORMAT:?}, this program's version"));
        }
        let text = metadata.get(DESCRIPTION_KEY).map_or("", String::as_str);
        match serde_json::from_str(text) {
            Ok(description) => Ok(Some(description)),
            Err(error) => refuse(DESCRIPTION_KEY, text, format!("a network as JSON ({error})")),
        }
    }

    /// The metadata of a file that holds this network under names of `naming`.
    fn metadata(&self, naming: Naming, images: Option<&Images>) -> BTreeMap<String, String> {
        let description = serde_json::to_string(self).expect("a description has only string keys");
        let images =
            images.map(|images| serde_json::to_string(images).expect("images have only string keys"));
        [(FORMAT_KEY, FORMAT), (NAMING_KEY, naming.name()), (DESCRIPTION_KEY, &description)]
            .into_iter()
            .chain(images.as_deref().map(|images| (IMAGES_KEY, images)))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }
}

/// The properties of a network's training images that are needed to use it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Images {
    /// Names of the classes, in the order of the logits.
    pub classes: Vec<String>,
    /// Subtracted from each channel, bytes scaled to 0..1.
    pub mean: Vec<f32>,
    /// The divisor of each channel; a channel where it is 0 is only shifted.
    pub std: Vec<f32>,
}

impl Images {
    /// The images described in `file`, whose network is `description`, or `None` if it does not describe them:
    /// weights of published networks, and of older runs.
    ///
    /// # Errors
    /// [`WeightError::Metadata`] if the description is invalid, or of another number of classes or channels.
    pub fn of<R: Read + Seek>(
        file: &WeightFile<R>,
        description: &Description,
    ) -> Result<Option<Self>, WeightError> {
        let Some(text) = file.header().metadata.get(IMAGES_KEY) else { return Ok(None) };
        let refused = |expected| WeightError::Metadata {
            path: file.path().to_owned(),
            key: IMAGES_KEY,
            found: text.clone(),
            expected,
        };
        let images: Self = serde_json::from_str(text)
            .map_err(|error| refused(format!("classes, mean and std as JSON ({error})")))?;
        let Description { input: [.., channels], classes, .. } = *description;
        let lengths = [images.classes.len(), images.mean.len(), images.std.len()];
        if lengths != [classes, channels, channels] {
            return Err(refused(format!(
                "the names of {classes} classes, and mean and std of {channels} channels"
            )));
        }
        Ok(Some(images))
    }
}

/// Calls `visit` with the values of every parameter and running statistic of
/// `description`'s network, in the graph's order, read from `file` under the
/// names and from the layouts of `naming`.
///
/// All tensors are checked before the first value is read. Holds one tensor at a time, twice if
/// its layout differs. A [`prefix`] that all names share is ignored.
///
/// # Errors
/// [`WeightError::Tensors`] when a tensor is missing, surplus or of another
/// shape; [`WeightError::NotFinite`] when a value is infinite or not a number;
/// [`WeightError::Unnamed`] when `naming` has no names for the network;
/// [`WeightError::Io`]; [`WeightError::Spec`].
pub fn read<R: Read + Seek>(
    file: &mut WeightFile<R>,
    naming: Naming,
    description: &Description,
    mut visit: impl FnMut(ParameterId, Vec<f32>),
) -> Result<(), WeightError> {
    let tensors = names::named_tensors(&description.network, &description.graph()?, naming)?;
    check(file, naming, &tensors, description.classes)?;
    for tensor in &tensors {
        visit(tensor.parameter, read_ours(file, tensor)?);
    }
    Ok(())
}

/// Writes `description`'s network to `target` under the names and in the layouts
/// of `naming`; `values` gives those of a parameter in our layout. With a description of the training
/// `images`, the network can be used without its data set.
///
/// # Errors
/// [`WeightError::Io`], [`WeightError::Unnamed`], [`WeightError::Spec`].
///
/// # Panics
/// When `values` gives another number of values than the parameter has.
pub fn write<'a, 'p>(
    target: impl Into<Target<'p>>,
    naming: Naming,
    description: &Description,
    images: Option<&Images>,
    mut values: impl FnMut(ParameterId) -> Cow<'a, [f32]>,
) -> Result<(), WeightError> {
    let tensors = names::named_tensors(&description.network, &description.graph()?, naming)?;
    let metadata = description.metadata(naming, images);
    store(target.into(), &metadata, &tensors, |tensor| Ok(foreign(tensor, values(tensor.parameter))))
}

/// Writes the weights of `source`, which has the names of `from`, to `target`
/// with the names of `to`. Importing is `to` [`Naming::Decouple`], exporting is
/// `from` it.
///
/// `description` is the network; it may be left out if `source` describes it. The description
/// of the images in `source` is kept.
///
/// # Errors
/// As [`read`] and [`write()`], and [`WeightError::Metadata`] if the network is unknown.
pub fn convert(
    source: &Path,
    from: Naming,
    description: Option<&Description>,
    target: &Path,
    to: Naming,
) -> Result<(), WeightError> {
    let mut file = WeightFile::open(source)?;
    let description = match description {
        Some(description) => description.clone(),
        None => Description::of(&file)?.ok_or_else(|| WeightError::Metadata {
            path: source.to_owned(),
            key: DESCRIPTION_KEY,
            found: String::new(),
            expected: "the network that its weights are for, or to be told which".to_owned(),
        })?,
    };
    let images = Images::of(&file, &description)?;
    rewrite(&mut file, from, &description, target, to, images.as_ref(), |_| None)
}

/// As [`convert`], with a new head: `start` gives the values of the parameters whose shapes depend on
/// the number of classes. Tensors of `source` with their names are ignored, whatever their shape, and
/// may be missing. The class names of `source` are dropped.
///
/// # Errors
/// As [`convert`].
pub fn convert_with_new_head(
    source: &Path,
    from: Naming,
    description: &Description,
    target: &Path,
    to: Naming,
    mut start: impl FnMut(ParameterId) -> Vec<f32>,
) -> Result<(), WeightError> {
    let mut file = WeightFile::open(source)?;
    let head = head(description)?;
    rewrite(&mut file, from, description, target, to, None, |id| head.contains(&id).then(|| start(id)))
}

/// The parameters whose shapes depend on the number of classes.
fn head(description: &Description) -> Result<BTreeSet<ParameterId>, WeightError> {
    // One class fewer, since there may be no room for more.
    let classes = if description.classes > 1 { description.classes - 1 } else { 2 };
    let other = Description { classes, ..description.clone() }.graph()?;
    let graph = description.graph()?;
    let pairs = graph.parameters.iter().zip(&other.parameters).enumerate();
    Ok(pairs.filter(|(_, (a, b))| a.len() != b.len()).map(|(index, _)| ParameterId(index)).collect())
}

/// Writes the weights of `file` to `target`, with those in `new` replaced.
fn rewrite<R: Read + Seek>(
    file: &mut WeightFile<R>,
    from: Naming,
    description: &Description,
    target: &Path,
    to: Naming,
    images: Option<&Images>,
    mut new: impl FnMut(ParameterId) -> Option<Vec<f32>>,
) -> Result<(), WeightError> {
    let graph = description.graph()?;
    let sources = names::named_tensors(&description.network, &graph, from)?;
    let targets = names::named_tensors(&description.network, &graph, to)?;
    let mut kept = Vec::new();
    let mut replaced = BTreeMap::new();
    for tensor in &sources {
        match new(tensor.parameter) {
            Some(values) => drop(replaced.insert(tensor.name.clone(), values)),
            None => kept.push(tensor.clone()),
        }
    }
    let prefix = prefix_of(file.header(), &kept).to_owned();
    file.drop_prefix(&prefix);
    file.pass_over(|name| replaced.contains_key(name));
    check(file, from, &kept, description.classes)?;
    let metadata = description.metadata(to, images);
    let mut sources = sources.iter();
    store(target.into(), &metadata, &targets, |tensor| {
        // Both lists are in the graph's order, one entry per parameter.
        let source = sources.next().filter(|source| source.parameter == tensor.parameter);
        let source = source.expect("both namings name every parameter");
        let values = replaced.remove(&source.name).map_or_else(|| read_ours(file, source), Ok)?;
        Ok(foreign(tensor, values.into()))
    })
}

fn store<'a>(
    target: Target<'_>,
    metadata: &BTreeMap<String, String>,
    tensors: &[NamedTensor],
    mut values: impl FnMut(&NamedTensor) -> Result<Cow<'a, [f32]>, WeightError>,
) -> Result<(), WeightError> {
    let shapes: Vec<_> = tensors.iter().map(|t| (t.name.clone(), t.layout.shape().to_vec())).collect();
    write_tensors(target, metadata, &shapes, |index| values(&tensors[index]))
}

fn read_ours<R: Read + Seek>(
    file: &mut WeightFile<R>,
    tensor: &NamedTensor,
) -> Result<Vec<f32>, WeightError> {
    let values = file.read(&tensor.name)?.expect("`check` has found it readable");
    if let Some(&found) = values.iter().find(|value| !value.is_finite()) {
        let count = values.iter().filter(|value| !value.is_finite()).count();
        let (path, name) = (file.path().to_owned(), tensor.name.clone());
        return Err(WeightError::NotFinite { path, name, found, count, values: values.len() });
    }
    Ok(if tensor.layout.is_kept() { values } else { tensor.layout.to_ours(&values) })
}

fn foreign<'a>(tensor: &NamedTensor, values: Cow<'a, [f32]>) -> Cow<'a, [f32]> {
    if tensor.layout.is_kept() { values } else { tensor.layout.to_foreign(&values).into() }
}

/// A prefix of every name in `file` that the names of `description`'s network do not have, such
/// as `module.` of PyTorch's `DataParallel` or `_orig_mod.` of `torch.compile`; empty if the
/// names are plain.
///
/// # Errors
/// [`WeightError::Unnamed`], [`WeightError::Spec`].
pub fn prefix<'f, R: Read + Seek>(
    file: &'f WeightFile<R>,
    naming: Naming,
    description: &Description,
) -> Result<&'f str, WeightError> {
    let expected = names::named_tensors(&description.network, &description.graph()?, naming)?;
    Ok(prefix_of(file.header(), &expected))
}

fn prefix_of<'f>(header: &'f Header, expected: &[NamedTensor]) -> &'f str {
    let tensors = &header.tensors;
    // If names are sorted, a prefix of the first and the last is a prefix of all.
    let (Some((first, _)), Some((last, _))) = (tensors.first_key_value(), tensors.last_key_value()) else {
        return "";
    };
    let shared = first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
    let ends = first.match_indices(['.', '/']).map(|(at, _)| at + 1).take_while(|&end| end <= shared);
    let prefixes = std::iter::once(0).chain(ends).map(|end| &first[..end]);
    let mut fitting = prefixes
        .filter(|prefix| expected.iter().any(|t| tensors.contains_key(&format!("{prefix}{}", t.name))));
    fitting.next().unwrap_or("")
}

/// Refuses a file whose tensors are not `expected`, apart from additional ones that `naming`
/// allows. A shared prefix is removed from the names in `file`.
fn check<R: Read + Seek>(
    file: &mut WeightFile<R>,
    naming: Naming,
    expected: &[NamedTensor],
    classes: usize,
) -> Result<(), WeightError> {
    let prefix = prefix_of(file.header(), expected).to_owned();
    file.drop_prefix(&prefix);
    let found = &file.header().tensors;
    let mut mismatches = Mismatches::default();
    for NamedTensor { name, layout, .. } in expected {
        let shape = layout.shape().to_vec();
        match found.get(name) {
            None => mismatches.missing.push((name.clone(), shape)),
            Some(info) if info.shape != shape => {
                mismatches.reshaped.push((name.clone(), shape, info.shape.clone()));
            }
            Some(info) if !info.data_type.is_readable() => {
                mismatches.unreadable.push((name.clone(), info.data_type.name));
            }
            Some(_) => {}
        }
    }
    let names: BTreeSet<&str> = expected.iter().map(|tensor| tensor.name.as_str()).collect();
    let surplus = found.iter().filter(|(name, _)| !names.contains(name.as_str()) && !naming.ignores(name));
    mismatches.surplus.extend(surplus.map(|(name, info)| (name.clone(), info.shape.clone())));
    if mismatches.is_empty() {
        return Ok(());
    }
    mismatches.find_head(classes);
    Err(WeightError::Tensors { path: file.path().to_owned(), mismatches: Box::new(mismatches) })
}
