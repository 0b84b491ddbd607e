//! Synthetic prostate phantoms: six sites of made-up patients, so that everything here can be tried,
//! tested and timed without any download.
//!
//! A phantom is an axial T2-like slab through a pelvis: a gland of two zones, bladder above and in
//! front, rectum behind, muscle, fat, bone, vessels and seminal vesicles around. Each site has its
//! own grid, contrast, bias field, noise and patients, so that a model trained on one loses
//! something on the others. No number measured on phantoms says anything about patients.

mod anatomy;
mod noise;
mod shape;
mod style;

pub use style::{SiteStyle, TissueContrast};

use crate::layout::Case;
use crate::{Error, Result};
use anatomy::{Anatomy, Zone};
use desam_core::{Affine, Grid, LabelVolume, Progress, Volume};
use desam_volume::nifti::{write_labels, write_volume};
use noise::rician;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Configuration of a set of phantoms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhantomConfig {
    /// Cases at every site, 1 to 1000.
    pub cases_per_site: usize,
    /// Seed of everything; each case draws from the seed, its site's name and its own number, so
    /// that more cases or other sites do not change it.
    pub seed: u64,
    /// The sites, in the order they are written.
    #[serde(default = "SiteStyle::six_sites")]
    pub sites: Vec<SiteStyle>,
}

impl Default for PhantomConfig {
    /// Six sites of six cases.
    fn default() -> Self {
        Self { cases_per_site: 6, seed: 0, sites: SiteStyle::six_sites() }
    }
}

impl PhantomConfig {
    /// Checks that the phantoms can be written.
    ///
    /// # Errors
    /// When there are no cases or sites, two sites share a name (letter case aside, since folders
    /// may not tell), or a style is not valid.
    pub fn validate(&self) -> Result<()> {
        if !(1..=1000).contains(&self.cases_per_site) {
            return Err(Error::PhantomConfig(format!(
                "cases_per_site is {}; choose 1 to 1000",
                self.cases_per_site
            )));
        }
        if self.sites.is_empty() {
            return Err(Error::PhantomConfig("sites is empty; name at least one".into()));
        }
        for (n, site) in self.sites.iter().enumerate() {
            site.validate()?;
            let twin = |other: &SiteStyle| other.name.eq_ignore_ascii_case(&site.name);
            if self.sites.iter().take(n).any(twin) {
                return Err(Error::PhantomConfig(format!("two sites are called {}", site.name)));
            }
        }
        Ok(())
    }
}

impl PhantomConfig {
    /// The files that [`write_phantoms`] writes to `dir`.
    pub fn files(&self, dir: &Path) -> Vec<PathBuf> {
        let numbers = 0..self.cases_per_site.min(1000);
        let of_site = |style: &SiteStyle| {
            let folder = dir.join(&style.name);
            let of_case = move |number| self.case_files(&folder, number);
            numbers.clone().flat_map(of_case).collect::<Vec<_>>()
        };
        self.sites.iter().flat_map(of_site).collect()
    }

    /// The name of a case: two digits as in the public releases, more only where needed, so that
    /// names sort as numbers.
    fn case_id(&self, number: usize) -> String {
        let digits = self.cases_per_site.saturating_sub(1).to_string().len().max(2);
        format!("Case{number:0digits$}")
    }

    /// The image and the labels of a case.
    fn case_files(&self, folder: &Path, number: usize) -> [PathBuf; 2] {
        let id = self.case_id(number);
        ["", "_segmentation"].map(|end| folder.join(format!("{id}{end}.nii.gz")))
    }
}

/// One made-up patient.
#[derive(Debug, Clone, PartialEq)]
pub struct PhantomCase {
    /// Intensities, whole numbers from 0 to 32767 as in an `i16` image.
    pub image: Volume,
    /// Labels on the same grid: 1 in the gland, or 1 peripheral and 2 transition zone where the
    /// style labels zones.
    pub labels: LabelVolume,
}

/// Writes phantoms to `dir` as `SITE/CaseXX.nii.gz` and `SITE/CaseXX_segmentation.nii.gz`, and
/// returns the cases sorted by site and id. The same configuration gives the same bytes.
///
/// # Errors
/// When the configuration is not valid, another process writes to `dir`, or a file cannot be written.
pub fn write_phantoms(
    dir: &Path,
    config: &PhantomConfig,
    progress: &dyn Progress,
) -> Result<Vec<Case>> {
    config.validate()?;
    let _lock = crate::lock::folder(dir, progress)?;
    let total = config.cases_per_site * config.sites.len();
    progress.begin("writing phantoms", total as u64);
    let mut cases = Vec::with_capacity(total);
    for style in &config.sites {
        let folder = dir.join(&style.name);
        std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        for number in 0..config.cases_per_site {
            let id = config.case_id(number);
            let phantom = phantom_case(style, case_seed(config.seed, &style.name, number))?;
            let [image, label] = config.case_files(&folder, number);
            write_volume(&image, &phantom.image)?;
            write_labels(&label, &phantom.labels)?;
            progress.advance(1, &format!("{}/{id}", style.name));
            cases.push(Case { site: style.name.clone(), id, image, label: Some(label) });
        }
    }
    cases.sort_by(|a, b| (&a.site, &a.id).cmp(&(&b.site, &b.id)));
    progress.finish(&format!("{total} phantoms at {} sites", config.sites.len()));
    Ok(cases)
}

/// The seed of one case: a hash, so that neighbouring seeds, sites and cases have nothing in common.
fn case_seed(seed: u64, site: &str, number: usize) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("desam phantom case v1");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&(number as u64).to_le_bytes());
    hasher.update(site.as_bytes());
    let mut head = [0u8; 8];
    hasher.finalize_xof().fill(&mut head);
    u64::from_le_bytes(head)
}

/// Draws one phantom, the same for the same style and seed whatever the number of threads.
///
/// # Errors
/// When the style is not valid.
pub fn phantom_case(style: &SiteStyle, seed: u64) -> Result<PhantomCase> {
    style.validate()?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let [columns, rows] = style.matrix;
    let spacing = style.spacing;
    let jitter = [
        style.centre_offset_mm[0] + rng.random_range(-3.0..3.0),
        style.centre_offset_mm[1] + rng.random_range(-3.0..3.0),
        spacing[2] * rng.random_range(-0.25..0.25),
    ];
    // The deformation may shift the gland's poles by up to 3.2 mm, rarely by more than half of it.
    let reach = style.slices as f64 * spacing[2] / 2.0 - 1.75 * spacing[2];
    let anatomy = Anatomy::draw(style, reach - 1.0, &mut rng);
    let bias = Bias::draw(style, &mut rng);
    let grid = Grid { dims: [columns, rows, style.slices], affine: scanner(style, &mut rng) };

    // Voxel indices to mm from the gland's centre.
    let half = [columns, rows, style.slices].map(|n| (n as f64 - 1.0) / 2.0);
    let place = |i: f64, j: f64, k: f64| {
        let v = [i, j, k];
        [0, 1, 2].map(|a| (v[a] - half[a]) * spacing[a] - jitter[a])
    };
    let mut data = vec![0.0f32; grid.len()];
    let mut labels = vec![0u8; grid.len()];
    let slice_rng = rng;
    data.par_chunks_mut(grid.slice_len())
        .zip(labels.par_chunks_mut(grid.slice_len()))
        .enumerate()
        .for_each(|(k, (pixels, marks))| {
            // A separate random stream for each slice, so that the number of threads cannot change the
            // result.
            let mut rng = slice_rng.clone();
            rng.set_stream(k as u64 + 1);
            let voxels = pixels.iter_mut().zip(marks.iter_mut()).enumerate();
            for (n, (pixel, mark)) in voxels {
                let (i, j, k) = ((n % columns) as f64, (n / columns) as f64, k as f64);
                let p = place(i, j, k);
                let own = anatomy.place(p);
                let gain = bias.at(p) * coil_gain(style, &anatomy, own);
                let clean = anatomy.signal(own, spacing[2]) * gain;
                let value = rician(clean, style.noise, &mut rng) * style.scale;
                *pixel = value.round().clamp(0.0, 32767.0) as f32;
                *mark = match anatomy.zone(own) {
                    Zone::Outside => 0,
                    Zone::Transition if style.zones_labelled => 2,
                    Zone::Transition | Zone::Peripheral => 1,
                };
            }
        });
    Ok(PhantomCase { image: Volume::new(grid, data)?, labels: LabelVolume::new(grid, labels)? })
}

/// Gain of the endorectal coil at the patient's own place `p`: high at its surface, fading over two
/// centimetres.
fn coil_gain(style: &SiteStyle, anatomy: &Anatomy, p: [f64; 3]) -> f64 {
    if style.coil > 0.0 { 0.7 + style.coil * (-anatomy.coil_distance(p) / 20.0).exp() } else { 1.0 }
}

/// An axial slab as scanners write it: columns to the patient's left, rows to the back, slices to
/// the head, the origin somewhere off the isocentre.
fn scanner(style: &SiteStyle, rng: &mut impl Rng) -> Affine {
    let [sx, sy, sz] = style.spacing;
    let [columns, rows] = style.matrix.map(|n| n as f64);
    let x = (columns - 1.0) * sx / 2.0 + rng.random_range(-8.0..8.0);
    let y = (rows - 1.0) * sy / 2.0 + rng.random_range(-30.0..10.0);
    let z = -(style.slices as f64) * sz / 2.0 + rng.random_range(-60.0..20.0);
    // A tenth of a micrometre is what survives single precision in a header.
    let [x, y, z] = [x, y, z].map(|v: f64| (v * 64.0).round() / 64.0);
    Affine([[-sx, 0.0, 0.0, x], [0.0, -sy, 0.0, y], [0.0, 0.0, sz, z]])
}

/// A smooth multiplicative field: the exponential of a random quadratic.
#[derive(Debug, Clone)]
struct Bias {
    strength: f64,
    terms: [f64; 6],
}

impl Bias {
    fn draw(style: &SiteStyle, rng: &mut impl Rng) -> Self {
        Self { strength: style.bias, terms: [0; 6].map(|_| rng.random_range(-1.0..1.0)) }
    }

    fn at(&self, p: [f64; 3]) -> f64 {
        let [x, y, z] = p.map(|v| v / 40.0);
        let shapes = [x, y, z, x * x - y * y, x * y, y * z];
        let field: f64 = self.terms.iter().zip(shapes).map(|(t, s)| t * s).sum();
        (self.strength * field).exp()
    }
}

#[cfg(test)]
mod tests;
