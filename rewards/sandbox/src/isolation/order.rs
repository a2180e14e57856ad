//! One run, as it is written down for the helper that starts it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{FromRawFd as _, OwnedFd};

use serde::{Deserialize, Serialize};

use super::identity::Identity;
use super::view::View;
use crate::Limits;

/// What stays the same from run to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Walls {
    pub view: View,
    pub identity: Identity,
    /// Version of Landlock; 0 for none.
    pub landlock: u32,
}

/// A run, without its files' content and its descriptors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub walls: Walls,
    pub limits: Limits,
    pub executable: String,
    pub argv: Vec<String>,
    pub env: Vec<String>,
    /// Name and number of bytes of each file.
    pub files: Vec<(String, usize)>,
    pub has_channel: bool,
}

impl Order {
    /// The order with the files' content, in memory that a descriptor stands for.
    pub fn write(&self, contents: &[&[u8]]) -> io::Result<OwnedFd> {
        // SAFETY: a C string and a flag; the result is checked.
        let fd = unsafe { libc::memfd_create(c"sandbox order".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that the kernel has just made and that nobody else knows.
        let mut file = unsafe { File::from_raw_fd(fd) };
        let text = serde_json::to_vec(self)?;
        file.write_all(&(text.len() as u64).to_ne_bytes())?;
        file.write_all(&text)?;
        for content in contents {
            file.write_all(content)?;
        }
        Ok(file.into())
    }

    /// Reads what [`write`](Order::write) has written: the order and its files' contents.
    pub fn read(fd: OwnedFd) -> io::Result<(Self, Vec<Vec<u8>>)> {
        let mut file = File::from(fd);
        file.rewind()?;
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let mut text = vec![0; usize::try_from(u64::from_ne_bytes(length)).map_err(io::Error::other)?];
        file.read_exact(&mut text)?;
        let order: Self = serde_json::from_slice(&text)?;
        let mut contents = Vec::with_capacity(order.files.len());
        for (_, length) in &order.files {
            let mut content = vec![0; *length];
            file.read_exact(&mut content)?;
            contents.push(content);
        }
        Ok((order, contents))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_survive_the_way() {
        let walls = Walls { view: View::new(&[]).unwrap(), identity: Identity::Own { uid: 5, gid: 6 }, landlock: 3 };
        let order = Order {
            walls,
            limits: Limits { wall_seconds: 0.25, ..Limits::default() },
            executable: "/bin/x".to_owned(),
            argv: vec!["x".to_owned(), "ä\n".to_owned()],
            env: Vec::new(),
            files: vec![("a".to_owned(), 3), ("b".to_owned(), 0)],
            has_channel: true,
        };
        let (read, contents) = Order::read(order.write(&[b"\0\xff\n", b""]).unwrap()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{order:?}"));
        assert_eq!(contents, [b"\0\xff\n".to_vec(), Vec::new()]);
    }
}
