//! The architectures. Each is described in a file in `architectures` and registered here, in
//! one line.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::NetworkKey;
use super::architectures::{
    Architecture, inception_v3, mini_xception, resnet, simple_inception, vgg, xception,
};
use decouple_kernels::geometry::MapShape;

macro_rules! families {
    ($($(#[$about:meta])* $family:ident $name:literal = $architecture:expr;)*) => {
        /// An architecture, which a description scales in width and sometimes in depth.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Family {
            $($(#[$about])* #[serde(rename = $name)] $family,)*
        }

        impl Family {
            /// Every architecture.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$family),*];

            /// As typed in a file.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$family => $name),* }
            }

            /// The description of the family.
            pub(crate) const fn architecture(self) -> &'static Architecture {
                match self { $(Self::$family => &$architecture),* }
            }
        }
    };
}

families! {
    /// Xception's flows at the size of small images.
    #[default]
    MiniXception "mini-xception" = mini_xception::MINI_XCEPTION;
    /// Xception (Chollet 2017, figure 5).
    Xception "xception" = xception::XCEPTION;
    /// Inception V3 (Szegedy et al. 2016) without its auxiliary tower.
    InceptionV3 "inception-v3" = inception_v3::INCEPTION_V3;
    /// Inception V3's frame with modules of one 1x1 and segmented 3x3
    /// convolutions (Chollet 2017, figures 2 and 3).
    SimpleInception "simple-inception" = simple_inception::SIMPLE_INCEPTION;
    /// VGG-16 (Simonyan and Zisserman 2015, configuration D).
    Vgg16 "vgg-16" = vgg::VGG_16;
    /// ResNet of 18 layers, in blocks of two 3x3 convolutions (He et al. 2016).
    Resnet18 "resnet-18" = resnet::RESNET_18;
    /// ResNet of 50 layers, in bottlenecks.
    Resnet50 "resnet-50" = resnet::RESNET_50;
    /// ResNet of 152 layers, in bottlenecks.
    Resnet152 "resnet-152" = resnet::RESNET_152;
    /// ResNeXt of 50 layers (Xie et al. 2017); its segments are their cardinality.
    Resnext50 "resnext-50" = resnet::RESNEXT_50;
}

impl Family {
    /// Whether the value of `key` matters to the family.
    pub fn reads(self, key: NetworkKey) -> bool {
        matches!(key, NetworkKey::Width | NetworkKey::Dropout) || self.architecture().keys.contains(&key)
    }

    /// Images and number of classes that the network was published for.
    pub const fn images(self) -> (MapShape, usize) {
        let Architecture { images: (side, channels), classes, .. } = *self.architecture();
        (MapShape::new(side, side, channels), classes)
    }
}

/// As typed in a file.
impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which implementation a published network follows where the two differ: the epsilon of batch
/// norms, padding of strided windows, padding in means, which layers have biases and scales.
/// The same weights give different logits in the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Numerics {
    /// `keras.applications`.
    #[default]
    Keras,
    /// PyTorch image models: Wightman's timm.
    Timm,
}

/// Further inputs of the modules of a middle block, besides the output of the previous one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dense {
    /// Nothing.
    #[default]
    None,
    /// The block's input: one map goes to several modules.
    First,
    /// The block's input and the outputs of all earlier modules (Huang et al.
    /// 2017).
    All,
}
