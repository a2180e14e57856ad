//! Files and folders that are either complete under their name or not there at all.
//!
//! Everything is written beside its place under a name ending in `.tmp`, forced to the disk, and renamed; a crash at
//! any moment leaves the old content or the new one. One process writes to a run folder at a time (the folder's lock),
//! so the temporary name needs no random part, and whatever still ends in `.tmp` at a start is rubbish.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// An operation on a file that failed: which one, on what, and what the system said.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot {action}: {}", path.display(), explain(source))]
pub struct FileError {
    /// The file or folder the operation was about.
    pub path: PathBuf,
    /// A verb phrase: "write", "rename to ...".
    pub action: &'static str,
    /// The system's error.
    pub source: io::Error,
}

impl FileError {
    /// The closure for `map_err`: `File::open(path).map_err(FileError::at(path, "open"))`.
    pub fn at(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> FileError {
        let path = path.to_path_buf();
        move |source| FileError { path, action, source }
    }

    /// Whether the disk, or the user's share of it, is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(self.source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
    }
}

/// The system's error, with the remedy where the cause is a common one.
fn explain(source: &io::Error) -> String {
    match source.kind() {
        ErrorKind::StorageFull => format!("the disk is full; free some space and continue with --resume ({source})"),
        ErrorKind::QuotaExceeded => {
            format!("the disk quota is used up; free some space and continue with --resume ({source})")
        }
        ErrorKind::PermissionDenied => format!("permission denied; choose a folder you may write to ({source})"),
        ErrorKind::ReadOnlyFilesystem => format!("the file system is read-only; choose another folder ({source})"),
        _ => source.to_string(),
    }
}

/// `path` with `.tmp` appended to its last component.
pub fn temporary_name(path: &Path) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

/// Whether `path` has the name of an unfinished file or folder.
pub fn is_temporary(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tmp")
}

/// Writes `bytes` as the file `path`: at once, or not at all.
///
/// # Errors
/// The first operation that failed; the old content of `path`, if any, is then untouched.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_file_with(path, |file| file.write_all(bytes))
}

/// Makes sure, before long work, that `path` can be written afterwards; what is there stays.
///
/// # Errors
/// The path and the system's error.
pub fn check_writable(path: &Path) -> Result<(), FileError> {
    if path.is_dir() {
        return Err(FileError::at(path, "write the file")(io::Error::from(ErrorKind::IsADirectory)));
    }
    let temporary = temporary_name(path);
    File::create(&temporary).map_err(FileError::at(path, "write the file"))?;
    fs::remove_file(&temporary).map_err(FileError::at(path, "write the file"))
}

/// As [`write_file`], for content that is produced piece by piece.
///
/// # Errors
/// The first operation that failed; the old content of `path`, if any, is then untouched.
pub fn write_file_with(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), FileError> {
    let temporary = temporary_name(path);
    let written = (|| {
        let mut writer = BufWriter::new(File::create(&temporary)?);
        content(&mut writer)?;
        writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if let Err(source) = written {
        // Best effort: the error to report is the first one.
        let _ = fs::remove_file(&temporary);
        return Err(FileError { path: path.to_path_buf(), action: "write the file", source });
    }
    sync_parent(path)
}

/// Creates `path` and its parents.
///
/// # Errors
/// The path and the system's error.
pub fn create_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(FileError::at(path, "create the folder"))
}

/// Forces a folder's list of names to the disk: after a rename, without which the rename may be lost with the power.
///
/// # Errors
/// The path and the system's error.
pub fn sync_folder(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(FileError::at(path, "sync the folder"))
}

fn sync_parent(path: &Path) -> Result<(), FileError> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    }
}

/// Removes every `*.tmp` directly inside `folder` (which need not exist) and returns what it removed.
///
/// # Errors
/// The path and the system's error.
pub fn remove_temporaries(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut removed = Vec::new();
    for path in entries(folder)? {
        if is_temporary(&path) {
            remove(&path)?;
            removed.push(path);
        }
    }
    Ok(removed)
}

/// The paths inside `folder`, sorted; none if the folder does not exist.
///
/// # Errors
/// The path and the system's error.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(FileError::at(folder, "list the folder")(error)),
    };
    let mut paths = listing
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(FileError::at(folder, "list the folder"))?;
    paths.sort();
    Ok(paths)
}

/// Removes a file, a link or a whole folder; no error if nothing is there.
///
/// # Errors
/// The path and the system's error.
pub fn remove(path: &Path) -> Result<(), FileError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(FileError::at(path, "remove")(error)),
        _ => Ok(()),
    }
}

/// A folder in the making. Write files into [`StagedFolder::path`], then [`StagedFolder::commit`]; dropped without
/// that, it is removed again.
#[derive(Debug)]
pub struct StagedFolder {
    temporary: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl StagedFolder {
    /// An empty folder beside `target`, whose parents are created.
    ///
    /// # Errors
    /// The path and the system's error.
    pub fn create(target: &Path) -> Result<StagedFolder, FileError> {
        let temporary = temporary_name(target);
        remove(&temporary)?;
        create_folder(&temporary)?;
        Ok(StagedFolder { temporary, target: target.to_path_buf(), committed: false })
    }

    /// Where to write the files.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Forces every file to the disk and gives the folder its name, replacing a folder that has it.
    ///
    /// # Errors
    /// The first operation that failed; a folder that was there before is then still there.
    pub fn commit(mut self) -> Result<(), FileError> {
        sync_tree(&self.temporary)?;
        // A rename cannot replace a folder that has content, so the old one steps aside first. Its name ends in `.tmp`,
        // that is: a crash between the two renames loses both, and the checkpoint before this one is used.
        let aside = temporary_name(&temporary_name(&self.target));
        remove(&aside)?;
        let replaced = self.target.exists();
        if replaced {
            fs::rename(&self.target, &aside).map_err(FileError::at(&self.target, "move the old folder aside"))?;
        }
        if let Err(source) = fs::rename(&self.temporary, &self.target) {
            if replaced {
                let _ = fs::rename(&aside, &self.target);
            }
            return Err(FileError { path: self.target.clone(), action: "rename the finished folder", source });
        }
        self.committed = true;
        sync_parent(&self.target)?;
        remove(&aside)
    }
}

impl Drop for StagedFolder {
    fn drop(&mut self) {
        if !self.committed {
            // Best effort: it ends in `.tmp` and is removed at the next start anyway.
            let _ = remove(&self.temporary);
        }
    }
}

/// Forces every file below `folder`, and the folder itself, to the disk.
fn sync_tree(folder: &Path) -> Result<(), FileError> {
    for path in entries(folder)? {
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            File::open(&path).and_then(|file| file.sync_all()).map_err(FileError::at(&path, "sync the file"))?;
        }
    }
    sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_replaces_the_old_one_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_file(&path, b"old").unwrap();
        write_file(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(entries(folder.path()).unwrap(), [path]);
    }

    #[test]
    fn a_full_disk_is_said_plainly_and_keeps_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_file(&path, b"old").unwrap();
        // Every write to /dev/full fails as on a full disk.
        symlink("/dev/full", temporary_name(&path)).unwrap();
        let error = write_file(&path, b"new").unwrap_err();
        assert!(error.is_disk_full());
        let message = error.to_string();
        assert!(message.contains("a.json") && message.contains("the disk is full"), "{message}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(entries(folder.path()).unwrap(), [path]);
    }

    #[test]
    fn a_folder_appears_only_when_it_is_committed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("final");
        let staged = StagedFolder::create(&target).unwrap();
        fs::write(staged.path().join("x"), "1").unwrap();
        assert!(!target.exists());
        drop(staged);
        assert!(entries(folder.path()).unwrap().is_empty());

        for content in ["1", "2"] {
            let staged = StagedFolder::create(&target).unwrap();
            fs::write(staged.path().join("x"), content).unwrap();
            staged.commit().unwrap();
            assert_eq!(fs::read_to_string(target.join("x")).unwrap(), content);
            assert_eq!(entries(folder.path()).unwrap(), std::slice::from_ref(&target));
        }
    }

    #[test]
    fn leftovers_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("step_000002.tmp/sub")).unwrap();
        fs::write(folder.path().join("a.json.tmp"), "half").unwrap();
        fs::write(folder.path().join("tmp"), "mine").unwrap();
        assert_eq!(remove_temporaries(folder.path()).unwrap().len(), 2);
        assert_eq!(entries(folder.path()).unwrap(), [folder.path().join("tmp")]);
        assert!(remove_temporaries(&folder.path().join("missing")).unwrap().is_empty());
    }
}
