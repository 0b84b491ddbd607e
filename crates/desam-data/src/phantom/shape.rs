//! Signed distance functions of the solids that a pelvis is built from.

/// A place in millimetres: `x` to the patient's left, `y` to the back, `z` to the head.
pub(super) type Point = [f64; 3];

/// An ellipsoid whose axes are the patient's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ellipsoid {
    pub(super) centre: Point,
    pub(super) radii: Point,
    inverse: Point,
    least: f64,
}

impl Ellipsoid {
    pub(super) fn new(centre: Point, radii: Point) -> Self {
        let least = radii.iter().copied().fold(f64::INFINITY, f64::min);
        Self { centre, radii, inverse: radii.map(|r| 1.0 / r), least }
    }

    /// Distance to the surface in mm, negative inside; exact on the surface, and near it within a
    /// few per cent, which is all that soft edges and thin walls need. Far outside, where nothing
    /// is painted, a cheap number that is not too large.
    pub(super) fn distance(&self, p: Point) -> f64 {
        let q = [0, 1, 2].map(|a| (p[a] - self.centre[a]) * self.inverse[a]);
        let square = q[0] * q[0] + q[1] * q[1] + q[2] * q[2];
        if square > 9.0 {
            return 2.0 * self.least;
        }
        let reach = square.sqrt();
        let slope = norm([0, 1, 2].map(|a| q[a] * self.inverse[a]));
        if slope < 1e-9 {
            // The very centre, where the ratio below is 0 / 0.
            return -self.least;
        }
        reach * (reach - 1.0) / slope
    }
}

/// A round tube that runs from foot to head, leaning and bending with `z`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tube {
    /// Its middle at `z = 0`.
    pub(super) centre: [f64; 2],
    /// Shift of the middle per mm of `z`.
    pub(super) lean: [f64; 2],
    /// Shift of the middle towards the back per mm² of `z`.
    pub(super) bend: f64,
    pub(super) radius: f64,
}

impl Tube {
    pub(super) fn distance(&self, p: Point) -> f64 {
        let x = p[0] - self.centre[0] - self.lean[0] * p[2];
        let y = p[1] - self.centre[1] - self.lean[1] * p[2] - self.bend * p[2] * p[2];
        (x * x + y * y).sqrt() - self.radius
    }
}

/// Fraction of a voxel inside a surface at a distance of `distance` mm, for an edge that is `width`
/// mm soft.
pub(super) fn coverage(distance: f64, width: f64) -> f64 {
    (0.5 - distance / width).clamp(0.0, 1.0)
}

/// Coverage of a wall `thickness` mm thick, whose outer face is the surface.
pub(super) fn wall(distance: f64, thickness: f64, width: f64) -> f64 {
    coverage(distance, width) * (1.0 - coverage(distance + thickness, width))
}

fn norm(v: Point) -> f64 {
    v.iter().map(|c| c * c).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn a_sphere_has_its_exact_distance() {
        let ball = Ellipsoid::new([1.0, 2.0, 3.0], [5.0; 3]);
        // Geometry: 8 mm from the centre of a sphere of radius 5 is 3 mm outside.
        assert_abs_diff_eq!(ball.distance([9.0, 2.0, 3.0]), 3.0, epsilon = 1e-12);
        assert_abs_diff_eq!(ball.distance([1.0, 2.0, 3.0]), -5.0, epsilon = 1e-12);
    }

    #[test]
    fn the_surface_of_an_ellipsoid_is_at_zero() {
        let solid = Ellipsoid::new([0.0; 3], [20.0, 10.0, 15.0]);
        for p in [[20.0, 0.0, 0.0], [0.0, -10.0, 0.0], [0.0, 0.0, 15.0]] {
            assert_abs_diff_eq!(solid.distance(p), 0.0, epsilon = 1e-12);
        }
    }

    #[test]
    fn edges_are_soft_and_walls_hollow() {
        assert_eq!(coverage(-3.0, 1.0), 1.0);
        assert_eq!(coverage(0.0, 1.0), 0.5);
        assert_eq!(coverage(3.0, 1.0), 0.0);
        assert_eq!(wall(-1.0, 2.0, 0.5), 1.0);
        assert_eq!(wall(-5.0, 2.0, 0.5), 0.0);
    }
}
