//! Files as `torch.save` writes them, byte by byte: a pickle of protocol 2, opcodes from the
//! documentation of Python's `pickletools`, and a zip with the zip64 records that PyTorch's writer
//! (miniz) always adds, after PKWARE's APPNOTE.

/// A Python value.
#[derive(Debug, Clone)]
pub(crate) enum Py {
    Dict(Vec<(String, Py)>),
    /// Name of the storage's class, shape, bytes.
    Tensor(&'static str, Vec<usize>, Vec<u8>),
    Int(u8),
}

impl Py {
    pub(crate) fn dict<K: Into<String>>(entries: impl IntoIterator<Item = (K, Py)>) -> Self {
        Self::Dict(entries.into_iter().map(|(k, v)| (k.into(), v)).collect())
    }

    pub(crate) fn floats(shape: &[usize], numbers: &[f32]) -> Self {
        let bytes = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        Self::Tensor("FloatStorage", shape.to_vec(), bytes)
    }

    pub(crate) fn longs(shape: &[usize], numbers: &[i64]) -> Self {
        let bytes = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        Self::Tensor("LongStorage", shape.to_vec(), bytes)
    }

    pub(crate) fn bytes(count: usize) -> Self {
        Self::Tensor("ByteStorage", vec![count], vec![7; count])
    }
}

/// A whole file whose folder in the archive is called `stem`.
pub(crate) fn torch_save(stem: &str, value: &Py) -> Vec<u8> {
    let mut storages = Vec::new();
    let mut pickle = b"\x80\x02".to_vec();
    write(value, &mut pickle, &mut storages);
    pickle.push(b'.');
    let mut entries = vec![
        (format!("{stem}/data.pkl"), pickle),
        (format!("{stem}/byteorder"), b"little".to_vec()),
    ];
    let named = storages.into_iter().enumerate();
    entries.extend(named.map(|(i, bytes)| (format!("{stem}/data/{i}"), bytes)));
    entries.push((format!("{stem}/version"), b"3\n".to_vec()));
    archive(&entries, true)
}

fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn number(n: usize) -> Vec<u8> {
    [&b"J"[..], &(n as i32).to_le_bytes()].concat()
}

fn write(value: &Py, out: &mut Vec<u8>, storages: &mut Vec<Vec<u8>>) {
    match value {
        Py::Int(n) => out.extend([b'K', *n]),
        Py::Dict(entries) => {
            out.extend(b"}(");
            for (key, value) in entries {
                out.extend(text(key));
                write(value, out, storages);
            }
            out.push(b'u');
        }
        Py::Tensor(class, shape, bytes) => {
            out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
            out.extend(text("storage"));
            out.extend(format!("ctorch\n{class}\n").bytes());
            out.extend(text(&storages.len().to_string()));
            out.extend(text("cpu"));
            out.extend(number(shape.iter().product()));
            out.extend(b"tQK\x00(");
            shape.iter().for_each(|d| out.extend(number(*d)));
            out.extend(b"t(");
            for i in 0..shape.len() {
                out.extend(number(shape[i + 1..].iter().product()));
            }
            out.extend(b"t\x89ccollections\nOrderedDict\n)RtR");
            storages.push(bytes.clone());
        }
    }
}

/// A zip of stored entries, with or without checksums.
pub(crate) fn archive(entries: &[(String, Vec<u8>)], checksums: bool) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in entries {
        let crc = if checksums { crc32(bytes) } else { 0 };
        let (offset, size) = (out.len() as u32, bytes.len() as u32);
        // Version, flags, method, time, date, crc, sizes, lengths of the name and of extra fields.
        let common = |version: u16| {
            let shorts = [version, 0x0808, 0, 0, 0];
            let mut head: Vec<u8> = shorts.iter().flat_map(|s| s.to_le_bytes()).collect();
            [crc, size, size].iter().for_each(|n| head.extend(n.to_le_bytes()));
            head.extend((name.len() as u16).to_le_bytes());
            head.extend(0u16.to_le_bytes());
            head
        };
        out.extend(b"PK\x03\x04");
        out.extend(common(0));
        out.extend(name.bytes());
        out.extend(bytes);
        directory.extend(b"PK\x01\x02\0\0");
        directory.extend(common(0));
        // Comment, disk, attributes, offset.
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.bytes());
    }
    let (start, size, count) = (out.len() as u64, directory.len() as u64, entries.len() as u64);
    out.extend(directory);
    let end64 = out.len() as u64;
    out.extend(b"PK\x06\x06");
    out.extend(44u64.to_le_bytes());
    out.extend([0x1e, 3, 0x2d, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    [count, count, size, start].iter().for_each(|n| out.extend(n.to_le_bytes()));
    out.extend(b"PK\x06\x07\0\0\0\0");
    out.extend(end64.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    out.extend(b"PK\x05\x06\0\0\0\0");
    [count as u16; 2].iter().for_each(|n| out.extend(n.to_le_bytes()));
    [size as u32, start as u32].iter().for_each(|n| out.extend(n.to_le_bytes()));
    out.extend([0, 0]);
    out
}

/// CRC-32 as in zip (IEEE 802.3), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}
