//! Reader of `.safetensors` files.

use super::convert::Float;
use super::entry::{ElementType, Entry};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use safetensors::tensor::{Dtype, Metadata};
use std::collections::BTreeMap;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Limit on the header's length, the `safetensors` crate's.
const LONGEST_HEADER: u64 = 100_000_000;

/// A file, or bytes in memory.
pub(super) trait Input: Read + Seek {}

impl<T: Read + Seek> Input for T {}

/// An open `.safetensors` file.
pub(super) struct SafetensorsFile<'a> {
    path: PathBuf,
    input: Box<dyn Input + 'a>,
    /// Offset of the tensors' bytes.
    start: u64,
    header: Metadata,
    entries: Vec<Entry>,
}

impl SafetensorsFile<'static> {
    /// Reads the header.
    ///
    /// # Errors
    /// When the file is damaged, or its length is not the one in its header.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = desam_core::files::open_regular(path).map_err(Error::io(path))?;
        let length = file.metadata().map_err(Error::io(path))?.len();
        Self::of(path, Box::new(BufReader::new(file)), length)
    }
}

impl<'a> SafetensorsFile<'a> {
    /// Opens bytes in memory, which are called `path` in errors.
    pub(super) fn from_bytes(path: &Path, bytes: &'a [u8]) -> Result<Self> {
        Self::of(path, Box::new(std::io::Cursor::new(bytes)), bytes.len() as u64)
    }

    fn of(path: &Path, mut input: Box<dyn Input + 'a>, length: u64) -> Result<Self> {
        let mut size = [0u8; 8];
        input.read_exact(&mut size).map_err(Error::io(path))?;
        let size = u64::from_le_bytes(size);
        // Before the header's bytes are allocated.
        if size > LONGEST_HEADER || size > length.saturating_sub(8) {
            let reason = format!(
                "its header claims {size} bytes, the file has {length}: cut off or changed; get it \
                 again"
            );
            return Err(Error::checkpoint(path, reason));
        }
        let mut header = vec![0u8; size as usize];
        input.read_exact(&mut header).map_err(Error::io(path))?;
        // Parsing also checks that offsets follow each other and fit types and shapes.
        let header: Metadata = serde_json::from_slice(&header)
            .map_err(|e| Error::checkpoint(path, format!("its header does not parse: {e}")))?;
        let start = 8 + size;
        let announced = start.saturating_add(header.data_len() as u64);
        if announced != length {
            let reason = format!(
                "its header announces {announced} bytes, the file has {length}: cut off or changed; \
                 get it again"
            );
            return Err(Error::checkpoint(path, reason));
        }
        let entries = header.offset_keys().into_iter().filter_map(|name| {
            let info = header.info(&name)?;
            Some(Entry {
                element: element(info.dtype),
                shape: info.shape.clone(),
                container: 0,
                name,
            })
        });
        let entries = entries.collect();
        Ok(Self { path: path.to_owned(), input, start, header, entries })
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The file's own metadata.
    pub(super) fn metadata(&self) -> BTreeMap<String, String> {
        self.header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// Loads entries by index, in the order of the file, and calls `put` with each index and tensor.
    pub(super) fn load(
        &mut self,
        wanted: &[usize],
        put: &mut dyn FnMut(usize, Tensor) -> Result<()>,
    ) -> Result<()> {
        let mut wanted = wanted.to_vec();
        wanted.sort_unstable();
        // One buffer for all tensors, and ascending offsets, so that the file is read sequentially.
        let mut bytes = Vec::new();
        for index in wanted {
            let Some(Entry { name, element: ElementType::Float(float), .. }) =
                self.entries.get(index)
            else {
                continue;
            };
            let Some(info) = self.header.info(name) else {
                continue;
            };
            let (from, to) = info.data_offsets;
            let at = SeekFrom::Start(self.start + from as u64);
            self.input.seek(at).map_err(Error::io(&self.path))?;
            bytes.resize(to.saturating_sub(from), 0);
            self.input.read_exact(&mut bytes).map_err(Error::io(&self.path))?;
            let numbers = float.to_f32(&bytes);
            put(index, Tensor::from_vec(numbers, info.shape.as_slice(), &Device::Cpu)?)?;
        }
        Ok(())
    }
}

fn element(dtype: Dtype) -> ElementType {
    ElementType::Float(match dtype {
        Dtype::F16 => Float::F16,
        Dtype::BF16 => Float::Bf16,
        Dtype::F32 => Float::F32,
        Dtype::F64 => Float::F64,
        other => return ElementType::Other(format!("{other:?}")),
    })
}
