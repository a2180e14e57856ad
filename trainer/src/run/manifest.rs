//! `manifest.json`: size and SHA-256 of every file of a folder, so that a damaged folder is recognised.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::atomic::{self, FileError};

/// The manifest's file name.
pub const MANIFEST: &str = "manifest.json";

/// The content of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The layout of this file; 1.
    pub version: u32,
    /// File name, relative to the folder -> what it has to contain.
    pub files: BTreeMap<String, FileRecord>,
}

/// What one file has to contain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}

/// How closely [`check`] looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Presence and length of each file: finds what is cut short or missing, at no cost.
    Sizes,
    /// The content too, by SHA-256: reads everything.
    Content,
}

/// Describes the files that lie directly in `folder` and writes the manifest beside them.
///
/// # Errors
/// The file that could not be read or written.
pub fn write(folder: &Path) -> Result<(), FileError> {
    let mut files = BTreeMap::new();
    for path in atomic::entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name != MANIFEST && path.is_file() {
            files.insert(name, record(&path)?);
        }
    }
    let text = serde_json::to_string_pretty(&Manifest { version: 1, files }).expect("strings and numbers serialise");
    atomic::write_file(&folder.join(MANIFEST), (text + "\n").as_bytes())
}

/// Why `folder` is not what its manifest says; `Ok` if it is. Files the manifest does not name are ignored.
///
/// # Errors
/// The reason, as a phrase that goes after the folder's name and a colon.
pub fn check(folder: &Path, depth: Depth) -> Result<Manifest, String> {
    let text = fs::read_to_string(folder.join(MANIFEST)).map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("{MANIFEST} is missing, so it was never finished or is being removed"),
        _ => format!("{MANIFEST} cannot be read: {error}"),
    })?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|error| format!("{MANIFEST} is damaged: {error}"))?;
    if manifest.version != 1 {
        return Err(format!("{MANIFEST} has version {}, this program reads version 1", manifest.version));
    }
    for (name, expected) in &manifest.files {
        let path = folder.join(name);
        let bytes = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(format!("{name} is missing")),
            Err(error) => return Err(format!("{name} cannot be read: {error}")),
        };
        if bytes != expected.bytes {
            return Err(format!("{name} has {bytes} bytes, its manifest says {}", expected.bytes));
        }
        if depth == Depth::Content {
            let got = record(&path).map_err(|error| error.to_string())?;
            if got.sha256 != expected.sha256 {
                return Err(format!("{name} is damaged: its SHA-256 is not the one in its manifest"));
            }
        }
    }
    Ok(manifest)
}

/// Names the model in `folder` by its content: SHA-256 over weights, configuration, tokenizer and templates, wherever the folder
/// lies and whatever else is in it. A manifest is believed; without one the files are read.
///
/// # Errors
/// The file that could not be read.
pub fn model_digest(folder: &Path) -> Result<String, FileError> {
    let known = check(folder, Depth::Sizes).map_or_else(|_| BTreeMap::new(), |manifest| manifest.files);
    let mut text = String::new();
    for path in atomic::entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_of_model = [".safetensors", ".json", ".jinja"].iter().any(|end| name.ends_with(end))
            && ![MANIFEST, "optimizer.safetensors", "trainer_state.json"].contains(&name.as_str());
        if is_of_model && path.is_file() {
            let sha256 = match known.get(&name) {
                Some(record) => record.sha256.clone(),
                None => record(&path)?.sha256,
            };
            text += &format!("{name} {sha256}\n");
        }
    }
    Ok(sha256_hex(&text))
}

fn record(path: &Path) -> Result<FileRecord, FileError> {
    let (bytes, digest) = digest_file(path).map_err(FileError::at(path, "read the file"))?;
    Ok(FileRecord { bytes, sha256: hex(&digest) })
}

fn digest_file(path: &Path) -> std::io::Result<(u64, Vec<u8>)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((bytes, hasher.finalize().to_vec())),
            n => {
                hasher.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
}

/// SHA-256 of `text` in lower-case hexadecimal, 64 characters.
pub fn sha256_hex(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_the_standards_example() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn every_kind_of_damage_is_named() {
        let check_damage = |damage: &dyn Fn(&Path), depth: Depth, expected: &str| {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("model.safetensors"), [7; 3000]).unwrap();
            fs::write(folder.path().join("config.json"), "{}").unwrap();
            write(folder.path()).unwrap();
            assert_eq!(check(folder.path(), Depth::Content).unwrap().files.len(), 2);
            damage(folder.path());
            let reason = check(folder.path(), depth).unwrap_err();
            assert!(reason.contains(expected), "{reason}");
        };
        let flip = |folder: &Path| {
            let mut bytes = [7; 3000];
            bytes[1234] ^= 1;
            fs::write(folder.join("model.safetensors"), bytes).unwrap();
        };
        check_damage(&flip, Depth::Content, "model.safetensors is damaged");
        let cut = |folder: &Path| fs::write(folder.join("model.safetensors"), [7; 2999]).unwrap();
        check_damage(&cut, Depth::Sizes, "2999 bytes, its manifest says 3000");
        check_damage(
            &|folder| fs::remove_file(folder.join("config.json")).unwrap(),
            Depth::Sizes,
            "config.json is miss",
        );
        check_damage(&|folder| fs::remove_file(folder.join(MANIFEST)).unwrap(), Depth::Sizes, "manifest.json is miss");
        check_damage(&|folder| fs::write(folder.join(MANIFEST), "{\"ver").unwrap(), Depth::Sizes, "json is damaged");
    }

    #[test]
    fn a_model_is_named_by_its_content_with_a_manifest_and_without() {
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [one, other] = [folders[0].path(), folders[1].path()];
        for folder in [one, other] {
            fs::write(folder.join("model.safetensors"), [7; 3000]).unwrap();
            fs::write(folder.join("tokenizer.json"), "{}").unwrap();
        }
        fs::write(one.join("trainer_state.json"), "{\"wall_seconds\": 3}").unwrap();
        fs::write(one.join("optimizer.safetensors"), [1; 10]).unwrap();
        fs::write(other.join("README.md"), "a model").unwrap();
        write(one).unwrap();
        assert_eq!(model_digest(one).unwrap(), model_digest(other).unwrap());
        for (name, bytes) in [("tokenizer.json", &b"[]"[..]), ("chat_template.jinja", b"x")] {
            let before = model_digest(other).unwrap();
            fs::write(other.join(name), bytes).unwrap();
            assert_ne!(model_digest(other).unwrap(), before, "{name}");
        }
    }

    #[test]
    fn a_file_beside_the_described_ones_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "1").unwrap();
        write(folder.path()).unwrap();
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        check(folder.path(), Depth::Content).unwrap();
    }
}
