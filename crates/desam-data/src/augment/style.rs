//! Style augmentation: what another scanner or protocol would make of the same slice.

use super::blend::{blended, blending_map};
use super::geometry::RandomAffine;
use super::intensity::Tone;
use super::random_conv::{Gin, RandConv};
use super::z_score::ZScores;
use super::{ImageAugment, TRIES};
use crate::preprocess::SliceImage;
use crate::{Error, Result};
use desam_core::LabelMask;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

desam_core::named! {
    /// One random change of a slice's style.
    pub enum StyleStep: "augmentation" {
        /// GIN: a small network of random convolutions, mixed with the image. Contrasts change, and may
        /// be inverted.
        Gin = "gin",
        /// GIN + IPA: two images by GIN, blended by a smooth random map, so that what looks alike in one
        /// corner of the image does not in another.
        GinIpa = "gin-ipa",
        /// RandConv: one random convolution, mixed with the image.
        RandConv = "randconv",
        /// A smooth multiplicative bias field, as an uneven coil makes.
        Bias = "bias",
        /// A gamma curve.
        Gamma = "gamma",
        /// Regular image augmentation, which the paper leaves as a further improvement: flips,
        /// rotation, scaling, shifts, gamma, bias field and noise; see [`ImageAugment::regular`]. The
        /// only step that moves the mask as well.
        Paper = "paper",
    }
}

impl StyleStep {
    /// The spatial and intensity changes of the steps that are made of such, which are chosen for this
    /// project; twice as strong as among all others in [`ImageAugment::regular`].
    fn ranges(self) -> Option<ImageAugment> {
        match self {
            Self::Bias => Some(ImageAugment { bias_field: 0.6, ..ImageAugment::none() }),
            Self::Gamma => Some(ImageAugment { gamma: 0.8, ..ImageAugment::none() }),
            Self::Paper => Some(ImageAugment::regular()),
            Self::Gin | Self::GinIpa | Self::RandConv => None,
        }
    }

    /// The image changed by this step.
    fn image(self, image: &SliceImage, rng: &mut ChaCha8Rng) -> SliceImage {
        if let Some(ranges) = self.ranges() {
            let placement = RandomAffine::draw(&ranges, rng);
            // Bilinear reading would blur an image that stays where it is.
            let mut out = if ranges.moves() { placement.image(image) } else { image.clone() };
            Tone::draw(&ranges, rng).change(&mut out, rng);
            return out;
        }
        // What comes out flat says nothing: the image stays as it is.
        let changed = ZScores::new(image).and_then(|scores| {
            let (values, side, channels) = (&scores.values, scores.side(), scores.channels());
            let changed = match self {
                Self::RandConv => RandConv::draw(channels, rng).apply(values, side),
                Self::GinIpa => {
                    let [a, b] = [0; 2].map(|_| Gin::draw(channels, rng).apply(values, side));
                    blended(&a, &b, &blending_map(side, rng))
                }
                _ => Gin::draw(channels, rng).apply(values, side),
            };
            scores.levels(&changed)
        });
        changed.unwrap_or_else(|| image.clone())
    }

    /// The mask moved as this step moves the image, by the same random numbers.
    fn mask(self, mask: &LabelMask, rng: &mut ChaCha8Rng) -> LabelMask {
        match self.ranges().filter(ImageAugment::moves) {
            Some(ranges) => RandomAffine::draw(&ranges, rng).mask(mask),
            None => mask.clone(),
        }
    }
}

/// Seed of one changed view of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewSeed(pub [u8; 32]);

impl ViewSeed {
    /// The random numbers of step `n`.
    fn stream(self, n: usize) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::from_seed(self.0);
        rng.set_stream(n as u64);
        rng
    }
}

/// Random changes of a slice's style, one after the other. Written as their names with commas between
/// them, such as `paper,gin`.
///
/// ```
/// use desam_data::augment::StyleAugment;
///
/// let style: StyleAugment = "paper,gin".parse()?;
/// assert!(style.moves());
/// assert_eq!(style.to_string(), "paper,gin");
/// # Ok::<(), desam_data::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<StyleStep>", into = "Vec<StyleStep>")]
pub struct StyleAugment(Vec<StyleStep>);

impl StyleAugment {
    /// Changes in this order.
    ///
    /// # Errors
    /// [`Error::StyleSteps`] when there is none, or one comes twice.
    pub fn new(steps: Vec<StyleStep>) -> Result<Self> {
        let repeated = steps.iter().enumerate().find(|(n, step)| steps[..*n].contains(step));
        match (steps.is_empty(), repeated) {
            (true, _) => Err(Error::StyleSteps("it is empty".into())),
            (_, Some((_, step))) => Err(Error::StyleSteps(format!("{step} comes twice"))),
            _ => Ok(Self(steps)),
        }
    }

    /// Whether the mask moves with the image.
    pub fn moves(&self) -> bool {
        self.0.iter().any(|step| step.ranges().is_some_and(|ranges| ranges.moves()))
    }

    /// The image changed as `seed` says. The same seed gives the same bits.
    pub fn image(&self, image: &SliceImage, seed: ViewSeed) -> SliceImage {
        let steps = self.0.iter().enumerate();
        steps.fold(image.clone(), |image, (n, step)| step.image(&image, &mut seed.stream(n)))
    }

    /// The mask as it lies in the image that [`image`](Self::image) makes by the same seed.
    pub fn mask(&self, mask: &LabelMask, seed: ViewSeed) -> LabelMask {
        let steps = self.0.iter().enumerate();
        steps.fold(mask.clone(), |mask, (n, step)| step.mask(&mask, &mut seed.stream(n)))
    }

    /// Image and mask changed at random. A mask with foreground keeps some; where no attempt leaves
    /// any, nothing is changed.
    pub fn apply(
        &self,
        image: &SliceImage,
        mask: &LabelMask,
        rng: &mut impl Rng,
    ) -> (SliceImage, LabelMask) {
        let placed = (0..TRIES).find_map(|_| {
            let seed = ViewSeed(rng.random());
            let moved = self.mask(mask, seed);
            (mask.is_empty() || !moved.is_empty()).then_some((seed, moved))
        });
        match placed {
            Some((seed, moved)) => (self.image(image, seed), moved),
            None => (image.clone(), mask.clone()),
        }
    }
}

impl Default for StyleAugment {
    /// Regular augmentation, then GIN: of the lists that were compared on phantoms the one that
    /// generalises best (docs/results.md).
    fn default() -> Self {
        Self(vec![StyleStep::Paper, StyleStep::Gin])
    }
}

impl TryFrom<Vec<StyleStep>> for StyleAugment {
    type Error = Error;

    fn try_from(steps: Vec<StyleStep>) -> Result<Self> {
        Self::new(steps)
    }
}

impl From<StyleAugment> for Vec<StyleStep> {
    fn from(style: StyleAugment) -> Self {
        style.0
    }
}

impl std::fmt::Display for StyleAugment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|step| step.name()).collect();
        f.write_str(&names.join(","))
    }
}

impl std::str::FromStr for StyleAugment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let step = |name: &str| {
            name.trim().parse::<StyleStep>().map_err(|e| Error::StyleSteps(e.to_string()))
        };
        Self::new(text.split(',').map(step).collect::<Result<_>>()?)
    }
}
