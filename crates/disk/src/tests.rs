use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use super::*;

fn names(folder: &Path) -> Vec<String> {
    let paths = Disk::default().list(folder).unwrap();
    paths.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_file_is_replaced_whole_or_not_at_all_whatever_fails() {
    for kind in [FaultKind::Broken, FaultKind::Full, FaultKind::ShortWrite] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status.json");
        fs::write(&path, "old").unwrap();
        let mut failed = 0;
        for step in 1.. {
            let disk = Disk::within(folder.path()).failing(Fault { step, kind, lasts: false });
            let done = disk.replace(&path, b"new and longer");
            let found = fs::read(&path).unwrap();
            assert!(found == b"old" || found == b"new and longer", "{found:?}");
            assert_eq!(names(folder.path()), ["status.json"]);
            match done {
                Ok(()) => break,
                Err(_) => failed += 1,
            }
        }
        // Open, write, fsync, rename, fsync of the folder.
        assert_eq!(failed, 5);
        assert_eq!(fs::read(&path).unwrap(), b"new and longer");
    }
}

#[test]
fn what_is_no_regular_file_is_neither_read_nor_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (pipe, link, target) =
        (folder.path().join("pipe"), folder.path().join("link"), folder.path().join("target"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::write(&target, "old").unwrap();
    symlink(&target, &link).unwrap();
    let disk = Disk::within(folder.path());
    for path in [&pipe, &link] {
        assert!(disk.replace(path, b"new").unwrap_err().to_string().contains("only regular files"));
        assert!(disk.create(path).is_err() && disk.append(path).is_err() && disk.open_lock(path).is_err());
    }
    assert!(disk.read(&pipe).unwrap_err().to_string().contains("it is a pipe"));
    assert!(disk.read(Path::new("/dev/null")).unwrap_err().to_string().contains("it is a device"));
    assert!(disk.read(folder.path()).unwrap_err().to_string().contains("it is a folder"));
    assert_eq!(disk.read(&link).unwrap(), b"old", "a link to a regular file may be read");
}

#[test]
fn nothing_is_written_through_a_link_that_leads_out() {
    let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let root = inside.path().join("results");
    let disk = Disk::within(&root);
    disk.create_dir_all(&root.join("question/runs")).unwrap();
    symlink(outside.path(), root.join("question/runs/trial")).unwrap();
    let path = root.join("question/runs/trial/metrics.csv");
    let leads_out = |error: io::Error| assert!(error.to_string().contains("leads out"), "{error}");
    leads_out(disk.replace(&path, b"x").unwrap_err());
    leads_out(disk.create(&path).unwrap_err());
    leads_out(disk.create_dir_all(&path).unwrap_err());
    leads_out(disk.rename(&root.join("question"), &path).unwrap_err());
    leads_out(disk.remove_file(&path).unwrap_err());
    assert!(names(outside.path()).is_empty());
    // The folder of results itself may be a link: its user has chosen where it leads.
    let link = inside.path().join("elsewhere");
    symlink(&root, &link).unwrap();
    Disk::within(&link).replace(&link.join("question/plan.csv"), b"x").unwrap();
}

#[test]
fn a_sweep_takes_what_dead_writers_left_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in [".decouple-1-2.tmp", ".env.local.backup", ".hidden", "status.json", ".gitignore"] {
        fs::write(path(name), "x").unwrap();
    }
    let disk = Disk::within(folder.path());
    let (temporary, file) = disk.temporary(&path("status.json")).unwrap();
    disk.sweep(folder.path(), Duration::ZERO).unwrap();
    assert_eq!(names(folder.path()).len(), 5, "the writer of one is alive");
    drop(file);
    disk.sweep(folder.path(), Duration::from_secs(60)).unwrap();
    assert!(temporary.exists(), "where locks may not hold, its writer may be alive on another host");
    disk.sweep(folder.path(), Duration::ZERO).unwrap();
    assert_eq!(names(folder.path()), [".env.local.backup", ".gitignore", ".hidden", "status.json"]);
}

#[test]
fn output_goes_into_a_pipe_and_behind_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = path("pipe");
        move || fs::read(pipe).unwrap()
    });
    let write = |out: &mut dyn Write| out.write_all(b"weights");
    write_output::<io::Error>(&path("pipe"), write).unwrap();
    assert_eq!(reader.join().unwrap(), b"weights");
    assert!(fs::symlink_metadata(path("pipe")).is_ok_and(|found| !found.is_file()));

    symlink(path("target"), path("link")).unwrap();
    fs::write(path("target"), "old").unwrap();
    write_output::<io::Error>(&path("link"), write).unwrap();
    assert_eq!(fs::read(path("target")).unwrap(), b"weights");
    assert!(fs::symlink_metadata(path("link")).unwrap().is_symlink());

    // As /dev/full, on which no test should be tried: only root may make one.
    let device = Command::new("mknod").arg(path("full")).args(["c", "1", "7"]).status();
    if device.is_ok_and(|status| status.success())
        && let Err(error) = write_output::<io::Error>(&path("full"), write)
    {
        // EACCES where the file system allows no devices.
        assert!(matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::PermissionDenied));
        assert!(!fs::symlink_metadata(path("full")).unwrap().is_file());
    }
}

#[test]
fn folders_are_made_and_entered_while_another_removes_them_whenever_they_are_empty() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::within(folder.path());
    let (made, entered) = (folder.path().join("made"), folder.path().join("entered"));
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                drop(fs::remove_dir(&made));
                drop(fs::remove_dir(&entered));
            }
        });
        let results = (0..200).map(|_| {
            disk.create_dir_all(&made.join("run"))?;
            disk.rename(&made.join("run"), &entered.join("run"))?;
            disk.remove_dir_all(&entered.join("run"))
        });
        let result: io::Result<()> = results.collect();
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        result.unwrap();
    });
}
