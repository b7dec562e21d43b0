//! A run is a function of its record: the same bytes of rows and weights whatever
//! instructions and however many threads execute it, for every family.

use std::{fs, sync::Arc};

use decouple_core_ops::{Engine, Isa};
use decouple_datasets::{Dataset, ImageShape, Selection, Split};
use decouple_experiment::{Claim, Identity, Ledger, Overrides, Trial, parse};
use decouple_made_up::uniform;
use decouple_spectrum::{
    backend::Backend,
    network::{Family, NetworkKey},
};
use decouple_training::{
    device::backend, progress::Progress, run_sweep::Conduct, run_trial::run_trial,
    stored_network::WEIGHTS_FILE,
};
use tempfile::TempDir;

/// Batches of eighteen images are a group of sixteen and a rest.
const SWEEP: &str = r#"
[axes]
seed = [0]

[trial.data]
validation = 500
augment = ["pad-crop 2", "flip"]

[trial.training]
epochs = 1
batch = 18
label-smoothing = 0.1
schedule = { kind = "cosine", peak = 0.1, warmup-epochs = 0.5 }
average = { kind = "polyak", decay = 0.9 }
"#;

fn trial(set: &[String]) -> Trial {
    let overrides = Overrides { set: set.to_vec() };
    let mut sweep = parse(SWEEP, "same-bits.toml", &overrides).expect("the sweep is right");
    sweep.trials.remove(0)
}

/// A small network of each family, and mini-xceptions along the spectrum.
fn trials() -> Vec<Trial> {
    let network = |key: &str, value: String| format!("network.{key}={value}");
    let mut trials = Vec::new();
    for family in Family::ALL {
        let mut set =
            vec![network("family", format!("{:?}", family.to_string())), network("width", "0.06".into())];
        if family.reads(NetworkKey::SmallStem) {
            set.push(network("small-stem", "true".into()));
        }
        if family.reads(NetworkKey::FullyConnected) {
            set.push(network("fully-connected", "[20]".into()));
        }
        if family.reads(NetworkKey::Dropout) {
            set.push(network("dropout", "0.3".into()));
        }
        trials.push(trial(&set));
    }
    for segments in ["1", "3", "\"per-channel\""] {
        let small = [
            "stem=5",
            "entry=[7,8]",
            "middle=1",
            "modules=1",
            "exit=10",
            "norm=\"both\"",
            "intermediate=\"elu\"",
        ];
        let mut set: Vec<String> = small.map(|pair| format!("network.{pair}")).into();
        set.push(network("segments", segments.into()));
        trials.push(trial(&set));
    }
    trials.push(trial(&["training.precision=\"bf16\"".into(), network("width", "0.06".into())]));
    // Wide enough for Winograd tiles, on maps of an odd and of an even side.
    for tiles in ["f2", "f4"] {
        let wide = ["segments=1", "stem=8", "entry=[48]", "middle=0", "exit=48"]
            .map(|pair| format!("network.{pair}"));
        let mut set: Vec<String> = wide.into();
        set.push(format!("training.winograd={tiles:?}"));
        let trial = trial(&set);
        assert_eq!(trial.numerics, 4, "computed by tiles");
        trials.push(trial);
    }
    trials
}

fn noise(name: &str, images: usize) -> Selection {
    let shape = ImageShape { h: 28, w: 28, c: 1 };
    let bytes = uniform(name, images * shape.len()).map(|value| (127.0 + 127.0 * value) as u8).collect();
    Split { shape, images: bytes, labels: (0..images).map(|image| (image % 10) as u16).collect() }.into()
}

fn data() -> Dataset {
    Dataset {
        name: "noise".to_owned(),
        classes: (0..10).map(|class| class.to_string()).collect(),
        train: noise("train", 19),
        validation: noise("validation", 3),
        test: noise("test", 3),
        mean: vec![0.5],
        std: vec![0.3],
        ..Dataset::default()
    }
}

/// The bytes of a run's rows and weights.
fn outcome(trial: &Trial, data: &Dataset, backend: &dyn Backend, threads: usize) -> [Vec<u8>; 2] {
    let folder = TempDir::new().expect("a folder");
    let ledger = Ledger::open(folder.path());
    let Claim::Mine(mut writer) = ledger.claim(trial, &Identity::of(trial, None)).expect("a new ledger")
    else {
        panic!("it is taken")
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let run = || run_trial(trial, 0, data, backend, &mut writer, &Conduct::default(), &Progress::silent());
    pool.install(run).expect("a trial");
    ["metrics.csv", WEIGHTS_FILE].map(|file| fs::read(ledger.run_dir(trial).join(file)).expect(file))
}

/// Everything that should give the same bits.
fn backends() -> Vec<Arc<dyn Backend>> {
    Isa::available().map(|isa| Arc::new(Engine::new(isa)) as Arc<dyn Backend>).collect()
}

#[test]
fn rows_and_weights_are_the_same_bytes_on_everything() {
    let (data, backends) = (data(), backends());
    for trial in trials() {
        let expected = outcome(&trial, &data, &*backends[0], 1);
        assert!(expected.iter().all(|bytes| !bytes.is_empty()));
        let others = backends.iter().skip(1).map(|backend| (backend, 1));
        let threads = [2, 3].map(|threads| (&backends[0], threads));
        for (backend, threads) in others.chain(threads) {
            let found = outcome(&trial, &data, &**backend, threads);
            assert!(
                found == expected,
                "{} on {threads} threads of {}",
                trial.record.network.family,
                backend.name()
            );
        }
    }
}

#[test]
fn another_seed_gives_other_bytes() {
    let data = data();
    let of = |seed: u64| {
        let mut trial = trials().remove(0);
        trial.record.seed = seed;
        outcome(&trial, &data, &*backend(), 1)
    };
    let (one, other) = (of(1), of(2));
    assert!(one[0] != other[0] && one[1] != other[1]);
}
