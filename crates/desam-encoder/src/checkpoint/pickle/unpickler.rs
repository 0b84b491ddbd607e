//! The unpickler: Python's pickle virtual machine, with a stack, a memo and an arena of values, that
//! executes nothing.

use super::cursor::Cursor;
use super::{Id, PickleError, Tree, Value, opcode};
use std::collections::HashMap;

type Result<T, E = PickleError> = std::result::Result<T, E>;

/// Limit on values, against memory exhaustion. ViT-H with an optimizer's state has some fifty
/// thousand; a value takes less than 64 bytes.
const MAX_VALUES: usize = 2_000_000;

/// Parses a pickle up to its STOP opcode.
pub(in crate::checkpoint) fn parse(bytes: &[u8]) -> Result<Tree<'_>> {
    let mut unpickler = Unpickler {
        input: Cursor::new(bytes),
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        memoized: 0,
    };
    while unpickler.step()? {}
    let root = unpickler.pop()?;
    Ok(Tree { values: unpickler.values, root })
}

struct Unpickler<'a> {
    input: Cursor<'a>,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack at each MARK.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Number of MEMOIZE opcodes so far; each takes the next key of the memo.
    memoized: u32,
}

impl<'a> Unpickler<'a> {
    /// Executes one opcode; returns `false` after STOP.
    fn step(&mut self) -> Result<bool> {
        let at = self.input.position();
        let code = self.input.u8()?;
        match code {
            // The version is not checked: any opcode that torch.save does not write is refused
            // below.
            opcode::PROTO => self.input.u8().map(|_| ())?,
            // A frame's length only helps readers that buffer.
            opcode::FRAME => self.input.u64().map(|_| ())?,
            opcode::STOP => return Ok(false),
            opcode::MARK => self.marks.push(self.stack.len()),
            opcode::POP => self.pop_or_mark()?,
            opcode::POP_MARK => drop(self.pop_mark()?),
            opcode::DUP => {
                let top = self.top()?;
                self.stack.push(top);
            }
            opcode::BINGET | opcode::LONG_BINGET | opcode::BINPUT | opcode::LONG_BINPUT => {
                self.memo(code)?;
            }
            opcode::MEMOIZE => {
                let top = self.top()?;
                self.memo.insert(self.memoized, top);
                self.memoized = self.memoized.saturating_add(1);
            }
            _ => {
                let value = match self.literal(code)? {
                    Some(value) => Some(value),
                    None => self.build_from_stack(code, at)?,
                };
                if let Some(value) = value {
                    self.push(value)?;
                }
            }
        }
        Ok(true)
    }

    /// Decodes a literal, a value that is spelled out after its opcode; `None` for any other opcode.
    fn literal(&mut self, code: u8) -> Result<Option<Value<'a>>> {
        let input = &mut self.input;
        Ok(Some(match code {
            opcode::NONE => Value::None,
            opcode::NEWTRUE | opcode::NEWFALSE => Value::Bool,
            opcode::BININT1 => Value::Int(input.u8()?.into()),
            opcode::BININT2 => Value::Int(input.u16()?.into()),
            opcode::BININT => Value::Int(input.i32()?.into()),
            opcode::LONG1 => {
                let length = input.u8()?.into();
                whole_number(input.take(length)?)
            }
            opcode::LONG4 => {
                let length = input.u32()?.into();
                whole_number(input.take(length)?)
            }
            opcode::BINFLOAT => {
                input.take(8)?;
                Value::OtherNumber
            }
            opcode::SHORT_BINUNICODE => {
                let length = input.u8()?.into();
                Value::Text(input.text(length)?)
            }
            opcode::BINUNICODE => {
                let length = input.u32()?.into();
                Value::Text(input.text(length)?)
            }
            opcode::BINUNICODE8 => {
                let length = input.u64()?;
                Value::Text(input.text(length)?)
            }
            opcode::SHORT_BINSTRING => {
                let length = input.u8()?.into();
                string(input.take(length)?)
            }
            opcode::BINSTRING => {
                let length = input.u32()?.into();
                string(input.take(length)?)
            }
            opcode::SHORT_BINBYTES => {
                let length = input.u8()?.into();
                input.take(length)?;
                Value::Bytes
            }
            opcode::BINBYTES => {
                let length = input.u32()?.into();
                input.take(length)?;
                Value::Bytes
            }
            opcode::BINBYTES8 | opcode::BYTEARRAY8 => {
                let length = input.u64()?;
                input.take(length)?;
                Value::Bytes
            }
            opcode::GLOBAL => Value::Class { module: input.line()?, name: input.line()? },
            opcode::EMPTY_TUPLE => Value::Tuple(Vec::new()),
            opcode::EMPTY_LIST | opcode::EMPTY_SET => Value::List(Vec::new()),
            opcode::EMPTY_DICT => Value::Dict(Vec::new()),
            _ => return Ok(None),
        }))
    }

    /// Builds a value from values on the stack, to be pushed; `None` where the top value was mutated
    /// instead.
    fn build_from_stack(&mut self, code: u8, at: usize) -> Result<Option<Value<'a>>> {
        Ok(Some(match code {
            opcode::TUPLE => Value::Tuple(self.pop_mark()?),
            opcode::TUPLE1 => Value::Tuple(self.pop_many::<1>()?.into()),
            opcode::TUPLE2 => Value::Tuple(self.pop_many::<2>()?.into()),
            opcode::TUPLE3 => Value::Tuple(self.pop_many::<3>()?.into()),
            opcode::LIST | opcode::FROZENSET => Value::List(self.pop_mark()?),
            opcode::DICT => Value::Dict(self.pairs()?),
            opcode::STACK_GLOBAL => self.stack_global()?,
            opcode::BINPERSID => Value::Persistent(self.pop()?),
            opcode::REDUCE | opcode::NEWOBJ => {
                let [callable, arguments] = self.pop_many()?;
                self.call(callable, arguments)
            }
            opcode::NEWOBJ_EX => {
                let [callable, arguments, _keywords] = self.pop_many()?;
                self.call(callable, arguments)
            }
            opcode::BUILD => {
                // Attributes in addition to the items, such as a state dict's `_metadata`: not needed.
                self.pop()?;
                self.top()?;
                return Ok(None);
            }
            opcode::APPEND => {
                let item = self.pop()?;
                return self.extend(vec![item]);
            }
            opcode::APPENDS | opcode::ADDITEMS => {
                let items = self.pop_mark()?;
                return self.extend(items);
            }
            opcode::SETITEM => {
                let [key, value] = self.pop_many()?;
                return self.set(vec![(key, value)]);
            }
            opcode::SETITEMS => {
                let pairs = self.pairs()?;
                return self.set(pairs);
            }
            other => {
                let problem = format!("opcode 0x{other:02x}, which torch.save does not write");
                return Err(PickleError { at, problem });
            }
        }))
    }

    /// The result of a call, which is recorded, not made. Only dictionaries are constructed.
    fn call(&self, callable: Id, arguments: Id) -> Value<'a> {
        let is_dict = matches!(
            self.values.get(callable.0 as usize),
            Some(Value::Class { module: "collections", name: "OrderedDict" | "defaultdict" })
        );
        if is_dict {
            Value::Dict(Vec::new())
        } else {
            Value::Object { callable, arguments, items: Vec::new() }
        }
    }

    fn stack_global(&mut self) -> Result<Value<'a>> {
        let [module, name] = self.pop_many()?;
        let text = |id: Id| match self.values.get(id.0 as usize) {
            Some(Value::Text(text)) => Some(*text),
            _ => None,
        };
        match (text(module), text(name)) {
            (Some(module), Some(name)) => Ok(Value::Class { module, name }),
            _ => Err(self.input.error("a class whose name is no str")),
        }
    }

    /// Appends to the list on top. Items appended to any other object are dropped: no tensor is
    /// described that way.
    fn extend(&mut self, items: Vec<Id>) -> Result<Option<Value<'a>>> {
        let top = self.top()?;
        match self.values.get_mut(top.0 as usize) {
            Some(Value::List(list)) => list.extend(items),
            Some(Value::Object { .. }) => {}
            _ => return Err(self.input.error("appends to what is no list")),
        }
        Ok(None)
    }

    /// Sets items of the dictionary or object on top.
    fn set(&mut self, pairs: Vec<(Id, Id)>) -> Result<Option<Value<'a>>> {
        let top = self.top()?;
        match self.values.get_mut(top.0 as usize) {
            Some(Value::Dict(entries) | Value::Object { items: entries, .. }) => {
                entries.extend(pairs);
            }
            _ => return Err(self.input.error("sets items of what is no dict")),
        }
        Ok(None)
    }

    fn memo(&mut self, code: u8) -> Result<()> {
        let key = match code {
            opcode::BINGET | opcode::BINPUT => self.input.u8()?.into(),
            _ => self.input.u32()?,
        };
        if matches!(code, opcode::BINPUT | opcode::LONG_BINPUT) {
            let top = self.top()?;
            self.memo.insert(key, top);
            return Ok(());
        }
        let Some(id) = self.memo.get(&key) else {
            return Err(self.input.error(format!("memo {key} is read before it is written")));
        };
        self.stack.push(*id);
        Ok(())
    }

    fn push(&mut self, value: Value<'a>) -> Result<()> {
        if self.values.len() >= MAX_VALUES {
            let problem = format!("more than {MAX_VALUES} values: no description of tensors");
            return Err(self.input.error(problem));
        }
        // Below the limit, which is far below u32's.
        self.stack.push(Id(self.values.len() as u32));
        self.values.push(value);
        Ok(())
    }

    /// Whether the stack has a value above the last mark.
    fn has_item(&self) -> bool {
        self.stack.len() > self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id> {
        match self.stack.last() {
            Some(id) if self.has_item() => Ok(*id),
            _ => Err(self.input.error("it needs a value that is not there")),
        }
    }

    fn pop(&mut self) -> Result<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// The `N` values on top, the topmost last.
    fn pop_many<const N: usize>(&mut self) -> Result<[Id; N]> {
        let mut ids = [Id(0); N];
        for id in ids.iter_mut().rev() {
            *id = self.pop()?;
        }
        Ok(ids)
    }

    fn pop_or_mark(&mut self) -> Result<()> {
        // As in CPython, POP directly behind a MARK removes the mark.
        if self.has_item() { self.pop().map(|_| ()) } else { self.pop_mark().map(|_| ()) }
    }

    /// Pops everything above the last mark, and the mark.
    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        match self.marks.pop() {
            Some(height) if height <= self.stack.len() => Ok(self.stack.split_off(height)),
            _ => Err(self.input.error("it needs a mark that is not there")),
        }
    }

    /// Pops the key-value pairs above the last mark.
    fn pairs(&mut self) -> Result<Vec<(Id, Id)>> {
        let items = self.pop_mark()?;
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.input.error("a key without a value"));
        }
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    }
}

/// Little-endian two's complement of any length.
fn whole_number<'a>(bytes: &[u8]) -> Value<'a> {
    let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    match wide.get_mut(..bytes.len()) {
        Some(low) => low.copy_from_slice(bytes),
        // No size or offset needs more than 64 bits.
        None => return Value::OtherNumber,
    }
    Value::Int(i64::from_le_bytes(wide))
}

/// A Python 2 string: text where it is, bytes otherwise.
fn string(bytes: &[u8]) -> Value<'_> {
    std::str::from_utf8(bytes).map_or(Value::Bytes, Value::Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(bytes: &[u8]) -> String {
        parse(bytes).unwrap_err().to_string()
    }

    #[test]
    fn integers_are_decoded_as_python_writes_them() {
        // pickle.dumps(n, 2) of CPython: LONG1 is little-endian two's complement.
        let int = |bytes: &[u8]| {
            let tree = parse(bytes).unwrap();
            match tree.get(tree.root()) {
                Value::Int(n) => Some(*n),
                _ => None,
            }
        };
        assert_eq!(int(b"\x80\x02K\xff."), Some(255));
        assert_eq!(int(b"\x80\x02M\x00\x60."), Some(24576));
        assert_eq!(int(b"\x80\x02J\xff\xff\xff\xff."), Some(-1));
        assert_eq!(int(b"\x80\x02\x8a\x05\x00\x00\x00\x00\x01."), Some(1 << 32));
        assert_eq!(int(b"\x80\x02\x8a\x01\x80."), Some(-128));
        assert_eq!(int(b"\x80\x02\x8a\x00."), Some(0));
        assert_eq!(int(b"\x80\x02\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01."), None);
    }

    #[test]
    fn an_object_that_is_filled_after_it_was_memoized_is_one_object() {
        // {'a': d, 'b': d} with d = {'x': 1}: pickle writes d once, fills it, and refers to it.
        let bytes = b"\x80\x02}q\x00(X\x01\0\0\0aq\x01}q\x02X\x01\0\0\0xK\x01sX\x01\0\0\0bh\x02u.";
        let tree = parse(bytes).unwrap();
        let entries = tree.entries(tree.root()).unwrap();
        assert_eq!(entries[0].1, entries[1].1);
        assert_eq!(tree.entries(entries[1].1).unwrap().len(), 1);
    }

    #[test]
    fn protocol_4_is_read_like_protocol_2() {
        // pickle.dumps({'a': collections.OrderedDict()}, 4) of CPython 3.11.
        let bytes = b"\x80\x04\x95\x27\0\0\0\0\0\0\0}\x94\x8c\x01a\x94\x8c\x0bcollections\x94\
                      \x8c\x0bOrderedDict\x94\x93\x94)R\x94s.";
        let tree = parse(bytes).unwrap();
        let entries = tree.entries(tree.root()).unwrap();
        assert_eq!(tree.text(entries[0].0), Some("a"));
        assert!(matches!(tree.get(entries[0].1), Value::Dict(d) if d.is_empty()));
    }

    #[test]
    fn a_length_beyond_the_input_is_refused_before_anything_is_allocated() {
        for bytes in [
            &b"\x80\x02X\xff\xff\xff\xffa."[..],
            b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffa.",
            b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fa.",
            b"\x80\x02T\xff\xff\xff\xffa.",
            b"\x80\x03B\xff\xff\xff\xffa.",
            b"\x80\x02\x8b\xff\xff\xff\xffa.",
        ] {
            let text = problem(bytes);
            assert!(text.contains("2 are left"), "{text}");
            assert!(text.contains("byte "), "{text}");
        }
    }

    #[test]
    fn deep_nesting_and_sharing_take_memory_in_proportion_to_the_input() {
        // A million lists within each other.
        let mut deep = b"\x80\x02".to_vec();
        deep.extend(vec![b']'; 1_000_000]);
        deep.extend(vec![b'a'; 999_999]);
        deep.push(b'.');
        let tree = parse(&deep).unwrap();
        assert!(matches!(tree.get(tree.root()), Value::List(items) if items.len() == 1));
        // Each tuple holds the one before twice: 2^60 strings if it were copied.
        let mut laughs = b"\x80\x02X\x01\0\0\0aq\x00".to_vec();
        for i in 0..60u8 {
            laughs.extend([b'(', b'h', i, b'h', i, b't', b'q', i + 1]);
        }
        laughs.push(b'.');
        assert_eq!(parse(&laughs).unwrap().values.len(), 61);
        // Too many values end in an error, not in memory.
        let many = vec![b'N'; MAX_VALUES + 1];
        assert!(problem(&many).contains("more than 2000000 values"));
    }

    #[test]
    fn other_pickles_are_refused_with_the_offending_offset() {
        for (bytes, words) in [
            (&b"\x80\x02"[..], "1 bytes, 0 are left"),
            (b"\x80\x02.", "a value that is not there"),
            (b"\x80\x02t.", "a mark that is not there"),
            (b"\x80\x02(K\x01R.", "a value that is not there"),
            (b"\x80\x02}(K\x01u.", "a key without a value"),
            (b"\x80\x02K\x01K\x02a.", "no list"),
            (b"\x80\x02K\x01(u.", "no dict"),
            (b"\x80\x02h\x07.", "memo 7"),
            (b"\x80\x02ctorch\nFloat", "does not end"),
            (b"\x80\x02X\x01\0\0\0\xff.", "UTF-8"),
            (b"\x80\x02i.", "byte 2: opcode 0x69"),
        ] {
            let text = problem(bytes);
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}
