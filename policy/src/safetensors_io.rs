//! Reading and writing safetensors files: memory mapped on the way in, straight from tensor memory on the way out.

use crate::{Error, Result};
use safetensors::{Dtype as Stored, SafeTensors, tensor::View};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// Reads every tensor of one file, in its stored kind, into memory of its own on the CPU.
///
/// # Errors
/// If the file cannot be opened, is truncated or corrupt, or stores a kind that has no counterpart here.
pub fn read_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let map = mapped(path)?;
    let stored = SafeTensors::deserialize(&map).map_err(|reason| corrupt(path, &reason))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in stored.tensors() {
        let kind = kind_of(view.dtype()).ok_or_else(|| Error::ElementType {
            path: path.into(),
            name: name.clone(),
            got: format!("{:?}", view.dtype()),
        })?;
        let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        tensors.insert(name, Tensor::from_data_size(view.data(), &shape, kind));
    }
    Ok(tensors)
}

fn mapped(path: &Path) -> Result<memmap2::Mmap> {
    let io = |source| Error::Io { path: path.into(), source };
    let file = std::fs::File::open(path).map_err(io)?;
    // SAFETY: the map is private to this process and is dropped once the tensors have been copied; that nobody truncates
    // the file in the meantime is asked of the user, as it is by every program that maps its weights.
    unsafe { memmap2::Mmap::map(&file) }.map_err(io)
}

fn corrupt(path: &Path, reason: &safetensors::SafeTensorError) -> Error {
    Error::Safetensors { path: path.into(), reason: reason.to_string() }
}

/// The names of all tensors of a model folder.
pub(crate) fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for path in model_files(folder)? {
        let map = mapped(&path)?;
        let stored = SafeTensors::deserialize(&map).map_err(|reason| corrupt(&path, &reason))?;
        names.extend(stored.names().into_iter().map(ToString::to_string));
    }
    Ok(names)
}

/// Writes tensors to one file, marked as PyTorch's as transformers expects, and flushes it to the disk.
///
/// # Errors
/// If the file cannot be written, for example because the disk is full.
pub fn write_tensors<'a>(path: &Path, tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>) -> Result<()> {
    let views: Vec<(&str, CpuView)> = tensors.into_iter().map(|(name, tensor)| (name, CpuView::new(tensor))).collect();
    let metadata = Some(HashMap::from([("format".to_owned(), "pt".to_owned())]));
    safetensors::serialize_to_file(views, metadata, path).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(source) => Error::Io { path: path.into(), source },
        other => Error::Safetensors { path: path.into(), reason: other.to_string() },
    })?;
    let finish = || {
        let file = std::fs::File::open(path)?;
        #[cfg(unix)]
        {
            // The library makes files that their owner alone may read; a model folder is for everybody who may see it.
            use std::os::unix::fs::PermissionsExt;
            file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
        }
        file.sync_all()
    };
    finish().map_err(|source| Error::Io { path: path.into(), source })
}

/// The safetensors files of a model folder: one, or the shards that an index names.
pub(crate) fn model_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let (single, index) = (folder.join("model.safetensors"), folder.join("model.safetensors.index.json"));
    if single.is_file() {
        return Ok(vec![single]);
    }
    if !index.is_file() {
        return Err(Error::NoModel { path: folder.into(), missing: "model.safetensors" });
    }
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let text = std::fs::read_to_string(&index).map_err(|source| Error::Io { path: index.clone(), source })?;
    let parsed: Index = serde_json::from_str(&text).map_err(|source| Error::Json { path: index, source })?;
    let mut files: Vec<PathBuf> = parsed.weight_map.into_values().map(|name| folder.join(name)).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

fn kind_of(stored: Stored) -> Option<Kind> {
    Some(match stored {
        Stored::F32 => Kind::Float,
        Stored::F64 => Kind::Double,
        Stored::BF16 => Kind::BFloat16,
        Stored::F16 => Kind::Half,
        Stored::I64 => Kind::Int64,
        Stored::I32 => Kind::Int,
        Stored::BOOL => Kind::Bool,
        _ => return None,
    })
}

/// A tensor in CPU memory as safetensors sees it: bytes, without a copy if it already lies there in order.
struct CpuView {
    tensor: Tensor,
    shape: Vec<usize>,
}

impl CpuView {
    fn new(tensor: &Tensor) -> Self {
        let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
        let shape = tensor.size().iter().map(|&n| n as usize).collect();
        Self { tensor, shape }
    }
}

impl View for CpuView {
    fn dtype(&self) -> Stored {
        match self.tensor.kind() {
            Kind::Float => Stored::F32,
            Kind::Double => Stored::F64,
            Kind::BFloat16 => Stored::BF16,
            Kind::Half => Stored::F16,
            Kind::Int64 => Stored::I64,
            Kind::Int => Stored::I32,
            Kind::Bool => Stored::BOOL,
            kind => unreachable!("nothing here makes tensors of kind {kind:?}"),
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        if self.data_len() == 0 {
            return Cow::Borrowed(&[]);
        }
        // SAFETY: the tensor is contiguous, on the CPU, and owned by this view for as long as the slice lives.
        Cow::Borrowed(unsafe { std::slice::from_raw_parts(self.tensor.data_ptr().cast(), self.data_len()) })
    }

    fn data_len(&self) -> usize {
        self.tensor.numel() * self.tensor.kind().elt_size_in_bytes()
    }
}
