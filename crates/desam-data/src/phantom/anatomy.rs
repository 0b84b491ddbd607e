//! Synthetic anatomy of one patient: geometry and MR signal of the organs.

use super::SiteStyle;
use super::noise::{SmoothNoise, Warp};
use super::shape::{Ellipsoid, Point, Tube, coverage, wall};
use rand::Rng;

/// Signal of compact bone, which has next to no water: dark at every site.
const CORTEX: f64 = 0.04;

/// Anatomical zone of a voxel, for the label file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    Outside,
    Peripheral,
    Transition,
}

/// The gland: an ellipsoid that tapers towards its apex and is dented behind, with a transition
/// zone of two lobes inside.
#[derive(Debug, Clone)]
struct Gland {
    capsule: Ellipsoid,
    lobes: [Ellipsoid; 2],
    /// Centre, radius and signal offset of each nodule.
    nodules: Vec<(Ellipsoid, f64)>,
    stroma: Ellipsoid,
    urethra: Tube,
}

impl Gland {
    fn draw(radii: Point, style: &SiteStyle, rng: &mut impl Rng) -> Self {
        let [a, b, c] = radii;
        let lobes = [-1.0, 1.0].map(|side: f64| {
            let grow = rng.random_range(0.9..1.12);
            Ellipsoid::new(
                [side * 0.24 * a, -0.18 * b, 0.1 * c],
                [0.4 * a * grow, 0.58 * b * grow, 0.66 * c * grow],
            )
        });
        let nodules = (0..rng.random_range(5..10)).map(|n| {
            let lobe = lobes[n % 2];
            let centre =
                [0, 1, 2].map(|i| lobe.centre[i] + lobe.radii[i] * rng.random_range(-0.6..0.6));
            let size = rng.random_range(0.1..0.24) * a;
            let lift = style.contrast.nodules * rng.random_range(-1.0..1.0);
            (Ellipsoid::new(centre, [size, size * rng.random_range(0.8..1.2), size]), lift)
        });
        let nodules = nodules.collect();
        Self {
            capsule: Ellipsoid::new([0.0; 3], radii),
            lobes,
            nodules,
            stroma: Ellipsoid::new([0.0, -0.86 * b, 0.0], [0.42 * a, 0.2 * b, 0.7 * c]),
            urethra: Tube { centre: [0.0, 0.0], lean: [0.0, 0.12], bend: 0.0, radius: 1.4 },
        }
    }

    /// Undoes taper and dent, so that the rest can think in plain ellipsoids.
    fn straighten(&self, p: Point) -> Point {
        let [a, b, c] = self.capsule.radii;
        let height = p[2] / c;
        let girth = if height < 0.0 { 1.0 + 0.22 * height } else { 1.0 - 0.08 * height };
        let girth = girth.max(0.5);
        let dent = 0.13 * b * (-(p[0] / (0.45 * a)).powi(2)).exp();
        let y = p[1] / girth;
        [p[0] / girth, if y > 0.0 { y + dent * (y / b).min(1.0) } else { y }, p[2]]
    }

    fn lobes_distance(&self, q: Point) -> f64 {
        self.lobes.iter().map(|l| l.distance(q)).fold(f64::INFINITY, f64::min)
    }
}

/// A blood vessel or a bundle of them.
#[derive(Debug, Clone, Copy)]
struct Vessel {
    tube: Tube,
    signal: f64,
}

/// One patient's pelvis around the gland, in mm from the gland's centre.
#[derive(Debug, Clone)]
pub(super) struct Anatomy {
    style: SiteStyle,
    texture: SmoothNoise,
    warp: Warp,
    /// Cosine and sine of a small roll of the patient.
    roll: [f64; 2],
    gland: Gland,
    muscles: [Ellipsoid; 2],
    sling: Ellipsoid,
    bones: Vec<Ellipsoid>,
    bladder: Ellipsoid,
    vesicles: [Ellipsoid; 2],
    rectum: Tube,
    plexus: Ellipsoid,
    vessels: Vec<Vessel>,
}

impl Anatomy {
    /// Draws a patient of this site. `reach` is the largest half-height of a gland, in mm, that
    /// leaves slices free of it at both ends.
    pub(super) fn draw(style: &SiteStyle, reach: f64, rng: &mut impl Rng) -> Self {
        let texture = SmoothNoise::draw(rng);
        let warp = Warp::draw(2.0, rng);
        let angle = rng.random_range(-0.09..0.09f64);
        let radii = gland_radii(style, reach, rng);
        let [a, b, c] = radii;
        let gland = Gland::draw(radii, style, rng);

        let muscle_gap = rng.random_range(3.5..7.5);
        let muscles = [-1.0, 1.0].map(|side| {
            Ellipsoid::new([side * (a + muscle_gap + 7.5), 2.0, -4.0], [7.5, 27.0, 60.0])
        });
        let hip = a + muscle_gap + 28.0;
        let mut bones: Vec<Ellipsoid> = [-1.0, 1.0]
            .map(|side| Ellipsoid::new([side * hip, -6.0, 4.0], [15.0, 22.0, 45.0]))
            .to_vec();
        let pubis = rng.random_range(12.0..16.0);
        bones.extend(
            [-1.0, 1.0].map(|side| {
                Ellipsoid::new([side * 10.0, -(b + pubis), -0.55 * c], [8.5, 8.0, 15.0])
            }),
        );

        let fill = rng.random_range(0.75..1.15);
        let bladder = Ellipsoid::new(
            [rng.random_range(-2.0..2.0), -0.3 * b - 5.0, c + 11.0 * fill],
            [27.0 * fill, 20.0 * fill, 17.0 * fill],
        );
        let vesicles = [-1.0, 1.0]
            .map(|side| Ellipsoid::new([side * 12.0, 0.62 * b, c + 1.5], [11.0, 4.5, 5.5]));
        let radius = if style.coil > 0.0 {
            rng.random_range(14.5..17.5)
        } else {
            rng.random_range(9.0..13.5)
        };
        let rectum = Tube {
            centre: [rng.random_range(-3.0..3.0), b + radius + rng.random_range(0.8..2.2)],
            lean: [rng.random_range(-0.05..0.05), rng.random_range(0.02..0.12)],
            bend: 0.004,
            radius,
        };
        let sling = Ellipsoid::new(
            [0.0, 0.5 * b + 5.0, -1.1 * c],
            [0.8 * a + 7.0, b + radius + 4.0, 1.15 * c],
        );
        let plexus = Ellipsoid::new([0.0, -(b + 3.0), -0.35 * c], [0.7 * a, 3.5, 0.7 * c]);
        let vessels = draw_vessels(radii, style, rng);
        Self {
            style: style.clone(),
            texture,
            warp,
            roll: [angle.cos(), angle.sin()],
            gland,
            muscles,
            sling,
            bones,
            bladder,
            vesicles,
            rectum,
            plexus,
            vessels,
        }
    }

    /// The patient's own place of a place in the scanner: roll, then smooth deformation. All that
    /// follows takes the patient's own.
    pub(super) fn place(&self, p: Point) -> Point {
        let [cos, sin] = self.roll;
        self.warp.apply([cos * p[0] + sin * p[1], cos * p[1] - sin * p[0], p[2]])
    }

    /// Zone of the gland that `p` lies in; [`Zone::Outside`] where in none.
    pub(super) fn zone(&self, p: Point) -> Zone {
        let q = self.gland.straighten(p);
        if self.gland.capsule.distance(q) >= 0.0 {
            Zone::Outside
        } else if self.gland.lobes_distance(q) < 0.0 {
            Zone::Transition
        } else {
            Zone::Peripheral
        }
    }

    /// Signal around `p`, before coil, bias and noise. The mean of two samples `thickness / 2`
    /// apart gives a slice its partial volume; texture, which is finer, is sampled once.
    pub(super) fn signal(&self, p: Point, thickness: f64) -> f64 {
        // Septa lie where a sum of two scales crosses zero; one scale alone shows its lattice.
        let tilted = [0.8 * p[0] + 0.6 * p[1], 0.8 * p[1] - 0.6 * p[0], p[2]];
        let ridge = 0.7 * self.texture.at(tilted, 11.0) + 0.45 * self.texture.at(tilted, 4.7);
        let grain = Grain {
            coarse: self.texture.at(p, 5.5),
            fine: self.texture.at([p[1] + 17.3, p[2] * 0.7, p[0] - 41.9], 1.9),
            septa: (1.0 - ridge.abs() * 5.0).max(0.0),
        };
        let [x, y, z] = p;
        let quarter = thickness / 4.0;
        0.5 * (self.sample([x, y, z - quarter], grain) + self.sample([x, y, z + quarter], grain))
    }

    fn sample(&self, p: Point, grain: Grain) -> f64 {
        let t = &self.style.contrast;
        let texture = self.style.texture;
        let rough = |signal: f64, share: f64| {
            signal * (1.0 + texture * share * (0.6 * grain.coarse + 0.5 * grain.fine))
        };
        // Septa run through fat; painted first, everything else lies on top of it.
        let fat = rough(t.fat, 1.0) * (1.0 - 0.22 * grain.septa);
        let mut paint = Paint { value: fat, blur: self.style.blur_mm };
        for muscle in &self.muscles {
            let d = muscle.distance(p);
            if d < self.style.blur_mm {
                // Muscle fibres run from head to foot: stretch the grain along z.
                let fibre = self.texture.at([p[0], p[1], 0.2 * p[2]], 1.6);
                paint.solid(d, t.muscle * (1.0 + 0.9 * texture * fibre));
            }
        }
        paint.wall(self.sling.distance(p) + 1.2 * grain.coarse, 2.8, rough(t.muscle * 1.3, 1.2));
        for bone in &self.bones {
            let d = bone.distance(p);
            paint.solid(d, CORTEX);
            paint.solid(d + 2.0, rough(t.marrow, 1.3));
        }
        paint.solid(
            self.plexus.distance(p),
            t.fat + (t.vessels - t.fat) * (0.35 + 0.3 * grain.coarse),
        );
        for vessel in &self.vessels {
            paint.solid(vessel.tube.distance(p), vessel.signal);
        }
        for vesicle in &self.vesicles {
            paint.solid(vesicle.distance(p), (t.bladder * 0.75) * (1.0 + 0.35 * grain.fine));
        }
        let d = self.bladder.distance(p);
        paint.solid(d, rough(t.muscle * 1.2, 0.6));
        paint.solid(d + 3.0, rough(t.bladder, 0.15));
        let d = self.rectum.distance(p);
        paint.solid(d, rough(t.muscle * 1.5, 0.8));
        paint.solid(d + 2.8, rough(t.rectum, 2.5));

        let q = self.gland.straighten(p);
        self.paint_gland(&mut paint, q, grain);
        paint.value.max(0.0)
    }

    fn paint_gland(&self, paint: &mut Paint, q: Point, grain: Grain) {
        let t = &self.style.contrast;
        let texture = self.style.texture;
        let d = self.gland.capsule.distance(q);
        if d > 3.0 {
            return;
        }
        let zone = t.peripheral * (1.0 + texture * (0.5 * grain.coarse + 0.35 * grain.fine));
        paint.solid(d, zone);
        paint.wall(d, 0.8, t.muscle + 0.35 * (t.peripheral - t.muscle).abs());
        let inside = coverage(d, self.style.blur_mm);
        let lobes = self.gland.lobes_distance(q);
        let mut core = Paint { value: paint.value, blur: self.style.blur_mm };
        core.solid(self.gland.stroma.distance(q), t.muscle * 1.2);
        let heterogeneous = 1.5 * texture * (0.8 * grain.coarse + 0.5 * grain.fine);
        core.solid(lobes, t.transition * (1.0 + heterogeneous));
        for (nodule, lift) in &self.gland.nodules {
            let bump = coverage(nodule.distance(q), 1.6) * coverage(lobes, self.style.blur_mm);
            core.value += bump * lift;
        }
        core.wall(lobes, 0.7, 0.6 * t.transition);
        if q[2] > -self.gland.capsule.radii[2] * 0.9 {
            core.solid(self.gland.urethra.distance(q), 0.7 * t.peripheral + 0.3 * t.bladder);
        }
        paint.value += inside * (core.value - paint.value);
    }

    /// Distance of `p` from the surface of the rectum, where a coil would lie, in mm; 0 inside.
    pub(super) fn coil_distance(&self, p: Point) -> f64 {
        self.rectum.distance(p).max(0.0)
    }
}

/// Texture of one voxel, in [-1, 1]; septa from 0 to 1.
#[derive(Debug, Clone, Copy)]
struct Grain {
    coarse: f64,
    fine: f64,
    septa: f64,
}

/// One voxel being painted, organ over organ.
struct Paint {
    value: f64,
    blur: f64,
}

impl Paint {
    fn solid(&mut self, distance: f64, signal: f64) {
        self.value += coverage(distance, self.blur) * (signal - self.value);
    }

    fn wall(&mut self, distance: f64, thickness: f64, signal: f64) {
        self.value += wall(distance, thickness, self.blur) * (signal - self.value);
    }
}

/// Half-axes of a gland of the site's size: left-right, front-back, foot-head.
fn gland_radii(style: &SiteStyle, reach: f64, rng: &mut impl Rng) -> Point {
    let ml = rng.random_range(style.gland_ml[0]..=style.gland_ml[1]);
    // Taper and dent cost about a tenth of the ellipsoid's volume.
    let product = 1.1 * ml * 1000.0 * 3.0 / (4.0 * std::f64::consts::PI);
    let depth = rng.random_range(0.7..0.82) * if style.coil > 0.0 { 0.92 } else { 1.0 };
    let height = rng.random_range(0.74..0.86);
    let wide = (product / (depth * height)).cbrt();
    let tall = (wide * height).min(reach);
    // What the slab's height takes away, the cross-section gives back.
    let widen = (product / (wide * wide * depth * tall)).sqrt();
    [wide * widen, wide * depth * widen, tall]
}

/// Neurovascular bundles at the gland's rear corners, and a few vessels in the fat around.
fn draw_vessels(radii: Point, style: &SiteStyle, rng: &mut impl Rng) -> Vec<Vessel> {
    let [a, b, _] = radii;
    let mut vessels = Vec::new();
    for side in [-1.0, 1.0] {
        for _ in 0..3 {
            let centre = [
                side * (0.8 * a + rng.random_range(-2.0..3.0)),
                0.85 * b + rng.random_range(-1.5..3.0),
            ];
            vessels.push((centre, rng.random_range(0.9..1.7)));
        }
        for _ in 0..rng.random_range(2..5) {
            let centre = [side * (a + rng.random_range(2.0..8.0)), rng.random_range(-1.3 * b..b)];
            vessels.push((centre, rng.random_range(1.1..2.4)));
        }
    }
    vessels
        .into_iter()
        .map(|(centre, radius)| {
            let lean = [rng.random_range(-0.15..0.15), rng.random_range(-0.15..0.15)];
            let signal = style.contrast.vessels * rng.random_range(0.7..1.1);
            Vessel { tube: Tube { centre, lean, bend: 0.0, radius }, signal }
        })
        .collect()
}
