//! Planes, and files of several channels.

use super::*;
use crate::volumes::ReadOptions;

fn series(dims: &[i16], voxels: &[u8]) -> Vec<u8> {
    let mut h = header([1, 1, 1], 2);
    h.set_i16(at::DIM, dims.len() as i16);
    dims.iter().enumerate().for_each(|(a, d)| h.set_i16(at::DIM + 2 + 2 * a, *d));
    file_bytes(&h, voxels)
}

fn channel(n: usize) -> ReadOptions {
    ReadOptions::default().with_channel(Some(n))
}

#[test]
fn a_plane_is_a_volume_of_one_slice() {
    let scratch = Scratch::new();
    let path = scratch.file("a.nii", &series(&[3, 2], &[1, 2, 3, 4, 5, 6]));
    let volume = read_volume(&path).unwrap();
    assert_eq!((volume.grid().dims, volume.data()[5]), ([3, 2, 1], 6.0));
    let mask = LabelVolume::new(*volume.grid(), vec![0, 1, 0, 1, 0, 1]).unwrap();
    write_mask_like(&path, &scratch.path("m.nii.gz"), &mask).unwrap();
    assert_eq!(read_labels(&scratch.path("m.nii.gz")).unwrap(), mask);
}

#[test]
fn a_channel_is_chosen_or_asked_for() {
    let scratch = Scratch::new();
    let voxels: Vec<u8> = (0..12).collect();
    // Channels of a prostate of the Decathlon are the fourth axis; ITK's vectors are the fifth.
    for dims in [&[2, 1, 3, 2][..], &[2, 1, 3, 1, 2]] {
        for bytes in [series(dims, &voxels), packed(&series(dims, &voxels))] {
            let path = scratch.file("a.nii", &bytes);
            match read_volume(&path) {
                Err(Error::SeveralChannels { channels: 2, .. }) => {}
                other => panic!("{other:?}"),
            }
            let first = load_volume(&path, &channel(0)).unwrap().value;
            assert_eq!(first.data(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
            let second = load_labels(&path, &channel(1)).unwrap().value;
            assert_eq!(second.data(), [6, 7, 8, 9, 10, 11]);
            match load_volume(&path, &channel(2)) {
                Err(Error::NoSuchChannel { channel: 2, channels: 2, .. }) => {}
                other => panic!("{other:?}"),
            }
            // The mask is one volume.
            let mask = LabelVolume::new(*first.grid(), vec![0, 1, 0, 1, 0, 1]).unwrap();
            write_mask_like(&path, &scratch.path("m.nii"), &mask).unwrap();
            assert_eq!(read_labels(&scratch.path("m.nii")).unwrap(), mask);
        }
    }
    let text = read_volume(&scratch.path("a.nii")).unwrap_err().to_string();
    assert!(text.contains("2 channels") && text.contains("0 to 1"), "{text}");
    // A file of one channel has channel 0 and no other.
    let path = scratch.file("b.nii", &series(&[2, 1, 3], &[1; 6]));
    assert!(load_volume(&path, &channel(0)).is_ok());
    assert!(matches!(load_volume(&path, &channel(1)), Err(Error::NoSuchChannel { .. })));
}

#[test]
fn a_cut_channel_is_a_cut_file() {
    let scratch = Scratch::new();
    let whole = series(&[2, 1, 3, 2], &[1; 12]);
    let path = scratch.file("a.nii", &whole[..whole.len() - 1]);
    assert!(matches!(load_volume(&path, &channel(0)), Err(Error::Truncated { .. })));
}

#[test]
fn the_limit_is_on_what_is_decoded() {
    let scratch = Scratch::new();
    let path = scratch.file("a.nii.gz", &packed(&series(&[10, 10, 10, 2], &[7; 2000])));
    // By hand: 1000 voxels of one channel, four bytes each, and one byte each as labels.
    let limit = |bytes| channel(1).with_max_bytes(bytes);
    assert!(load_volume(&path, &limit(4000)).is_ok());
    match load_volume(&path, &limit(3999)) {
        Err(Error::VolumeTooLarge { bytes: 4000, limit: 3999, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert!(load_labels(&path, &limit(1000)).is_ok() && load_labels(&path, &limit(999)).is_err());
}
