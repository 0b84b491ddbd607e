//! Removal of small regions: connected components of foreground and background.

use desam_core::{BinaryMask, Result};

/// A mask after the removal of small regions.
#[derive(Debug)]
pub(super) struct Cleaned {
    pub(super) mask: BinaryMask,
    /// Whether small regions were found. True even if the mask is the same afterwards: a lone island
    /// is small, yet kept (as in the official program, whose second NMS uses this).
    pub(super) changed: bool,
}

/// Fills holes of fewer than `least` pixels, then drops islands of fewer (SAM's
/// `remove_small_regions`, both modes in its order). Regions are 8-connected, background too; a
/// background that touches the edge counts as a hole like any other. If all islands are small, the
/// largest is kept.
///
/// # Errors
/// None in practice: the mask keeps its size.
pub(super) fn clean(mask: BinaryMask, least: usize) -> Result<Cleaned> {
    let (height, width) = (mask.height(), mask.width());
    let mut pixels = mask.into_data();

    let background = ConnectedComponents::label(&pixels, height, width, 0);
    let holes = background.sizes.iter().any(|r| r.area < least);
    if holes {
        background.fill(&mut pixels, 1, |r| r.area < least);
    }

    let foreground = ConnectedComponents::label(&pixels, height, width, 1);
    let islands = foreground.sizes.iter().any(|r| r.area < least);
    if islands {
        let largest = foreground.largest();
        if foreground.sizes.iter().all(|r| r.area < least) {
            foreground.fill(&mut pixels, 0, |r| Some(r) != largest);
        } else {
            foreground.fill(&mut pixels, 0, |r| r.area < least);
        }
    }
    Ok(Cleaned { mask: BinaryMask::new(height, width, pixels)?, changed: holes || islands })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Component {
    area: usize,
    /// The first 2 × 2 block with a pixel of it, as (block row, block column): OpenCV numbers
    /// regions by such blocks, and of equally large islands the official program takes the one
    /// with the lowest number. No two regions share a block, so this also tells them apart.
    block: (usize, usize),
}

/// A run: adjacent pixels of one value in a row.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// Index of its first pixel in the mask.
    at: usize,
    /// Its columns, half-open.
    columns: (usize, usize),
    /// Index of its component.
    region: usize,
}

/// The 8-connected components of one value, by run-length labelling with union-find: a run is joined
/// with those of the row above that it touches.
#[derive(Debug)]
struct ConnectedComponents {
    runs: Vec<Run>,
    sizes: Vec<Component>,
}

impl ConnectedComponents {
    /// `pixels` has `height × width` values.
    fn label(pixels: &[u8], height: usize, width: usize, value: u8) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        // Union-find parents: an earlier run of the same component, for each run.
        let mut first: Vec<usize> = Vec::new();
        let mut above = 0..0;
        for row in 0..height {
            let line = pixels.get(row * width..(row + 1) * width).unwrap_or_default();
            let (begin, mut touching) = (runs.len(), above.start);
            for columns @ (start, end) in runs_of(line, value) {
                let run = runs.len();
                first.push(run);
                // Corners touch: a run above may end at the pixel before this one's first.
                while touching < above.end && runs[touching].columns.1 < start {
                    touching += 1;
                }
                let mut other = touching;
                while other < above.end && runs[other].columns.0 <= end {
                    join(&mut first, other, run);
                    other += 1;
                }
                runs.push(Run { at: row * width + start, columns, region: 0 });
            }
            above = begin..runs.len();
        }
        let mut sizes: Vec<Component> = Vec::new();
        for run in 0..runs.len() {
            let root = root(&mut first, run);
            if root == run {
                let block = (usize::MAX, usize::MAX);
                runs[run].region = sizes.len();
                sizes.push(Component { area: 0, block });
            }
            let region = runs[root].region;
            let Run { at, columns: (start, end), .. } = runs[run];
            runs[run].region = region;
            sizes[region].area += end - start;
            let block = (at / width / 2, start / 2);
            sizes[region].block = sizes[region].block.min(block);
        }
        Self { runs, sizes }
    }

    fn largest(&self) -> Option<Component> {
        self.sizes.iter().copied().min_by_key(|r| (std::cmp::Reverse(r.area), r.block))
    }

    /// Fills the chosen components with `value`.
    fn fill(&self, pixels: &mut [u8], value: u8, chosen: impl Fn(Component) -> bool) {
        let chosen: Vec<bool> = self.sizes.iter().map(|r| chosen(*r)).collect();
        for Run { at, columns: (start, end), .. } in self.runs.iter().filter(|r| chosen[r.region]) {
            if let Some(run) = pixels.get_mut(*at..at + end - start) {
                run.fill(value);
            }
        }
    }
}

/// Runs of `value` in a line, as half-open ranges of columns.
fn runs_of(line: &[u8], value: u8) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = line.get(at..)?;
        let start = at + rest.iter().position(|p| *p == value)?;
        let length = line[start..].iter().position(|p| *p != value);
        at = length.map_or(line.len(), |length| start + length);
        Some((start, at))
    })
}

/// Root of a run's component (union-find with path halving).
fn root(first: &mut [usize], mut run: usize) -> usize {
    while first[run] != run {
        first[run] = first[first[run]];
        run = first[run];
    }
    run
}

/// Joins two runs' components (union).
fn join(first: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(first, a), root(first, b));
    first[a.max(b)] = a.min(b);
}

#[cfg(test)]
mod tests;
