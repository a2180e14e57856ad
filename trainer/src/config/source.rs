//! What a stage starts from and what it reads: the base, a file or folder, or what an earlier stage has made.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::checks::{Input, Section};
use super::messages::did_you_mean;
use super::stage::Makes;

/// Names that no stage may have, because `init` means something else by them.
pub(super) const RESERVED: [&str; 2] = ["base", "previous"];

/// `stage.init`: the weights that a stage starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Init {
    /// `base`: the folder of `[model]`.
    Base,
    /// The name of an earlier stage that makes a policy. `previous`, which is the default, means the nearest of them, or the
    /// base where there is none.
    Stage(String),
    /// A Hugging Face folder, absolute. Written relative to the run file's folder.
    Folder(PathBuf),
}

impl Init {
    /// The folder, where it is known: once the stage is about to run.
    ///
    /// # Panics
    /// If it is still a name.
    pub fn folder(&self) -> &Path {
        match self {
            Self::Folder(folder) => folder,
            Self::Base | Self::Stage(_) => panic!("a stage is located before it runs"),
        }
    }
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str(RESERVED[0]),
            Self::Stage(name) => f.write_str(name),
            Self::Folder(path) => path.display().fmt(f),
        }
    }
}

impl Serialize for Init {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Data or a model: a path, or the name of the earlier stage that makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Artifact {
    /// What a stage of this run makes.
    Stage(String),
    /// A file or folder, absolute. Written relative to the run file's folder.
    Path(PathBuf),
}

impl Artifact {
    /// The path, where it is known: once the stage is about to run.
    ///
    /// # Panics
    /// If it is still a name.
    pub fn path(&self) -> &Path {
        match self {
            Self::Path(path) => path,
            Self::Stage(_) => panic!("a stage is located before it runs"),
        }
    }

    /// The path, if it is there before the run begins.
    pub fn path_now(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Stage(_) => None,
        }
    }
}

impl From<PathBuf> for Artifact {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl fmt::Display for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage(name) => write!(f, "what stage {name} makes"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

impl Serialize for Artifact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Stage(name) => serializer.serialize_str(name),
            Self::Path(path) => path.serialize(serializer),
        }
    }
}

/// As written; whether it is a name is decided when all stages are known.
impl<'de> Deserialize<'de> for Artifact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PathBuf::deserialize(deserializer).map(Self::Path)
    }
}

/// One thing that a stage reads and that another stage may make.
#[derive(Debug)]
pub enum InputMut<'a> {
    /// Weights of a policy.
    Init(&'a mut Init),
    /// Data or a model.
    Artifact(&'a mut Artifact),
}

impl InputMut<'_> {
    /// The stage that makes it, if one does.
    pub fn stage(&self) -> Option<&str> {
        match self {
            Self::Init(Init::Stage(name)) | Self::Artifact(Artifact::Stage(name)) => Some(name),
            Self::Init(Init::Base | Init::Folder(_)) | Self::Artifact(Artifact::Path(_)) => None,
        }
    }
}

impl Section<'_, '_> {
    /// What `stage.init` means at `key`; a fault is noted. `written`: none if the key is not there.
    pub(crate) fn init(&mut self, key: &str, written: Option<&str>) -> Init {
        match written {
            None | Some("previous") => self.nearest_policy().map_or(Init::Base, |name| Init::Stage(name.to_owned())),
            Some("base") => Init::Base,
            Some(written) => match self.artifact(key, &Artifact::Path(written.into()), Makes::Policy) {
                Artifact::Stage(name) => Init::Stage(name),
                Artifact::Path(path) => Init::Folder(path),
            },
        }
    }

    /// What `written` at `key` means: a stage that makes `wanted`, or else a path that has to be there; a fault is noted.
    pub(crate) fn artifact(&mut self, key: &str, written: &Artifact, wanted: Makes) -> Artifact {
        let Artifact::Path(written) = written else { return written.clone() };
        let word = written.to_str().unwrap_or_default();
        let Some(found) = self.stages().iter().position(|stage| stage.name == word) else {
            return Artifact::Path(self.path_or_stage(key, written, wanted));
        };
        let here = self.stage_idx();
        let (name, makes) = (self.stages()[found].name.clone(), self.stages()[found].kind.makes());
        if found >= here {
            self.refuse_later(key, found, here);
        } else if makes != wanted {
            let label = format!("expected a stage that makes {}", wanted.noun());
            self.fail(key, format!("stage `{name}` makes {}", makes.noun()), label, "");
        }
        Artifact::Stage(name)
    }

    /// Refuses what is made by this stage or by a later one.
    fn refuse_later(&mut self, key: &str, found: usize, here: usize) {
        let (name, own) = (self.stages()[found].name.clone(), self.stages()[here].name.clone());
        let (title, help) = if found == here {
            (format!("stage `{name}` needs itself"), "name an earlier stage, or a path".to_owned())
        } else if self.stages()[found].mentions.contains(&own) {
            let title = format!("stages `{own}` and `{name}` wait for each other");
            (title, "one of them has to begin with a path, with \"base\", or with an earlier stage".to_owned())
        } else {
            let help = format!("stages run in the order of the file: move `{name}` before `{own}`");
            (format!("stage `{name}` comes later than `{own}`"), help)
        };
        self.fail(key, title, "expected an earlier stage", &help);
    }

    /// The absolute path; where nothing is there, the word may have been meant as a name.
    fn path_or_stage(&mut self, key: &str, written: &Path, wanted: Makes) -> PathBuf {
        let kind = if wanted == Makes::Data { Input::File } else { Input::Folder };
        let word = written.to_str().unwrap_or_default();
        let is_word = !word.is_empty() && !word.contains(['/', '.']);
        let names: Vec<&str> = self.stages().iter().map(|stage| stage.name.as_str()).collect();
        let like = did_you_mean(word, &names);
        if is_word && !self.beside_run_file(key, written).exists() && self.inputs_must_exist() {
            let before = self.stages()[..self.stage_idx()].iter();
            let makers: Vec<&str> = before.filter(|s| s.kind.makes() == wanted).map(|s| s.name.as_str()).collect();
            let known = if makers.is_empty() {
                format!("expected a path; no earlier stage makes {}", wanted.noun())
            } else {
                format!("expected a path or one of the earlier stages {}", makers.join(", "))
            };
            self.fail(key, format!("there is no stage `{word}` and no such {}", kind.noun()), known, &like);
            return self.beside_run_file(key, written);
        }
        self.input(key, written, kind)
    }

    /// The nearest earlier stage that makes a policy.
    fn nearest_policy(&self) -> Option<&str> {
        let before = &self.stages()[..self.stage_idx()];
        before.iter().rfind(|stage| stage.kind.makes() == Makes::Policy).map(|stage| stage.name.as_str())
    }
}
