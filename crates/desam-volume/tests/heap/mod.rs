//! An allocator that counts, and a DICOM slice.

mod counting;

pub(crate) use counting::CountingHeap;

/// A slice of 8-bit pixels at a height, as DICOM, explicit, little endian.
#[cfg(feature = "dicom")]
pub(crate) fn slice(pixels: &[u8], [columns, rows]: [u16; 2], height: u16) -> Vec<u8> {
    fn put(out: &mut Vec<u8>, group: u16, number: u16, vr: &[u8; 2], value: &[u8]) {
        let mut value = value.to_vec();
        if value.len() % 2 == 1 {
            value.push(b' ');
        }
        out.extend(group.to_le_bytes());
        out.extend(number.to_le_bytes());
        out.extend(vr);
        if vr == b"OW" || vr == b"SQ" {
            out.extend([0, 0]);
            out.extend((value.len() as u32).to_le_bytes());
        } else {
            out.extend((value.len() as u16).to_le_bytes());
        }
        out.extend(value);
    }
    let mut out = vec![0; 128];
    out.extend(b"DICM");
    let mut meta = Vec::new();
    put(&mut meta, 2, 0x10, b"UI", b"1.2.840.10008.1.2.1\0");
    put(&mut out, 2, 0, b"UL", &(meta.len() as u32).to_le_bytes());
    out.extend(meta);
    // A sequence with one item that holds one element.
    let mut item = b"\xFE\xFF\x00\xE0".to_vec();
    item.extend(14_u32.to_le_bytes());
    put(&mut item, 8, 0x1155, b"UI", b"1.2.3 ");
    put(&mut out, 8, 0x16, b"UI", b"1.2.840.10008.5.1.4.1.1.4\0");
    put(&mut out, 8, 0x18, b"UI", format!("1.2.3.{height:02}\0").as_bytes());
    put(&mut out, 8, 0x1140, b"SQ", &item);
    put(&mut out, 0x20, 0xD, b"UI", b"1.2\0");
    put(&mut out, 0x20, 0xE, b"UI", b"1.2.3\0");
    put(&mut out, 0x20, 0x32, b"DS", format!("1\\2\\{height}").as_bytes());
    put(&mut out, 0x20, 0x37, b"DS", b"1\\0\\0\\0\\1\\0");
    put(&mut out, 0x20, 0x52, b"UI", b"1.4\0");
    put(&mut out, 0x28, 2, b"US", &1_u16.to_le_bytes());
    put(&mut out, 0x28, 4, b"CS", b"MONOCHROME2");
    put(&mut out, 0x28, 0x10, b"US", &rows.to_le_bytes());
    put(&mut out, 0x28, 0x11, b"US", &columns.to_le_bytes());
    put(&mut out, 0x28, 0x30, b"DS", b"0.5\\0.5");
    for number in [0x100, 0x101] {
        put(&mut out, 0x28, number, b"US", &8_u16.to_le_bytes());
    }
    put(&mut out, 0x28, 0x102, b"US", &7_u16.to_le_bytes());
    put(&mut out, 0x28, 0x103, b"US", &0_u16.to_le_bytes());
    put(&mut out, 0x7FE0, 0x10, b"OW", pixels);
    out
}
