//! Hash of a set of weights.

use crate::Result;
use candle_core::{DType, Device};
use desam_nn::params::Tensors;

/// blake3 hash, in hexadecimal, of the names, shapes and f32 values of the tensors whose names begin
/// with one of `prefixes` (all tensors where `prefixes` is empty).
///
/// It does not depend on the file format, the order or the key layout, because it is computed after
/// loading.
///
/// # Errors
/// When a tensor cannot be brought to the host.
pub fn weights_hash(tensors: &Tensors, prefixes: &[&str]) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    // Every variable-length part is prefixed with its length, so that no two sets of weights have the
    // same bytes.
    let number = |hasher: &mut blake3::Hasher, n: usize| {
        hasher.update(&(n as u64).to_le_bytes());
    };
    let wanted = |name: &str| prefixes.is_empty() || prefixes.iter().any(|p| name.starts_with(p));
    // `Tensors` is sorted by name, so the order in the file does not matter.
    for (name, tensor) in tensors.iter().filter(|(name, _)| wanted(name)) {
        number(&mut hasher, name.len());
        hasher.update(name.as_bytes());
        number(&mut hasher, tensor.rank());
        for dim in tensor.dims() {
            number(&mut hasher, *dim);
        }
        let values = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?;
        for chunk in values.to_vec1::<f32>()?.chunks(1 << 16) {
            let bytes: Vec<u8> = chunk.iter().flat_map(|v| v.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Tensor;

    fn tensors(entries: &[(&str, &[f32])]) -> Tensors {
        let each = entries.iter().map(|(name, values)| {
            ((*name).to_owned(), Tensor::new(*values, &Device::Cpu).unwrap())
        });
        each.collect()
    }

    #[test]
    fn names_shapes_and_values_change_the_hash_and_other_parts_do_not() {
        let a = tensors(&[("image_encoder.a", &[1.0, 2.0]), ("mask_decoder.b", &[3.0])]);
        let hash = |t: &Tensors| weights_hash(t, &["image_encoder."]).unwrap();
        let other = tensors(&[("image_encoder.a", &[1.0, 2.0]), ("mask_decoder.b", &[4.0])]);
        assert_eq!(hash(&a), hash(&other));
        assert_ne!(weights_hash(&a, &[]).unwrap(), weights_hash(&other, &[]).unwrap());
        assert_ne!(hash(&a), hash(&tensors(&[("image_encoder.a", &[1.0, 2.5])])));
        assert_ne!(hash(&a), hash(&tensors(&[("image_encoder.c", &[1.0, 2.0])])));
        let mut reshaped = a.clone();
        let column = a["image_encoder.a"].reshape((2, 1)).unwrap();
        reshaped.insert("image_encoder.a".into(), column);
        assert_ne!(hash(&a), hash(&reshaped));
    }
}
