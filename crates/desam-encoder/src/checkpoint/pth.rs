//! Reading what `torch.save` writes since PyTorch 1.6: a zip with one pickle and a file a storage.
//!
//! Nothing is executed: candle's reader turns the pickle into a tree, and only calls that rebuild
//! tensors are understood.

use super::Raw;
use super::convert::Float;
use crate::{Error, Result};
use candle_core::pickle::{Object, Stack};
use candle_core::{Device, Tensor};
use desam_core::files::open_regular;
use desam_nn::params::Tensors;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use zip::ZipArchive;

/// Keys under which training programs wrap a state dict, `model` being the official DeSAM's.
const WRAPPERS: [&str; 3] = ["model", "state_dict", "model_state_dict"];

pub(super) fn read(path: &Path) -> Result<Raw> {
    let damaged = |e: zip::result::ZipError| Error::checkpoint(path, format!("damaged zip: {e}"));
    let file = BufReader::new(open_regular(path).map_err(Error::io(path))?);
    let mut zip = ZipArchive::new(file).map_err(damaged)?;
    let pickle = zip
        .file_names()
        .filter_map(|name| name.ok().map(|n| n.into_owned()))
        .find(|name| name == "data.pkl" || name.ends_with("/data.pkl"))
        .ok_or_else(|| Error::checkpoint(path, "the zip holds no data.pkl: not from torch.save"))?;
    let root = pickle.trim_end_matches("data.pkl").to_owned();
    let order = entry(path, &mut zip, &format!("{root}byteorder"));
    if order.is_ok_and(|order| order == b"big") {
        let reason = "it was saved on a big-endian machine; save it again on a little-endian one";
        return Err(Error::checkpoint(path, reason));
    }
    let bytes = entry(path, &mut zip, &pickle)?;
    let tree = parse(&bytes).map_err(|e| Error::checkpoint(path, format!("its pickle: {e}")))?;
    let mut tensors = Tensors::new();
    for (name, object) in state_dict(path, tree)? {
        let Some(stored) = Stored::new(object) else {
            continue;
        };
        let stored = stored
            .map_err(|problem| Error::checkpoint(path, format!("tensor {name} {problem}")))?;
        tensors.insert(name.clone(), stored.load(path, &name, &mut zip, &root)?);
    }
    Ok(Raw { tensors, metadata: BTreeMap::new() })
}

fn parse(bytes: &[u8]) -> candle_core::Result<Object> {
    let parsed = std::panic::catch_unwind(|| {
        let mut stack = Stack::empty();
        stack.read_loop(&mut std::io::Cursor::new(bytes))?;
        stack.finalize()
    });
    // candle's reader shifts whole numbers of more than 8 bytes out of range, which panics in
    // builds that check arithmetic; a file must not be able to.
    parsed.unwrap_or_else(|_| candle_core::bail!("holds a whole number of more than 64 bits"))
}

/// A whole entry; reading to its end also checks its CRC.
fn entry(path: &Path, zip: &mut ZipArchive<BufReader<File>>, name: &str) -> Result<Vec<u8>> {
    let missing = |e: zip::result::ZipError| Error::checkpoint(path, format!("{name}: {e}"));
    let mut bytes = Vec::new();
    let mut file = zip.by_name(name).map_err(missing)?;
    let read = file.read_to_end(&mut bytes);
    read.map_err(|e| Error::checkpoint(path, format!("{name}: {e}; get the file again")))?;
    Ok(bytes)
}

/// The entries of the dictionary that holds tensors, unwrapped where a program wrapped it.
fn state_dict(path: &Path, tree: Object) -> Result<Vec<(String, Object)>> {
    let holds = |d: &[(String, Object)]| d.iter().any(|(_, o)| Stored::is_tensor(o));
    let Object::Dict(top) = tree else {
        let reason = "it holds a whole object, not a state dict; \
                      save it again in Python: torch.save(model.state_dict(), path)";
        return Err(Error::checkpoint(path, reason));
    };
    let top = named(top);
    if holds(&top) {
        return Ok(top);
    }
    let keys: Vec<String> = top.iter().map(|(k, _)| k.clone()).collect();
    for (key, object) in top {
        if let (true, Object::Dict(inner)) = (WRAPPERS.contains(&key.as_str()), object) {
            let inner = named(inner);
            if holds(&inner) {
                return Ok(inner);
            }
        }
    }
    let reason = format!("no tensors at its top or under {WRAPPERS:?}; its keys are {keys:?}");
    Err(Error::checkpoint(path, reason))
}

fn named(entries: Vec<(Object, Object)>) -> Vec<(String, Object)> {
    let named = entries.into_iter().map(|(k, v)| (k.unicode(), v));
    named.filter_map(|(k, v)| k.ok().map(|k| (k, v))).collect()
}

/// A tensor as the pickle describes it.
struct Stored {
    storage: String,
    class: String,
    offset: usize,
    size: Vec<usize>,
    stride: Vec<usize>,
}

impl Stored {
    /// Whether an object is a call that rebuilds a tensor.
    fn is_tensor(object: &Object) -> bool {
        matches!(object, Object::Reduce { callable, .. }
            if matches!(&**callable, Object::Class { class_name, .. }
                if class_name.starts_with("_rebuild_")))
    }

    /// `None` for what is no tensor, an error in words for a tensor that is not understood.
    fn new(object: Object) -> Option<Result<Self, String>> {
        if !Self::is_tensor(&object) {
            return None;
        }
        let Object::Reduce { callable, args } = object else {
            return None;
        };
        let (Object::Class { class_name, .. }, Object::Tuple(args)) = (*callable, *args) else {
            return Some(Err("is rebuilt in a way that is not understood".to_owned()));
        };
        let mut args = args.into_iter();
        match class_name.as_str() {
            "_rebuild_tensor_v2" => {
                let stored = Self::from_args(args.collect());
                Some(stored.ok_or_else(|| "has a description that does not parse".to_owned()))
            }
            // (data, requires_grad, hooks)
            "_rebuild_parameter" => Self::new(args.next()?),
            // (function, type, args, state)
            "_rebuild_from_type_v2" => {
                let callable = Box::new(args.next()?);
                let args = Box::new(args.nth(1)?);
                Self::new(Object::Reduce { callable, args })
            }
            other => Some(Err(format!("is rebuilt by {other}, which is not read here"))),
        }
    }

    /// From `(storage, offset, size, stride, requires_grad, hooks)`, where a storage is
    /// `("storage", class, key, device, elements)`.
    fn from_args(args: Vec<Object>) -> Option<Self> {
        let mut args = args.into_iter();
        let mut storage = args.next()?.persistent_load().ok()?.tuple().ok()?.into_iter();
        let offset = whole(args.next()?)?;
        let sizes =
            |o: Object| -> Option<Vec<usize>> { o.tuple().ok()?.into_iter().map(whole).collect() };
        let (size, stride) = (sizes(args.next()?)?, sizes(args.next()?)?);
        let (_, class) = storage.nth(1)?.class().ok()?;
        let key = storage.next()?.unicode().ok()?;
        Some(Self { storage: key, class, offset, size, stride })
    }

    fn load(
        &self,
        path: &Path,
        name: &str,
        zip: &mut ZipArchive<BufReader<File>>,
        root: &str,
    ) -> Result<Tensor> {
        let float = match self.class.as_str() {
            "HalfStorage" => Float::F16,
            "BFloat16Storage" => Float::Bf16,
            "FloatStorage" => Float::F32,
            "DoubleStorage" => Float::F64,
            other => {
                return Err(Error::TensorType {
                    path: path.to_owned(),
                    name: name.to_owned(),
                    found: other.trim_end_matches("Storage").to_owned(),
                });
            }
        };
        let bytes = entry(path, zip, &format!("{root}data/{}", self.storage))?;
        let values = float.to_f32(&bytes);
        let found = self.gather(&values).ok_or_else(|| {
            let reason = format!(
                "tensor {name} of shape {:?} does not fit its storage of {} {}-byte numbers",
                self.size,
                values.len(),
                float.size()
            );
            Error::checkpoint(path, reason)
        })?;
        Ok(Tensor::from_vec(found, self.size.as_slice(), &Device::Cpu)?)
    }

    /// The tensor's numbers in row-major order, whatever its strides; `None` where it reaches
    /// beyond its storage.
    fn gather(&self, storage: &[f32]) -> Option<Vec<f32>> {
        if self.size.len() != self.stride.len() {
            return None;
        }
        let count = self.size.iter().try_fold(1usize, |n, d| n.checked_mul(*d))?;
        if count == 0 {
            return Some(Vec::new());
        }
        let reach = self
            .size
            .iter()
            .zip(&self.stride)
            .try_fold(self.offset, |at, (d, s)| at.checked_add((d - 1).checked_mul(*s)?))?;
        // A view that repeats its storage could ask for any amount of memory.
        if reach >= storage.len() || count > storage.len() {
            return None;
        }
        let mut at = vec![0usize; self.size.len()];
        let mut from = self.offset;
        let mut out = Vec::with_capacity(count);
        for _ in 0..count {
            out.push(*storage.get(from)?);
            // Counts up like an odometer, the last dimension fastest.
            for ((i, d), s) in at.iter_mut().zip(&self.size).zip(&self.stride).rev() {
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
}

fn whole(object: Object) -> Option<usize> {
    usize::try_from(object.int_or_long().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(offset: usize, size: &[usize], stride: &[usize]) -> Stored {
        let (size, stride) = (size.to_vec(), stride.to_vec());
        Stored { storage: "0".into(), class: "FloatStorage".into(), offset, size, stride }
    }

    #[test]
    fn strides_and_offsets_are_followed() {
        let storage: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let rows = stored(2, &[2, 3], &[3, 1]).gather(&storage).unwrap();
        assert_eq!(rows, [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let turned = stored(0, &[3, 2], &[1, 3]).gather(&storage).unwrap();
        assert_eq!(turned, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(stored(11, &[], &[]).gather(&storage).unwrap(), [11.0]);
        assert!(stored(0, &[0, 4], &[4, 1]).gather(&storage).unwrap().is_empty());
    }

    #[test]
    fn tensors_that_reach_beyond_their_storage_are_refused() {
        let storage = [0f32; 12];
        assert!(stored(7, &[2, 3], &[3, 1]).gather(&storage).is_none());
        assert!(stored(0, &[usize::MAX, 3], &[3, 1]).gather(&storage).is_none());
        assert!(stored(0, &[2, 2], &[usize::MAX, 1]).gather(&storage).is_none());
        assert!(stored(0, &[1 << 40], &[0]).gather(&storage).is_none());
        assert!(stored(0, &[2], &[]).gather(&storage).is_none());
    }
}
