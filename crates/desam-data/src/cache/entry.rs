//! A sealed safetensors file: tensors together with what they were made from and a checksum.

use crate::{Error, Result};
use desam_core::files::open_regular;
use desam_volume::atomic::write_atomic;
use memmap2::Mmap;
use safetensors::tensor::{Metadata, TensorView};
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The only metadata field of cache files. One field, since the order of several is not fixed.
const FIELD: &str = "desam";

/// The provenance of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seal {
    /// The cache's key.
    pub(crate) key: String,
    /// Hash of the source: the volume's files, and which slice of them.
    pub(crate) source: String,
}

/// A seal as it is written, with the checksum of the numbers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSeal {
    key: String,
    source: String,
    blake3: String,
}

/// A tensor that a file should hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TensorSpec {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
}

/// Checksum of tensors in their given order, names and lengths included.
fn checksum<'a>(tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, bytes) in tensors {
        hasher.update(name.as_bytes());
        hasher.update(&[0]);
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    hasher.finalize().to_hex().to_string()
}

/// An open file of the cache whose seal, names, types, shapes and length are right. Its numbers
/// are read through a memory map; [`Entry::verify`] checks them all.
#[derive(Debug)]
pub(crate) struct Entry {
    path: PathBuf,
    map: Mmap,
    tensors: Vec<(TensorSpec, Range<usize>)>,
    blake3: String,
}

impl Entry {
    /// Writes `tensors` to `path` atomically.
    pub(crate) fn write(path: &Path, seal: &Seal, tensors: &[(TensorSpec, Vec<u8>)]) -> Result<()> {
        super::names::make_parent(path)?;
        let corrupt = |problem: String| Error::CacheEntryCorrupt { path: path.into(), problem };
        let written = WrittenSeal {
            key: seal.key.clone(),
            source: seal.source.clone(),
            blake3: checksum(tensors.iter().map(|(t, b)| (t.name.as_str(), b.as_slice()))),
        };
        let text = serde_json::to_string(&written).map_err(|e| corrupt(e.to_string()))?;
        let views = tensors
            .iter()
            .map(|(t, bytes)| Ok((&t.name, TensorView::new(t.dtype, t.shape.clone(), bytes)?)))
            .collect::<Result<Vec<_>, SafeTensorError>>()
            .map_err(|e| corrupt(e.to_string()))?;
        let metadata = HashMap::from([(FIELD.to_string(), text)]);
        let bytes =
            safetensors::serialize(views, Some(metadata)).map_err(|e| corrupt(e.to_string()))?;
        Ok(write_atomic(path, |w| w.write_all(&bytes))?)
    }

    /// Opens `path` and checks its length and its seal.
    pub(crate) fn open(path: &Path, seal: &Seal) -> Result<Self> {
        let corrupt = |problem: String| Error::CacheEntryCorrupt { path: path.into(), problem };
        let map = map_file(path)?;
        let (start, metadata) = read_metadata(&map).map_err(|problem| match problem {
            BadHeader::Length { expected } => {
                Error::CacheEntryTruncated { path: path.into(), expected, found: map.len() as u64 }
            }
            BadHeader::Other(problem) => corrupt(problem),
        })?;
        let text = metadata.metadata().as_ref().and_then(|m| m.get(FIELD));
        let text = text.ok_or_else(|| corrupt("it has no seal".into()))?;
        let written: WrittenSeal =
            serde_json::from_str(text).map_err(|e| corrupt(format!("seal: {e}")))?;
        let compare = |what, expected: &String, found: String| {
            if *expected == found {
                Ok(())
            } else {
                let (path, expected) = (path.into(), expected.clone());
                Err(Error::CacheEntryStale { path, what, expected, found })
            }
        };
        compare("cache key", &seal.key, written.key)?;
        compare("source hash", &seal.source, written.source)?;
        let mut tensors: Vec<_> = metadata
            .tensors()
            .into_iter()
            .map(|(name, info)| {
                let (from, to) = info.data_offsets;
                let spec = TensorSpec { name, dtype: info.dtype, shape: info.shape.clone() };
                (spec, start + from..start + to)
            })
            .collect();
        tensors.sort_unstable_by_key(|(_, range)| range.start);
        Ok(Self { path: path.into(), map, tensors, blake3: written.blake3 })
    }

    /// Checks that the file holds exactly these tensors, and puts them in this order.
    pub(crate) fn expect(mut self, expected: &[TensorSpec]) -> Result<Self> {
        let mut ordered = Vec::with_capacity(expected.len());
        for spec in expected {
            match self.tensors.iter().find(|(t, _)| t == spec) {
                Some(found) => ordered.push(found.clone()),
                None => return Err(self.unexpected(spec)),
            }
        }
        if ordered.len() != self.tensors.len() {
            let extra = self.tensors.iter().find(|(t, _)| !expected.contains(t));
            let name = extra.map_or("", |(t, _)| t.name.as_str());
            return Err(self.corrupt(format!("unexpected tensor {name:?}")));
        }
        self.tensors = ordered;
        Ok(self)
    }

    /// Bytes of tensor `index` in the order of [`Entry::expect`].
    pub(crate) fn bytes(&self, index: usize) -> Result<&[u8]> {
        self.tensors
            .get(index)
            .and_then(|(_, range)| self.map.get(range.clone()))
            .ok_or_else(|| self.corrupt(format!("it has no tensor number {index}")))
    }

    /// The shape of tensor `name`, if the file holds one.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.iter().find(|(t, _)| t.name == name).map(|(t, _)| t.shape.as_slice())
    }

    /// Length of the file in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.map.len() as u64
    }

    /// Reads all numbers and compares their checksum; call after [`Entry::expect`], whose order
    /// is the checksum's.
    pub(crate) fn verify(&self) -> Result<()> {
        let tensors = self
            .tensors
            .iter()
            .map(|(t, range)| (t.name.as_str(), self.map.get(range.clone()).unwrap_or_default()));
        let found = checksum(tensors);
        if found == self.blake3 {
            Ok(())
        } else {
            Err(self.corrupt(format!("its numbers have checksum {found}, not {}", self.blake3)))
        }
    }

    pub(crate) fn corrupt(&self, problem: String) -> Error {
        Error::CacheEntryCorrupt { path: self.path.clone(), problem }
    }

    fn unexpected(&self, spec: &TensorSpec) -> Error {
        let found = self.tensors.iter().find(|(t, _)| t.name == spec.name);
        let found = found.map_or_else(
            || "none of that name".into(),
            |(t, _)| format!("{:?} {:?}", t.dtype, t.shape),
        );
        self.corrupt(format!(
            "tensor {}: expected {:?} {:?}, found {found}",
            spec.name, spec.dtype, spec.shape
        ))
    }
}

/// Maps a file that lies in a cache.
fn map_file(path: &Path) -> Result<Mmap> {
    let file = open_regular(path).map_err(Error::io("read", path))?;
    // SAFETY: the map is read-only, and cache files are never changed in place: they are replaced by
    // rename, which leaves an open map on the old content. Another program that truncates a file while
    // it is being read causes a bus error, as with any memory map.
    #[allow(unsafe_code)]
    let map = unsafe { Mmap::map(&file) };
    map.map_err(Error::io("map", path))
}

/// Reason for rejecting a safetensors header.
enum BadHeader {
    /// The header is whole, but the file does not end where it says.
    Length {
        expected: u64,
    },
    Other(String),
}

/// Parses the header, whose tensors must fill the rest of the file exactly. Returns where the
/// tensors' bytes start.
fn read_metadata(bytes: &[u8]) -> Result<(usize, Metadata), BadHeader> {
    match SafeTensors::read_metadata(bytes) {
        Ok((length, metadata)) => Ok((8 + length, metadata)),
        Err(e) => Err(promised_length(bytes)
            .filter(|&expected| expected != bytes.len() as u64)
            .map_or_else(
                || BadHeader::Other(e.to_string()),
                |expected| BadHeader::Length { expected },
            )),
    }
}

/// Length that a file promises by its header, as far as that can be read.
fn promised_length(bytes: &[u8]) -> Option<u64> {
    let length = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let end = length.checked_add(8)?;
    let Some(text) = bytes.get(8..usize::try_from(end).ok()?) else {
        // Not even the header is whole. Ours are a few kB; anything else is no safetensors file.
        return (length < 1 << 20).then_some(end);
    };
    let header: HashMap<String, serde_json::Value> = serde_json::from_slice(text).ok()?;
    let ends = header.values().filter_map(|v| v.get("data_offsets")?.get(1)?.as_u64());
    end.checked_add(ends.max()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seal() -> Seal {
        Seal { key: "k".repeat(64), source: "s".repeat(64) }
    }

    fn tensors() -> Vec<(TensorSpec, Vec<u8>)> {
        let spec = |name: &str, shape| TensorSpec { name: name.into(), dtype: Dtype::F16, shape };
        vec![
            (spec("tap2", vec![1, 2, 3]), (0..12).collect()),
            (spec("tap10", vec![2]), vec![7, 8, 9, 10]),
        ]
    }

    fn specs() -> Vec<TensorSpec> {
        tensors().into_iter().map(|(t, _)| t).collect()
    }

    fn check(path: &Path) -> Result<()> {
        Entry::open(path, &seal())?.expect(&specs())?.verify()
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep").join("e.safetensors");
        Entry::write(&path, &seal(), &tensors()).unwrap();
        let entry = Entry::open(&path, &seal()).unwrap().expect(&specs()).unwrap();
        entry.verify().unwrap();
        assert_eq!(entry.bytes(0).unwrap(), (0..12).collect::<Vec<u8>>());
        assert_eq!(entry.bytes(1).unwrap(), [7, 8, 9, 10]);
        assert!(entry.bytes(2).is_err());
        let again = dir.path().join("again.safetensors");
        Entry::write(&again, &seal(), &tensors()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&again).unwrap());
    }

    #[test]
    fn another_seal_or_shape_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.safetensors");
        Entry::write(&path, &seal(), &tensors()).unwrap();
        let other = Seal { key: "x".into(), ..seal() };
        let error = Entry::open(&path, &other).unwrap_err();
        assert!(matches!(error, Error::CacheEntryStale { what: "cache key", .. }), "{error}");
        assert!(error.to_string().contains("e.safetensors"), "{error}");
        let other = Seal { source: "x".into(), ..seal() };
        let error = Entry::open(&path, &other).unwrap_err();
        assert!(matches!(error, Error::CacheEntryStale { what: "source hash", .. }), "{error}");
        let open = || Entry::open(&path, &seal()).unwrap();
        let mut wrong = specs();
        wrong[0].shape = vec![2, 3];
        assert!(open().expect(&wrong).is_err());
        let mut wrong = specs();
        wrong[1].dtype = Dtype::BF16;
        assert!(open().expect(&wrong).is_err());
        assert!(open().expect(&specs()[..1]).is_err());
    }

    #[test]
    fn every_truncation_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.safetensors");
        Entry::write(&path, &seal(), &tensors()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let error = check(&path).unwrap_err();
            assert!(error.to_string().contains("e.safetensors"), "{length}: {error}");
            if length >= 8 {
                assert!(matches!(error, Error::CacheEntryTruncated { .. }), "{length}: {error}");
            }
        }
        std::fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
        assert!(matches!(check(&path), Err(Error::CacheEntryTruncated { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_flipped_bit_goes_unseen(place in any::<prop::sample::Index>(), bit in 0u8..8) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("e.safetensors");
            Entry::write(&path, &seal(), &tensors()).unwrap();
            let mut bytes = std::fs::read(&path).unwrap();
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
            std::fs::write(&path, &bytes).unwrap();
            // The header ends in padding blanks; a blank that became another JSON blank (a tab
            // has two other bits, so one flip cannot) would be the only harmless change.
            prop_assert!(check(&path).is_err(), "byte {place} bit {bit}");
        }

        #[test]
        fn garbage_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("e.safetensors");
            std::fs::write(&path, &bytes).unwrap();
            prop_assert!(check(&path).is_err());
        }
    }
}
