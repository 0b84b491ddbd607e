//! From an encoder's features to the numbers that are stored.

use crate::cache::{CacheRecipe, FeatureDtype};
use crate::{Error, Result};
use candle_core::{DType, Tensor};
use desam_core::ImageFeatures;
use half::f16;

/// The features of slice `z` as stored bytes, in the recipe's order.
pub(super) fn bytes(
    recipe: &CacheRecipe,
    z: usize,
    features: &ImageFeatures,
) -> Result<Vec<Vec<u8>>> {
    let expected = recipe.feature_tensors();
    if features.taps.len() + 1 != expected.len() {
        let (expected, found) = (expected.len() - 1, features.taps.len());
        return Err(desam_core::Error::shape("taps of the encoder", expected, found).into());
    }
    let given = features.taps.iter().chain([&features.embedding]);
    let stored = expected.iter().zip(given).map(|(spec, tensor)| {
        if tensor.dims() != spec.shape.as_slice() {
            let what = format!("{} of the encoder", spec.name);
            return Err(desam_core::Error::shape(what, &spec.shape, tensor.dims()).into());
        }
        narrow(recipe.dtype, tensor, (z, &spec.name))
    });
    stored.collect()
}

/// One tensor's numbers as `dtype`; `(z, name)` tell which it is.
fn narrow(dtype: FeatureDtype, tensor: &Tensor, (z, name): (usize, &str)) -> Result<Vec<u8>> {
    let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let refuse = |value: f32, advice| {
        let (slice, tensor) = (z, name.to_string());
        Err(Error::FeatureRange { slice, tensor, value, dtype, advice })
    };
    if let Some(&value) = values.iter().find(|v| !v.is_finite()) {
        return refuse(value, "check the encoder's weights");
    }
    match dtype {
        FeatureDtype::F32 => Ok(values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        FeatureDtype::F16 => {
            if let Some(&value) = values.iter().find(|v| !f16::from_f32(**v).is_finite()) {
                return refuse(value, "store f32 instead");
            }
            Ok(values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect())
        }
    }
}
