//! Feature cache: outputs of the frozen encoder, computed once and read through memory maps.
//!
//! The image encoder never changes while the decoder trains, so what it says about a slice is
//! computed once. A cache is a folder:
//!
//! ```text
//! cache.json                                 what it holds and how it was made; its key
//! cases/SITE/ID.safetensors                  images and masks of all processed slices, u8
//! features/SITE/ID/z0012.safetensors         tap0, tap1, …, embedding of one slice, f16 or f32
//! features/SITE/ID/z0012.view3.safetensors   the same of a style view of it, where there are views
//! parts/2-of-8.json                          while parts of a run work: the cases of one that is done
//! ```
//!
//! One file a slice: a run that is killed loses at most one slice. Every file is written in one
//! step and sealed with the cache's key, the hash of what it was made from, and a checksum of its
//! numbers. What does not fit its seal is refused by name: length, seal and shapes whenever a file is
//! opened, its numbers when they are first read; see [`FeatureCache::open`].

mod checked;
mod entry;
mod header;
mod names;
mod on_the_fly;
mod pages;
mod preloaded;
mod recipe;
mod slices;
mod store;
mod views;

pub use desam_volume::human_bytes;
pub use desam_volume::volumes::hash_file;
pub use header::{CacheCase, CacheHeader};
pub use on_the_fly::OnTheFlySlices;
pub use preloaded::PreloadedSlices;
pub use recipe::{CacheRecipe, EncoderRecord, FORMAT_VERSION, FeatureDtype, SlicePolicy};
pub use slices::{CachedSlice, CachedSlices};
pub use store::{FeatureCache, SliceRef};
pub use views::{MAX_VIEWS, StyleViews, ViewRecipe};

pub(crate) use checked::not_finite;
pub(crate) use entry::{Entry, Seal, TensorSpec};
pub(crate) use header::case_source;
pub(crate) use names::{CachePaths, check_names, is_plain_name, make_parent};
pub(crate) use pages::CasePages;
pub(crate) use views::FeatureFile;
