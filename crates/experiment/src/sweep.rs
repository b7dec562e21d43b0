//! An experiment file, read and resolved into trials.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use decouple_disk::open_regular;

use crate::{Declared, Held, LauncherTable, StepTimes, Trial, Try, Tune};
use as_typed::{SweepFile, TypedAxis};
use diagnostic::{Diagnostic, Sources};
use expand::expand;

mod as_typed;
mod de;
mod diagnostic;
mod document;
mod expand;
mod filter;
mod fitted;
mod grouping;
mod lock;
mod network_cache;
mod plan_file;
mod point;
mod set;

pub use filter::{FilterError, TrialFilter};
pub use lock::LockError;
pub use plan_file::inert_cell;

/// An experiment: its trials and its question.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Name of the experiment and of its folder under `results`.
    pub name: String,
    /// Its question: `experiment.question`, else the first paragraph of the file's header
    /// comment, else empty.
    pub question: String,
    /// The file.
    pub path: PathBuf,
    /// The file's text, as read.
    pub text: String,
    /// The keys that were changed on the command line, as `key=value`.
    pub set: Vec<String>,
    /// Command-line flags for its results and data folders, for [`Sweep::command`].
    pub flags: Vec<String>,
    /// What it varies, in the file's order, with the seed last.
    pub axes: Vec<Axis>,
    /// Axis name and value of the point that budgets and differences refer to,
    /// without the seed.
    pub reference: Vec<(String, String)>,
    /// What is held equal, if anything.
    pub budget: Option<Held>,
    /// What is declared before any run.
    pub declared: Declared,
    /// What each point tries before its trials are run, if anything.
    pub tune: Option<Tune>,
    /// Where `decouple submit` runs the trials, as far as the file says.
    pub launcher: LauncherTable,
    /// The tries made so far, filled in by [`Sweep::tuned`].
    pub tries_made: Vec<Try>,
    /// Every trial, beginning with the first seed of every point.
    pub trials: Vec<Trial>,
    /// Complete messages about things that are allowed but probably not intended.
    pub warnings: Vec<String>,
}

impl Sweep {
    /// The shell command that applies `verb` to this experiment.
    pub fn command(&self, verb: &str) -> String {
        let set = self.set.iter().map(|pair| format!(" --set {}", shell_word(pair)));
        let flags = self.flags.iter().map(|word| format!(" {}", shell_word(word)));
        let more: String = set.chain(flags).collect();
        format!("decouple {verb} {}{more}", shell_word(&self.path.display().to_string()))
    }
}

/// A word for a shell, quoted if it contains special characters.
///
/// ```
/// use decouple_experiment::shell_word;
/// assert_eq!(["a/b.toml", "it's 1"].map(shell_word), ["a/b.toml", r"'it'\''s 1'"]);
/// ```
pub fn shell_word(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "._-/=,:+@%".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Something that a sweep varies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The key that it varies, as typed: `segments`, `training.weight-decay`, `seed`.
    pub name: String,
    /// Its values as text, in the file's order.
    pub values: Vec<String>,
    /// Which `[[zip]]` table it belongs to, counted from 0; its values are
    /// walked together with those of the other axes of that table.
    pub zipped_with: Option<usize>,
}

impl Axis {
    /// Whether it has one value alone, and so is a condition of the experiment rather than something it varies.
    pub fn is_fixed(&self) -> bool {
        self.values.len() == 1
    }
}

/// Changes to an experiment file from the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `key=value` in TOML's syntax, applied in order.
    pub set: Vec<String>,
}

/// Why an experiment file is refused. Its text is the whole message: what is wrong, where, the
/// line with a mark under the place, and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExperimentError(String);

/// Reads the experiment file at `path` and resolves it into trials. Under a budget of step
/// time, points keep their widths as typed.
///
/// # Errors
/// [`ExperimentError`] when the file cannot be read or anything in it or in
/// `overrides` is refused.
pub fn load(path: &Path, overrides: &Overrides) -> Result<Sweep, ExperimentError> {
    load_with(path, overrides, StepTimes::Runs(&[]))
}

/// As [`load`], with `step_times` for a budget of step time.
///
/// # Errors
/// As [`load`], or if a step cannot be measured or a point cannot meet the budget.
pub fn load_with(
    path: &Path,
    overrides: &Overrides,
    step_times: StepTimes<'_>,
) -> Result<Sweep, ExperimentError> {
    let text = text_of(path).map_err(|problem| {
        let example = "an experiment is a TOML file, such as experiments/quickstart.toml".to_owned();
        let help = similar(path).map_or(example, |name| format!("did you mean `{name}`?"));
        ExperimentError(format!("error: cannot read {}: {problem}\n   = {help}", path.display()))
    })?;
    parse_with(&text, &path.display().to_string(), overrides, step_times)
}

/// The experiment file beside `path`, or among those in `experiments`, whose name is nearest to a missing one's.
fn similar(path: &Path) -> Option<String> {
    let typed = path.file_stem().filter(|_| !path.exists())?.to_string_lossy().into_owned();
    let folders = [path.parent()?, Path::new("experiments")];
    let files = folders.iter().flat_map(|folder| {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        std::fs::read_dir(folder).into_iter().flatten().flatten()
    });
    let files = files.map(|entry| entry.path());
    let files = files.filter(|file| file.extension().is_some_and(|ending| ending == "toml"));
    let names: Vec<String> = files.filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned())).collect();
    diagnostic::nearest(&typed, names.iter().map(String::as_str)).map(str::to_owned)
}

/// The most bytes of an experiment file. Those here have a few thousand.
const MOST_BYTES: u64 = 1 << 20;

/// The text of an experiment file, or why it cannot be one.
fn text_of(path: &Path) -> Result<String, String> {
    let read = || {
        let mut bytes = Vec::new();
        open_regular(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes: Vec<u8> = read().map_err(|error: std::io::Error| error.to_string())?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("it has more than the {MOST_BYTES} bytes that an experiment file may have"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let (bytes, at) = (error.as_bytes(), error.utf8_error().valid_up_to());
        let line = 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
        let is_utf16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
        let what = if is_utf16 { "it is UTF-16" } else { "it is not UTF-8" };
        format!("line {line}: {what}: save it as UTF-8")
    })
}

/// As [`load`], for a text in memory. Messages call it `file_name`, which also names the
/// experiment if the file does not.
///
/// # Errors
/// [`ExperimentError`] when anything in the text or in `overrides` is refused.
pub fn parse(text: &str, file_name: &str, overrides: &Overrides) -> Result<Sweep, ExperimentError> {
    parse_with(text, file_name, overrides, StepTimes::Runs(&[]))
}

/// As [`load_with`], for a text in memory.
///
/// # Errors
/// As [`load_with`].
pub fn parse_with(
    text: &str,
    file_name: &str,
    overrides: &Overrides,
    step_times: StepTimes<'_>,
) -> Result<Sweep, ExperimentError> {
    // Some editors begin a file with a byte order mark, which is dropped here.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut sources = Sources::default();
    let resolved = as_typed::read(text, file_name, &mut sources).and_then(|mut file| {
        overrides.set.iter().try_for_each(|change| set::apply(change, &mut file, &mut sources))?;
        as_typed::check_axes(&file)?;
        let name = experiment_name(&file, file_name)?;
        let launcher = as_typed::launcher(&file)?;
        let expansion = expand(&file, step_times)?;
        Ok((name, launcher, expansion, file))
    });
    let (name, launcher, expansion, file) =
        resolved.map_err(|error| ExperimentError(sources.render("error", &error)))?;
    let seeds = Axis {
        name: as_typed::SEED.to_owned(),
        values: expansion.seeds.iter().map(u64::to_string).collect(),
        zipped_with: None,
    };
    Ok(Sweep {
        name,
        question: file.question.clone().unwrap_or_else(|| header_question(text)),
        path: file_name.into(),
        text: text.to_owned(),
        set: overrides.set.clone(),
        flags: Vec::new(),
        axes: file.axes.iter().map(TypedAxis::summary).chain([seeds]).collect(),
        reference: expansion.reference,
        budget: file.budget,
        declared: file.declared.clone(),
        tune: expansion.tune,
        launcher,
        tries_made: Vec::new(),
        trials: expansion.trials,
        warnings: expansion.warnings.iter().map(|warning| sources.render("warning", warning)).collect(),
    })
}

/// A section of `[trial]` (`network`, `data`) from `key=value` arguments of a
/// command line, read and refused as it would be in a file. Keys may begin with
/// the section's name.
///
/// # Errors
/// [`ExperimentError`] when an argument is refused.
pub fn section<T: serde::de::DeserializeOwned>(
    name: &str,
    arguments: &[String],
) -> Result<T, ExperimentError> {
    section_of_options(name, arguments.iter().map(|argument| (as_typed::SET, &argument[..])))
}

/// As [`section`], where some of the keys have an option of their own: each `key=value` after the option that
/// messages name. Two options may not give the same key.
///
/// # Errors
/// As for [`section`].
pub fn section_of_options<'a, T: serde::de::DeserializeOwned>(
    name: &str,
    arguments: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<T, ExperimentError> {
    let mut sources = Sources::default();
    let read = set::section(name, arguments, &mut sources).and_then(|table| de::read(name, &table));
    read.map_err(|error| ExperimentError(sources.render("error", &error)))
}

/// The name given in the file, else the file's own; it becomes a folder name.
fn experiment_name(file: &SweepFile, file_name: &str) -> Result<String, Diagnostic> {
    let stem = || Path::new(file_name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = file.name.as_ref().map_or_else(stem, |(name, _)| name.clone());
    let safe = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    // Commands would read a name that begins with a dash as a flag.
    let begins_well = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if begins_well && name.len() <= 100 && name.chars().all(safe) {
        return Ok(name);
    }
    let diagnostic = Diagnostic::new(format!("`{name}` cannot name an experiment"))
        .note("the name is a folder under the results: letters, digits, `.`, `_` and `-`, at most 100, a letter or digit in front");
    Err(match &file.name {
        Some((_, span)) => diagnostic.at(span.clone(), "not a safe folder name"),
        None => diagnostic.note("it is the name of the file: choose another, or set `name` in [experiment]"),
    })
}

/// The first paragraph of the comment at the head of a file, without its marks.
fn header_question(text: &str) -> String {
    // Editors read `#:schema` and the like.
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("#:"));
    let lines = lines.skip_while(|line| line.is_empty());
    let paragraph = lines.map_while(|line| line.strip_prefix('#')).map(str::trim);
    paragraph.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
