//! Reading `.safetensors`.

use super::Raw;
use super::convert::Float;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use desam_core::files::open_regular;
use desam_nn::params::Tensors;
use safetensors::tensor::{Dtype, Metadata};
use std::io::{BufReader, Read};
use std::path::Path;

/// As the `safetensors` crate has it: a header longer than this is no header.
const LONGEST_HEADER: u64 = 100_000_000;

/// Reads tensor after tensor in the order of the file; no more than one is held twice.
pub(super) fn read(path: &Path) -> Result<Raw> {
    let file = open_regular(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    read_from(path, BufReader::new(file), length)
}

/// The same from `length` bytes that are called `path` in errors.
pub(super) fn read_from(path: &Path, mut file: impl Read, length: u64) -> Result<Raw> {
    let mut size = [0u8; 8];
    file.read_exact(&mut size).map_err(Error::io(path))?;
    let size = u64::from_le_bytes(size);
    if size > LONGEST_HEADER || size > length.saturating_sub(8) {
        let reason = format!("its header is said to be {size} bytes, the file has {length}");
        return Err(Error::checkpoint(path, reason));
    }
    let mut header = vec![0u8; size as usize];
    file.read_exact(&mut header).map_err(Error::io(path))?;
    let header: Metadata = serde_json::from_slice(&header)
        .map_err(|e| Error::checkpoint(path, format!("its header does not parse: {e}")))?;
    let announced = 8 + size + header.data_len() as u64;
    if announced != length {
        let reason = format!(
            "its header announces {announced} bytes, the file has {length}: cut off or changed; \
             get it again"
        );
        return Err(Error::checkpoint(path, reason));
    }
    let mut tensors = Tensors::new();
    let mut bytes = Vec::new();
    for name in header.offset_keys() {
        let Some(info) = header.info(&name) else {
            continue;
        };
        let float = float(path, &name, info.dtype)?;
        // The header was checked when it was parsed: offsets follow each other and fit the shape.
        bytes.resize(info.data_offsets.1 - info.data_offsets.0, 0);
        file.read_exact(&mut bytes).map_err(Error::io(path))?;
        let tensor = Tensor::from_vec(float.to_f32(&bytes), info.shape.as_slice(), &Device::Cpu)?;
        tensors.insert(name, tensor);
    }
    let metadata = header.metadata().iter().flatten();
    Ok(Raw { tensors, metadata: metadata.map(|(k, v)| (k.clone(), v.clone())).collect() })
}

fn float(path: &Path, name: &str, dtype: Dtype) -> Result<Float> {
    match dtype {
        Dtype::F16 => Ok(Float::F16),
        Dtype::BF16 => Ok(Float::Bf16),
        Dtype::F32 => Ok(Float::F32),
        Dtype::F64 => Ok(Float::F64),
        other => Err(Error::TensorType {
            path: path.to_owned(),
            name: name.to_owned(),
            found: format!("{other:?}"),
        }),
    }
}
