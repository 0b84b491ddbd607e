//! Hole filling.

use super::connected_components::{ConnectedComponents, Connectivity};

/// Fills the background that does not reach the border.
pub(super) fn fill(data: &mut [u8], dims: [usize; 3]) {
    if data.iter().all(|&v| v == 0) {
        return;
    }
    let background = ConnectedComponents::of(data, dims, 0, Connectivity::Faces);
    let open = background.at_border();
    background.paint(data, 1, |part| !open[part]);
}

/// Fills the holes of each slice along `axis` separately.
pub(super) fn fill_slices(data: &mut [u8], dims: [usize; 3], axis: usize) {
    let strides = [1, dims[0], dims[0] * dims[1]];
    let [columns, rows] = [(1, 2), (0, 2), (0, 1)].map(|(a, b)| [a, b])[axis];
    let mut slice = vec![0; dims[columns] * dims[rows]];
    for at in 0..dims[axis] {
        let place = |n: usize| {
            let (column, row) = (n % dims[columns], n / dims[columns]);
            at * strides[axis] + column * strides[columns] + row * strides[rows]
        };
        for (n, pixel) in slice.iter_mut().enumerate() {
            *pixel = data[place(n)];
        }
        fill(&mut slice, [dims[columns], dims[rows], 1]);
        for (n, pixel) in slice.iter().enumerate() {
            data[place(n)] = *pixel;
        }
    }
}
