//! MetaImage reader and writer (`.mha`, and `.mhd` with a separate data file), compatible with ITK.
//!
//! A header is lines of `Key = Value`, the last being `ElementDataFile`: `LOCAL`, a file, `LIST` with
//! a file a line behind it, or a pattern such as `slice%03d.raw 1 20 1`. ITK's world is LPS: the
//! first two rows of the affine change sign on the way to RAS+. A file that does not say how its
//! axes lie has them along L, P and S. `AnatomicalOrientation` and `CenterOfRotation` say nothing
//! that is not in the matrix, and are not read.

mod fields;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use fields::is_start;
pub(crate) use read::files;
pub use read::{load_labels, load_volume, read_labels, read_volume};
pub(crate) use write::{data_file_of, expect_writable_name};
pub use write::{write_labels, write_mask_like};
