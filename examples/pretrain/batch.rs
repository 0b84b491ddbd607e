//! Scenes with prompts for some of their things, as tensors.

use super::rng::{bell, chance, uniform};
use super::scene::Scene;
use desam::candle::{Device, Result, Tensor};
use desam::types::{BinaryMask, Point, PointLabel, Prompt, PromptBox, Prompts};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Mean and deviation of each channel, as SAM normalises its input.
const CHANNELS: [(f32, f32); 3] = [(123.675, 58.395), (116.28, 57.12), (103.53, 57.375)];

/// `B` scenes with `P` things each, every thing asked for twice: by points and by a box.
#[derive(Debug)]
pub(crate) struct Batch {
    /// `[B, 3, S, S]`
    pub(crate) pixels: Tensor,
    /// `B·P` prompts of points, a scene's next to each other.
    pub(crate) points: Prompts,
    /// As many with a box, of as many tokens.
    pub(crate) boxes: Prompts,
    /// The image of every prompt, points first: `[2·B·P]`.
    pub(crate) images: Tensor,
    /// What should be drawn: `[2·B·P, 1, M, M]`.
    pub(crate) targets: Tensor,
}

/// How many prompts of a scene are made, and on which masks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking {
    /// Objects prompted for in a scene, `P`; where there are fewer, some are prompted for again.
    pub(crate) objects: usize,
    /// Points in a point prompt; a prompt with a box has one less. All but the first may lie
    /// outside the object.
    pub(crate) points: usize,
    /// Side `M` of the masks.
    pub(crate) mask_side: usize,
}

/// Grey values as SAM takes them: `[1, 3, S, S]`.
pub(crate) fn pixels(scene: &Scene) -> Result<Tensor> {
    let normal = |(mean, deviation): (f32, f32)| {
        scene.grey.iter().map(move |&v| (f32::from(v) - mean) / deviation)
    };
    let values: Vec<f32> = CHANNELS.into_iter().flat_map(normal).collect();
    Tensor::from_vec(values, (1, 3, scene.side, scene.side), &Device::Cpu)
}

/// Prompts for objects of every scene, each with a separate random number generator.
pub(crate) fn ask(scenes: &mut [(Scene, ChaCha8Rng)], asking: Asking) -> Result<Batch> {
    let (mut points, mut boxes, mut targets, mut images) = (vec![], vec![], vec![], vec![]);
    let mut inputs = Vec::with_capacity(scenes.len());
    for (index, (scene, rng)) in scenes.iter_mut().enumerate() {
        inputs.push(pixels(scene)?);
        let first = rng.random_range(0..scene.objects.len());
        for k in 0..asking.objects {
            let object = &scene.objects[(first + k) % scene.objects.len()];
            let Some(tight) = object.bounding_box() else {
                desam::candle::bail!("a thing without pixels was to be asked for");
            };
            let some = |count: usize, rng: &mut ChaCha8Rng| -> Vec<Point> {
                (0..count).map(|i| point(object, tight, i == 0, rng)).collect()
            };
            points.push(Prompt { points: some(asking.points, rng), bbox: None });
            let bbox = Some(noisy(tight, scene.side, rng));
            boxes.push(Prompt { points: some(asking.points - 1, rng), bbox });
            targets.push(shrink(object, asking.mask_side)?);
            images.push(index as u32);
        }
    }
    let targets = Tensor::cat(&targets, 0)?;
    images.extend_from_within(..);
    let count = images.len();
    Ok(Batch {
        pixels: Tensor::cat(&inputs, 0)?,
        points: Prompts::new(points).map_err(desam::candle::Error::wrap)?,
        boxes: Prompts::new(boxes).map_err(desam::candle::Error::wrap)?,
        images: Tensor::from_vec(images, count, &Device::Cpu)?,
        targets: Tensor::cat(&[&targets, &targets], 0)?,
    })
}

/// A pixel of the object; unless `inside` it may also be one of those around it.
fn point(object: &BinaryMask, tight: PromptBox, inside: bool, rng: &mut ChaCha8Rng) -> Point {
    if !inside && chance(rng, 0.5) {
        let [width, height] = [tight.x1 - tight.x0, tight.y1 - tight.y0];
        for _ in 0..20 {
            let x = uniform(rng, tight.x0 - 0.3 * width, tight.x1 + 0.3 * width).round();
            let y = uniform(rng, tight.y0 - 0.3 * height, tight.y1 + 0.3 * height).round();
            let within =
                x >= 0.0 && y >= 0.0 && x < object.width() as f32 && y < object.height() as f32;
            if within && !object.get(y as usize, x as usize) {
                return Point { x, y, label: PointLabel::Background };
            }
        }
    }
    let wanted = rng.random_range(0..object.area().max(1));
    let pixels = object.data().iter().enumerate().filter(|(_, v)| **v == 1);
    let at = pixels.map(|(i, _)| i).nth(wanted).unwrap_or(0);
    Point::foreground((at % object.width()) as f32, (at / object.width()) as f32)
}

/// SAM's training boxes: each side moved by a normal number of a tenth of the box, at most 20 pixels
/// of 1024.
fn noisy(tight: PromptBox, side: usize, rng: &mut ChaCha8Rng) -> PromptBox {
    let most = 20.0 * side as f32 / 1024.0;
    let mut moved = |at: f32, length: f32| {
        let by = (0.1 * length * bell(rng)).clamp(-most, most);
        (at + by).clamp(0.0, side as f32 - 1.0)
    };
    let [width, height] = [tight.x1 - tight.x0, tight.y1 - tight.y0];
    PromptBox {
        x0: moved(tight.x0, width),
        y0: moved(tight.y0, height),
        x1: moved(tight.x1, width),
        y1: moved(tight.y1, height),
    }
}

/// The object on the masks' grid: a pixel belongs to it where it covers half of it. `[1, 1, M, M]`
fn shrink(object: &BinaryMask, side: usize) -> Result<Tensor> {
    let step = object.width() / side;
    let pixel = |i: usize| {
        let (top, left) = (i / side * step, i % side * step);
        let rows = object.data().chunks_exact(object.width()).skip(top).take(step);
        let covered: usize =
            rows.flat_map(|r| &r[left..left + step]).map(|v| usize::from(*v)).sum();
        f32::from(u8::from(2 * covered >= step * step))
    };
    let values: Vec<f32> = (0..side * side).map(pixel).collect();
    Tensor::from_vec(values, (1, 1, side, side), &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::super::rng::{Purpose, stream};
    use super::super::scene;
    use super::*;

    #[test]
    fn points_lie_where_their_label_says_and_boxes_stay_near() {
        let mut scenes: Vec<_> = (0..6)
            .map(|i| {
                let mut rng = stream(3, Purpose::Training, i);
                (scene::draw(64, &mut rng), rng)
            })
            .collect();
        let asking = Asking { objects: 3, points: 3, mask_side: 16 };
        let batch = ask(&mut scenes, asking).unwrap();
        assert_eq!(batch.pixels.dims(), &[6, 3, 64, 64]);
        assert_eq!(batch.targets.dims(), &[36, 1, 16, 16]);
        let images = batch.images.to_vec1::<u32>().unwrap();
        let mut labels = [0, 0];
        for (prompt, image) in batch.points.as_slice().iter().zip(&images) {
            assert_eq!(prompt.points.len(), 3);
            assert_eq!(prompt.points[0].label, PointLabel::Foreground);
            let objects = &scenes[*image as usize].0.objects;
            for point in &prompt.points {
                let inside = |o: &BinaryMask| o.get(point.y as usize, point.x as usize);
                let foreground = point.label == PointLabel::Foreground;
                labels[usize::from(foreground)] += 1;
                // Of the things asked for, one has the point inside, or one has it outside.
                assert!(objects.iter().any(|o| inside(o) == foreground));
            }
        }
        assert!(labels[0] > 3 && labels[1] > 18, "{labels:?}");
        for prompt in batch.boxes.as_slice() {
            let b = prompt.bbox.unwrap();
            assert_eq!(prompt.points.len(), 2);
            assert!([b.x0, b.y0, b.x1, b.y1].iter().all(|v| (0.0..64.0).contains(v)), "{b:?}");
        }
    }

    #[test]
    fn a_shrunken_pixel_is_covered_by_half() {
        let mut data = vec![0u8; 64];
        // Two of four pixels of the first block, one of the second.
        data[0] = 1;
        data[8] = 1;
        data[2] = 1;
        let small = shrink(&BinaryMask::new(8, 8, data).unwrap(), 4).unwrap();
        let values = small.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values[..3], [1.0, 0.0, 0.0]);
    }
}
