//! The reports of this repository are what this program makes of the runs beside them.

use std::{
    fs,
    path::{Path, PathBuf},
};

mod workplace;

use workplace::Workplace;

/// All files below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).expect("it is in there"));
        fs::create_dir_all(target.parent().expect("a folder")).expect("it can be made");
        fs::copy(&file, target).expect("it can be copied");
    }
}

#[test]
fn every_committed_report_is_made_anew_from_its_runs() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let workplace = Workplace::new();
    copy(&repository.join("experiments"), &workplace.path("experiments"));
    let mut reports = 0;
    for file in files(&repository.join("experiments")) {
        let text = fs::read_to_string(&file).expect("an experiment");
        let named = text.lines().find_map(|line| line.strip_prefix("name")?.trim().strip_prefix('='));
        let stem = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let name = named.map_or(stem.as_str(), |name| name.trim().trim_matches('"'));
        let place = repository.join("results").join(name);
        let Ok(report) = fs::read_to_string(place.join("report.md")) else { continue };
        copy(&place, &workplace.path("results").join(name));
        let file =
            Path::new("experiments").join(file.strip_prefix(repository.join("experiments")).expect("in it"));
        workplace.run(&["report", &file.to_string_lossy()]);
        let anew = fs::read_to_string(workplace.path("results").join(name).join("report.md"));
        assert_eq!(
            anew.expect("a report"),
            report,
            "{name}: `decouple report {}` changes it",
            file.display()
        );
        reports += 1;
    }
    assert!(reports >= 17, "{reports}");
}
