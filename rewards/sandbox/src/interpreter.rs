//! Finds a Python interpreter and what it needs of the machine's files.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Asks an interpreter for itself: the name it runs by, its file, its version, and all it needs to see, which is every
/// folder it imports from and the names by which it is found: in a virtual environment these are links to other names.
const QUESTION: &str = "\
import sys, sysconfig, os, json
paths = [sysconfig.get_path(name) for name in ('stdlib', 'platstdlib', 'purelib', 'platlib')]
paths += sys.path + [sysconfig.get_config_var('LIBDIR')]
if sys.prefix != sys.base_prefix: paths.append(sys.prefix)
paths = [path for path in paths if path and os.path.isdir(path) and path != '/']
name, real = sys.executable, os.path.realpath(sys.executable)
while name != real and os.path.islink(name):
    paths.append(name)
    name = os.path.normpath(os.path.join(os.path.dirname(name), os.readlink(name)))
paths.append(real)
print(json.dumps([sys.executable, real, sys.version.split()[0], sorted(set(paths))]))
";

/// A Python interpreter of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// The file that is run.
    pub executable: PathBuf,
    /// The name it is run by: in a virtual environment the link inside of it, from which it finds its packages.
    pub name: PathBuf,
    /// Its version, such as "3.11.7".
    pub version: String,
    /// Files and folders it needs to see.
    pub paths: Vec<PathBuf>,
}

/// No interpreter could be used.
#[derive(Debug, thiserror::Error)]
#[error("python `{path}` cannot be used: {reason}")]
pub struct InterpreterError {
    /// What was tried.
    pub path: PathBuf,
    /// What happened.
    pub reason: String,
}

impl Interpreter {
    /// The interpreter at `path`, or the `python3` that the shell would find.
    ///
    /// It is run once, outside of any sandbox, to say where its files lie: it is the user's own program, and no model text
    /// is involved.
    ///
    /// # Errors
    ///
    /// [`InterpreterError`] if there is none, or none of version 3.8 or newer.
    pub fn find(path: Option<&Path>) -> Result<Self, InterpreterError> {
        let path = path.unwrap_or(Path::new("python3"));
        let failed = |reason: String| InterpreterError { path: path.to_path_buf(), reason };
        let answer = Command::new(path)
            .args(["-E", "-s", "-B", "-c", QUESTION])
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| failed(with_remedy(&error)))?;
        if !answer.status.success() {
            let said = String::from_utf8_lossy(&answer.stderr);
            return Err(failed(said.lines().last().unwrap_or("it failed without a word").to_owned()));
        }
        let (name, executable, version, paths): (PathBuf, PathBuf, String, Vec<PathBuf>) =
            serde_json::from_slice(&answer.stdout).map_err(|error| failed(format!("it answers no JSON: {error}")))?;
        let number = |at: usize| version.split('.').nth(at).and_then(|part| part.parse::<u32>().ok()).unwrap_or(0);
        if (number(0), number(1)) < (3, 8) {
            return Err(failed(format!("it is version {version}, and 3.8 or newer is needed")));
        }
        Ok(Self { executable, name, version, paths })
    }
}

fn with_remedy(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound {
        "it is not there: install Python 3.8 or newer, or set `interpreter` to one".to_owned()
    } else {
        error.to_string()
    }
}
