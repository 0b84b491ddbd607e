//! Holes and islands too small to be anatomy.

use desam_core::{BinaryMask, Result};

/// A mask without small regions, and whether there were any.
#[derive(Debug)]
pub(super) struct Cleaned {
    pub(super) mask: BinaryMask,
    /// Small regions were found. True even where the mask is the same afterwards: a lone island
    /// is small, yet stays (the official program's bookkeeping, which its second suppression
    /// goes by).
    pub(super) changed: bool,
}

/// Fills holes of fewer than `least` pixels, then drops islands of fewer (SAM's
/// `remove_small_regions`, both modes in its order). Regions are 8-connected, background too; a
/// background that touches the edge counts as a hole like any other. Where all islands are small
/// the largest stays.
///
/// # Errors
/// None in practice: the mask keeps its size.
pub(super) fn clean(mask: BinaryMask, least: usize) -> Result<Cleaned> {
    let (height, width) = (mask.height(), mask.width());
    let mut pixels = mask.into_data();

    let background = Regions::of(&pixels, height, width, 0);
    let holes = background.sizes.iter().any(|r| r.area < least);
    if holes {
        background.paint(&mut pixels, 1, |r| r.area < least);
    }

    let foreground = Regions::of(&pixels, height, width, 1);
    let islands = foreground.sizes.iter().any(|r| r.area < least);
    if islands {
        let largest = foreground.largest();
        if foreground.sizes.iter().all(|r| r.area < least) {
            foreground.paint(&mut pixels, 0, |r| Some(r) != largest);
        } else {
            foreground.paint(&mut pixels, 0, |r| r.area < least);
        }
    }
    Ok(Cleaned { mask: BinaryMask::new(height, width, pixels)?, changed: holes || islands })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Region {
    area: usize,
    /// The first 2 × 2 block with a pixel of it, as (block row, block column): OpenCV numbers
    /// regions by such blocks, and of equally large islands the official program takes the one
    /// with the lowest number. No two regions share a block, so this also tells them apart.
    block: (usize, usize),
}

/// Pixels of one value side by side in a row.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// Of its first pixel, counted from the mask's.
    at: usize,
    /// Columns, the last one left out.
    columns: (usize, usize),
    /// Which region it belongs to.
    region: usize,
}

/// The 8-connected regions of one value: runs joined with those of the row above that they touch.
#[derive(Debug)]
struct Regions {
    runs: Vec<Run>,
    sizes: Vec<Region>,
}

impl Regions {
    /// `pixels` has `height × width` values.
    fn of(pixels: &[u8], height: usize, width: usize, value: u8) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        // The first run known to be of the same region, for each run.
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
        let mut sizes: Vec<Region> = Vec::new();
        for run in 0..runs.len() {
            let root = root(&mut first, run);
            if root == run {
                let block = (usize::MAX, usize::MAX);
                runs[run].region = sizes.len();
                sizes.push(Region { area: 0, block });
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

    fn largest(&self) -> Option<Region> {
        self.sizes.iter().copied().min_by_key(|r| (std::cmp::Reverse(r.area), r.block))
    }

    /// Sets the pixels of the chosen regions to `value`.
    fn paint(&self, pixels: &mut [u8], value: u8, chosen: impl Fn(Region) -> bool) {
        let chosen: Vec<bool> = self.sizes.iter().map(|r| chosen(*r)).collect();
        for Run { at, columns: (start, end), .. } in self.runs.iter().filter(|r| chosen[r.region]) {
            if let Some(run) = pixels.get_mut(*at..at + end - start) {
                run.fill(value);
            }
        }
    }
}

/// Where `value` stands in a line: first and last columns, the latter left out.
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

/// The first run of a run's region, as far as is known.
fn root(first: &mut [usize], mut run: usize) -> usize {
    while first[run] != run {
        first[run] = first[first[run]];
        run = first[run];
    }
    run
}

/// Makes two runs' regions one.
fn join(first: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(first, a), root(first, b));
    first[a.max(b)] = a.min(b);
}

#[cfg(test)]
mod tests;
