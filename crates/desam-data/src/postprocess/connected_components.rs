//! Connected-component labelling by runs (union-find): a line of voxels is a few runs of one value, so
//! that a gland of a hundred thousand voxels is a few thousand runs.

/// Connectivity: which voxels are neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connectivity {
    /// 6-connectivity: neighbours that share a face.
    Faces,
    /// 26-connectivity: neighbours that share a face, an edge or a corner.
    All,
}

/// Voxels `start..end` of a line along the first axis.
#[derive(Debug, Clone, Copy)]
struct VoxelRun {
    line: usize,
    start: usize,
    end: usize,
}

/// The connected components of one value in a volume. A component is identified by the index of its
/// first run.
#[derive(Debug)]
pub(super) struct ConnectedComponents {
    dims: [usize; 3],
    runs: Vec<VoxelRun>,
    /// Parent pointers of the union-find forest, one for each run.
    part: Vec<usize>,
}

impl ConnectedComponents {
    /// The connected components of the voxels that hold `value`.
    pub(super) fn of(data: &[u8], dims: [usize; 3], value: u8, connectivity: Connectivity) -> Self {
        let [width, height, depth] = dims;
        let mut runs: Vec<VoxelRun> = Vec::new();
        let mut part: Vec<usize> = Vec::new();
        // Where the runs of each line begin.
        let mut first = Vec::with_capacity(height * depth + 1);
        first.push(0);
        for (line, voxels) in data.chunks_exact(width.max(1)).enumerate() {
            add_runs(&mut runs, line, voxels, value);
            part.extend(part.len()..runs.len());
            let mine = first[line]..runs.len();
            first.push(runs.len());
            for other in earlier(line % height.max(1), line / height.max(1), height, connectivity) {
                let theirs = first[other]..first[other + 1];
                let reach = usize::from(connectivity == Connectivity::All);
                join(&mut part, &runs, [mine.clone(), theirs], reach);
            }
        }
        for run in 0..part.len() {
            part[run] = root(&mut part, run);
        }
        Self { dims, runs, part }
    }

    /// The component with the most voxels; of equals the first. `None` if there is none.
    pub(super) fn largest(&self) -> Option<usize> {
        let mut voxels = vec![0_usize; self.runs.len()];
        for (run, &part) in self.runs.iter().zip(&self.part) {
            voxels[part] += run.end - run.start;
        }
        let most = voxels.iter().copied().max()?;
        voxels.iter().position(|&n| n == most)
    }

    /// For each component whether it touches the border of the volume; axes of one voxel have no
    /// border.
    pub(super) fn at_border(&self) -> Vec<bool> {
        let [width, height, depth] = self.dims;
        let ends = |at: usize, last: usize, n: usize| n > 1 && (at == 0 || last + 1 == n);
        let mut open = vec![false; self.runs.len()];
        for (run, &part) in self.runs.iter().zip(&self.part) {
            let (j, k) = (run.line % height, run.line / height);
            open[part] |=
                ends(run.start, run.end - 1, width) || ends(j, j, height) || ends(k, k, depth);
        }
        open
    }

    /// Sets the voxels of the chosen components to `value`.
    pub(super) fn paint(&self, data: &mut [u8], value: u8, chosen: impl Fn(usize) -> bool) {
        for (run, &part) in self.runs.iter().zip(&self.part) {
            let line = run.line * self.dims[0];
            if chosen(part)
                && let Some(voxels) = data.get_mut(line + run.start..line + run.end)
            {
                voxels.fill(value);
            }
        }
    }
}

fn add_runs(runs: &mut Vec<VoxelRun>, line: usize, voxels: &[u8], value: u8) {
    let mut start = 0;
    for run in voxels.chunk_by(|a, b| (*a == value) == (*b == value)) {
        let end = start + run.len();
        if run.first() == Some(&value) {
            runs.push(VoxelRun { line, start, end });
        }
        start = end;
    }
}

/// The lines before line `(j, k)` whose voxels may touch those of it.
fn earlier(
    j: usize,
    k: usize,
    height: usize,
    connectivity: Connectivity,
) -> impl Iterator<Item = usize> {
    let reach = usize::from(connectivity == Connectivity::All);
    let above = j.checked_sub(1).map(|j| k * height + j);
    let before = k.checked_sub(1).map(|k| {
        let rows = j.saturating_sub(reach)..(j + reach + 1).min(height);
        rows.map(move |j| k * height + j)
    });
    above.into_iter().chain(before.into_iter().flatten())
}

/// Merges the components of touching runs of two lines; `reach` 1 includes diagonal neighbours.
fn join(
    part: &mut [usize],
    runs: &[VoxelRun],
    [mine, theirs]: [std::ops::Range<usize>; 2],
    reach: usize,
) {
    let (mut a, mut b) = (mine.start, theirs.start);
    while a < mine.end && b < theirs.end {
        let (x, y) = (runs[a], runs[b]);
        if x.start < y.end + reach && y.start < x.end + reach {
            let (p, q) = (root(part, a), root(part, b));
            // The lower index stays, so that a component is identified by its first run.
            part[p.max(q)] = p.min(q);
        }
        // The one that ends first can touch nothing that comes later.
        if x.end < y.end {
            a += 1;
        } else {
            b += 1;
        }
    }
}

fn root(part: &mut [usize], mut run: usize) -> usize {
    while part[run] != run {
        // Path halving keeps later look-ups short.
        part[run] = part[part[run]];
        run = part[run];
    }
    run
}
