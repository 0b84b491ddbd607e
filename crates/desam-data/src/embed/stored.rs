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
            slice.push(narrow(recipe.dtype, &alone(tensor, n)?, (z, &spec.name))?);
        }
    }
    Ok(slices)
}

/// One slice's numbers. From a GPU all numbers of a tensor's memory are fetched, whichever of them it
/// names: there a slice gets memory of its own first.
fn alone(tensor: &Tensor, slice: usize) -> Result<Tensor> {
    let named = tensor.narrow(0, slice, 1)?;
    match tensor.device().is_cpu() || tensor.dim(0)? == 1 {
        true => Ok(named),
        false => Ok(named.force_contiguous()?),
    }
}

/// One tensor's numbers as `dtype`; `(z, name)` tell which it is. They are rounded where they are, so
/// that a GPU sends half of them over.
fn narrow(dtype: FeatureDtype, tensor: &Tensor, (z, name): (usize, &str)) -> Result<Vec<u8>> {
    match dtype {
        FeatureDtype::F32 => {
            let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            if let Some(&value) = values.iter().find(|v| !v.is_finite()) {
                return refuse(dtype, value, (z, name));
            }
            Ok(values.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
        FeatureDtype::F16 => {
            let halves = tensor.to_dtype(DType::F16)?.flatten_all()?.to_vec1::<f16>()?;
            if let Some(at) = halves.iter().position(|v| !v.is_finite()) {
                let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
                // Report NaN in preference to overflow.
                let worst = values.iter().find(|v| !v.is_finite()).or(values.get(at));
                return refuse(dtype, worst.copied().unwrap_or(f32::NAN), (z, name));
            }
            Ok(halves.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
    }
}

fn refuse(dtype: FeatureDtype, value: f32, (z, name): (usize, &str)) -> Result<Vec<u8>> {
    let (slice, tensor) = (z, name.to_owned());
    let advice =
        if value.is_finite() { "store f32 instead" } else { "check the encoder's weights" };
    Err(Error::FeatureRange { slice, tensor, value, dtype, advice })
}
