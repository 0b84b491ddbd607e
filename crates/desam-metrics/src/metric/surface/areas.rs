//! Surface area in a cell between eight voxel centres, by marching cubes.
//!
//! A cell is the cube between eight voxel centres; which of them are foreground is its code, bit
//! `n` for corner `n = 4 z + 2 y + x`. The surface through a cell follows from geometry alone:
//!
//! 1. An edge between foreground and background is cut in its middle.
//! 2. On each face the cuts are joined around the rarer kind of corner (foreground where both are
//!    four), so that two of them at opposite corners of a face stay apart.
//! 3. The closed loops that arise are spanned by the fan of triangles that passes nearest to the
//!    centre of the cell.
//!
//! The first two are marching cubes (Lorensen and Cline, 1987); the third says which triangles where
//! a loop is not flat. The areas are those of DeepMind's surface-distance.

/// A point relative to the centre of the cell, in half voxels: corners have three coordinates of
/// ±1, cuts two, and the third 0.
type Point = [i32; 3];

/// Area of the surface in a cell of each code, in mm², for a voxel of `[z, y, x]` mm.
pub(super) fn areas([z, y, x]: [f64; 3]) -> [f64; 256] {
    // A normal's length is an area: its z component is one in the plane of y and x.
    let scale = [y * x, z * x, z * y];
    let area = |normal: &Point| {
        let squares = normal.iter().zip(scale).map(|(n, s)| (f64::from(*n) / 8.0 * s).powi(2));
        squares.sum::<f64>().sqrt()
    };
    // Every code is a u8.
    std::array::from_fn(|code| normals(code as u8).iter().map(area).sum())
}

/// Normals of the triangles in a cell of this code, as the cross products of two sides in half
/// voxels: eight times the area in voxels.
fn normals(code: u8) -> Vec<Point> {
    let rare = if code.count_ones() <= 4 { code } else { !code };
    loops(segments(rare)).iter().flat_map(|l| nearest_fan(l)).collect()
}

/// Intersection of the surface with the six faces: pairs of cut edges, joined around the corners of `rare`.
fn segments(rare: u8) -> Vec<[Point; 2]> {
    let is_rare = |corner: usize| rare >> corner & 1 == 1;
    let mut found = Vec::new();
    for (axis, u, v) in [(4, 2, 1), (2, 4, 1), (1, 4, 2)] {
        for base in [0, axis] {
            let ring = [base, base | u, base | u | v, base | v];
            let at = |i: usize| ring[i % 4];
            for start in 0..4 {
                if !is_rare(at(start)) || is_rare(at(start + 3)) {
                    continue;
                }
                let length = (1..4).take_while(|i| is_rare(at(start + i))).count();
                let end = start + length;
                found.push([cut(at(start + 3), at(start)), cut(at(end), at(end + 1))]);
            }
        }
    }
    found
}

/// Midpoint of the edge between two corners.
fn cut(a: usize, b: usize) -> Point {
    let both = |bit: usize| i32::from(a & bit > 0) + i32::from(b & bit > 0) - 1;
    [both(4), both(2), both(1)]
}

/// Joins the segments end to end to loops; each cut is an end of exactly two of them.
fn loops(mut segments: Vec<[Point; 2]>) -> Vec<Vec<Point>> {
    let mut closed = Vec::new();
    while let Some([first, mut end]) = segments.pop() {
        let mut points = vec![first];
        while end != first {
            points.push(end);
            let Some(next) = segments.iter().position(|s| s.contains(&end)) else {
                break;
            };
            let [a, b] = segments.swap_remove(next);
            end = if a == end { b } else { a };
        }
        closed.push(points);
    }
    closed
}

/// The fan of triangles across a loop whose cones to the centre of the cell hold the least volume.
/// Fans that tie have the same areas.
fn nearest_fan(points: &[Point]) -> Vec<Point> {
    let fans = (0..points.len()).map(|i| fan(points, i));
    fans.min_by_key(|fan| fan.volume.abs()).map_or_else(Vec::new, |fan| fan.normals)
}

struct Fan {
    normals: Vec<Point>,
    /// Six times the signed volume between the triangles and the centre, in half voxels cubed.
    volume: i32,
}

/// The fan of all triangles of a loop with its point `apex`.
fn fan(points: &[Point], apex: usize) -> Fan {
    let n = points.len();
    let at = |i: usize| points[(apex + i) % n];
    let mut fan = Fan { normals: Vec::new(), volume: 0 };
    for i in 1..n.saturating_sub(1) {
        let (a, b, c) = (at(0), at(i), at(i + 1));
        let normal = cross(minus(b, a), minus(c, a));
        fan.volume += (0..3).map(|k| normal[k] * a[k]).sum::<i32>();
        fan.normals.push(normal);
    }
    fan
}

fn minus(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn cross(a: Point, b: Point) -> Point {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Areas where voxels are of 1 mm.
    fn unit(code: u8) -> f64 {
        areas([1.0; 3])[usize::from(code)]
    }

    fn total(normals: &[Point], scale: [f64; 3]) -> f64 {
        let squares = |n: &Point| (0..3).map(|k| (f64::from(n[k]) * scale[k]).powi(2)).sum::<f64>();
        normals.iter().map(|n| squares(n).sqrt()).sum()
    }

    #[test]
    fn areas_by_hand() {
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-15);
        close(unit(0), 0.0);
        close(unit(255), 0.0);
        // A corner is cut off by a triangle of sides √½: √3/4 · ½.
        let corner = 3f64.sqrt() / 8.0;
        close(unit(1), corner);
        // Two along x: a rectangle of 1 by √½.
        close(unit(0b11), 0.5f64.sqrt());
        // Four of a face: the square in the middle.
        close(unit(0b1111), 1.0);
        // A corner and its three neighbours: a regular hexagon of side √½.
        close(unit(0b1_0111), 3.0 * 3f64.sqrt() / 4.0);
        // Opposite corners of a face, of the cell, and every other corner.
        for code in [0b1001, 0b1000_0001] {
            close(unit(code), 2.0 * corner);
        }
        close(unit(0b0110_1001), 4.0 * corner);
        // Three in an L: half of the middle square, and a trapezoid between sides of √2 and √½
        // whose height is √(3/8).
        let trapezoid = (2f64.sqrt() + 0.5f64.sqrt()) / 2.0 * (3.0f64 / 8.0).sqrt();
        close(unit(0b111), 0.5 + trapezoid);
    }

    #[test]
    fn a_voxel_of_another_shape_scales_each_direction() {
        // By hand: two along x are cut off by a rectangle of x by √((y/2)² + (z/2)²).
        let [z, y, x] = [3.0, 0.6, 0.5];
        let found = areas([z, y, x])[0b11];
        assert!((found - x * f64::hypot(y / 2.0, z / 2.0)).abs() < 1e-15);
        // A square of four is y · x where it lies across z, and so on.
        let found = areas([z, y, x]);
        assert_eq!([found[0b1111], found[0b11_0011], found[0b101_0101]], [y * x, z * x, z * y]);
    }

    #[test]
    fn inside_and_outside_have_one_surface() {
        let found = areas([2.5, 0.7, 0.4]);
        for code in 0u8..=255 {
            // Where four are on each side, either kind may be the one that is kept apart.
            if code.count_ones() != 4 {
                let (a, b) = (found[usize::from(code)], found[usize::from(!code)]);
                assert!((a - b).abs() < 1e-15, "{code:08b}");
            }
        }
    }

    #[test]
    fn loops_close_and_every_cut_is_in_one() {
        for code in 1u8..=254 {
            let rare = if code.count_ones() <= 4 { code } else { !code };
            let closed = loops(segments(rare));
            let edges = (0usize..8).flat_map(|a| [4, 2, 1].map(|bit| (a, a ^ bit)));
            let mut cuts: Vec<Point> = edges
                .filter(|(a, b)| rare >> a & 1 == 1 && rare >> b & 1 == 0)
                .map(|(a, b)| cut(a, b))
                .collect();
            let mut found: Vec<Point> = closed.concat();
            cuts.sort_unstable();
            found.sort_unstable();
            assert_eq!(cuts, found, "{code:08b}");
            // Three to six cuts around each group of the rarer kind.
            assert!(closed.iter().all(|l| (3..=6).contains(&l.len())), "{code:08b}");
        }
    }

    #[test]
    fn fans_that_tie_have_the_same_area() {
        for code in 1u8..=254 {
            let rare = if code.count_ones() <= 4 { code } else { !code };
            for points in loops(segments(rare)) {
                let fans: Vec<Fan> = (0..points.len()).map(|i| fan(&points, i)).collect();
                let least = fans.iter().map(|f| f.volume.abs()).min().unwrap();
                for scale in [[1.0, 1.0, 1.0], [0.3, 1.8, 1.5], [1.0, 7.0, 0.2]] {
                    let tied = fans.iter().filter(|f| f.volume.abs() == least);
                    let areas: Vec<f64> = tied.map(|f| total(&f.normals, scale)).collect();
                    assert!(areas.iter().all(|a| (a - areas[0]).abs() < 1e-12), "{code:08b}");
                }
            }
        }
    }
}
