//! Weights go to timm and Keras and come back; what does not fit is refused by
//! name.

use std::borrow::Cow;
use std::path::Path;

use decouple_spectrum::graph::{Graph, ParameterId};
use decouple_spectrum::module::{Intermediate, NormPlacement, Order};
use decouple_spectrum::network::{Family, NetworkSpec, Numerics};
use decouple_spectrum::segments::Segments;
use decouple_spectrum::weights::error::WeightError;
use decouple_spectrum::weights::file::{WeightFile, write_tensors};
use decouple_spectrum::weights::names::{Naming, named_tensors};
use decouple_spectrum::weights::{self, Description, convert, inspect};

/// `family` so narrow that its files are small.
fn narrow(family: Family, numerics: Numerics) -> Description {
    let network = NetworkSpec { width: 0.03, ..NetworkSpec::of(family, numerics) };
    let side = family.images().0.h;
    Description { network, input: [side, side, 3], classes: 10 }
}

/// Values that tell every place of every parameter apart.
fn values(graph: &Graph, id: ParameterId) -> Vec<f32> {
    (0..graph.parameter(id).len()).map(|place| (id.0 * 1_000_003 + place) as f32).collect()
}

fn write(path: &Path, naming: Naming, description: &Description) -> Result<(), WeightError> {
    let graph = description.graph()?;
    weights::write(path, naming, description, None, |id| Cow::Owned(values(&graph, id)))
}

fn check(path: &Path, naming: Naming, description: &Description) {
    let graph = description.graph().unwrap();
    let mut next = 0;
    let mut file = WeightFile::open(path).unwrap();
    weights::read(&mut file, naming, description, |id, found| {
        assert_eq!((id.0, found), (next, values(&graph, id)), "{}", graph.parameter(id).name);
        next += 1;
    })
    .unwrap();
    assert_eq!(next, graph.parameters.len());
}

#[test]
fn weights_come_back_from_every_framework() {
    use Family::*;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let timm = [Xception, InceptionV3, Vgg16, Resnet18, Resnet50, Resnet152, Resnext50];
    let keras = [Xception, InceptionV3, Vgg16, Resnet50, Resnet152];
    let timm = timm.map(|family| (family, Numerics::Timm, Naming::Timm));
    let keras = keras.map(|family| (family, Numerics::Keras, Naming::Keras));
    for (family, numerics, naming) in timm.into_iter().chain(keras) {
        // VGG has one kind of numbers.
        let numerics = if family == Vgg16 { Numerics::Keras } else { numerics };
        let description = narrow(family, numerics);
        write(&path("ours"), Naming::Decouple, &description).unwrap();
        convert(&path("ours"), Naming::Decouple, None, &path("theirs"), naming).unwrap();
        check(&path("theirs"), naming, &description);
        convert(&path("theirs"), naming, Some(&description), &path("back"), Naming::Decouple).unwrap();
        let [ours, back] = ["ours", "back"].map(|name| std::fs::read(path(name)).unwrap());
        assert!(ours == back, "{family} {naming}");
        let inspection = inspect(&path("theirs")).unwrap();
        assert_eq!((inspection.naming, inspection.description), (naming, Some(description)));
    }
}

#[test]
fn xception_goes_from_timm_to_keras() {
    let folder = tempfile::tempdir().unwrap();
    let [timm, keras] = ["timm", "keras"].map(|name| folder.path().join(name));
    let description = narrow(Family::Xception, Numerics::Timm);
    write(&timm, Naming::Timm, &description).unwrap();
    convert(&timm, Naming::Timm, None, &keras, Naming::Keras).unwrap();
    check(&keras, Naming::Keras, &description);
}

#[test]
fn uneven_segments_stay_in_our_own_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    let mut description = narrow(Family::Xception, Numerics::Timm);
    description.network.segments = Segments::Count(5).into();
    write(&path, Naming::Decouple, &description).unwrap();
    check(&path, Naming::Decouple, &description);
    let refused = |naming| write(&path, naming, &description).unwrap_err().to_string();
    assert_eq!(
        refused(Naming::Timm),
        "timm has no name for `block2.module1.spatial`: its segments are uneven; only 1, or a count that \
         divides the channels, can be expressed"
    );
    let keras = refused(Naming::Keras);
    assert!(keras.starts_with("keras has no name for `block2.module1.spatial`: its segments"), "{keras}");
}

#[test]
fn networks_without_a_name_elsewhere_are_refused() {
    let refused = |network: NetworkSpec, naming| {
        let description = Description { network, input: [299, 299, 3], classes: 10 };
        let graph = description.graph().unwrap();
        named_tensors(&description.network, &graph, naming).unwrap_err().to_string()
    };
    let of = |family, numerics| NetworkSpec { width: 0.05, ..NetworkSpec::of(family, numerics) };
    let xception = of(Family::Xception, Numerics::Keras);
    let lines = [
        refused(NetworkSpec::default(), Naming::Keras),
        refused(of(Family::SimpleInception, Numerics::Timm), Naming::Timm),
        refused(of(Family::Resnext50, Numerics::Keras), Naming::Keras),
        refused(of(Family::InceptionV3, Numerics::Keras), Naming::Timm),
        refused(of(Family::Resnet50, Numerics::Timm), Naming::Keras),
        refused(NetworkSpec { order: Order::PointwiseFirst, ..xception.clone() }, Naming::Timm),
        refused(NetworkSpec { intermediate: Intermediate::Relu, ..xception.clone() }, Naming::Timm),
        refused(NetworkSpec { residual: false, ..xception.clone() }, Naming::Keras),
        refused(NetworkSpec { norm: NormPlacement::Both, ..xception.clone() }, Naming::Keras),
        refused(NetworkSpec { fully_connected: vec![64], ..xception.clone() }, Naming::Timm),
        refused(NetworkSpec { segments: Segments::Count(1).into(), ..xception }, Naming::Keras),
    ];
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn tensors_that_do_not_fit_are_named_with_both_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    let description = narrow(Family::Xception, Numerics::Timm);
    let graph = description.graph().unwrap();
    let named = named_tensors(&description.network, &graph, Naming::Timm).unwrap();
    let mut tensors: Vec<_> = named.iter().map(|t| (t.name.clone(), t.layout.shape().to_vec())).collect();
    // One is missing, one is transposed, one is surplus; a counter is not.
    tensors.remove(1);
    let fc = tensors.iter_mut().find(|(name, _)| name == "fc.weight").unwrap();
    fc.1.reverse();
    tensors.push(("last_linear.weight".to_owned(), vec![10, 61]));
    tensors.push(("bn1.num_batches_tracked".to_owned(), vec![]));
    let zeros = |index: usize| Ok(vec![0.0; tensors[index].1.iter().product()].into());
    write_tensors(&path, &Default::default(), &tensors, zeros).unwrap();
    let mut file = WeightFile::open(&path).unwrap();
    let error = weights::read(&mut file, Naming::Timm, &description, |_, _| {}).unwrap_err();
    let text = error.to_string().replace(&path.display().to_string(), "weights");
    insta::assert_snapshot!(text, @r#"
    weights: its tensors are not those of the network
      1 missing:
        bn1.weight [1]
      1 surplus:
        "last_linear.weight" [10, 61]
      1 of another shape:
        fc.weight: expected [10, 61], found [61, 10]
    "#);
}
