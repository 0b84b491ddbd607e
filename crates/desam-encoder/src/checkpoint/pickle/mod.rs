//! Safe unpickling of what `torch.save` writes: bounded, and without executing anything.
//!
//! It builds a tree of values and executes nothing: a call is recorded as a call, a class by its
//! name. Memory and time grow with the length of the pickle, whatever it says: values lie in one
//! arena and refer to each other by index (so an object that is used twice is stored once, nesting
//! needs no recursion, not even to be dropped), text is borrowed from the input, and a length that
//! goes beyond the input is an error before anything is allocated.

mod cursor;
mod opcode;
mod unpickler;

pub(super) use unpickler::parse;

/// The index of a [`Value`] in its [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id(u32);

/// A pickled value, as far as checkpoints need it.
#[derive(Debug)]
pub(super) enum Value<'a> {
    None,
    Bool,
    Int(i64),
    /// A number that does not fit `i64`: a float, or an integer of more than 64 bits.
    OtherNumber,
    Text(&'a str),
    Bytes,
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// A dictionary; of equal keys Python keeps the last.
    Dict(Vec<(Id, Id)>),
    Class {
        module: &'a str,
        name: &'a str,
    },
    /// The unevaluated result of a call, and the items that were set on it.
    Object {
        callable: Id,
        arguments: Id,
        items: Vec<(Id, Id)>,
    },
    /// A persistent id: a reference to something outside the pickle, here a storage.
    Persistent(Id),
}

impl Value<'_> {
    /// The Python type, for messages.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool => "a bool",
            Self::Int(_) | Self::OtherNumber => "a number",
            Self::Text(_) => "a str",
            Self::Bytes => "bytes",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Class { .. } => "a class",
            Self::Object { .. } => "an object",
            Self::Persistent(_) => "a storage",
        }
    }
}

/// A pickle's values; the last thing on its stack is the root.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    values: Vec<Value<'a>>,
    root: Id,
}

impl<'a> Tree<'a> {
    pub(super) fn root(&self) -> Id {
        self.root
    }

    pub(super) fn get(&self, id: Id) -> &Value<'a> {
        // Only the unpickler creates ids, together with their values.
        self.values.get(id.0 as usize).unwrap_or(&Value::None)
    }

    pub(super) fn text(&self, id: Id) -> Option<&'a str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A non-negative integer.
    pub(super) fn count(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Value::Int(n) => usize::try_from(*n).ok(),
            _ => None,
        }
    }

    pub(super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a dictionary, or of an object that was filled like one.
    pub(super) fn entries(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.get(id) {
            Value::Dict(entries) => Some(entries),
            // A subclass of a dictionary is a call whose result is filled by SETITEMS.
            Value::Object { items, .. } if !items.is_empty() => Some(items),
            _ => None,
        }
    }
}

/// Error in a pickle, with its position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its pickle cannot be read at byte {at}: {problem}")]
pub(super) struct PickleError {
    at: usize,
    problem: String,
}
