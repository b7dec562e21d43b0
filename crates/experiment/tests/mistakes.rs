//! What a person is told who makes a mistake in an experiment file.

use decouple_experiment::{Overrides, parse};
use decouple_spectrum::network::NetworkSpec;
use proptest::prelude::*;

fn refusal(text: &str, set: &[&str]) -> String {
    let overrides = Overrides { set: set.iter().map(|&argument| argument.to_owned()).collect() };
    match parse(text, "mine.toml", &overrides) {
        Ok(sweep) => panic!("{} trials from:\n{text}", sweep.trials.len()),
        Err(error) => error.to_string(),
    }
}

fn refusals(mistakes: &[&str]) -> String {
    mistakes.iter().map(|text| refusal(text, &[])).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn a_misspelt_key_is_answered_with_the_nearest_right_one() {
    insta::assert_snapshot!(refusals(&[
        "[axes]\nsegmnets = [1, 3]",
        "[axes]\nweight-decay = [0, 1]",
        "[axes]\ntrainig.weight-dcay = [0]",
        "[axes]\ncolour = [1]",
        "[axes]\nlr = [0.1]",
        "[trial.training]\nlearning-rate = 0.1",
        "[training]\nepochs = 3",
        "[[zip]]\nsegments = [1, 2]\n\n[[zip]]\nnetwork.widht = [0.5, 1.0]",
        "[experimnet]\nname = \"x\"",
        "[experiment]\nbugdet = \"none\"",
        "[experiment]\nbudget = { holds = \"macs\" }",
        "[trial]\nnetwrok = {}",
        "[trial.network]\n\tsegment = 3",
        "[trial.data]\nvalidaton = 5000",
        "[trial.training]\naugment = [\"flip\"]",
        "[trial.training]\noptimizer = { kind = \"sgd\", momentun = 0.9 }",
        "[trial.training]\nschedule.warmup = 1",
        "[trial.training]\naverage = { decy = 0.9 }",
    ]));
}

#[test]
fn an_impossible_value_is_answered_with_what_is_possible() {
    insta::assert_snapshot!(refusals(&[
        "[trial.network]\norder = \"spatial\"",
        "[trial.network]\nfamily = \"xeption\"",
        "[trial.network]\nkernel = 4",
        "[trial.network]\nkernel = 3.0",
        "[trial.network]\nresidual = \"yes\"",
        "[trial.network]\nentry = 16",
        "[trial.network]\nentry = [16, -3]",
        "[trial.network]\nsegments = 0",
        "[trial.network]\nsegments = [1, 2]",
        "[trial.network]\nsegments = { level = 1.5 }",
        "[trial.network]\ndropout = 1",
        "[trial.network]\nentry = [8, 8, 8, 8, 8, 8]",
        "[trial.network]\nfamily = \"resnet-18\"\nkernel = 5",
        "[trial.network]\nallocation = 1\ninner = [2, 2, 2, 2]",
        "[trial.data]\nvalidation = 20000",
        "[trial.data]\nset = \"image-folder\"\nclasses = 2\nsize = [8, 8]\n[trial.network]\nentry = [8, 16, 32]\n\
         [trial.training]\nbatch = 1",
        "[trial.training]\nschedule = { kind = \"cosine\", peak = 0.001, floor = 0.01 }",
        "[tune]\nlearning-rate = [0.1, 0.001]\n[trial.data]\nvalidation = 100\n\
         [trial.training]\nschedule = { kind = \"cosine\", peak = 0.1, floor = 0.01 }",
        "[experiment]\nbudget = { hold = \"macs\", least-channels = 4 }\n[trial.network]\nfamily = \"inception-v3\"\nsmall-stem = true",
        "[trial.data]\nset = \"fashion\"",
        "[trial.data]\ncoupling = 0.5",
        "[trial.data]\nset = \"image-folder\"",
        "[trial.data]\nset = \"image-folder\"\nclasses = 2\nsize = 32",
        "[trial.data]\naugment = [\"flip\", \"flop\"]",
        "[trial.data]\nvalidation = -1",
        "[trial.training]\nepochs = 0",
        "[trial.training]\nbatch = 99999999999999999999",
        "[trial.training]\nweight-decay = nan",
        "[trial.training]\noptimizer = \"adam\"",
        "[trial.training]\noptimizer = { kind = \"adam\" }",
        "[trial.training]\noptimizer = { kind = \"rmsprop\", nesterov = true }",
        "[trial.training]\nschedule = { kind = \"exponential\", every-epochs = 2, every-samples = 9 }",
        "[trial.training]\naverage = { kind = \"none\", decay = 0.9 }",
        "[trial.training]\naverage = \"mean\"",
        "[trial.training]\naverage = { decay = 1.0 }",
        "trial = 3",
        "[experiment]\nname = \"../elsewhere\"",
        "[experiment]\nbudget = \"flops\"",
        "[experiment]\nbudget = 3",
        "[experiment]\nbudget = { at = \"best\" }",
    ]));
}

#[test]
fn an_axis_that_cannot_be_walked_is_refused() {
    insta::assert_snapshot!(refusals(&[
        "axes = 3",
        "[axes]\nsegments = 3",
        "[axes]\nsegments = []",
        "[axes]\nsegments = [1, 3, 1]",
        "[axes]\nsegments = [1, 3]\nnetwork.segments = [1]",
        "[axes]\nsegments = [1, 3]\n[[zip]]\nsegments = [1, 3]",
        "[axes]\nsegments = [1, 0]",
        "[axes]\nseed = [0, -1]",
        "[axes]\nseed = [0, 0.5]",
        "[[zip]]\nseed = [0]",
        "[[zip]]\nsegments = [1, 3]\ntraining.epochs = [1, 2, 3]",
        "zip = 3",
        "[axes]\ntraining.optimizer.momentum = [0.8, 1.0]",
        "[axes]\nnetwork.width = [0.5, 1.0]",
        "[axes]\ntraining.schedule.factor = [0.9]",
        "[axes]\nnetwork.segments = [1]\nnetwork.stem = [\"wide\"]",
    ]));
}

#[test]
fn a_point_that_cannot_be_compared_is_refused() {
    insta::assert_snapshot!(refusals(&[
        // Not the same text, and still the same training.
        "[axes]\ntraining.weight-decay = [1, 1.0]\n",
        "[axes]\nsegments = [{ level = 0 }, 1]\n",
        // Not the same keys, and still the same network.
        "[axes]\nnetwork.dense = [\"none\", \"all\"]\n[trial.network]\nmodules = 1",
        "[axes]\nnetwork.dense = [\"first\", \"all\"]\n[trial.network]\nmodules = 2",
        "[axes]\nnetwork.modules = [1, 2]\n[trial.network]\nmiddle = 0",
        "[[zip]]\nsegments = [1, 1]\ntraining.epochs = [3, 3]\n",
        "[experiment]\nreference = { segments = 5 }\n[axes]\nsegments = [1, 3]",
        "[experiment]\nreference = { kernel = 5 }\n[axes]\nsegments = [1, 3]",
        "[experiment]\nreference = { segmnets = 3 }\n[axes]\nsegments = [1, 3]",
        "[experiment]\nreference = { segments = 1, training.epochs = 2 }\n\
         [[zip]]\nsegments = [1, 3]\ntraining.epochs = [1, 2]",
        "[axes]\nsegments = [1, \"per-channel\"]\n\
         [trial.network]\nstem = 1\nentry = [1]\nmiddle = 0\nexit = 2",
    ]));
}

#[test]
fn what_is_not_toml_is_told_with_its_place() {
    insta::assert_snapshot!(refusals(&[
        "[axes\nsegments = [1]",
        "[axes]\nsegments = [1, 3",
        "[trial.network]\nstem = 8\nstem = 9",
        "[axes]\nsegments [1]",
    ]));
}

#[test]
fn a_mistake_on_the_command_line_is_told_with_its_argument() {
    let mistakes = [
        "segmnets=3",
        "training.epoch=3",
        "order=spatial_first",
        "training.epochs",
        "segments=[1, per-channel]",
        "experiment.axes=3",
        "training.epochs=3\ntraining.batch=4",
        "training.epochs=0",
        "experiment.bugdet='none'",
        "experiment.budget='flops'",
        "segments=[]",
        "tune.tries=3",
        "",
    ];
    let told = mistakes.map(|argument| refusal("[axes]\nsegments = [1, 3]", &[argument]));
    insta::assert_snapshot!(told.join("\n\n"));
}

#[test]
fn a_section_from_the_command_line_is_read_and_refused_as_in_a_file() {
    let section = |arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        decouple_experiment::section::<NetworkSpec>("network", &arguments)
    };
    let read =
        section(&["order=spatial-first", "network.kernel=5", "segments=[1, 2, 3, 4, \"per-channel\"]"]);
    let spec = read.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((spec.kernel, spec.segments.to_string()), (5, "1-2-3-4-per-channel".to_owned()));
    let mistakes = [["middel=3"], ["segments=0"], ["kernel"], ["order=sideways"]];
    let told = mistakes.map(|mistake| section(&mistake).expect_err(mistake[0]).to_string());
    insta::assert_snapshot!(told.join("\n\n"));
}

#[test]
fn a_key_with_an_option_of_its_own_is_told_by_that_option() {
    let refusal = |typed: &[(&'static str, &'static str)]| {
        let read = decouple_experiment::section_of_options::<NetworkSpec>("network", typed.iter().copied());
        read.expect_err("a mistake").to_string()
    };
    insta::assert_snapshot!(refusal(&[("--segments", "segments=0")]), @r#"
    error: impossible value of `network.segments`
      --> --segments
       |
       | segments=0
       |          ^ invalid segments `0`: expected a count from 1, "per-channel", { channels-per-segment = N } or { level = 0..1 }
    "#);
    insta::assert_snapshot!(refusal(&[("--segments", "segments=4"), ("--set", "network.segments=1")]), @r"
    error: `network.segments` is given twice, by --segments and by --set
      --> --set
       |
       | network.segments=1
       | ^^^^^^^^^^^^^^^^ leave this out, or --segments
    ");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = decouple_experiment::load("no/such/file.toml".as_ref(), &Overrides::default()).unwrap_err();
    insta::assert_snapshot!(error);
}

const WHOLE: &str = r#"# Why?
[experiment]
name = "whole"
reference = { segments = "per-channel" }
budget = { hold = "macs", at = "reference" }
[axes]
segments = [1, { level = 0.5 }, "per-channel"]
seed = [0, 1]
[[zip]]
training.weight-decay = [0, 1e-4]
training.schedule.peak = [0.1, 0.2]
[trial.network]
stem = 4
entry = [4, 8]
middle = 0
exit = 8
[trial.data]
augment = ["pad-crop 2", "flip"]
[trial.training]
optimizer = { kind = "adamw", beta1 = 0.9 }
average = "polyak"
"#;

/// Pieces of which a mutation is made, so that it is often almost right.
fn piece() -> impl Strategy<Value = String> {
    const WORDS: [&str; 29] = [
        "[",
        "]",
        "{",
        "}",
        "=",
        "\"",
        "\n",
        ".",
        ",",
        "-1",
        "1e999",
        "nan",
        "é",
        "#",
        "'",
        "zip",
        "axes",
        "seed",
        "segments",
        "[[zip]]",
        "[trial.network]",
        "1",
        "{}",
        "[]",
        "true",
        "1979-05-27",
        "\u{0}",
        "\t",
        "width = 1e-9",
    ];
    prop_oneof![
        proptest::sample::select(&WORDS[..]).prop_map(str::to_owned),
        any::<char>().prop_map(String::from)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever is done to a file, it is read or refused with a message.
    #[test]
    fn no_text_makes_it_panic(
        cut in 0..WHOLE.len(),
        removed in 0..12_usize,
        pieces in proptest::collection::vec(piece(), 0..3),
        in_argument in any::<bool>(),
    ) {
        let end = (cut + removed).min(WHOLE.len());
        let mutated = format!("{}{}{}", &WHOLE[..cut], pieces.concat(), &WHOLE[end..]);
        let (text, set) = if in_argument { (WHOLE, vec![pieces.concat()]) } else { (mutated.as_str(), vec![]) };
        if let Err(error) = parse(text, "mine.toml", &Overrides { set }) {
            prop_assert!(error.to_string().starts_with("error: "), "{error}");
        }
    }
}

#[test]
fn what_does_not_fit_many_labels_is_refused() {
    let data = "[trial.data]\nset = 'shards'\nclasses = 40\nsize = [16, 16]\n";
    for (text, expected) in [
        (
            format!("{data}multi-label = true\n[trial.training]\nlabel-smoothing = 0.1"),
            "is for one label per image",
        ),
        (format!("{data}score-weights = 'w.txt'"), "is for MAP@100, the score where `multi-label = true`"),
        (
            format!("{data}class-weights = 'w.txt'\n[trial.training]\nlabel-smoothing = 0.1"),
            "cannot be combined with `data.class-weights`",
        ),
        ("[trial.training]\nloss = 'sigmoid'\nlabel-smoothing = 0.1".to_owned(), "is for the softmax loss"),
        (
            format!("{data}[axes]\ndata.multi-label = [true, false]"),
            "points with one label per image cannot be compared with points with several",
        ),
        (
            "[trial.data]\nset = 'manifest'\nclasses = 3\nsize = [8, 8]".to_owned(),
            "`data.manifest` is needed: the table",
        ),
    ] {
        let message = refusal(&text, &[]);
        assert!(message.contains(expected), "{text}\n{message}");
    }
}

#[test]
fn a_list_of_another_length_is_refused() {
    let data = "[trial.data]\nset = 'image-folder'\nclasses = 3\nsize = ";
    for (size, found) in [("[28]", "a list of 1"), ("[28, 28, 1]", "a list of 3")] {
        let message = refusal(&format!("{data}{size}"), &[]);
        assert!(message.starts_with("error: wrong type of `data.size`\n  --> mine.toml:4:8\n"), "{message}");
        assert!(message.contains(&format!("rows and columns, found {found}")), "{message}");
    }
}

#[test]
fn a_key_of_a_table_that_is_varied_as_a_whole_is_refused() {
    let axes = "[axes]\ntraining.optimizer = [{ kind = 'sgd' }, { kind = 'adamw' }]\n";
    let typed = format!("{axes}[trial.training]\noptimizer.momentum = 0.5\n");
    for message in [refusal(axes, &["training.optimizer.momentum=0.5"]), refusal(&typed, &[])] {
        let title =
            "error: `training.optimizer.momentum` has no effect, since `training.optimizer` is an axis\n";
        assert!(message.starts_with(title), "{message}");
        assert!(message.contains("put `momentum` into the values of the axis"), "{message}");
    }
    // The values of other keys may be tables, too, which an axis replaces like any other.
    let segments = "[axes]\nsegments = [1, 4]\n[trial.network]\nsegments = { level = 0.5 }\n";
    assert!(parse(segments, "mine.toml", &Overrides::default()).is_ok());
}

#[test]
fn what_set_cannot_change_is_said() {
    let axes = "[axes]\nsegments = [1, 4]\n";
    assert!(refusal(axes, &["tune.tries=3"]).contains("`--set` does not change [tune]"));
    assert!(refusal(axes, &["experiment.budget.at=\"here\""]).contains("expected \"reference\""));
    assert!(
        refusal("[experiment]\nreference = { seed = 0 }", &[]).contains("points are compared over all seeds")
    );
    let split = refusal(axes, &["data.split=\"random\""]);
    assert!(split.contains("expected `\"fixed\"`, `\"seed\"`, or a whole number from 0"), "{split}");
    let named = ["axes.segments=[1, 2]", "experiment.budget.at=reference"].map(str::to_owned).to_vec();
    let sweep = parse(axes, "mine.toml", &Overrides { set: named }).unwrap();
    assert_eq!(sweep.axes[0].values, ["1", "2"]);
}
