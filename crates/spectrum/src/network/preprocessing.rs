//! The preprocessing of images for published networks.

use super::{NetworkSpec, Numerics};

/// How a photograph becomes the input of a network: scaled, centre-cropped, and normalised
/// channel by channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preprocessing {
    /// Rows and columns of the network's images.
    pub size: [usize; 2],
    /// The crop's share of the scaled photograph's shorter side.
    pub crop_fraction: f64,
    /// Whether the channels are blue, green, red.
    pub is_bgr: bool,
    /// Subtracted from pixels of 0 to 255, in the order of the network's channels.
    pub mean: [f32; 3],
    /// What they are then divided by.
    pub deviation: [f32; 3],
}

impl Preprocessing {
    /// The preprocessing of the published `network`, for images of `size` rows and columns;
    /// `None` for a family that was never published with weights.
    pub fn of(network: &NetworkSpec, size: [usize; 2]) -> Option<Self> {
        let of_family = network.family.architecture().preprocessing?;
        Some(of_family(network.numerics, size))
    }

    /// Pixels from -1 to 1, for the Inceptions and Xception. The fraction is timm's.
    pub(crate) fn symmetric(size: [usize; 2], crop_fraction: f64) -> Self {
        Self { size, crop_fraction, is_bgr: false, mean: [127.5; 3], deviation: [127.5; 3] }
    }

    /// Pixels minus ImageNet's mean: in timm divided by its standard deviation, in Keras in BGR
    /// order.
    pub(crate) fn imagenet(numerics: Numerics, size: [usize; 2]) -> Self {
        let (is_bgr, mean, deviation) = match numerics {
            Numerics::Timm => {
                let share = |shares: [f32; 3]| shares.map(|share| share * 255.0);
                (false, share([0.485, 0.456, 0.406]), share([0.229, 0.224, 0.225]))
            }
            Numerics::Keras => (true, [103.939, 116.779, 123.68], [1.0; 3]),
        };
        Self { size, crop_fraction: 0.875, is_bgr, mean, deviation }
    }

    /// The length that a photograph's shorter side is scaled to.
    pub fn shorter_side(&self) -> usize {
        let longest = self.size[0].max(self.size[1]);
        (longest as f64 / self.crop_fraction) as usize
    }

    /// The network's input values for `pixels`, red, green and blue from 0 to 255.
    pub fn normalise(&self, pixels: &[u8]) -> Vec<f32> {
        let order = if self.is_bgr { [2, 1, 0] } else { [0, 1, 2] };
        let normalised = |pixel: &[u8; 3]| {
            let channel = |c: usize| (f32::from(pixel[order[c]]) - self.mean[c]) / self.deviation[c];
            [channel(0), channel(1), channel(2)]
        };
        pixels.as_chunks().0.iter().flat_map(normalised).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Family;

    fn of(family: Family, numerics: Numerics) -> Preprocessing {
        Preprocessing::of(&NetworkSpec::of(family, numerics), [299, 299]).unwrap()
    }

    #[test]
    fn each_framework_has_its_own_scale() {
        let pixels = [0, 51, 255];
        assert_eq!(of(Family::Xception, Numerics::Keras).normalise(&pixels), [-1.0, -0.6, 1.0]);
        assert_eq!(of(Family::Vgg16, Numerics::Keras).normalise(&pixels), [151.061, -65.779, -123.68]);
        let timm = of(Family::Resnet50, Numerics::Timm).normalise(&pixels);
        for (found, expected) in timm.iter().zip([-0.485 / 0.229, -0.256 / 0.224, 0.594 / 0.225]) {
            assert!((found - expected).abs() < 1e-5);
        }
    }

    #[test]
    fn xception_sees_299_of_333_pixels() {
        assert_eq!(of(Family::Xception, Numerics::Timm).shorter_side(), 333);
        let spec = NetworkSpec::of(Family::Resnet50, Numerics::Timm);
        assert_eq!(Preprocessing::of(&spec, [224, 224]).unwrap().shorter_side(), 256);
    }
}
