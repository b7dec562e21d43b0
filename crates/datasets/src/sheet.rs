//! Contact sheets of a set's images, as augmented for training.

use image::{ImageFormat, RgbImage};
use std::io::Cursor;

use crate::augmented::augment_image;
use crate::{Augment, Dataset, ImageShape, derive_seed};

/// Pixels between images, and around the sheet.
const GAP: u32 = 4;

/// Brightness of the background.
const PAPER: u8 = 255;

/// An image smaller than this is enlarged by a whole factor.
const LEAST_EXTENT: u32 = 56;

/// A sheet of training images, augmented as in the first epoch of a run with
/// `seed`, as the bytes of a PNG file.
///
/// Each row is a class, in the order of [`Dataset::classes`], with its first `columns` images.
/// One channel is shown as grey, three as colour. With other numbers of channels, a row shows
/// the first image of its class: all channels superimposed, each in its own colour, then each
/// channel alone.
pub fn contact_sheet(data: &Dataset, augment: &[Augment], seed: u64, columns: usize) -> Vec<u8> {
    let shape = data.shape();
    let rows: Vec<Vec<Picture>> = (0..data.classes.len() as u16)
        .map(|class| {
            let of_class = (0u32..).zip(data.train.labels()).filter(|&(_, label)| label == class);
            let mut images = of_class.map(|(index, _)| augmented(data, augment, seed, index));
            match shape.c {
                1 | 3 => images.take(columns).map(|image| photograph(shape, &image)).collect(),
                _ => images.next().map_or_else(Vec::new, |image| taken_apart(shape, &image)),
            }
        })
        .collect();
    png(&arranged(shape, &rows))
}

/// The (h, w, 3) bytes of an image.
type Picture = Vec<u8>;

fn augmented(data: &Dataset, augment: &[Augment], seed: u64, index: u32) -> Vec<u8> {
    let mut image = data.train.image(index).to_vec();
    let seed = derive_seed(seed, "augment", 0, index.into());
    augment_image(augment, seed, data.shape(), data.train.filter(), &mut image, &mut Vec::new());
    image
}

fn photograph(shape: ImageShape, image: &[u8]) -> Picture {
    if shape.c == 3 { image.to_vec() } else { image.iter().flat_map(|&grey| [grey; 3]).collect() }
}

/// All channels as light of evenly spaced hues, of which the brightest is shown, then each
/// channel alone.
fn taken_apart(shape: ImageShape, image: &[u8]) -> Vec<Picture> {
    let hues: Vec<[f32; 3]> = (0..shape.c).map(|channel| hue(channel as f32 / shape.c as f32)).collect();
    let light = |pixel: &[u8]| -> [u8; 3] {
        std::array::from_fn(|colour| {
            let lights = pixel.iter().zip(&hues).map(|(&value, hue)| f32::from(value) * hue[colour]);
            lights.fold(0.0, f32::max) as u8
        })
    };
    let together = image.chunks_exact(shape.c).flat_map(light).collect();
    let alone = |channel| image.chunks_exact(shape.c).flat_map(|pixel| [pixel[channel]; 3]).collect();
    std::iter::once(together).chain((0..shape.c).map(alone)).collect()
}

/// The colour at `turn` of the colour wheel, from 0 to 1, at full strength.
fn hue(turn: f32) -> [f32; 3] {
    [0.0, 1.0 / 3.0, 2.0 / 3.0].map(|offset: f32| {
        let distance = (turn - offset).rem_euclid(1.0);
        let distance = distance.min(1.0 - distance) * 6.0;
        (2.0 - distance).clamp(0.0, 1.0)
    })
}

/// Puts pictures of shape (h, w, 3) on paper, row by row.
fn arranged(shape: ImageShape, rows: &[Vec<Picture>]) -> RgbImage {
    let (h, w) = (shape.h as u32, shape.w as u32);
    let factor = LEAST_EXTENT.div_ceil(h.min(w).max(1));
    let (cell_h, cell_w) = (h * factor + GAP, w * factor + GAP);
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0) as u32;
    let (sheet_w, sheet_h) = (columns * cell_w + GAP, rows.len() as u32 * cell_h + GAP);
    RgbImage::from_fn(sheet_w, sheet_h, |x, y| {
        let paper = image::Rgb([PAPER; 3]);
        let (Some(x), Some(y)) = (x.checked_sub(GAP), y.checked_sub(GAP)) else { return paper };
        let picture = rows[(y / cell_h) as usize].get((x / cell_w) as usize);
        let (x, y) = ((x % cell_w) / factor, (y % cell_h) / factor);
        match picture {
            Some(picture) if x < w && y < h => {
                let at = (y * w + x) as usize * 3;
                image::Rgb([picture[at], picture[at + 1], picture[at + 2]])
            }
            _ => paper,
        }
    })
}

fn png(image: &RgbImage) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image
        .write_to(&mut file, ImageFormat::Png)
        .expect("a sheet is no larger than memory, which it is written to");
    file.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Selection, Split};

    fn data(c: usize) -> Dataset {
        let shape = ImageShape { h: 30, w: 40, c };
        let images = (0..6 * shape.len()).map(|i| if i % c == 0 { 255 } else { 0 }).collect();
        let train = Selection::from(Split { shape, images, labels: vec![0, 1, 0, 1, 0, 1] });
        Dataset {
            name: "test".to_owned(),
            classes: vec!["a".to_owned(), "b".to_owned()],
            validation: train.part(&[]),
            test: train.part(&[]),
            train,
            mean: vec![0.0; c],
            std: vec![1.0; c],
            ..Dataset::default()
        }
    }

    fn decoded(png: &[u8]) -> RgbImage {
        image::load_from_memory(png).unwrap().into_rgb8()
    }

    #[test]
    fn a_row_a_class_and_a_column_an_image() {
        for (c, pixel) in [(1, [255; 3]), (3, [255, 0, 0])] {
            let sheet = decoded(&contact_sheet(&data(c), &[], 0, 2));
            // Enlarged twice: 80x60 a cell, and a gap of 4 around each.
            assert_eq!(sheet.dimensions(), (4 + 2 * 84, 4 + 2 * 64));
            assert_eq!(sheet.get_pixel(0, 0).0, [PAPER; 3]);
            assert_eq!(sheet.get_pixel(4, 4).0, pixel);
            assert_eq!(sheet.get_pixel(84, 10).0, [PAPER; 3]);
            assert_eq!(sheet.get_pixel(88, 68).0, pixel);
        }
    }

    #[test]
    fn many_channels_are_shown_together_and_alone() {
        let sheet = decoded(&contact_sheet(&data(4), &[], 0, 9));
        assert_eq!(sheet.dimensions(), (4 + 5 * 84, 4 + 2 * 64));
        // The first channel is red light; alone it is white, the others black.
        assert_eq!(sheet.get_pixel(4, 4).0, [255, 0, 0]);
        assert_eq!(sheet.get_pixel(88, 4).0, [255; 3]);
        assert_eq!(sheet.get_pixel(172, 4).0, [0; 3]);
    }

    #[test]
    fn a_sheet_shows_what_training_sees() {
        let crop: Augment = "pad-crop 8".parse().unwrap();
        let sheet = |seed| contact_sheet(&data(1), &[crop], seed, 3);
        assert_eq!(sheet(0), sheet(0));
        assert_ne!(sheet(0), sheet(1));
        assert_ne!(sheet(0), contact_sheet(&data(1), &[], 0, 3));
    }
}
