//! Reports in a real browser, where there is one: no script error, nothing loaded, no sideways scrolling.

use std::fs;
use std::path::Path;
use std::process::Command;

use decouple_reporting::{write, write_index};

mod made_up;

#[test]
fn a_browser_has_nothing_to_complain_of() {
    let has = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !(has("chromium") && has("python3")) {
        eprintln!("not checked: this test needs chromium and python3");
        return;
    }
    let results = tempfile::tempdir().unwrap();
    let analysis = made_up::spectrum("browser", &["1", "4", "per-channel"], 3);
    let report = write(&analysis, &results.path().join("browser")).unwrap().report;
    let index = write_index(results.path()).unwrap();
    let (complaints, code) = check(&[&report, &index]);
    assert_eq!((complaints.as_str(), code), ("", Some(0)));

    // The same page with a broken script, something to load and something wide is complained of.
    let broken = fs::read_to_string(&report).unwrap().replace(
        "<main>",
        "<main><script>nothing.here()</script><img src=\"https://example.com/x.png\"><p style=\"width:500px\">wide",
    );
    let page = results.path().join("broken.html");
    fs::write(&page, broken).unwrap();
    let (complaints, code) = check(&[&page]);
    assert_eq!(code, Some(1));
    for complaint in
        ["nothing is not defined", "would load https://example.com", "390 pixels: scrolls sideways"]
    {
        assert!(complaints.contains(complaint), "{complaint}: {complaints}");
    }
}

/// What `tools/browser-check.py` says, and its exit code.
fn check(pages: &[&Path]) -> (String, Option<i32>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/browser-check.py");
    let checked = Command::new("python3").arg(script).args(pages).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout) + String::from_utf8_lossy(&checked.stderr);
    (said.into_owned(), checked.status.code())
}
