//! A toy encoder and a folder of small phantoms.

use candle_core::{Result, Tensor};
use desam_core::{EncoderSpec, ImageEncoder, ImageFeatures, Quiet};
use desam_data::cache::EncoderRecord;
use desam_data::embed::EmbedOptions;
use desam_data::phantom::{PhantomConfig, SiteStyle, write_phantoms};
use desam_data::preprocess::{LabelRule, PreprocessConfig};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `value` after `change`: settings that grow cannot be written as a literal outside their crate.
pub(crate) fn changed<T>(mut value: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut value);
    value
}

/// Mean of each patch, in each channel times another number.
pub(crate) struct ToyEncoder {
    spec: EncoderSpec,
    calls: AtomicUsize,
    most: usize,
    scale: f64,
    lies: bool,
}

impl ToyEncoder {
    pub(crate) fn new() -> Self {
        let spec = EncoderSpec {
            input_side: 64,
            patch: 16,
            tap_channels: vec![2, 3, 1],
            embedding_channels: 5,
        };
        let calls = AtomicUsize::new(0);
        Self { spec, calls, most: usize::MAX, scale: 1.0, lies: false }
    }

    pub(crate) fn failing_after(most: usize) -> Self {
        Self { most, ..Self::new() }
    }

    pub(crate) fn scaled(scale: f64) -> Self {
        Self { scale, ..Self::new() }
    }

    /// Gives one channel too many in its second tap.
    pub(crate) fn lying() -> Self {
        Self { lies: true, ..Self::new() }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl ImageEncoder for ToyEncoder {
    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    fn encode(&self, pixels: &Tensor) -> Result<ImageFeatures> {
        if self.calls.fetch_add(1, Ordering::SeqCst) >= self.most {
            candle_core::bail!("out of coffee");
        }
        let means = pixels.narrow(1, 0, 1)?.avg_pool2d(self.spec.patch)?;
        let channels = |count: usize, first: f64| {
            let maps: Result<Vec<Tensor>> = (0..count)
                .map(|c| means.affine(self.scale * (first + 0.37 * c as f64), 1e-5))
                .collect();
            Tensor::cat(&maps?, 1)
        };
        Ok(ImageFeatures {
            taps: vec![
                channels(2, 1.0)?,
                channels(3 + usize::from(self.lies), -7.0)?,
                channels(1, 300.0)?,
            ],
            embedding: channels(5, 0.01)?,
        })
    }
}

/// Two sites of two cases in a folder that goes when this does.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sites = ["north", "south"].into_iter().zip(SiteStyle::six_sites());
        let sites = sites.map(|(name, style)| SiteStyle {
            name: name.into(),
            matrix: [40, 36],
            slices: 10,
            spacing: [2.2, 2.4, 5.0],
            ..style
        });
        let config = PhantomConfig { cases_per_site: 2, seed: 7, sites: sites.collect() };
        write_phantoms(&dir.path().join("data"), &config, &Quiet).unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn options(&self, cache: &str) -> EmbedOptions {
        let data_root = self.path("data");
        EmbedOptions::new(
            self.path(cache),
            &data_root,
            desam_data::layout::discover(&data_root).unwrap(),
            EncoderRecord::new("toy", "toy weights"),
        )
        // Small phantoms and small masks: the official erosion would leave next to nothing.
        .with_preprocess(PreprocessConfig {
            labels: LabelRule::Nearest,
            ..PreprocessConfig::official()
        })
    }
}
