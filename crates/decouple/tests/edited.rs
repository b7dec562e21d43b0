//! An experiment from its first line to its last run: begun from a template, edited,
//! compared, cleaned up.

mod workplace;

use std::fs;

use serde_json::Value;
use workplace::{ONE, Workplace};

#[test]
fn a_template_is_planned_by_its_name() {
    let workplace = Workplace::new();
    fs::create_dir(workplace.path("experiments")).expect("a folder");
    assert_eq!(workplace.succeed(&["init", "mine"]), "experiments/mine.toml\n");
    let plan: Value = workplace.json(&["plan", "mine", "--format", "json"]);
    assert_eq!((plan["trials"].as_array().map(Vec::len), &plan["left"]["trials"]), (Some(9), &9.into()));
    // A name is a name, whatever else is called so, and with dots.
    fs::create_dir(workplace.path("mine")).expect("a folder");
    workplace.succeed(&["plan", "mine"]);
    assert_eq!(workplace.succeed(&["init", "a.b"]), "experiments/a.b.toml\n");
    workplace.succeed(&["plan", "a.b"]);
    workplace.fail(&["init", "mine"], "already exists; choose another name", 2);
    workplace.fail(&["init", "../mine"], "cannot name an experiment", 2);
    workplace.fail(&["plan", "yours"], "cannot read experiments/yours.toml", 2);
    let schema: Value = workplace.json(&["schema"]);
    assert_eq!(schema["properties"]["trial"]["properties"]["network"]["properties"]["kernel"]["enum"][1], 5);
}

#[test]
fn runs_of_an_edited_file_are_explained_and_removed_on_request() {
    let workplace = Workplace::new();
    workplace.write("one.toml", ONE);
    let report: Value = workplace.json(&["run", "one.toml", "--format", "json"]);
    assert_eq!(
        (&report["runs"][0]["outcome"], &report["points"][0]["finished"]),
        (&"finished".into(), &1.into())
    );
    assert_eq!(workplace.json::<Value>(&["report", "one.toml", "--format", "json"]), report);
    let epochs = fs::read_to_string(workplace.path("results/one/epochs.csv")).expect("a table");
    assert!(epochs.starts_with("id,segments,seed,outcome,epoch,step,train_loss,"), "{epochs}");
    assert!(epochs.lines().count() == 2 && epochs.contains(",3,0,finished,1,15,"), "{epochs}");
    let (out, talk, _) = workplace.run(&["diff", "one.toml"]);
    assert!(out.is_empty() && talk.contains("no run without a trial of"), "{talk}");

    let edited = ["--set", "training.epochs=2"];
    let line = "1 run with training.epochs = 1, now 2\n";
    assert_eq!(workplace.succeed(&[&["diff", "one.toml"], &edited[..]].concat()), line);
    // The same line, once, among the warnings of a report.
    workplace.write("two.toml", &ONE.replace("epochs = 1", "epochs = 2").replace("\"one\"", "\"two\""));
    let compared = workplace.succeed(&["compare", "one.toml", "two.toml"]);
    assert!(compared.contains("training.epochs  1    2\n"), "{compared}");
    let compared: Value = workplace.json(&["compare", "one.toml", "two.toml", "--format", "json"]);
    assert_eq!(
        (&compared["keys"][0]["second"], &compared["points"][0]["first"]["seeds"]),
        (&"2".into(), &1.into())
    );
    // What else a difference may come from is said.
    let other = ONE.replace("validation = 9000", "validation = 9500").replace("exit = 8", "exit = 9");
    workplace.write("other.toml", &other.replace("\"one\"", "\"other\""));
    let (_, talk, _) = workplace.run(&["compare", "one.toml", "other.toml"]);
    assert!(talk.contains("different images (data.validation)"), "{talk}");
    assert!(talk.contains("1 point with networks of different sizes"), "{talk}");

    let shown = workplace.succeed(&[&["clean", "one.toml"], &edited[..]].concat());
    let folder = shown.strip_prefix(line).expect("the reason").trim_end().to_owned();
    assert!(workplace.path(&folder).is_dir(), "{shown}");
    // The command that is proposed is the one for these runs.
    let talk = workplace.told(&[&["clean", "one.toml"], &edited[..]].concat());
    assert!(talk.contains("decouple clean one.toml --set training.epochs=2 --yes removes these"), "{talk}");
    workplace.write("copy.toml", &ONE.replace("epochs = 1", "epochs = 2"));
    let talk = workplace.told(&["clean", "copy.toml"]);
    assert!(talk.contains("these may be runs of another file of that name"), "{talk}");
    assert_eq!(workplace.succeed(&["clean", "one.toml", "--yes"]), "", "it belongs to the file as it is");
    assert!(workplace.path(&folder).is_dir());
    workplace.succeed(&[&["clean", "one.toml", "--yes"], &edited[..]].concat());
    assert!(!workplace.path(&folder).exists());

    // Of a damaged run nobody can say whose it is.
    fs::create_dir_all(workplace.path(&folder)).expect("a folder");
    fs::write(workplace.path(&folder).join("status.json"), "{").expect("a file");
    for command in ["diff", "clean"] {
        let (_, talk) = workplace.ends(&[command, "one.toml"], 3);
        assert!(talk.contains("warning: ") && talk.contains("the run has no record"), "{command}: {talk}");
    }
}

#[test]
fn runs_without_weights_or_damaged_are_told_with_what_mends_them() {
    let workplace = Workplace::new();
    workplace.write("one.toml", &ONE.replace("segments = [3]", "segments = [1]").replace("[0]", "[0, 1]"));
    let compare = ["compare", "one.toml", "one.toml"];
    workplace.fail(&compare, "there is no run in results/one", 4);
    workplace.fail(&["diagnose", "one.toml"], "train one first: decouple run one.toml", 4);
    workplace.succeed(&["run", "one.toml"]);
    workplace.succeed(&compare);
    for weights in workplace.files("results/one/runs", "weights.safetensors").keys() {
        fs::remove_file(weights).expect("it can be removed");
    }
    workplace.fail(&["diagnose", "one.toml"], "`decouple run one.toml --fresh --filter id=", 3);

    let status = workplace.files("results/one/runs", "status.json").into_keys().next().expect("a run");
    fs::write(&status, "{").expect("it can be written");
    let (out, talk) = workplace.ends(&compare, 3);
    assert!(
        out.contains("one") && talk.contains("decouple run one.toml --fresh --filter id="),
        "{talk}{out}"
    );
    // One point has no spread to judge by.
    workplace.fail(&["power", "one.toml"], "decouple run one.toml --fresh --filter id=", 4);
}

#[test]
fn only_what_failed_is_trained_again() {
    let workplace = Workplace::new();
    workplace.write("one.toml", ONE);
    let diverging = ["--set", "training.schedule.peak=1e30", "--set", "training.schedule.warmup-epochs=0"];
    let run = |more: &[&str]| workplace.ends(&[&["run", "one.toml"], &diverging[..], more].concat(), 1).1;
    assert!(run(&[]).contains("diverged"));
    assert!(run(&[]).contains("1 of 1 trial already done"));
    let talk = run(&["--only", "failed"]);
    assert!(talk.contains("diverged") && !talk.contains("already done"), "{talk}");
    workplace.fail(&["run", "one.toml", "--only", "failed"], "no run failed or diverged", 4);
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let workplace = Workplace::new();
    let page = workplace.succeed(&["manual"]);
    assert!(page.contains(".TH decouple 1") && page.contains("export"), "{page:.300}");
    workplace.succeed(&["manual", "pages"]);
    for name in ["decouple", "decouple-run", "decouple-weights-convert"] {
        let page = fs::read_to_string(workplace.path(&format!("pages/{name}.1"))).expect(name);
        assert!(page.contains(&format!(".TH {name} 1")), "{page:.300}");
    }
}
