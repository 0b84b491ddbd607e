//! The recipe of a cache: everything that determines its values, and the key derived from it.

use crate::preprocess::PreprocessConfig;
use crate::{Error, Result};
use desam_core::{EncoderSpec, Precision};
use desam_volume::volumes::ReadOptions;
use safetensors::Dtype;
use serde::{Deserialize, Serialize};

/// Version of the file layout and of the preprocessing code. A change that gives other values for the
/// same configuration must raise it: it is part of every key.
pub const FORMAT_VERSION: u32 = 1;

desam_core::named! {
    /// Type that features are stored in.
    #[derive(Default)]
    pub enum FeatureDtype: "feature type" {
        /// Half the size; a relative rounding of at most 2⁻¹¹.
        #[default]
        F16 = "f16",
        /// Exactly the encoder's output.
        F32 = "f32",
    }
}

impl FeatureDtype {
    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }

    pub(crate) fn stored(self) -> Dtype {
        match self {
            Self::F16 => Dtype::F16,
            Self::F32 => Dtype::F32,
        }
    }
}

desam_core::named! {
    /// Selection of the processed slices that are encoded.
    #[derive(Default)]
    pub enum SlicePolicy: "slices" {
        /// Slices whose `M×M` mask after preprocessing has foreground: all that training needs, and
        /// what the official program scores.
        #[default]
        Labelled = "labelled",
        /// Every slice; what scoring whole volumes needs.
        All = "all",
        /// No slice: the cache holds images and masks alone, which is enough for an encoder that runs
        /// while a decoder is trained.
        None = "none",
    }
}

/// The encoder that computed the features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderRecord {
    /// Its display name; not part of the key.
    pub name: String,
    /// BLAKE3 of its weights, in hexadecimal; part of the key.
    pub weights_blake3: String,
    /// BLAKE3 of everything in the weights file beside the features: both encoders and, where there
    /// is one, a mask decoder. Not part of the key. Caches made before this was recorded have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_blake3: Option<String>,
}

impl EncoderRecord {
    /// An encoder without a weights file beside its features.
    pub fn new(name: impl Into<String>, weights_blake3: impl Into<String>) -> Self {
        Self { name: name.into(), weights_blake3: weights_blake3.into(), file_blake3: None }
    }
}

/// Everything that determines the numbers in a cache, apart from the volumes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheRecipe {
    /// The encoder.
    pub encoder: EncoderRecord,
    /// Input and output sizes of the encoder.
    pub spec: EncoderSpec,
    /// Preprocessing of volumes to slices.
    pub preprocess: PreprocessConfig,
    /// Type of the stored features.
    pub dtype: FeatureDtype,
    /// Selection of the stored slices.
    pub slices: SlicePolicy,
    /// Compute precision of the encoder. A recipe without it means f32, the only precision of older
    /// versions.
    #[serde(default, skip_serializing_if = "Precision::is_f32")]
    pub precision: Precision,
    /// The segment that was read of labels that are DICOM segmentations; `None` for all, as every
    /// recipe from before there was a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<u16>,
    /// Channel of volumes that hold several, from 0; not written down where none was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<usize>,
}

impl CacheRecipe {
    /// The key of a cache made by this recipe: BLAKE3, in hexadecimal, over the format version,
    /// the weights' hash, the encoder's spec, the preprocessing, the type and the slice policy, and the
    /// precision, the segment and the channel where they are not the defaults. No path is part of it, so
    /// a cache can be moved.
    ///
    /// # Errors
    /// When the recipe cannot be written as JSON, which is what is hashed.
    pub fn key(&self) -> Result<String> {
        let parts = (
            FORMAT_VERSION,
            &self.encoder.weights_blake3,
            &self.spec,
            &self.preprocess,
            self.dtype,
            self.slices,
        );
        let text = match (self.precision, self.segment, self.channel) {
            (Precision::F32, None, None) => serde_json::to_vec(&parts),
            (other, None, None) => serde_json::to_vec(&(parts, other)),
            (precision, segment, channel) => {
                serde_json::to_vec(&(parts, precision, segment, channel))
            }
        };
        let text =
            text.map_err(|e| Error::CacheRecipe(format!("cannot be written as JSON: {e}")))?;
        let mut hasher = blake3::Hasher::new_derive_key("desam feature cache key v1");
        hasher.update(&text);
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// Options to read the volumes of such a cache again: the readers of `read`, with the chosen segment
    /// and channel. Limits on size and on the location of data files do not matter, since a hash proves
    /// that the files are the embedded ones.
    pub fn read_options(&self, read: &ReadOptions) -> ReadOptions {
        let any = read.clone().with_max_bytes(u64::MAX).with_follow_outside(true);
        any.with_segment(self.segment).with_channel(self.channel)
    }

    /// Bytes of the features of `slices` slices, without the files' small headers.
    pub fn estimate(&self, slices: usize) -> u64 {
        slices as u64 * self.spec.feature_elements() as u64 * self.dtype.bytes() as u64
    }

    /// Validates the recipe.
    ///
    /// # Errors
    /// When the encoder's spec has a side or a channel count of zero or out of any reason, a side
    /// that patches do not divide, no weights' hash, or a preprocessing that is not valid.
    pub fn validate(&self) -> Result<()> {
        let bad = |problem: String| Err(Error::CacheRecipe(problem));
        self.spec.validate().map_err(|e| Error::CacheRecipe(e.to_string()))?;
        if self.encoder.weights_blake3.is_empty() {
            return bad("the hash of the encoder's weights is missing".into());
        }
        self.preprocess.validate()
    }

    /// Differences between two recipes, in words, for an error about a cache of another recipe.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let mut out = Vec::new();
        let mut compare = |what: &str, ours: String, theirs: String| {
            if ours != theirs {
                out.push(format!("{what}: the cache has {theirs}, requested {ours}"));
            }
        };
        let encoder = |r: &EncoderRecord| format!("{} ({})", r.weights_blake3, r.name);
        if self.encoder.weights_blake3 != other.encoder.weights_blake3 {
            compare("encoder weights", encoder(&self.encoder), encoder(&other.encoder));
        }
        compare("encoder spec", format!("{:?}", self.spec), format!("{:?}", other.spec));
        compare(
            "preprocessing",
            format!("{:?}", self.preprocess),
            format!("{:?}", other.preprocess),
        );
        compare("feature type", self.dtype.to_string(), other.dtype.to_string());
        compare("slices", self.slices.to_string(), other.slices.to_string());
        let segment = |r: &Self| r.segment.map_or_else(|| "all".into(), |n| n.to_string());
        compare("segment", segment(self), segment(other));
        compare("precision", self.precision.to_string(), other.precision.to_string());
        let channel = |r: &Self| r.channel.map_or("none chosen".to_owned(), |n| n.to_string());
        compare("channel", channel(self), channel(other));
        out
    }

    /// Settings that all processes filling one cache must share.
    pub(crate) fn agreement(&self) -> crate::lock::SharedSettings {
        let file = self.encoder.file_blake3.as_deref().unwrap_or("none");
        crate::lock::SharedSettings::new()
            .with("encoder weights", &self.encoder.weights_blake3)
            .with("weights file", file)
            .with("encoder spec", format!("{:?}", self.spec))
            .with("preprocessing", format!("{:?}", self.preprocess))
            .with("feature type", self.dtype.to_string())
            .with("slices", self.slices.to_string())
            .with("precision", self.precision.to_string())
    }

    /// The tensors of one slice's features, in their order.
    pub(crate) fn feature_tensors(&self) -> Vec<super::TensorSpec> {
        let grid = self.spec.grid();
        let tensor = |name: String, channels: usize| super::TensorSpec {
            name,
            dtype: self.dtype.stored(),
            shape: vec![1, channels, grid, grid],
        };
        let taps = self.spec.tap_channels.iter().enumerate();
        taps.map(|(n, &c)| tensor(format!("tap{n}"), c))
            .chain([tensor("embedding".into(), self.spec.embedding_channels)])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> CacheRecipe {
        CacheRecipe {
            encoder: EncoderRecord::new("toy", "ab"),
            // SAM ViT-B's numbers: 12 blocks, global attention at 2, 5, 8 and 11.
            spec: EncoderSpec {
                input_side: 1024,
                patch: 16,
                tap_channels: vec![768; 3],
                embedding_channels: 256,
            },
            preprocess: PreprocessConfig::official(),
            dtype: FeatureDtype::F16,
            slices: SlicePolicy::Labelled,
            precision: Precision::F32,
            segment: None,
            channel: None,
        }
    }

    #[test]
    fn everything_but_the_name_is_in_the_key() {
        let key = recipe().key().unwrap();
        assert_eq!(key.len(), 64);
        let same = CacheRecipe {
            encoder: EncoderRecord { name: "other".into(), ..recipe().encoder },
            ..recipe()
        };
        assert_eq!(same.key().unwrap(), key);
        let mut others = vec![recipe(); 9];
        others[0].encoder.weights_blake3 = "ac".into();
        others[1].spec.tap_channels.pop();
        others[2].preprocess = PreprocessConfig::paper();
        others[3].dtype = FeatureDtype::F32;
        others[4].slices = SlicePolicy::All;
        others[5].precision = Precision::Bf16;
        others[6].segment = Some(2);
        others[7].channel = Some(0);
        others[8].channel = Some(1);
        for other in &others {
            assert_ne!(other.key().unwrap(), key);
            assert_eq!(recipe().differences(other).len(), 1, "{other:?}");
        }
        let keys = others.iter().map(|o| o.key().unwrap());
        assert_eq!(keys.collect::<std::collections::BTreeSet<_>>().len(), others.len());
        assert!(recipe().differences(&same).is_empty());
    }

    #[test]
    fn caches_from_before_there_was_a_precision_keep_their_key() {
        // As the recipe above was hashed then: its six parts, nothing of a precision.
        let r = recipe();
        let parts =
            (FORMAT_VERSION, &r.encoder.weights_blake3, &r.spec, &r.preprocess, r.dtype, r.slices);
        let mut hasher = blake3::Hasher::new_derive_key("desam feature cache key v1");
        hasher.update(&serde_json::to_vec(&parts).unwrap());
        assert_eq!(r.key().unwrap(), hasher.finalize().to_hex().to_string());
        let text = serde_json::to_string(&r).unwrap();
        let defaults = ["precision", "segment", "\"channel\""];
        assert!(defaults.iter().all(|word| !text.contains(word)), "{text}");
        assert_eq!(serde_json::from_str::<CacheRecipe>(&text).unwrap(), r);
        let bf16 = CacheRecipe { precision: Precision::Bf16, ..r };
        let text = serde_json::to_string(&bf16).unwrap();
        assert_eq!(serde_json::from_str::<CacheRecipe>(&text).unwrap(), bf16);
    }

    #[test]
    fn estimate_is_that_of_sam() {
        // ViT-B in f32: (3·768 + 256) · 64² · 4 bytes = 40 MiB a slice.
        let f32s = CacheRecipe { dtype: FeatureDtype::F32, ..recipe() };
        assert_eq!(f32s.estimate(1), 40 << 20);
        assert_eq!(recipe().estimate(3), 60 << 20);
    }

    #[test]
    fn impossible_encoders_are_refused() {
        assert!(recipe().validate().is_ok());
        let with = |change: fn(&mut CacheRecipe)| {
            let mut r = recipe();
            change(&mut r);
            r.validate()
        };
        assert!(with(|r| r.spec.patch = 0).is_err());
        assert!(with(|r| r.spec.patch = 15).is_err());
        assert!(with(|r| r.spec.input_side = usize::MAX / 16 * 16).is_err());
        assert!(with(|r| r.spec.embedding_channels = 0).is_err());
        assert!(with(|r| r.encoder.weights_blake3.clear()).is_err());
    }

    #[test]
    fn names_of_choices_go_both_ways() {
        for dtype in [FeatureDtype::F16, FeatureDtype::F32] {
            assert_eq!(dtype.to_string().parse::<FeatureDtype>().unwrap(), dtype);
            assert_eq!(serde_json::to_string(&dtype).unwrap(), format!("\"{dtype}\""));
        }
        for policy in [SlicePolicy::Labelled, SlicePolicy::All] {
            assert_eq!(policy.to_string().parse::<SlicePolicy>().unwrap(), policy);
            assert_eq!(serde_json::to_string(&policy).unwrap(), format!("\"{policy}\""));
        }
        let message = "f8".parse::<FeatureDtype>().unwrap_err().to_string();
        assert!(message.contains("f8") && message.contains("f16 or f32"), "{message}");
    }
}
