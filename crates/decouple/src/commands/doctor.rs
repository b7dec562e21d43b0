//! `decouple doctor`: checks whether this machine and its folders can run experiments.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use decouple_datasets::{DataSpec, Source, Subset, known::KNOWN, load};
use decouple_experiment::FileSystem;
use decouple_training::{
    device::backend,
    memory_limit::{Limit, available},
};
use serde_json::json;

use crate::{
    arguments::{Common, Doctor, Format},
    environment::{cores, cpu, environment},
    failure::{Failure, IO, LOCKED, SUCCESS},
    text::{TextTable, bytes, print},
};

/// Less free space for results than this is noted.
const LITTLE_ROOM: u64 = 1 << 30;

/// The result of a check.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finding {
    Good,
    /// Works, but is worth knowing.
    Note,
    /// A run would not work.
    Bad,
}

impl Finding {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Note => "note",
            Self::Bad => "bad",
        }
    }
}

/// One check.
struct Check {
    name: &'static str,
    verdict: Finding,
    found: String,
}

fn check(name: &'static str, verdict: Finding, found: impl Into<String>) -> Check {
    Check { name, verdict, found: found.into() }
}

fn good(name: &'static str, found: impl Into<String>) -> Check {
    check(name, Finding::Good, found)
}

fn note(name: &'static str, found: impl Into<String>) -> Check {
    check(name, Finding::Note, found)
}

pub(crate) fn run(common: &Common, arguments: &Doctor) -> Result<u8, Failure> {
    if let Some(file) = &arguments.try_lock {
        return Ok(try_lock(file));
    }
    let mut checks = vec![program(), processor(), kernels()];
    checks.extend(memory());
    checks.extend(results(&common.results));
    checks.extend(data(common.data.as_deref()));
    checks.push(slurm());
    let code = if checks.iter().any(|check| check.verdict == Finding::Bad) { IO } else { SUCCESS };
    match arguments.format {
        Format::Human => {
            let mut table = TextTable::new(3, &["check", "", "found"]);
            for Check { name, verdict, found } in checks {
                table.push(vec![name.to_owned(), verdict.word().to_owned(), found]);
            }
            print(&table.to_string())?;
        }
        Format::Json => {
            let entry = |check: &Check| json!({ "check": check.name, "verdict": check.verdict.word(), "found": check.found });
            let checks: Vec<_> = checks.iter().map(entry).collect();
            print(&format!("{}\n", json!({ "ok": code == SUCCESS, "checks": checks })))?;
        }
    }
    Ok(code)
}

fn program() -> Check {
    let environment = environment();
    let revision = environment.git_revision.map_or(String::new(), |revision| format!(", {revision}"));
    let rustc = environment.rustc.map_or(String::new(), |rustc| format!(", {rustc}"));
    good("program", format!("decouple {}{revision}{rustc}", environment.decouple))
}

fn processor() -> Check {
    let flags = environment().cpu_flags;
    let telling = ["avx2", "fma", "avx512f", "asimd"];
    let has: Vec<&str> = telling.into_iter().filter(|name| flags.iter().any(|flag| flag == name)).collect();
    let has = if has.is_empty() { "no vector instructions known here".to_owned() } else { has.join(" ") };
    let found = format!("{}, {} cores for this process, {has}", cpu(), cores());
    good("processor", found)
}

fn kernels() -> Check {
    let backend = backend();
    let name = backend.name();
    let verdict = if name == "portable" { Finding::Note } else { Finding::Good };
    check("kernels", verdict, name)
}

fn memory() -> Option<Check> {
    let limit = Limit::of_machine()?;
    let free = available().map_or(String::new(), |free| format!(", {} of it free now", bytes(free)));
    let found = format!(
        "{} limited by {}{free}; trials may use {}",
        bytes(limit.bytes),
        limit.set_by,
        bytes(limit.for_trials())
    );
    Some(good("memory", found))
}

/// Checks of the results folder.
fn results(folder: &Path) -> Vec<Check> {
    let shown = folder.display();
    let probe = Probe::new(folder);
    let mut checks = Vec::new();
    match &probe {
        Err(error) => checks.push(check("results", Finding::Bad, format!("{shown}: not writable: {error}"))),
        Ok(_) => checks.push(good("results", format!("{shown}: writable"))),
    }
    checks.extend(room(folder));
    let system = FileSystem::of(folder);
    let kind = system
        .as_ref()
        .map_or("unknown".to_owned(), |system| format!("{} at {}", system.kind, system.mounted_at.display()));
    checks.push(good("file system", kind));
    if let Ok(probe) = &probe {
        checks.push(locks(probe, system.is_some_and(|system| system.is_shared())));
        checks.extend(clock(probe));
    }
    checks
}

/// A temporary file in a folder, which is created if necessary and removed afterwards.
struct Probe {
    path: PathBuf,
    /// Folders that were made, the outermost last.
    made: Vec<PathBuf>,
}

impl Probe {
    fn new(folder: &Path) -> std::io::Result<Self> {
        let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let made = folder.ancestors().take_while(is_missing).map(Path::to_owned).collect();
        fs::create_dir_all(folder)?;
        // Another host or container may have a process of this number, too: its file is neither overwritten nor removed.
        let name = |count: u32| folder.join(format!(".doctor-{}-{count}", std::process::id()));
        let is_free = |path: &PathBuf| path.symlink_metadata().is_err();
        let path = (0..).map(name).find(is_free).unwrap_or_default();
        fs::File::options().write(true).create_new(true).open(&path)?;
        let probe = Self { path, made };
        fs::write(&probe.path, "decouple doctor")?;
        Ok(probe)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // Keep what somebody else has put there meanwhile, and its folder.
        let _ = fs::remove_file(&self.path);
        self.made.iter().for_each(|folder| drop(fs::remove_dir(folder)));
    }
}

/// Free space for results, as reported by `df`.
fn room(folder: &Path) -> Option<Check> {
    let there = folder.ancestors().find(|above| above.exists()).unwrap_or(Path::new("."));
    let output = Command::new("df").arg("-Pk").arg(there).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let free = text.lines().nth(1)?.split_whitespace().nth(3)?.parse::<u64>().ok()?.checked_mul(1024)?;
    let verdict = if free < LITTLE_ROOM { Finding::Note } else { Finding::Good };
    Some(check("disk", verdict, format!("{} free for results", bytes(free))))
}

/// Whether a lock that this process holds keeps another one out.
fn locks(probe: &Probe, is_shared: bool) -> Check {
    let lease = "claim runs with --claims leases";
    let held = fs::File::options()
        .write(true)
        .open(&probe.path)
        .and_then(|file| Ok(file.try_lock().map(|()| file)?));
    let file = match held {
        Ok(file) => file,
        Err(error) => return note("locks", format!("cannot be taken: {error}; {lease}")),
    };
    let other = std::env::current_exe()
        .and_then(|program| Command::new(program).arg("doctor").arg("--try-lock").arg(&probe.path).status());
    drop(file);
    match other.map(|status| status.code()) {
        Ok(Some(code)) if code == i32::from(LOCKED) && is_shared => note(
            "locks",
            "hold between processes of this host, but maybe not between hosts: `--claims auto` uses leases",
        ),
        Ok(Some(code)) if code == i32::from(LOCKED) => {
            good("locks", "hold between processes: `--claims auto` uses them")
        }
        Ok(_) => note("locks", format!("do not hold between processes: {lease}")),
        Err(error) => note("locks", format!("could not be tried from a second process: {error}")),
    }
}

/// The other process's side of [`locks`].
fn try_lock(path: &Path) -> u8 {
    match fs::File::options().write(true).open(path).map(|file| file.try_lock()) {
        Ok(Ok(())) => SUCCESS,
        Ok(Err(fs::TryLockError::WouldBlock)) => LOCKED,
        Ok(Err(fs::TryLockError::Error(_))) | Err(_) => IO,
    }
}

/// How far the clock that stamps files is from this machine's.
fn clock(probe: &Probe) -> Option<Check> {
    let before = SystemTime::now();
    fs::write(&probe.path, "now").ok()?;
    let stamped = fs::metadata(&probe.path).ok()?.modified().ok()?;
    let apart = stamped.duration_since(before).unwrap_or_else(|ahead| ahead.duration()).as_secs_f64();
    let (verdict, word) =
        if apart < 5.0 { (Finding::Good, "agrees with") } else { (Finding::Note, "is off") };
    Some(check(
        "clock",
        verdict,
        format!("of the file system {word} this machine's ({apart:.1} s; leases do not need it to agree)"),
    ))
}

/// Which data sets can be read. The photographs of one are only looked for: `data verify` reads them.
fn data(folder: Option<&Path>) -> Vec<Check> {
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        let found = format!("{}: no such folder, named by --data or DECOUPLE_DATA", folder.display());
        return vec![check("data", Finding::Bad, found)];
    }
    let sets = [
        ("fashion-mnist", Source::FashionMnist { subset: Subset::Embedded }),
        ("fashion-mnist, full", Source::FashionMnist { subset: Subset::Full }),
        ("cifar-10", Source::Cifar10),
        ("cifar-100", Source::Cifar100),
    ];
    let tried = sets.into_iter().map(|(name, source)| {
        let found = load(&DataSpec { source, ..DataSpec::default() }, folder);
        match found {
            Ok(data) => good(
                "data",
                format!("{name}: {} images, checksum {}", data.train.len() + data.test.len(), data.checksum),
            ),
            Err(error) => {
                let error = error.to_string();
                note("data", format!("{name}: {}", error.lines().next().unwrap_or_default()))
            }
        }
    });
    let looked_for = KNOWN.iter().filter(|known| known.unpacked.is_some()).map(|known| {
        let name = known.name;
        if known.is_there(folder) {
            good("data", format!("{name}: there"))
        } else {
            note("data", format!("{name}: not there; `decouple data fetch {name} --data DIR` downloads it"))
        }
    });
    tried.chain(looked_for).collect()
}

fn slurm() -> Check {
    let told = Command::new("sinfo").args(["--noheader", "--format=%P %D %t"]).output();
    match told {
        Err(_) => note("slurm", "not installed here; `submit --launcher local` works without it"),
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let partitions: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            good("slurm", format!("partitions, nodes, state: {}", partitions.join("; ")))
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            note("slurm", format!("installed, but: {}", said.lines().next().unwrap_or("no answer")))
        }
    }
}
