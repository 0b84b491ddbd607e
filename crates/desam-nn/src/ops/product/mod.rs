//! The matrix product behind convolutions: weights times every pixel's window, without ever
//! unfolding the image.
//!
//! A band of rows is copied with its margins (that copy is where a norm or a rearrangement happens,
//! see [`Source`]); a tile's vectors are then runs of that copy, shifted by each weight's place.

mod correlate;
mod dense;
mod forward;
mod kernel;
mod operands;
mod panels;
mod place;
mod points;
mod source;
mod tile;

pub(crate) use correlate::correlate;
pub(crate) use dense::{Curve, Dense, Finish};
pub(crate) use forward::{Sums, product, product_add, product_into};
pub(crate) use kernel::Kernel;
pub(crate) use operands::{Left, Right, Spot, Target};
pub(crate) use panels::Panels;
pub(crate) use source::{At, Joined, Plain, Planes, Source, Window};
pub(crate) use tile::{ROWS, VECTORS, multiply_all};

#[cfg(test)]
mod tests;
