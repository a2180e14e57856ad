//! The optimiser's state as a safetensors file: `exp_avg.NAME` and `exp_avg_sq.NAME` of every parameter, and `step`.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView, View};
use tch::{Device, Kind, Tensor};

use super::adamw::AdamW;

/// Number of updates taken, int64, one element without axes.
const STEP: &str = "step";

/// A state that could not be written or does not belong to the optimiser. After a failed load nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not safetensors, or cut short.
    #[error("{path}: not a whole safetensors file: {source}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        source: SafeTensorError,
    },
    /// A tensor that the optimiser needs is not there.
    #[error("{path}: tensor `{name}` is missing; the state belongs to another model")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor that the optimiser has no place for is there.
    #[error("{path}: tensor `{name}` belongs to no parameter; the state belongs to another model")]
    Spare {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor has another shape or number format than the parameter.
    #[error("{path}: tensor `{name}` is {got_dtype} {got:?}, the optimiser needs {expected_dtype} {expected:?}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape.
        got: Vec<usize>,
        /// Its number format.
        got_dtype: Dtype,
        /// The shape it should have.
        expected: Vec<usize>,
        /// The number format it should have.
        expected_dtype: Dtype,
    },
    /// The number of steps is negative.
    #[error("{path}: `{STEP}` is {got}, a count of updates cannot be negative")]
    Step {
        /// The file.
        path: PathBuf,
        /// What is there.
        got: i64,
    },
}

impl AdamW {
    /// Writes the moments and the step count to `path`, without making it durable or atomic: that is the checkpoint's
    /// job.
    ///
    /// Saved, loaded and continued, a run goes on in the same bits.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), StateError> {
        let step = Tensor::from(self.n_steps() as i64);
        let moments = self.moments().map(|(name, tensor)| (name, HostTensor::new(tensor)));
        let tensors: Vec<_> = moments.chain([(STEP.to_owned(), HostTensor::new(&step))]).collect();
        safetensors::serialize_to_file(tensors, None, path).map_err(|source| StateError::from_library(path, source))
    }

    /// Replaces moments and step count by those of `path`.
    ///
    /// # Errors
    /// If the file cannot be read, or its tensors are not exactly those of this optimiser's parameters. Nothing has
    /// changed then.
    pub fn load(&mut self, path: &Path) -> Result<(), StateError> {
        let bytes = std::fs::read(path).map_err(|source| StateError::Io { path: path.to_owned(), source })?;
        let file = SafeTensors::deserialize(&bytes).map_err(|source| StateError::from_library(path, source))?;
        let step = self.validate(&file, path)?;
        tch::no_grad(|| {
            for (name, mut tensor) in self.moments().map(|(name, tensor)| (name, tensor.shallow_clone())) {
                let view = file.tensor(&name).expect("validated above");
                tensor.copy_(&Tensor::from_data_size(view.data(), &tensor.size(), tensor.kind()));
            }
        });
        self.set_n_steps(step);
        Ok(())
    }

    /// Checks names, shapes and number formats; returns the step count.
    fn validate(&self, file: &SafeTensors<'_>, path: &Path) -> Result<u64, StateError> {
        let mut known = BTreeSet::from([STEP.to_owned()]);
        for (name, tensor) in self.moments() {
            find(file, path, &name, dimensions(tensor), dtype(tensor.kind()))?;
            known.insert(name);
        }
        let step = find(file, path, STEP, Vec::new(), Dtype::I64)?;
        if let Some(name) = file.names().into_iter().filter(|name| !known.contains(*name)).min() {
            return Err(StateError::Spare { path: path.to_owned(), name: name.to_owned() });
        }
        let step = i64::from_le_bytes(step.data().try_into().expect("one int64 has 8 bytes"));
        u64::try_from(step).map_err(|_| StateError::Step { path: path.to_owned(), got: step })
    }

    fn moments(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.slots.iter().flat_map(|slot| {
            let named = |moment: &str| format!("{moment}.{}", slot.name);
            [(named("exp_avg"), &slot.exp_avg), (named("exp_avg_sq"), &slot.exp_avg_sq)]
        })
    }
}

impl StateError {
    fn from_library(path: &Path, source: SafeTensorError) -> Self {
        let path = path.to_owned();
        match source {
            SafeTensorError::IoError(source) => Self::Io { path, source },
            source => Self::Format { path, source },
        }
    }
}

fn find<'data>(
    file: &SafeTensors<'data>,
    path: &Path,
    name: &str,
    expected: Vec<usize>,
    expected_dtype: Dtype,
) -> Result<TensorView<'data>, StateError> {
    let (path, name) = (path.to_owned(), name.to_owned());
    let Ok(view) = file.tensor(&name) else { return Err(StateError::Missing { path, name }) };
    let (got, got_dtype) = (view.shape().to_vec(), view.dtype());
    if got != expected || got_dtype != expected_dtype {
        return Err(StateError::Shape { path, name, got, got_dtype, expected, expected_dtype });
    }
    Ok(view)
}

fn dimensions(tensor: &Tensor) -> Vec<usize> {
    tensor.size().into_iter().map(|axis| axis as usize).collect()
}

/// The kinds a moment or the step count can have.
fn dtype(kind: Kind) -> Dtype {
    match kind {
        Kind::Float => Dtype::F32,
        Kind::Double => Dtype::F64,
        Kind::BFloat16 => Dtype::BF16,
        Kind::Half => Dtype::F16,
        Kind::Int64 => Dtype::I64,
        other => panic!("an optimiser's state has no tensors of kind {other:?}"),
    }
}

/// A tensor in host memory, dense, whose bytes can be written as they are.
struct HostTensor {
    tensor: Tensor,
    shape: Vec<usize>,
}

impl HostTensor {
    /// Shares the memory of a dense tensor on the CPU and copies any other.
    fn new(tensor: &Tensor) -> Self {
        let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
        Self { shape: dimensions(&tensor), tensor }
    }
}

impl View for HostTensor {
    fn dtype(&self) -> Dtype {
        dtype(self.tensor.kind())
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        if self.data_len() == 0 {
            return Cow::Borrowed(&[]);
        }
        // SAFETY: `new` made the tensor dense and on the CPU, so `data_len` bytes lie behind its pointer; `self` keeps
        // them alive for the borrow, and nothing writes to a moment while `AdamW::save` holds `&self`.
        Cow::Borrowed(unsafe { std::slice::from_raw_parts(self.tensor.data_ptr().cast::<u8>(), self.data_len()) })
    }

    fn data_len(&self) -> usize {
        self.tensor.numel() * self.tensor.kind().elt_size_in_bytes()
    }
}
