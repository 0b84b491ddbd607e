//! Positional encoding by random Fourier features.

use candle_core::{D, Device, Result, Tensor};
use candle_nn::{Init, VarBuilder};

/// Positional encoding by random Fourier features, SAM's `PositionEmbeddingRandom`.
///
/// Its matrix is a buffer: it is stored in checkpoints and never gets a gradient, also where the
/// parameters around it are trained.
#[derive(Debug, Clone)]
pub struct FourierPosition {
    matrix: Tensor,
}

impl FourierPosition {
    /// Reads `positional_encoding_gaussian_matrix [2, channels / 2]`, initialised from a standard normal
    /// distribution (SAM's scale 1).
    ///
    /// # Errors
    /// When the matrix is missing or of another shape.
    pub fn new(channels: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let normal = Init::Randn { mean: 0.0, stdev: 1.0 };
        let name = "positional_encoding_gaussian_matrix";
        Ok(Self { matrix: vb.get_with_hints((2, channels / 2), name, normal)?.detach() })
    }

    /// Encodes `coordinates [R, 2]`, (x, y) in 0..1, as `[R, channels]`: sines and cosines of `2π B c`
    /// with `c` scaled to −1..1.
    ///
    /// # Errors
    /// When the shape is another.
    pub fn encode(&self, coordinates: &Tensor) -> Result<Tensor> {
        // Fourier features of a random Gaussian matrix (Tancik et al. 2020), which SAM stores as a buffer.
        let centred = coordinates.affine(2.0, -1.0)?;
        let angles = centred.matmul(&self.matrix)?.affine(std::f64::consts::TAU, 0.0)?;
        Tensor::cat(&[angles.sin()?, angles.cos()?], D::Minus1)
    }

    /// Encodes the centres of a `grid × grid` square as `[1, channels, grid, grid]`.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn grid(&self, grid: usize, device: &Device) -> Result<Tensor> {
        let centre = |i: usize| (i as f32 + 0.5) / grid as f32;
        let cells = (0..grid * grid).flat_map(|i| [centre(i % grid), centre(i / grid)]);
        let cells = Tensor::from_iter(cells, device)?.reshape((grid * grid, 2))?;
        self.encode(&cells)?.reshape((1, grid, grid, ()))?.permute((0, 3, 1, 2))?.contiguous()
    }
}
