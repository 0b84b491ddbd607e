//! A tensor's description in a pickle: element type and strided view of a storage.

use super::super::convert::Float;
use super::super::entry::ElementType;
use super::super::pickle::{Id, Tree, Value};

/// Limit on the dimensions of a tensor.
const MAX_RANK: usize = 16;

/// Limit on how deeply parameters and subclasses may wrap a tensor.
const MAX_WRAPPERS: usize = 4;

/// Limit on the length of a storage's key or a class's name, bytes.
const MAX_NAME_LEN: usize = 128;

/// A strided view of a storage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct View {
    pub(super) storage: String,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) stride: Vec<usize>,
}

/// Description of a tensor in a pickle.
#[derive(Debug)]
pub(super) struct TensorDescription {
    pub(super) element: ElementType,
    pub(super) view: View,
}

/// The description of the tensor at `id`; `None` where there is something else.
pub(super) fn describe(tree: &Tree<'_>, id: Id) -> Option<TensorDescription> {
    describe_within(tree, id, MAX_WRAPPERS)
}

fn describe_within(tree: &Tree<'_>, id: Id, wrappers: usize) -> Option<TensorDescription> {
    let Value::Object { callable, arguments, .. } = tree.get(id) else {
        return None;
    };
    let Value::Class { name, .. } = tree.get(*callable) else {
        return None;
    };
    // The module is not checked: the function is never called, only its arguments are read.
    let rebuilt = name.strip_prefix("_rebuild_").filter(|_| name.len() <= MAX_NAME_LEN)?;
    let arguments = tree.tuple(*arguments).unwrap_or_default();
    let found = match rebuilt {
        "tensor" | "tensor_v2" | "tensor_v3" => from_arguments(tree, arguments),
        // (data, requires_grad, hooks) and (data, requires_grad, hooks, state)
        "parameter" | "parameter_with_state" if wrappers > 0 => {
            arguments.first().and_then(|data| describe_within(tree, *data, wrappers - 1))
        }
        // (function, type, arguments, state): the call of a tensor's subclass
        "from_type" | "from_type_v2" => match arguments {
            [function, _, inner, ..] => subclass(tree, *function, *inner),
            _ => None,
        },
        _ => None,
    };
    Some(found.unwrap_or_else(|| TensorDescription::unreadable(name)))
}

/// Description of a tensor subclass, which names the function that rebuilds it.
fn subclass(tree: &Tree<'_>, function: Id, arguments: Id) -> Option<TensorDescription> {
    match tree.get(function) {
        Value::Class {
            name: "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3",
            ..
        } => from_arguments(tree, tree.tuple(arguments)?),
        _ => None,
    }
}

/// From `(storage, offset, shape, stride, …)`, where a storage is
/// `("storage", class, key, device, elements)`; the third version's seventh argument is the type.
fn from_arguments(tree: &Tree<'_>, arguments: &[Id]) -> Option<TensorDescription> {
    let [storage, offset, shape, stride, rest @ ..] = arguments else {
        return None;
    };
    let Value::Persistent(storage) = tree.get(*storage) else {
        return None;
    };
    let [_, class, key, ..] = tree.tuple(*storage)? else {
        return None;
    };
    let Value::Class { name: class, .. } = tree.get(*class) else {
        return None;
    };
    let key = tree.text(*key)?;
    if key.len() > MAX_NAME_LEN || class.len() > MAX_NAME_LEN {
        return None;
    }
    let dtype = match rest {
        [_, _, dtype, ..] => match tree.get(*dtype) {
            Value::Class { name, .. } if name.len() <= MAX_NAME_LEN => Some(*name),
            _ => None,
        },
        _ => None,
    };
    let element = match (class.strip_suffix("Storage"), dtype) {
        (Some("Half"), _) => ElementType::Float(Float::F16),
        (Some("BFloat16"), _) => ElementType::Float(Float::Bf16),
        (Some("Float"), _) => ElementType::Float(Float::F32),
        (Some("Double"), _) => ElementType::Float(Float::F64),
        // Only types without a storage class, such as float8, are written with an untyped storage.
        (Some("Untyped"), Some(dtype)) => ElementType::Other(dtype.to_owned()),
        (Some(other), _) => ElementType::Other(other.to_owned()),
        (None, _) => return None,
    };
    let sizes = |id: Id| -> Option<Vec<usize>> {
        let sizes = tree.tuple(id)?;
        (sizes.len() <= MAX_RANK).then_some(())?;
        sizes.iter().map(|size| tree.count(*size)).collect()
    };
    Some(TensorDescription {
        element,
        view: View {
            storage: key.to_owned(),
            offset: tree.count(*offset)?,
            shape: sizes(*shape)?,
            stride: sizes(*stride)?,
        },
    })
}

impl TensorDescription {
    /// Description of a tensor that only its own class could rebuild.
    fn unreadable(function: &str) -> Self {
        let element = ElementType::Unreadable(format!("is rebuilt by {function}"));
        let view =
            View { storage: String::new(), offset: 0, shape: Vec::new(), stride: Vec::new() };
        Self { element, view }
    }
}

impl View {
    /// Number of elements; `None` where it overflows.
    pub(super) fn count(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))
    }

    /// Copies the view's elements in row-major order; `None` where it reaches beyond its storage.
    pub(super) fn gather(&self, float: Float, storage: &[u8]) -> Option<Vec<f32>> {
        if self.shape.len() != self.stride.len() {
            return None;
        }
        let count = self.count()?;
        if count == 0 {
            return Some(Vec::new());
        }
        let reach = self
            .shape
            .iter()
            .zip(&self.stride)
            .try_fold(self.offset, |at, (d, s)| at.checked_add((d - 1).checked_mul(*s)?))?;
        let held = storage.len() / float.size();
        // A view that repeats its storage (strides of 0) could request any amount of memory.
        if reach >= held || count > held {
            return None;
        }
        let size = float.size();
        // Nearly every tensor of a checkpoint: its bytes are converted without an index for each
        // number.
        if self.is_contiguous() {
            let start = self.offset.checked_mul(size)?;
            let bytes = storage.get(start..start.checked_add(count.checked_mul(size)?)?)?;
            return Some(float.to_f32(bytes));
        }
        self.follow_strides(count, |from| {
            let bytes = storage.get(from * size..(from + 1) * size)?;
            float.to_f32(bytes).first().copied()
        })
    }

    /// Values of `number(position)` for every position in row-major order.
    fn follow_strides(
        &self,
        count: usize,
        number: impl Fn(usize) -> Option<f32>,
    ) -> Option<Vec<f32>> {
        let mut at = vec![0usize; self.shape.len()];
        let mut from = self.offset;
        let mut out = Vec::with_capacity(count);
        for _ in 0..count {
            out.push(number(from)?);
            // Increments the multi-index, the last dimension fastest.
            for ((i, d), s) in at.iter_mut().zip(&self.shape).zip(&self.stride).rev() {
                *i += 1;
                from += s;
                if *i < *d {
                    break;
                }
                from -= *i * s;
                *i = 0;
            }
        }
        Some(out)
    }

    /// Whether it is contiguous in row-major order. Strides of dimensions of size 1 are irrelevant.
    fn is_contiguous(&self) -> bool {
        let mut expected = 1usize;
        for (d, s) in self.shape.iter().zip(&self.stride).rev() {
            if *d != 1 && *s != expected {
                return false;
            }
            expected = expected.saturating_mul(*d);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(offset: usize, shape: &[usize], stride: &[usize]) -> View {
        View { storage: "0".into(), offset, shape: shape.to_vec(), stride: stride.to_vec() }
    }

    fn storage() -> Vec<u8> {
        (0..12).flat_map(|i| (i as f32).to_le_bytes()).collect()
    }

    fn gather(view: &View) -> Option<Vec<f32>> {
        view.gather(Float::F32, &storage())
    }

    #[test]
    fn strides_and_offsets_are_followed() {
        let rows = gather(&view(2, &[2, 3], &[3, 1])).unwrap();
        assert_eq!(rows, [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let transposed = gather(&view(0, &[3, 2], &[1, 3])).unwrap();
        assert_eq!(transposed, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(gather(&view(11, &[], &[])).unwrap(), [11.0]);
        assert!(gather(&view(0, &[0, 4], &[4, 1])).unwrap().is_empty());
        // A dimension of one element may have any stride (torch leaves it as a slice made it).
        assert_eq!(gather(&view(4, &[1, 2], &[99, 1])).unwrap(), [4.0, 5.0]);
    }

    #[test]
    fn views_that_reach_beyond_their_storage_are_refused() {
        assert!(gather(&view(7, &[2, 3], &[3, 1])).is_none());
        assert!(gather(&view(usize::MAX, &[1], &[1])).is_none());
        assert!(gather(&view(0, &[usize::MAX, 3], &[3, 1])).is_none());
        assert!(gather(&view(0, &[2, 2], &[usize::MAX, 1])).is_none());
        assert!(gather(&view(0, &[1 << 40], &[0])).is_none());
        assert!(gather(&view(0, &[2], &[])).is_none());
        // A storage that ends within a number.
        assert!(view(0, &[3], &[1]).gather(Float::F32, &storage()[..11]).is_none());
    }
}
