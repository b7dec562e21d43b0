use super::*;

fn trial(point: &[(&str, &str)], record: Record) -> Trial {
    let graph = record.network.graph(decouple_kernels::geometry::MapShape::new(28, 28, 1), 10).unwrap();
    let point = point.iter().map(|(axis, value)| (axis.to_string(), value.to_string())).collect();
    Trial::new(point, record, &graph, None)
}

/// If this fails, either a default changed, which is fine before a release, or
/// the serialisation did, which orphans every run on disk: raise [`FORMAT`].
#[test]
fn the_id_of_a_fixed_record_is_pinned() {
    let record: Record = toml::from_str(PINNED).unwrap();
    assert_eq!(record.id().to_string(), "41930b5dd1476b42");
}

/// Every key spelt out, so that defaults may change without changing this id.
const PINNED: &str = r#"
seed = 7
[network]
family = "mini-xception"
segments = [1, "per-channel", { channels-per-segment = 8 }, { level = 0.1 }, 3]
order = "spatial-first"
intermediate = "elu"
norm = "both"
norm-epsilon = 1e-3
norm-momentum = 0.1
residual = false
kernel = 5
stem = 16
entry = [24, 32, 64]
middle = 2
modules = 3
exit = 96
width = 1.0
dropout = 0.30000000000000004
[data]
set = "fashion-mnist"
subset = "embedded"
validation = 1000
augment = ["pad-crop 2", "flip"]
[training]
epochs = 12
batch = 64
optimizer = { kind = "rmsprop", form = "tensorflow", decay = 0.9, momentum = 0.9, epsilon = 1.0 }
schedule = { kind = "exponential", peak = 0.045, warmup-epochs = 0, factor = 0.94, every-epochs = 2, staircase = true }
weight-decay = 1e-5
weight-decay-kind = "coupled"
weight-decay-on = "weights"
label-smoothing = 0.1
average = { kind = "polyak", decay = 0.999 }
winograd = "off"
precision = "f32"
"#;

#[test]
fn the_id_depends_on_every_part_of_the_record() {
    let base = Record::default();
    let mut ids = vec![base.id()];
    ids.push(Record { seed: 1, ..base.clone() }.id());
    ids.push(Record { network: NetworkSpec { kernel: 5, ..NetworkSpec::default() }, ..base.clone() }.id());
    ids.push(Record { data: DataSpec { validation: 1, ..DataSpec::default() }, ..base.clone() }.id());
    let weight_decay = TrainingSpec::default().weight_decay.next_up();
    ids.push(Record { training: TrainingSpec { weight_decay, ..TrainingSpec::default() }, ..base }.id());
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn ids_are_read_as_they_are_written() {
    let id = Record::default().id();
    assert_eq!(id.to_string().parse(), Ok(id));
    assert_eq!(id.short(), id.to_string()[..8]);
    for wrong in ["", "3f9c21aa", "+f9c21aa3f9c21aa", "xf9c21aa3f9c21aa"] {
        assert!(wrong.parse::<RunId>().is_err(), "{wrong}");
    }
}

#[test]
fn folder_names_say_the_point_and_are_safe() {
    let plain =
        trial(&[("segments", "3"), ("intermediate", "relu")], Record { seed: 1, ..Record::default() });
    assert_eq!(plain.dir_name(), format!("segments=3,intermediate=relu,seed=1-{}", plain.id.short()));
    assert_eq!(plain.point_label(), "segments = 3, intermediate = relu");

    let long = "x".repeat(300);
    let hostile = trial(&[("../a/b\\c", "8 per: \"segment\"*?<>|\0é"), ("z", &long)], Record::default());
    let name = hostile.dir_name();
    assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b".,=+_-".contains(&b)), "{name}");
    assert!(name.len() <= 200 && !name.starts_with('.'), "{name}");
    assert!(name.ends_with(&hostile.id.short()));

    let base = trial(&[], Record::default());
    assert_eq!(base.dir_name(), format!("seed=0-{}", base.id.short()));
    assert_eq!(base.point_label(), "base");
}

#[test]
fn layers_and_level_are_those_of_the_graph() {
    let trial = trial(&[], Record::default());
    assert_eq!(trial.layers.len(), trial.graph().spatial_layers.len());
    assert!(trial.layers.iter().all(|layer| layer.segments == layer.channels && layer.level == 1.0));
    assert_eq!(trial.level, 1.0);
}

#[test]
fn crops_in_memory_by_another_filter_have_their_own_numerics() {
    let numerics = |filter: &str, stream: bool| {
        let data = format!(
            "seed = 0\n[network]\n[training]\n[data]\nset = 'image-folder'\nfolder = 'x'\nclasses = 10\nsize = [28, 28]\n\
             channels = 1\naugment = ['random-resized-crop']\nfilter = '{filter}'\nstream = {stream}"
        );
        trial(&[], toml::from_str(&data).unwrap()).numerics
    };
    let before = trial(&[], Record::default()).numerics;
    assert_eq!([numerics("bilinear", false), numerics("bicubic", true)], [before; 2]);
    assert_eq!(numerics("bicubic", false), FILTERED);
}
