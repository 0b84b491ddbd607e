//! Conversion of encoder features to stored bytes.

use crate::cache::{CacheRecipe, FeatureDtype};
use crate::{Error, Result};
use candle_core::{DType, Tensor};
use desam_core::ImageFeatures;
use half::f16;

/// The features of slices `zs`, one after the other along `B`, as stored bytes: for each slice its
/// tensors in the recipe's order.
pub(super) fn bytes(
    recipe: &CacheRecipe,
    zs: &[usize],
    features: &ImageFeatures,
) -> Result<Vec<Vec<Vec<u8>>>> {
    let expected = recipe.feature_tensors();
    if features.taps.len() + 1 != expected.len() {
        let (expected, found) = (expected.len() - 1, features.taps.len());
        return Err(desam_core::Error::shape("taps of the encoder", expected, found).into());
    }
    let mut slices = vec![Vec::with_capacity(expected.len()); zs.len()];
    for (spec, tensor) in expected.iter().zip(features.taps.iter().chain([&features.embedding])) {
        let mut shape = spec.shape.clone();
        if let Some(batch) = shape.first_mut() {
            *batch = zs.len();
        }
        if tensor.dims() != shape.as_slice() {
            let what = format!("{} of the encoder", spec.name);
            return Err(desam_core::Error::shape(what, &shape, tensor.dims()).into());
        }
        for ((n, &z), slice) in zs.iter().enumerate().zip(&mut slices) {
            let of = TensorOfSlice { slice: z, name: &spec.name };
            slice.push(narrow(recipe.dtype, &alone(tensor, n)?, of)?);
        }
    }
    Ok(slices)
}

/// One slice of a batch. A copy from a GPU transfers the whole buffer behind a view, so there the slice
/// is made contiguous first.
fn alone(tensor: &Tensor, slice: usize) -> Result<Tensor> {
    let named = tensor.narrow(0, slice, 1)?;
    if tensor.device().is_cpu() || tensor.dim(0)? == 1 {
        return Ok(named);
    }
    Ok(named.force_contiguous()?)
}

/// A tensor of a slice, for errors.
#[derive(Clone, Copy)]
struct TensorOfSlice<'a> {
    slice: usize,
    name: &'a str,
}

/// One tensor's values as little-endian bytes of `dtype`. They are rounded on their device, so that a
/// GPU transfers half the bytes of f32.
fn narrow(dtype: FeatureDtype, tensor: &Tensor, of: TensorOfSlice<'_>) -> Result<Vec<u8>> {
    match dtype {
        FeatureDtype::F32 => {
            let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            if let Some(&value) = values.iter().find(|v| !v.is_finite()) {
                return refuse(dtype, value, of);
            }
            Ok(values.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
        FeatureDtype::F16 => {
            let halves = tensor.to_dtype(DType::F16)?.flatten_all()?.to_vec1::<f16>()?;
            if let Some(at) = halves.iter().position(|v| !v.is_finite()) {
                let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
                // Report NaN in preference to overflow.
                let worst = values.iter().find(|v| !v.is_finite()).or(values.get(at));
                return refuse(dtype, worst.copied().unwrap_or(f32::NAN), of);
            }
            Ok(halves.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
    }
}

fn refuse(dtype: FeatureDtype, value: f32, of: TensorOfSlice<'_>) -> Result<Vec<u8>> {
    let (slice, tensor) = (of.slice, of.name.to_owned());
    let advice =
        if value.is_finite() { "store f32 instead" } else { "check the encoder's weights" };
    Err(Error::FeatureRange { slice, tensor, value, dtype, advice })
}
