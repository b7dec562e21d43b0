//! The file system of a folder: local, or shared with other hosts.

use std::fs;
use std::path::{Path, PathBuf};

/// The file system of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// Its type as the system names it, such as `ext4` or `nfs4`.
    pub kind: String,
    /// Where it is mounted.
    pub mounted_at: PathBuf,
}

/// Prefixes of the types that several hosts may have mounted.
const SHARED: [&str; 17] = [
    "nfs",
    "cifs",
    "smb",
    "lustre",
    "gpfs",
    "beegfs",
    "ceph",
    "glusterfs",
    "fuse.glusterfs",
    "fuse.sshfs",
    "fuse.ceph",
    "pvfs",
    "orangefs",
    "afs",
    "ocfs2",
    "gfs2",
    "9p",
];

impl FileSystem {
    /// That of `path`, or of the nearest folder above it that is there; `None` if the system
    /// does not report it.
    pub fn of(path: &Path) -> Option<Self> {
        let path = std::path::absolute(path).ok()?;
        let there = path.ancestors().find_map(|above| fs::canonicalize(above).ok())?;
        Self::in_table(&there, &fs::read_to_string("/proc/self/mountinfo").ok()?)
    }

    /// The last of the deepest mounts above `path`.
    fn in_table(path: &Path, mountinfo: &str) -> Option<Self> {
        let mount = |line: &str| {
            let (before, after) = line.split_once(" - ")?;
            // The table escapes spaces and the like as octal numbers.
            let point = before.split(' ').nth(4)?.replace("\\040", " ").replace("\\011", "\t");
            Some(Self { kind: after.split(' ').next()?.to_owned(), mounted_at: point.into() })
        };
        let above = mountinfo.lines().filter_map(mount).filter(|mount| path.starts_with(&mount.mounted_at));
        above.max_by_key(|mount| mount.mounted_at.components().count())
    }

    /// Whether other hosts may have it mounted, so that locks may hold on this one only.
    pub fn is_shared(&self) -> bool {
        SHARED.iter().any(|name| self.kind.starts_with(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_counts() {
        let table = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                     30 22 0:40 / /home rw,relatime shared:1 - nfs4 server:/home rw\n\
                     31 30 0:41 / /home/my\\040disk rw - xfs /dev/sdb rw\n";
        let kind = |path: &str| FileSystem::in_table(Path::new(path), table).unwrap().kind;
        assert_eq!(kind("/tmp/x"), "ext4");
        assert_eq!(kind("/home/me/results"), "nfs4");
        assert_eq!(kind("/home/my disk/results"), "xfs");
        assert_eq!(kind("/homestead"), "ext4");
        let is_shared = |path: &str| FileSystem::in_table(Path::new(path), table).unwrap().is_shared();
        assert!(is_shared("/home/me") && !is_shared("/tmp") && !is_shared("/home/my disk"));
    }

    #[test]
    fn a_folder_that_is_not_there_yet_lies_where_it_would_be_made() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(FileSystem::of(&folder.path().join("a/b")), FileSystem::of(folder.path()));
    }
}
