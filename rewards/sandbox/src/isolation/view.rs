//! The files a sandboxed program sees: which folders of the machine, where, and nothing else.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Devices without which programs fail; none of them leads to the machine.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
/// Where the loader and the C library lie; links are rebuilt as links.
const SYSTEM: [&str; 4] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"];
/// Folders of the machine that the new root can be built on: any one that exists; it is covered, not changed, and only in
/// the sandbox's own namespace.
const BASES: [&str; 4] = ["/tmp", "/var/tmp", "/mnt", "/dev"];

/// One file or folder of the machine, seen read-only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Bind {
    /// Where it lies.
    pub source: CString,
    /// Where it is seen: relative to the new root.
    pub target: CString,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Whether it is a device, which must stay one.
    pub is_device: bool,
}

/// What the new root holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct View {
    /// The folder of the machine it is built on.
    pub base: CString,
    /// Folders to make, parents first; relative to the new root.
    pub folders: Vec<CString>,
    /// Symbolic links to make: content and place.
    pub links: Vec<(CString, CString)>,
    /// What is bound into them.
    pub binds: Vec<Bind>,
}

impl View {
    /// The system's libraries, the devices and `paths`, each at its own place.
    ///
    /// # Errors
    ///
    /// A path that cannot be read, or no folder to build on.
    pub fn new(paths: &[PathBuf]) -> io::Result<Self> {
        let base = BASES.iter().find(|base| Path::new(base).is_dir());
        let base = base.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "none of /tmp, /var/tmp, /mnt, /dev"))?;
        let mut view =
            Self { base: c_string(Path::new(base))?, folders: Vec::new(), links: Vec::new(), binds: Vec::new() };
        let mut folders = vec![PathBuf::from("dev"), PathBuf::from("scratch")];
        let mut wanted: Vec<PathBuf> = Vec::new();
        for path in SYSTEM.map(PathBuf::from) {
            match path.read_link() {
                Ok(target) => view.links.push((c_string(&target)?, c_string(inside(&path))?)),
                Err(_) if path.is_dir() => wanted.push(path),
                Err(_) => {}
            }
        }
        // The loader's list of libraries, where there is one.
        wanted.extend(Some(PathBuf::from("/etc/ld.so.cache")).filter(|path| path.exists()));
        wanted.extend(paths.iter().cloned());
        wanted.extend(DEVICES.map(PathBuf::from).into_iter().filter(|path| path.exists()));
        // A folder before what lies in it, so that the second is seen to be there already.
        wanted.sort();
        let mut bound: Vec<PathBuf> = Vec::new();
        for path in wanted {
            let linked = view.links.iter().any(|(_, place)| path.starts_with(Path::new("/").join(as_path(place))));
            if linked || bound.iter().any(|earlier| path.starts_with(earlier)) {
                continue;
            }
            let source = path.canonicalize()?;
            let (is_folder, is_device) = (source.is_dir(), DEVICES.iter().any(|device| path == Path::new(device)));
            folders.extend(inside(&path).ancestors().skip(1).map(Path::to_path_buf));
            if is_folder {
                folders.push(inside(&path).to_path_buf());
            }
            view.binds.push(Bind {
                source: c_string(&source)?,
                target: c_string(inside(&path))?,
                is_folder,
                is_device,
            });
            bound.push(path);
        }
        // A link's parent (`usr` for `usr/lib64`) must be there as well.
        folders.extend(view.links.iter().filter_map(|(_, place)| as_path(place).parent()).map(Path::to_path_buf));
        folders.retain(|folder| !folder.as_os_str().is_empty());
        folders.sort();
        folders.dedup();
        view.folders = folders.iter().map(|folder| c_string(folder)).collect::<io::Result<_>>()?;
        Ok(view)
    }
}

/// `path` relative to the root.
fn inside(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

fn as_path(text: &CString) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(text.as_bytes()))
}

fn c_string(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_holds_what_was_asked_for_once_and_parents_first() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(folder.path().join("f"), "x").unwrap();
        let paths = [deep.clone(), folder.path().join("a"), folder.path().join("f"), folder.path().join("a")];
        let view = View::new(&paths).unwrap();
        let targets: Vec<&Path> = view.binds.iter().map(|bind| as_path(&bind.target)).collect();
        assert_eq!(targets.iter().filter(|target| target.starts_with(inside(folder.path()))).count(), 2, "{targets:?}");
        assert!(targets.contains(&Path::new("dev/null")));
        for (folder_idx, folder) in view.folders.iter().map(as_path).enumerate() {
            if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                assert!(view.folders[..folder_idx].iter().any(|earlier| as_path(earlier) == parent), "{folder:?}");
            }
        }
        for place in ["etc", "proc", "sys", "home", "etc/passwd"] {
            assert!(!targets.contains(&Path::new(place)), "{place}");
        }
    }

    #[test]
    fn a_path_that_is_not_there_is_an_error() {
        assert!(View::new(&[PathBuf::from("/no/such/folder")]).is_err());
    }
}
