//! Claims on file systems whose locks do not hold between hosts.
//!
//! A lock belongs to the operating system: it disappears with its process, at once, and costs
//! nothing. Over a network it may hold on one host only, or not at all. A lease needs only that
//! a file can be created exclusively and that its modification time is the server's:
//!
//! ```text
//! locks/<id>.lease/1 2 3 ...
//! ```
//!
//! The file with the highest number is the lease. Its holder writes into it every few seconds;
//! a lease that has not been written for its whole term has expired. A runner that wants a run
//! whose lease has expired or was released creates the next number, which succeeds for only one
//! of them. Files are never renamed, and a number below the highest is not a lease, so a live
//! one cannot be taken by mistake. A holder that was stalled for nearly its term gives up the
//! run when it wakes up, and writes nothing more.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use decouple_disk::{Disk, if_there};
use serde::{Deserialize, Serialize};

use super::LedgerError;
use crate::{FileSystem, RunId};

/// Seconds for which a lease is in force that names no other term.
const TERM_SECS: u64 = 30;

/// How runners claim a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Claims {
    /// With file locks.
    #[default]
    Locks,
    /// With leases that expire if not renewed for this many seconds.
    Leases {
        /// The term. Runners may have different terms.
        secs: u64,
    },
}

impl Claims {
    /// Leases of half a minute: then a dead host's runs are taken over.
    pub const LEASES: Self = Self::Leases { secs: TERM_SECS };

    /// Those for runs in the folder `root`: leases where other hosts may have it mounted, else locks.
    pub fn suited_to(root: &Path) -> Self {
        let is_shared = FileSystem::of(root).is_some_and(|system| system.is_shared());
        if is_shared { Self::LEASES } else { Self::Locks }
    }
}

/// As typed: `locks`, `leases` or, with their term in seconds, `leases:60`.
impl FromStr for Claims {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let term = text.strip_prefix("leases:").map(str::parse::<u64>);
        match (text, term) {
            ("locks", _) => Ok(Self::Locks),
            ("leases", _) => Ok(Self::LEASES),
            (_, Some(Ok(secs @ 1..=86_400))) => Ok(Self::Leases { secs }),
            _ => Err("expected auto, locks, leases, or leases:SECONDS with 1 to 86400".to_owned()),
        }
    }
}

/// What a lease file holds.
#[derive(Debug, Serialize, Deserialize)]
struct Terms {
    /// Host and process, for people.
    holder: String,
    /// Seconds without renewal after which it has expired.
    secs: u64,
    /// Counts the renewals.
    beat: u64,
    /// Whether the holder has given it back.
    is_released: bool,
}

/// A run that this process holds, in one way or the other.
#[derive(Debug)]
pub(super) enum Hold {
    /// The system releases the lock when the file is closed.
    Lock { _file: File },
    /// Released when dropped.
    Lease(Lease),
}

impl Hold {
    /// Whether this process still holds the run.
    pub(super) fn check(&self, id: RunId) -> Result<(), LedgerError> {
        match self {
            Self::Lease(lease) if lease.is_lost() => Err(LedgerError::Lost { id }),
            Self::Lock { .. } | Self::Lease(_) => Ok(()),
        }
    }
}

/// A lease in force, and the thread that renews it.
#[derive(Debug)]
pub(super) struct Lease {
    shared: Arc<Shared>,
    /// Ends the thread when dropped.
    stop: Option<Sender<()>>,
    heart: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    number: u64,
    secs: u64,
    file: Mutex<File>,
    beat: AtomicU64,
    is_lost: AtomicBool,
    /// When the last successful renewal was begun. By two clocks: the first never jumps, but may stand still
    /// while the system is suspended.
    heard: Mutex<(Instant, SystemTime)>,
}

/// The folder of a run's leases, below that of the locks.
fn folder(locks: &Path, id: RunId) -> PathBuf {
    locks.join(format!("{id}.lease"))
}

/// Takes the lease of a run, unless somebody has it.
pub(super) fn take(disk: &Disk, locks: &Path, id: RunId, secs: u64) -> Result<Option<Lease>, LedgerError> {
    let folder = folder(locks, id);
    disk.create_dir_all(&folder).map_err(LedgerError::io("create", &folder))?;
    let highest = highest(&folder)?;
    if let Some(number) = highest
        && is_in_force(&folder, number, server_time)?
    {
        return Ok(None);
    }
    Lease::create(&folder, highest.map_or(1, |highest| highest + 1), secs)
}

/// Whether somebody holds the lease of a run, by the clock `now`, which is given the folder of the leases.
pub(super) fn is_taken(
    locks: &Path,
    id: RunId,
    now: impl Fn(&Path) -> SystemTime,
) -> Result<bool, LedgerError> {
    let folder = folder(locks, id);
    match highest(&folder)? {
        Some(number) => is_in_force(&folder, number, now),
        None => Ok(false),
    }
}

fn numbers(folder: &Path) -> Result<Vec<u64>, LedgerError> {
    let entries = if_there(fs::read_dir(folder)).map_err(LedgerError::io("list", folder))?;
    let entries = entries.into_iter().flatten().flatten();
    Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

fn highest(folder: &Path) -> Result<Option<u64>, LedgerError> {
    Ok(numbers(folder)?.into_iter().max())
}

/// Whether the holder of lease `number` has neither released it nor been silent for longer than
/// its term, by the clock `now`.
fn is_in_force(folder: &Path, number: u64, now: impl Fn(&Path) -> SystemTime) -> Result<bool, LedgerError> {
    let path = folder.join(number.to_string());
    // Opened rather than looked up: a network file system then asks the server.
    let opened = if_there(File::open(&path)).map_err(LedgerError::io("open", &path))?;
    let Some(mut file) = opened else { return Ok(false) };
    let mut text = String::new();
    let read = file.read_to_string(&mut text).and_then(|_| file.metadata()?.modified());
    let modified = read.map_err(LedgerError::io("read", &path))?;
    // One that was created a moment ago may be empty still.
    let terms = serde_json::from_str::<Terms>(&text).ok();
    let secs = match terms {
        Some(Terms { is_released: true, .. }) => return Ok(false),
        Some(terms) => terms.secs,
        None => TERM_SECS,
    };
    let age = now(folder).duration_since(modified).unwrap_or_else(|ahead| ahead.duration());
    Ok(age <= Duration::from_secs(secs))
}

/// The time by the clock that stamps files: that of the server, which need not agree
/// with this host's.
pub(super) fn server_time(folder: &Path) -> SystemTime {
    let probe = folder.join(format!("now-{}-{:?}", std::process::id(), std::thread::current().id()));
    let stamp = || {
        let mut file = File::create(&probe)?;
        file.write_all(b"now")?;
        file.sync_all()?;
        file.metadata()?.modified()
    };
    let stamped = stamp();
    let _ = fs::remove_file(&probe);
    stamped.unwrap_or_else(|_: io::Error| SystemTime::now())
}

impl Shared {
    /// Writes the terms with the next beat, which updates the file's modification time.
    fn write(&self, is_released: bool) -> io::Result<()> {
        let beat = self.beat.fetch_add(1, Ordering::Relaxed);
        let holder = format!("{} on {}", std::process::id(), host());
        let terms = Terms { holder, secs: self.secs, beat, is_released };
        let mut text = serde_json::to_string(&terms)?;
        // The same length each time, so that no reader sees the end of an older text.
        text += &" ".repeat(200_usize.saturating_sub(text.len()));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the write, whose time the file gets: a slow disk does not make the lease last longer here.
        let began = (Instant::now(), SystemTime::now());
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = began;
        Ok(())
    }

    /// Whether no renewal succeeded for nearly the whole term: others may soon take the run, or
    /// have.
    fn is_silent(&self) -> bool {
        let (steady, wall) = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        // One who has set the clock forward loses the run, and goes on from its checkpoint.
        steady.elapsed().max(wall.elapsed().unwrap_or_default()) > 5 * self.beat_time()
    }

    /// The time between two renewals.
    fn beat_time(&self) -> Duration {
        Duration::from_secs(self.secs) / 6
    }

    /// Renews the lease, or finds that it is lost: somebody has a higher number, or it was
    /// silent for too long.
    fn keep(&self) {
        let is_superseded = highest(&self.folder).is_ok_and(|highest| highest > Some(self.number));
        if is_superseded || self.is_silent() {
            self.is_lost.store(true, Ordering::SeqCst);
        } else {
            // One that fails is tried again at the next beat.
            let _ = self.write(false);
        }
    }
}

impl Lease {
    /// The lease of this number, unless somebody else is faster.
    fn create(folder: &Path, number: u64, secs: u64) -> Result<Option<Self>, LedgerError> {
        let path = folder.join(number.to_string());
        let file = match File::options().write(true).create_new(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(LedgerError::io("create", &path)(error)),
        };
        // Since the numbers were listed, others may have taken this one, released it, and
        // removed it for a higher one.
        if highest(folder)? > Some(number) {
            let _ = fs::remove_file(&path);
            return Ok(None);
        }
        let shared = Shared {
            folder: folder.to_owned(),
            number,
            secs,
            file: Mutex::new(file),
            beat: AtomicU64::new(0),
            is_lost: AtomicBool::new(false),
            heard: Mutex::new((Instant::now(), SystemTime::now())),
        };
        shared.write(false).map_err(LedgerError::io("write", &path))?;
        for older in numbers(folder)?.into_iter().filter(|older| *older < number) {
            // A file that cannot be removed does no harm.
            let _ = fs::remove_file(folder.join(older.to_string()));
        }
        Self::start(Arc::new(shared)).map(Some).map_err(LedgerError::io("start a thread for", &path))
    }

    fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let own = Arc::clone(&shared);
        let pause = shared.beat_time();
        let heart = std::thread::Builder::new().spawn(move || {
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                own.keep();
            }
        })?;
        Ok(Self { shared, stop: Some(stop), heart: Some(heart) })
    }

    /// Whether somebody else may have the run by now. Asked before each write, and so
    /// true even if this process was stopped as a whole and has just been woken up.
    fn is_lost(&self) -> bool {
        if self.shared.is_silent() {
            self.shared.keep();
        }
        self.shared.is_lost.load(Ordering::SeqCst)
    }

    fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(heart) = self.heart.take() {
            // If the thread panicked, there is nothing more to do.
            let _ = heart.join();
        }
    }

    /// Simulates the death of the host: the lease is no longer renewed.
    #[cfg(test)]
    fn die(mut self) {
        self.stop();
        self.shared.is_lost.store(true, Ordering::SeqCst);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stop();
        if !self.is_lost() {
            // If it cannot be released, it expires.
            let _ = self.shared.write(true);
        }
    }
}

/// The name of this host.
fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "this host".to_owned() } else { name.trim().to_owned() }
}

#[cfg(test)]
mod tests;
