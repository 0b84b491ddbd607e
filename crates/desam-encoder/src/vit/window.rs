//! Cutting a grid of tokens into windows and putting it together again.

use candle_core::{Result, Tensor};

/// `x [B, G, G, C]` → windows `[B·W·W, window², C]`, row by row, zeros beyond the grid's right and
/// lower edge.
pub(super) fn partition(x: &Tensor, window: usize) -> Result<Tensor> {
    let (b, rows, columns, c) = x.dims4()?;
    let (down, across) = (rows.div_ceil(window), columns.div_ceil(window));
    let x = x.pad_with_zeros(1, 0, down * window - rows)?;
    let x = x.pad_with_zeros(2, 0, across * window - columns)?;
    x.reshape(&[b, down, window, across, window, c][..])?.permute([0, 1, 3, 2, 4, 5])?.reshape((
        b * down * across,
        window * window,
        c,
    ))
}

/// The reverse: windows `[B·W·W, window², C]` → `[B, side, side, C]`, what was padded cut away.
pub(super) fn join(windows: &Tensor, window: usize, side: usize) -> Result<Tensor> {
    let (count, _, c) = windows.dims3()?;
    let along = side.div_ceil(window);
    let b = count / (along * along).max(1);
    windows
        .reshape(&[b, along, along, window, window, c][..])?
        .permute([0, 1, 3, 2, 4, 5])?
        .reshape((b, along * window, along * window, c))?
        .narrow(1, 0, side)?
        .narrow(2, 0, side)?
        .contiguous()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn joining_undoes_cutting(b in 1usize..3, side in 1usize..12, window in 1usize..9) {
            let x = Tensor::arange(0f32, (b * side * side * 2) as f32, &Device::Cpu).unwrap();
            let x = x.reshape((b, side, side, 2)).unwrap();
            let cut = partition(&x, window).unwrap();
            let along = side.div_ceil(window);
            prop_assert_eq!(cut.dims(), &[b * along * along, window * window, 2]);
            let back = join(&cut, window, side).unwrap();
            let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            prop_assert_eq!(flat(&back), flat(&x));
        }
    }

    #[test]
    fn the_second_window_lies_to_the_right_and_padding_is_zero() {
        let x = Tensor::arange(1f32, 10.0, &Device::Cpu).unwrap().reshape((1, 3, 3, 1)).unwrap();
        let cut = partition(&x, 2).unwrap().squeeze(2).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(cut[0], [1.0, 2.0, 4.0, 5.0]);
        assert_eq!(cut[1], [3.0, 0.0, 6.0, 0.0]);
        assert_eq!(cut[2], [7.0, 8.0, 0.0, 0.0]);
    }
}
