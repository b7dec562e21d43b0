//! From runs on disk to a report: everything is shown, whatever state the runs are in.

use std::fs;
use std::path::{Path, PathBuf};

use decouple_disk::Disk;
use decouple_experiment::{Ledger, Metric, Overrides, Sweep, parse, per_image};
use decouple_reporting::analysis::{RunOutcome, RunRow, summarise};
use decouple_reporting::report::{Card, index, under_each_budget};
use decouple_reporting::{
    Analysis, analyse, document, terminal_table, write, write_events, write_index, write_latex,
};

mod made_up;

const SWEEP: &str = "# Which one?

[experiment]
name = \"small\"

[axes]
segments = [1, 4, \"per-channel\"]
intermediate = [\"none\", \"relu\"]
seed = [0, 1, 2]

[trial.training]
epochs = 3
";

struct Place {
    folder: tempfile::TempDir,
    sweep: Sweep,
    ledger: Ledger,
}

fn filled() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let sweep = parse(SWEEP, "experiments/small.toml", &Overrides::default()).unwrap();
    let ledger = Ledger::open(folder.path().join("small"));
    made_up::fill(&ledger, &sweep);
    Place { folder, sweep, ledger }
}

impl Place {
    fn report(&self) -> Analysis {
        let contents = self.ledger.read().unwrap();
        let analysis = analyse(&self.sweep, &contents);
        write(&analysis, self.ledger.root()).unwrap();
        write_latex(&analysis, self.ledger.root()).unwrap();
        write_events(&contents).unwrap();
        write_index(self.folder.path()).unwrap();
        analysis
    }

    /// Every file below the folder but the runs' own, with its bytes.
    fn made(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(self.folder.path(), &mut files);
        files.retain(|(path, _)| {
            let is_event = path.to_string_lossy().contains("tfevents");
            is_event
                || !path.to_string_lossy().contains("/runs/") && !path.to_string_lossy().contains("/locks/")
        });
        files.sort();
        files
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.ledger.root().join(name)).unwrap()
    }

    fn run_dir(&self, trial: usize) -> PathBuf {
        self.ledger.run_dir(&self.sweep.trials[trial])
    }
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files)
        } else {
            files.push((path.clone(), fs::read(&path).unwrap()))
        }
    }
}

#[test]
fn a_report_is_rebuilt_to_the_same_bytes() {
    let place = filled();
    let analysis = place.report();
    assert!(analysis.problems.is_empty(), "{:?}", analysis.problems);
    let first = place.made();
    assert_eq!(first.iter().filter(|(path, _)| path.to_string_lossy().contains("tfevents")).count(), 18);
    for name in ["report.html", "report.md", "tables.tex", "runs.csv", "summary.csv", "card.json"] {
        assert!(first.iter().any(|(path, _)| path.ends_with(name)), "{name}");
    }
    for (path, _) in &first {
        fs::remove_file(path).unwrap();
    }
    place.report();
    let second = place.made();
    assert_eq!(first.len(), second.len());
    for (a, b) in first.iter().zip(&second) {
        assert!(a == b, "{} differs", a.0.display());
    }
}

#[test]
fn an_axis_of_one_value_is_a_condition_of_all_points() {
    let text = SWEEP.replace("intermediate = [\"none\", \"relu\"]", "kernel = [3]");
    let sweep = parse(&text, "experiments/small.toml", &Overrides::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path().join("small"));
    made_up::fill(&ledger, &sweep);
    let place = Place { folder, sweep, ledger };
    let analysis = place.report();
    assert_eq!(analysis.points[1].label, "4 segments");
    assert!(!analysis.verdict.to_string().contains("kernel"), "{}", analysis.verdict);
    assert!(place.text("report.md").contains(" · kernel = 3 · "), "{}", place.text("report.md"));
    assert!(!terminal_table(&analysis).contains("kernel"));
    let folder = place.run_dir(0).file_name().unwrap().to_string_lossy().into_owned();
    assert!(folder.contains("kernel=3") && place.text("report.html").contains(&format!("runs/{folder}/")));
    for name in ["runs.csv", "summary.csv"] {
        let table = place.text(name);
        let columns: Vec<&str> = table.lines().next().unwrap().split(',').collect();
        let column = columns.iter().position(|column| *column == "kernel").unwrap();
        assert!(table.lines().skip(1).all(|row| row.split(',').nth(column) == Some("3")), "{table}");
    }
}

#[test]
fn what_a_reader_sees() {
    let place = filled();
    let analysis = place.report();
    insta::assert_snapshot!("table", terminal_table(&analysis));
    insta::assert_snapshot!("markdown", place.text("report.md"));
    insta::assert_snapshot!("latex", place.text("tables.tex"));
    let html = place.text("report.html");
    assert!(html.contains("<h1>Which one?</h1>"));
    assert!(html.contains("decouple run made-up.toml") && !html.contains("/somewhere/bin"));
    assert_eq!(html.matches("<figure").count(), 3);
    for scheme in ["http://", "https://", "url(\"", "src=\"//", "@import"] {
        let uses = html.matches(scheme).count()
            - html.matches("http://www.w3.org/2000/svg").count() * usize::from(scheme == "http://");
        assert_eq!(uses, 0, "{scheme}");
    }
}

#[test]
fn a_figure_of_an_earlier_report_does_not_stay_beside_a_new_one() {
    let place = filled();
    place.report();
    let folder = place.ledger.root().join("figures");
    for name in ["tuning.png", "mine.png"] {
        fs::write(folder.join(name), "old").unwrap();
    }
    place.report();
    assert!(!folder.join("tuning.png").exists(), "nothing was tuned");
    assert!(folder.join("mine.png").exists() && folder.join("pareto.png").exists());
}

#[test]
fn a_torn_run_and_one_of_another_version_hide_nothing_else() {
    let place = filled();
    // Cut off: no status, and the last row is half there.
    fs::remove_file(place.run_dir(0).join("status.json")).unwrap();
    let rows = fs::read_to_string(place.run_dir(0).join("metrics.csv")).unwrap();
    fs::write(place.run_dir(0).join("metrics.csv"), &rows[..rows.len() - 9]).unwrap();
    // Of another version.
    let path = place.run_dir(1).join("status.json");
    let status = fs::read_to_string(&path).unwrap().replace("\"format\": 1", "\"format\": 99");
    fs::write(&path, status).unwrap();
    // Damaged.
    fs::write(place.run_dir(2).join("trial.toml"), "format = [").unwrap();

    let analysis = place.report();
    assert_eq!(analysis.runs[0].outcome, RunOutcome::Unfinished { epochs: 2 });
    assert_eq!(analysis.problems.len(), 2, "{:?}", analysis.problems);
    let html = place.text("report.html");
    assert!(html.contains("unfinished after 2 epochs: still running, or cut off"));
    assert!(html.contains("format 99 is unknown to this version"));
    assert!(html.contains("15 of 18 runs finished"));
    let verdict = analysis.verdict.to_string();
    assert!(verdict.contains("2 of 18 runs cannot be used and count in no mean: "), "{verdict}");
    assert!(verdict.contains("1 of 18 runs have not finished: "), "{verdict}");
    let table = terminal_table(&analysis);
    let counts =
        ["2 finished, 1 unusable", "2 finished, 1 missing"].map(|words| table.matches(words).count());
    assert_eq!(counts, [2, 1], "{table}");
    assert!(place.text("report.md").contains("): unfinished after 2 epochs: still running, or cut off"));
}

#[test]
fn an_index_shows_every_experiment_and_what_it_could_not_read() {
    let place = filled();
    place.report();
    let other = place.folder.path().join("other");
    write(&made_up::spectrum("other", &["1", "8"], 2), &other).unwrap();
    fs::create_dir(place.folder.path().join("broken")).unwrap();
    fs::write(place.folder.path().join("broken/card.json"), "{}").unwrap();
    let index = fs::read_to_string(write_index(place.folder.path()).unwrap()).unwrap();
    assert!(index.contains("small/report.html") && index.contains("other/report.html"));
    assert!(index.contains("broken: its card.json is of another version or damaged"));
}

#[test]
fn an_index_draws_experiments_that_differ_in_their_budget_together() {
    let folder = tempfile::tempdir().unwrap();
    let index = |held: [&str; 2]| {
        for (name, held) in ["one", "other"].into_iter().zip(held) {
            let mut analysis = made_up::spectrum(name, &["1", "8", "per-channel"], 3);
            analysis.study.held = Some(held.to_owned());
            write(&analysis, &folder.path().join(name)).unwrap();
        }
        fs::read_to_string(write_index(folder.path()).unwrap()).unwrap()
    };
    let title = "Accuracy against decoupling level under each budget";
    let index_of_two = index(["parameters", "macs"]);
    assert!(index_of_two.contains(title) && index_of_two.contains("equal multiply-adds"));
    assert!(!index(["parameters", "parameters"]).contains(title), "one budget is no comparison");
}

#[test]
fn experiments_of_one_budget_are_one_curve() {
    let spectrum = |segments: &[&str], held: &str| {
        let mut analysis = made_up::spectrum("some", segments, 3);
        analysis.study.held = Some(held.to_owned());
        analysis.study.metric = Metric::MeanPrecision;
        analysis
    };
    let card = |segments: &[&str], held: &str| Card::of(&spectrum(segments, held));
    let cards = [
        card(&["1", "per-channel"], "parameters"),
        card(&["1", "8", "per-channel"], "parameters"),
        card(&["1", "per-channel"], "macs"),
    ];
    let [Ok(together)] = &under_each_budget(&cards)[..] else { panic!("one figure") };
    let points: Vec<&str> = together.points.iter().map(|point| point.label.as_str()).collect();
    let labels =
        ["1 segment", "per-channel", "8 segments"].map(|name| format!("{name}, budget = equal parameters"));
    assert_eq!(points[..3], labels);
    assert!(together.points.iter().all(|point| point.finished() == 3), "each run once");
    assert_eq!((together.study.metric, together.runs[0].test_images), (Metric::MeanPrecision, Some(2000)));
    assert!(together.study.question.starts_with("MAP@100 against"));

    // One budget may be met in two ways, as where only inner widths pay; the index says that it draws neither.
    let mut other = spectrum(&["1", "per-channel"], "parameters");
    let coupled = |run: &&mut RunRow| run.point[0].1 == "1";
    other.runs.iter_mut().filter(coupled).for_each(|run| run.id = format!("other {}", run.seed));
    let [_, several, macs] = cards;
    let page = index(&[several, macs, Card::of(&other)], &[]);
    assert!(!page.contains("under each budget"), "{page}");
    assert!(page.contains("of equal parameters, segments = 1 is two different networks"), "{page}");
}

#[test]
fn a_report_claims_no_budget_and_no_run_twice() {
    let folder = tempfile::tempdir().unwrap();
    let point = |recipe| [("recipe", recipe)];
    let scores = [Some(0.8), Some(0.81)];
    let analysis = made_up::measured(&[(&point("typed"), &scores), (&point("tuned"), &scores)]);
    let mut runs = analysis.runs;
    runs.iter_mut().for_each(|run| run.id = format!("run {}", run.seed));
    write(&summarise(analysis.study, runs, Vec::new()), folder.path()).unwrap();
    let html = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(html.contains("2 runs trained for"), "{html}");
    assert!(html.contains("no budget held · 2 points") && !html.contains("equal width"), "{html}");
}

#[test]
fn a_locked_plan_is_not_that_of_a_file_read_with_changes() {
    let declared = "[experiment]\nhypotheses = [\"one\"]\nanalysis = \"two\"";
    let text = SWEEP.replacen("[experiment]", declared, 1);
    let standing = |set: &[&str], ledger: &Ledger| {
        let overrides = Overrides { set: set.iter().map(|&pair| pair.to_owned()).collect() };
        let sweep = parse(&text, "experiments/small.toml", &overrides).unwrap();
        if set.is_empty() {
            sweep.lock(ledger).unwrap();
        }
        let environment = analyse(&sweep, &ledger.read().unwrap()).study.environment;
        environment.into_iter().find(|fact| fact.name == "plan").unwrap().values.concat()
    };
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path().join("small"));
    assert!(standing(&[], &ledger).ends_with("; the file is as it was then"));
    let changed = standing(&["training.epochs=2"], &ledger);
    assert!(
        changed.ends_with("; the file is as it was then; it was read with --set training.epochs=2"),
        "{changed}"
    );
}

/// Programs that read the JSON find what the tables have.
#[test]
fn the_json_of_a_report_has_the_columns_of_its_tables() {
    let place = filled();
    let analysis = place.report();
    let document = document(&analysis);
    let own = |name: &str, rows: &str| {
        let row = document[rows][0].as_object().unwrap();
        let table = place.text(name);
        let header: Vec<String> = table.lines().next().unwrap().split(',').map(str::to_owned).collect();
        let is_axis = |column: &str| analysis.study.axes.iter().any(|axis| axis.name == column);
        let missing = header.into_iter().filter(|column| !is_axis(column) && !row.contains_key(column));
        missing.collect::<Vec<_>>()
    };
    assert_eq!(own("runs.csv", "runs"), ["metric"], "said once");
    let ends = ["accuracy_low", "accuracy_high", "above_reference_low", "above_reference_high"];
    let as_pairs = ["below_best_low", "below_best_high"];
    assert_eq!(own("summary.csv", "points"), [&["n"][..], &ends, &as_pairs, &["metric"]].concat());
    assert!(document["points"][0]["above_reference"].as_f64().unwrap() < 0.0);
    assert!(document["points"][0]["group_width"].as_f64().unwrap() > 1.0);
}

#[test]
fn runs_that_kept_their_images_are_compared_on_other_images() {
    let place = filled();
    for (index, trial) in place.sweep.trials.iter().enumerate() {
        let correct: Vec<bool> = (0..2000).map(|image| (image * 7 + index * index) % 10 < 9).collect();
        let path = place.ledger.run_dir(trial).join(per_image::FILE_NAME);
        per_image::write(&Disk::default(), &path, &correct, &[0.5; 2000]).unwrap();
    }
    let analysis = place.report();
    assert!(analysis.problems.is_empty(), "{:?}", analysis.problems);
    assert_eq!(analysis.contests[0].on_images.len(), 5);
    assert!(place.text("report.md").contains("## On other images: against per-channel"));

    let path = place.run_dir(0).join(per_image::FILE_NAME);
    fs::write(&path, "torn").unwrap();
    let analysis = place.report();
    assert_eq!(analysis.problems.len(), 1, "{:?}", analysis.problems);
    assert_eq!(analysis.contests[0].on_images.len(), 4, "the others stay");
}
