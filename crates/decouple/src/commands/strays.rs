//! `decouple diff` and `decouple clean`: runs that belong to no trial of an edited
//! file.

use std::path::PathBuf;

use decouple_experiment::{Claims, Stray, stray_lines};

use super::experiment::{ledger, read_with_runs, warn_of};
use crate::{
    arguments::{Clean, Common, Experiment},
    failure::{Failure, LOCKED, SUCCESS},
    text::{plural, print},
};

/// Prints a line for each reason why runs belong to no trial.
pub(crate) fn diff(common: &Common, arguments: &Experiment) -> Result<u8, Failure> {
    let sweep = read_with_runs(common, &arguments.file, &arguments.set)?;
    let ledger = ledger(common, &sweep);
    let contents = ledger.read()?;
    let strays = sweep.strays(&contents);
    let abandoned = ledger.abandoned(&sweep.trials)?;
    if strays.is_empty() && abandoned.is_empty() {
        let count = contents.runs.len();
        say!(
            "{}: no run without a trial of {} ({count} in all)",
            ledger.root().display(),
            sweep.path.display()
        );
    }
    print(&lines(&strays, &abandoned))?;
    Ok(warn_of(&contents.problems, &sweep))
}

/// Shows the runs that belong to no trial, and removes them where that is asked for.
pub(crate) fn clean(common: &Common, arguments: &Clean) -> Result<u8, Failure> {
    let sweep = read_with_runs(common, &arguments.experiment.file, &arguments.experiment.set)?;
    let ledger = ledger(common, &sweep);
    let claims = Claims::suited_to(ledger.root());
    let ledger = ledger.claiming(claims);
    let contents = ledger.read()?;
    let strays = sweep.strays(&contents);
    let abandoned = ledger.abandoned(&sweep.trials)?;
    let dirs = strays.iter().map(|stray| &stray.run.dir).chain(&abandoned);
    let folders: String = dirs.map(|dir| format!("{}\n", dir.display())).collect();
    print(&format!("{}{folders}", lines(&strays, &abandoned)))?;
    let code = warn_of(&contents.problems, &sweep);
    if folders.is_empty() {
        say!("nothing to remove in {}", ledger.root().display());
        return Ok(code);
    }
    if sweep.path.file_stem().is_none_or(|stem| *stem != *sweep.name) {
        say!(
            "warning: {} names its experiment `{}`: these may be runs of another file of that name",
            sweep.path.display(),
            sweep.name
        );
    }
    if !arguments.yes {
        say!("nothing has been removed: {} --yes removes these", sweep.command("clean"));
        return Ok(code);
    }
    let mut removed = 0;
    for stray in &strays {
        removed += usize::from(ledger.discard(stray.run)?);
    }
    say!("removed {removed} of {} runs", contents.runs.len());
    // Those of the runs above went with them.
    let (abandoned, mut to_train_again) = (ledger.abandoned(&sweep.trials)?, 0);
    for dir in &abandoned {
        to_train_again += usize::from(ledger.discard_abandoned(dir)?);
    }
    if to_train_again > 0 {
        say!("removed {} to be trained again", plural(to_train_again, "run"));
    }
    let busy = strays.len() + abandoned.len() - removed - to_train_again;
    if busy > 0 {
        let (runs, is) = (plural(busy, "run"), if busy == 1 { "is" } else { "are" });
        say!("{runs} {is} being trained by another process; clean again when it is done");
    }
    Ok(if busy > 0 && code == SUCCESS { LOCKED } else { code })
}

fn lines(strays: &[Stray<'_>], abandoned: &[PathBuf]) -> String {
    let mut lines = stray_lines(strays);
    if !abandoned.is_empty() {
        let words = plural(abandoned.len(), "run");
        lines.push(format!("{words} to be trained again, which the file no longer asks for"));
    }
    lines.into_iter().map(|line| line + "\n").collect()
}
