//! Squared distances along one line: the lower envelope of parabolas.

/// Squared lengths of 0 to `n` − 1 steps, in mm².
pub(super) fn squares(n: usize, step: f64) -> Vec<f64> {
    (0..n).map(|k| (k as f64 * step).powi(2)).collect()
}

/// One parabola of an envelope: `height + ((i − at) · step)²`.
#[derive(Debug, Clone, Copy)]
struct Parabola {
    at: usize,
    height: f64,
    /// `height / (2 step²) + at² / 2`: two parabolas intersect where the difference of these equals that
    /// of their positions, in steps.
    moment: f64,
    /// Position on the line from which it is the lowest.
    start: f64,
}

/// Lower envelope of the parabolas over one line of points: at each point the squared distance to the
/// nearest mark, along this line and the axes before it.
#[derive(Debug)]
pub(super) struct Envelope {
    /// Squared lengths of steps, in mm².
    squares: Vec<f64>,
    /// 1 / (2 step²).
    scale: f64,
    /// 1 / k: multiplications instead of divisions, which would take as long as all the rest.
    reciprocal: Vec<f64>,
    lowest: Vec<Parabola>,
}

impl Envelope {
    /// For lines of `n` points, `step` mm apart.
    pub(super) fn new(n: usize, step: f64) -> Self {
        Self {
            squares: squares(n, step),
            scale: 0.5 / (step * step),
            reciprocal: (0..n).map(|k| 1.0 / k as f64).collect(),
            lowest: Vec::with_capacity(n),
        }
    }

    /// Starts another line.
    pub(super) fn clear(&mut self) {
        self.lowest.clear();
    }

    /// Adds a parabola to the right of all others.
    pub(super) fn push(&mut self, at: usize, height: f64) {
        let place = at as f64;
        let moment = height * self.scale + 0.5 * place * place;
        let mut start = f64::NEG_INFINITY;
        while let Some(last) = self.lowest.last() {
            start = (moment - last.moment) * self.reciprocal[at - last.at];
            if start > last.start {
                break;
            }
            self.lowest.pop();
            start = f64::NEG_INFINITY;
        }
        self.lowest.push(Parabola { at, height, moment, start });
    }

    /// Calls `take` with the envelope's height at each of `points`, which ascend; never where the line
    /// has no parabola.
    pub(super) fn read(&self, points: &[usize], mut take: impl FnMut(usize, f64)) {
        let mut next = self.lowest.iter();
        let Some(mut lowest) = next.next() else {
            return;
        };
        for &i in points {
            while let Some(after) = next.as_slice().first().filter(|p| p.start < i as f64) {
                lowest = after;
                next.next();
            }
            take(i, lowest.height + self.squares[i.abs_diff(lowest.at)]);
        }
    }
}
