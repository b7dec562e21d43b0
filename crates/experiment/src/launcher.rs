//! The `[launcher]` table: where and how `decouple submit` runs trials. It is not part of any
//! record, since it changes no result.

use serde::{Deserialize, Serialize};

use decouple_keys::{InvalidKey, check};

/// Who starts the tasks of a submission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LauncherKind {
    /// Processes on this machine, in the background.
    Local,
    /// An array job of Slurm.
    #[default]
    Slurm,
}

/// `[launcher]`, resolved. Where time or memory is left out, the plan's estimates decide.
#[derive(Clone, Debug, PartialEq)]
pub struct LauncherSpec {
    /// Who starts the tasks.
    pub kind: LauncherKind,
    /// The scheduler's queue.
    pub partition: Option<String>,
    /// The account that is charged for the time.
    pub account: Option<String>,
    /// Time limit of a task, in seconds.
    pub time_secs: Option<u64>,
    /// Memory of a task, in bytes.
    pub memory_bytes: Option<u64>,
    /// Cores of a task, and so the number of trials that it trains at a time.
    pub cpus: usize,
    /// Most tasks at a time.
    pub at_once: Option<usize>,
    /// Target time of a task, in seconds: small trials are packed into one task up to this
    /// length.
    pub task_secs: u64,
    /// How often a task that was stopped after a checkpoint is requeued.
    pub requeues: u32,
    /// Lines of the script: those that begin with `#SBATCH` among the options, others
    /// before the trials.
    pub lines: Vec<String>,
}

/// The table as typed, or flags of a command line that override it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LauncherTable {
    /// [`LauncherSpec::kind`].
    pub kind: Option<LauncherKind>,
    /// [`LauncherSpec::partition`].
    pub partition: Option<String>,
    /// [`LauncherSpec::account`].
    pub account: Option<String>,
    /// [`LauncherSpec::time_secs`], such as `90min`.
    pub time: Option<String>,
    /// [`LauncherSpec::memory_bytes`], such as `8G`.
    pub memory: Option<String>,
    /// [`LauncherSpec::cpus`].
    pub cpus: Option<usize>,
    /// [`LauncherSpec::at_once`].
    pub at_once: Option<usize>,
    /// [`LauncherSpec::task_secs`], such as `1h`.
    pub task_time: Option<String>,
    /// [`LauncherSpec::requeues`].
    pub requeues: Option<u32>,
    /// [`LauncherSpec::lines`].
    pub lines: Option<Vec<String>>,
}

/// More requeues than this are no more.
const MOST_REQUEUES: u32 = 100_000;

impl LauncherTable {
    /// This table, with values of `below` where it has none, and the lines of both.
    pub fn over(self, below: Self) -> Self {
        let lines = below.lines.into_iter().chain(self.lines).reduce(|below, own| [below, own].concat());
        Self {
            kind: self.kind.or(below.kind),
            partition: self.partition.or(below.partition),
            account: self.account.or(below.account),
            time: self.time.or(below.time),
            memory: self.memory.or(below.memory),
            cpus: self.cpus.or(below.cpus),
            at_once: self.at_once.or(below.at_once),
            task_time: self.task_time.or(below.task_time),
            requeues: self.requeues.or(below.requeues),
            lines,
        }
    }

    /// With every default spelt out.
    ///
    /// # Errors
    /// The first invalid value, by its key.
    pub fn resolve(&self) -> Result<LauncherSpec, InvalidKey> {
        let count = |key, value: usize| check("launcher", key, value as f64).map(|()| value);
        let secs = |key, text: &Option<String>| text.as_deref().map(|text| duration(key, text)).transpose();
        Ok(LauncherSpec {
            kind: self.kind.unwrap_or_default(),
            partition: word("partition", &self.partition)?,
            account: word("account", &self.account)?,
            time_secs: secs("time", &self.time)?,
            memory_bytes: self.memory.as_deref().map(size).transpose()?,
            cpus: count("cpus", self.cpus.unwrap_or(1))?,
            at_once: self.at_once.map(|tasks| count("at-once", tasks)).transpose()?,
            task_secs: secs("task-time", &self.task_time)?.unwrap_or(3600),
            requeues: self.requeues.unwrap_or(20).min(MOST_REQUEUES),
            lines: lines(self.lines.as_deref().unwrap_or_default())?,
        })
    }
}

/// A name without characters that are special to a shell.
fn word(key: &str, text: &Option<String>) -> Result<Option<String>, InvalidKey> {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "._,:@+-".contains(c);
    match text {
        Some(text) if text.is_empty() || text.starts_with('-') || !text.chars().all(is_safe) => Err(
            InvalidKey::new(key, format!("must be a name of letters, digits and `._,:@+-`, found {text:?}")),
        ),
        text => Ok(text.clone()),
    }
}

fn lines(lines: &[String]) -> Result<Vec<String>, InvalidKey> {
    match lines.iter().find(|line| line.contains(['\n', '\r', '\0'])) {
        Some(line) => Err(InvalidKey::new("lines", format!("must be single lines, found {line:?}"))),
        None => Ok(lines.to_vec()),
    }
}

/// Seconds of `90s`, `45min`, `2h`, `1.5d`; or as Slurm writes them, `HH:MM:SS` and
/// `D-HH:MM:SS`.
fn duration(key: &str, text: &str) -> Result<u64, InvalidKey> {
    let refused =
        || InvalidKey::new(key, format!("must be a time such as 90min, 2h or 1-12:00:00, found {text:?}"));
    if text.contains(':') {
        let (days, clock) = text.split_once('-').unwrap_or(("0", text));
        let parts = clock.split(':').map(|part| part.parse::<u32>().ok()).collect::<Option<Vec<_>>>();
        let (days, parts) = days.parse::<u32>().ok().zip(parts).ok_or_else(refused)?;
        return match parts.as_slice() {
            &[h, m, s] if m < 60 && s < 60 && days < 10_000 && h < 1_000_000 => {
                let hours = u64::from(days) * 24 + u64::from(h);
                let secs = hours * 3600 + u64::from(m) * 60 + u64::from(s);
                if secs > 0 { Ok(secs) } else { Err(refused()) }
            }
            _ => Err(refused()),
        };
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit_secs = match unit.trim() {
        "s" => 1.0,
        "min" | "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(refused()),
    };
    match number.parse::<f64>().map(|number| number * unit_secs) {
        Ok(secs) if (1.0..1e9).contains(&secs) => Ok(secs.ceil() as u64),
        _ => Err(refused()),
    }
}

/// Bytes of a size such as `8G` or `500MiB`, in powers of 1024.
fn size(text: &str) -> Result<u64, InvalidKey> {
    parse_size(text).ok_or_else(|| {
        InvalidKey::new("memory", format!("must be a size such as 500M or 8G, found {text:?}"))
    })
}

/// Bytes of `500M`, `8G` or `1.5GiB`: powers of 1024. `None` for anything else.
pub fn parse_size(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let power = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * 1024_f64.powi(power);
    (1.0..=1e18).contains(&bytes).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_read_as_people_write_them() {
        let secs = |text| duration("time", text).ok();
        assert_eq!(
            ["90s", "45min", "2h", "1.5d", "02:30:00", "1-12:00:00"].map(secs),
            [90, 2_700, 7_200, 129_600, 9_000, 129_600].map(Some)
        );
        assert_eq!(["", "2", "h", "-1h", "1:75:00", "12:00", "1e99h", "00:00:00"].map(secs), [None; 8]);
        assert_eq!(
            ["1024", "500M", "8G", "1.5GiB", "2kb"].map(parse_size),
            [1 << 10, 500 << 20, 8 << 30, 3 << 29, 2 << 10].map(Some)
        );
        assert_eq!(["", "G", "-1G", "8X", "0", "9999999T"].map(parse_size), [None; 6]);
    }

    #[test]
    fn what_a_shell_or_scheduler_could_misread_is_refused() {
        let refused = |table: LauncherTable| table.resolve().unwrap_err().key;
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(refused(LauncherTable { partition: text("a b"), ..Default::default() }), "partition");
        assert_eq!(refused(LauncherTable { account: text("--wrap=x"), ..Default::default() }), "account");
        assert_eq!(refused(LauncherTable { cpus: Some(0), ..Default::default() }), "cpus");
        let lines = Some(vec!["true\nfalse".to_owned()]);
        assert_eq!(refused(LauncherTable { lines, ..Default::default() }), "lines");
    }

    #[test]
    fn flags_stand_over_the_file() {
        let lines = |line: &str| Some(vec![line.to_owned()]);
        let file =
            LauncherTable { cpus: Some(4), requeues: Some(3), lines: lines("a"), ..Default::default() };
        let flags = LauncherTable { cpus: Some(2), lines: lines("b"), ..Default::default() };
        let spec = flags.over(file).resolve().unwrap();
        assert_eq!((spec.cpus, spec.requeues, spec.lines), (2, 3, vec!["a".to_owned(), "b".to_owned()]));
    }
}
