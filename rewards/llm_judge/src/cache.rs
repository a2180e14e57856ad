//! Replies on disk, one file each, under the hash of what was asked.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::http::Reply;

/// A folder of replies. Files are whole under their names or not there, so several processes may share it, and one that is
/// killed takes nothing with it but what it was writing.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    n_written: AtomicU64,
}

/// What a file holds. The address stands in it too, so that a file that was renamed or half copied is not believed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    address: String,
    reply: Reply,
}

impl Cache {
    /// The cache in `folder`, which need not be there yet.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), n_written: AtomicU64::new(0) }
    }

    /// Makes the folder, and tries to write into it.
    pub fn prepare(&self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let trial = self.temporary();
        File::create(&trial).and_then(|_| fs::remove_file(&trial))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The reply at `address`; `None` if there is none, or none that can be read.
    pub fn get(&self, address: &str) -> Option<Reply> {
        let text = fs::read(self.path(address)).ok()?;
        let entry: Entry = serde_json::from_slice(&text).ok()?;
        (entry.address == address).then_some(entry.reply)
    }

    /// Keeps a reply.
    pub fn put(&self, address: &str, reply: &Reply) -> io::Result<()> {
        let entry = Entry { address: address.to_owned(), reply: reply.clone() };
        let (path, temporary) = (self.path(address), self.temporary());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let written = File::create(&temporary)
            .and_then(|mut file| serde_json::to_writer(&mut file, &entry).map_err(io::Error::from).and(file.flush()))
            .and_then(|()| fs::rename(&temporary, &path));
        if written.is_err() {
            // Nothing is lost with it; that the disk is full is said by the error before.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// A folder for each first two digits: no folder becomes too long to look through.
    fn path(&self, address: &str) -> PathBuf {
        self.folder.join(&address[..2]).join(format!("{address}.json"))
    }

    /// A name that no other writer has.
    fn temporary(&self) -> PathBuf {
        let n = self.n_written.fetch_add(1, Ordering::Relaxed);
        // Two clients of one process have the same id and the same counts; where each lies in memory tells them apart.
        self.folder.join(format!(".{}-{:p}-{n}.tmp", process::id(), std::ptr::from_ref(self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::End;

    fn reply(content: &str) -> Reply {
        Reply { content: content.to_owned(), refusal: None, end: End::Length, tokens: Some((1, 2)) }
    }

    #[test]
    fn what_is_kept_is_found_again_by_anyone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let (one, other) = (Cache::new(&path), Cache::new(&path));
        one.prepare().unwrap();
        assert_eq!(one.get("abcd"), None);
        one.put("abcd", &reply("x")).unwrap();
        assert_eq!(other.get("abcd"), Some(reply("x")));
        other.put("abcd", &reply("y")).unwrap();
        assert_eq!(one.get("abcd"), Some(reply("y")));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_torn_file_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        cache.put("abcd", &reply("x")).unwrap();
        let file = folder.path().join("ab/abcd.json");
        let whole = fs::read(&file).unwrap();
        for n in 0..whole.len() {
            fs::write(&file, &whole[..n]).unwrap();
            assert_eq!(cache.get("abcd"), None, "{n} bytes");
        }
        fs::write(folder.path().join("ab/abce.json"), &whole).unwrap();
        assert_eq!(cache.get("abce"), None, "under another name");
        cache.put("abcd", &reply("z")).unwrap();
        assert_eq!(cache.get("abcd"), Some(reply("z")));
    }
}
