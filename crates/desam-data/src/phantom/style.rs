//! Styles of phantom sites: scanner, protocol and patients.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Signal of each tissue, 1 being the brightest that the site's scaling is made for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TissueContrast {
    /// Pelvic fat, the background of everything.
    pub fat: f64,
    /// Obturator and levator muscles, and the walls of bladder and rectum.
    pub muscle: f64,
    /// Marrow of the pubic and ischial bones; their cortex is always nearly black.
    pub marrow: f64,
    /// Urine.
    pub bladder: f64,
    /// Content of the rectum: gas, stool or a coil's balloon.
    pub rectum: f64,
    /// Peripheral zone of the gland.
    pub peripheral: f64,
    /// Transition zone of the gland, before its nodules.
    pub transition: f64,
    /// Largest deviation of nodules from the transition zone's signal, up or down.
    pub nodules: f64,
    /// Blood vessels and the venous plexus: bright where flow is slow, dark where it is fast.
    pub vessels: f64,
}

/// A site of phantoms: grid, contrast, scanner faults and patients.
///
/// Spacings are the real sites' order of magnitude but matrices are small: in-plane spacing is
/// enlarged so that 96 to 160 pixels still cover 65 to 95 mm around the gland, which keeps the
/// demonstration quick without cropping the anatomy that a segmentation must tell from the gland.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteStyle {
    /// Name of the site and of its folder.
    pub name: String,
    /// Pixels along `i` (columns) and `j` (rows).
    pub matrix: [usize; 2],
    /// Slices along `k`.
    pub slices: usize,
    /// Spacing along `i`, `j`, `k`, in mm.
    pub spacing: [f64; 3],
    /// Smallest and largest gland aimed at, in ml; tapering and deformation take some per cent.
    pub gland_ml: [f64; 2],
    /// Offset of the gland from the image centre, towards the left and the back, in mm.
    pub centre_offset_mm: [f64; 2],
    /// Signal of each tissue.
    pub contrast: TissueContrast,
    /// Softness of edges, in mm: the site's effective resolution.
    pub blur_mm: f64,
    /// Amplitude of tissue texture, as a share of the tissue's signal.
    pub texture: f64,
    /// Deviation of the receiver noise, in units of the contrast; the image is its Rician magnitude.
    pub noise: f64,
    /// Strength of the smooth multiplicative bias field, roughly ± this share at the corners.
    pub bias: f64,
    /// Gain of an endorectal coil right at its surface; 0 where there is none. A coil also widens
    /// the rectum and presses the gland flat.
    pub coil: f64,
    /// Intensity written for a signal of 1.
    pub scale: f64,
    /// Whether label files tell the zones apart (1 peripheral, 2 transition) or hold 1 alone.
    pub zones_labelled: bool,
}

impl SiteStyle {
    /// The six sites `A` to `F`.
    ///
    /// `A` is a clean surface-coil protocol; `B` has a mild endorectal coil and zone labels;
    /// `C` thin slices, oblong pixels and little contrast between the zones; `D` is soft and
    /// noisy; `E` has a strong endorectal coil and a small field of view; `F` suppresses fat and
    /// shows the zones the other way round.
    pub fn six_sites() -> Vec<Self> {
        vec![site_a(), site_b(), site_c(), site_d(), site_e(), site_f()]
    }

    /// Checks that a phantom can be drawn in this style.
    ///
    /// # Errors
    /// When the grid is too small or too large, a number is not finite or of the wrong sign, the
    /// gland does not fit, or the name is no folder name.
    pub fn validate(&self) -> Result<()> {
        let bad = |problem: String| Err(Error::PhantomStyle { site: self.name.clone(), problem });
        if !crate::cache::is_plain_name(&self.name) {
            return bad("the name must be a plain folder name".into());
        }
        if self.matrix.iter().any(|m| !(32..=1024).contains(m)) {
            return bad(format!("matrix {:?} must be in 32..=1024", self.matrix));
        }
        if !(8..=256).contains(&self.slices) {
            return bad(format!("{} slices must be in 8..=256", self.slices));
        }
        if self.spacing.iter().any(|s| !(0.1..=20.0).contains(s)) {
            return bad(format!("spacing {:?} mm must be in 0.1..=20", self.spacing));
        }
        let [small, large] = self.gland_ml;
        if !(small >= 5.0 && large >= small && large <= 200.0) {
            return bad(format!("gland_ml {:?} must rise within 5..=200", self.gland_ml));
        }
        let c = &self.contrast;
        let signals = [
            c.fat,
            c.muscle,
            c.marrow,
            c.bladder,
            c.rectum,
            c.peripheral,
            c.transition,
            c.nodules,
            c.vessels,
            self.texture,
            self.noise,
            self.bias,
            self.coil,
        ];
        if signals.iter().any(|v| !(0.0..=100.0).contains(v)) {
            return bad("contrast, texture, noise, bias and coil must be in 0..=100".into());
        }
        if self.centre_offset_mm.iter().any(|v| !(-50.0..=50.0).contains(v)) {
            return bad("centre_offset_mm must be in -50..=50".into());
        }
        if !(0.05..=10.0).contains(&self.blur_mm) || !(1.0..=30_000.0).contains(&self.scale) {
            return bad("blur_mm must be in 0.05..=10 and scale in 1..=30000".into());
        }
        // One slice free of gland at both ends, and a gland that is not a pancake.
        let reach = self.slices as f64 * self.spacing[2] / 2.0 - 1.75 * self.spacing[2];
        if reach < 8.0 {
            return bad(format!("{} slices of {} mm hold no gland", self.slices, self.spacing[2]));
        }
        Ok(())
    }
}

fn site_a() -> SiteStyle {
    SiteStyle {
        name: "A".into(),
        matrix: [144, 144],
        slices: 16,
        spacing: [0.625, 0.625, 3.6],
        gland_ml: [35.0, 70.0],
        centre_offset_mm: [0.0, 2.0],
        contrast: TissueContrast {
            fat: 0.62,
            muscle: 0.17,
            marrow: 0.45,
            bladder: 0.95,
            rectum: 0.08,
            peripheral: 0.74,
            transition: 0.42,
            nodules: 0.16,
            vessels: 0.8,
        },
        blur_mm: 0.9,
        texture: 0.16,
        noise: 0.025,
        bias: 0.12,
        coil: 0.0,
        scale: 820.0,
        zones_labelled: false,
    }
}

fn site_b() -> SiteStyle {
    SiteStyle {
        name: "B".into(),
        matrix: [128, 128],
        slices: 16,
        spacing: [0.64, 0.64, 3.0],
        gland_ml: [30.0, 50.0],
        centre_offset_mm: [1.5, -3.0],
        contrast: TissueContrast {
            fat: 0.55,
            muscle: 0.2,
            marrow: 0.38,
            bladder: 0.85,
            rectum: 0.05,
            peripheral: 0.62,
            transition: 0.36,
            nodules: 0.12,
            vessels: 0.65,
        },
        blur_mm: 1.0,
        texture: 0.2,
        noise: 0.035,
        bias: 0.18,
        coil: 0.9,
        scale: 310.0,
        zones_labelled: true,
    }
}

fn site_c() -> SiteStyle {
    SiteStyle {
        name: "C".into(),
        matrix: [128, 160],
        slices: 18,
        spacing: [0.6, 0.48, 2.5],
        gland_ml: [28.0, 42.0],
        centre_offset_mm: [-2.0, 0.0],
        contrast: TissueContrast {
            fat: 0.8,
            muscle: 0.22,
            marrow: 0.6,
            bladder: 0.7,
            rectum: 0.3,
            peripheral: 0.56,
            transition: 0.47,
            nodules: 0.1,
            vessels: 0.12,
        },
        blur_mm: 0.8,
        texture: 0.14,
        noise: 0.04,
        bias: 0.25,
        coil: 0.0,
        scale: 1450.0,
        zones_labelled: false,
    }
}

fn site_d() -> SiteStyle {
    SiteStyle {
        name: "D".into(),
        matrix: [112, 112],
        slices: 15,
        spacing: [0.75, 0.75, 3.3],
        gland_ml: [28.0, 55.0],
        centre_offset_mm: [0.0, -4.0],
        contrast: TissueContrast {
            fat: 0.72,
            muscle: 0.12,
            marrow: 0.5,
            bladder: 0.9,
            rectum: 0.45,
            peripheral: 0.6,
            transition: 0.34,
            nodules: 0.18,
            vessels: 0.55,
        },
        blur_mm: 1.8,
        texture: 0.22,
        noise: 0.075,
        bias: 0.2,
        coil: 0.0,
        scale: 240.0,
        zones_labelled: false,
    }
}

fn site_e() -> SiteStyle {
    SiteStyle {
        name: "E".into(),
        matrix: [120, 120],
        slices: 18,
        spacing: [0.55, 0.55, 2.8],
        gland_ml: [30.0, 50.0],
        centre_offset_mm: [1.0, -6.0],
        contrast: TissueContrast {
            fat: 0.5,
            muscle: 0.15,
            marrow: 0.32,
            bladder: 0.7,
            rectum: 0.02,
            peripheral: 0.55,
            transition: 0.3,
            nodules: 0.12,
            vessels: 0.5,
        },
        blur_mm: 0.8,
        texture: 0.2,
        noise: 0.03,
        bias: 0.15,
        coil: 2.4,
        scale: 640.0,
        zones_labelled: false,
    }
}

fn site_f() -> SiteStyle {
    SiteStyle {
        name: "F".into(),
        matrix: [136, 136],
        slices: 15,
        spacing: [0.7, 0.7, 3.6],
        gland_ml: [30.0, 60.0],
        centre_offset_mm: [-1.0, 4.0],
        contrast: TissueContrast {
            fat: 0.24,
            muscle: 0.3,
            marrow: 0.16,
            bladder: 0.97,
            rectum: 0.1,
            peripheral: 0.44,
            transition: 0.6,
            nodules: 0.14,
            vessels: 0.75,
        },
        blur_mm: 1.1,
        texture: 0.18,
        noise: 0.045,
        bias: 0.22,
        coil: 0.5,
        scale: 1100.0,
        zones_labelled: false,
    }
}
