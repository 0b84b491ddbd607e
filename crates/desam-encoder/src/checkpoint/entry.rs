//! A tensor of a file, described before it is loaded.

use super::convert::Float;

/// Element type of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ElementType {
    /// Floating point numbers, which become f32.
    Float(Float),
    /// Another type, by the name that the file has for it.
    Other(String),
    /// Nothing that can be read without running code, and why.
    Unreadable(String),
}

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// All keys that lead to it, joined by dots.
    pub(super) name: String,
    /// Length in bytes of the dictionaries' part of `name`: of `model.epoch`, 6 where `model` is a
    /// dictionary and `epoch` a key in it.
    pub(super) container: usize,
    pub(super) element: ElementType,
    pub(super) shape: Vec<usize>,
}
