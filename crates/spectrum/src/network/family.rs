//! The architectures, and which keys each of them reads.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An architecture that a description scales in width, and some in depth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Family {
    /// Xception's flows at the size of small images.
    #[default]
    #[serde(rename = "mini-xception")]
    MiniXception,
    /// Xception (Chollet 2017, figure 5).
    #[serde(rename = "xception")]
    Xception,
    /// Inception V3 (Szegedy et al. 2016) without its auxiliary tower.
    #[serde(rename = "inception-v3")]
    InceptionV3,
    /// Inception V3's frame with modules of one 1x1 and segmented 3x3
    /// convolutions (Chollet 2017, figures 2 and 3).
    #[serde(rename = "simple-inception")]
    SimpleInception,
    /// VGG-16 (Simonyan and Zisserman 2015, configuration D).
    #[serde(rename = "vgg-16")]
    Vgg16,
    /// ResNet of 18 layers, in blocks of two 3x3 convolutions (He et al. 2016).
    #[serde(rename = "resnet-18")]
    Resnet18,
    /// ResNet of 50 layers, in bottlenecks.
    #[serde(rename = "resnet-50")]
    Resnet50,
    /// ResNet of 152 layers, in bottlenecks.
    #[serde(rename = "resnet-152")]
    Resnet152,
    /// ResNeXt of 50 layers (Xie et al. 2017); its segments are their cardinality.
    #[serde(rename = "resnext-50")]
    Resnext50,
}

/// Keys of networks that are made of spectrum modules.
const MODULE: [&str; 4] = ["order", "intermediate", "norm", "kernel"];
/// Keys of every network with batch norm.
const NORM: [&str; 2] = ["norm-epsilon", "norm-momentum"];

impl Family {
    /// Every architecture.
    pub const ALL: [Self; 9] = [
        Self::MiniXception,
        Self::Xception,
        Self::InceptionV3,
        Self::SimpleInception,
        Self::Vgg16,
        Self::Resnet18,
        Self::Resnet50,
        Self::Resnet152,
        Self::Resnext50,
    ];

    /// As typed in a file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MiniXception => "mini-xception",
            Self::Xception => "xception",
            Self::InceptionV3 => "inception-v3",
            Self::SimpleInception => "simple-inception",
            Self::Vgg16 => "vgg-16",
            Self::Resnet18 => "resnet-18",
            Self::Resnet50 => "resnet-50",
            Self::Resnet152 => "resnet-152",
            Self::Resnext50 => "resnext-50",
        }
    }

    /// Whether networks of the family differ by the value of `key`.
    pub fn reads(self, key: &str) -> bool {
        let is_sized =
            |key: &str| ["stem", "stem-kernel", "entry", "middle", "modules", "exit", "inner"].contains(&key);
        match key {
            "family" | "width" | "dropout" => true,
            "segments" => !matches!(self, Self::InceptionV3 | Self::Vgg16 | Self::Resnet18),
            "residual" | "dense" | "module" => matches!(self, Self::MiniXception | Self::Xception),
            "channels" => !matches!(self, Self::MiniXception | Self::InceptionV3),
            "fully-connected" => matches!(self, Self::Xception | Self::InceptionV3 | Self::SimpleInception),
            "numerics" => !matches!(self, Self::MiniXception | Self::Vgg16),
            "small-stem" => !matches!(self, Self::MiniXception | Self::Vgg16),
            key if MODULE.contains(&key) => {
                matches!(self, Self::MiniXception | Self::Xception | Self::SimpleInception)
            }
            key if NORM.contains(&key) => self != Self::Vgg16,
            key => self == Self::MiniXception && is_sized(key),
        }
    }

    /// Whether Keras and timm have other parameters in the family's networks,
    /// and not only other epsilons and paddings.
    pub const fn layers_follow_numerics(self) -> bool {
        matches!(
            self,
            Self::InceptionV3 | Self::Resnet18 | Self::Resnet50 | Self::Resnet152 | Self::Resnext50
        )
    }

    /// Images that the network was published for: rows and columns.
    pub const fn image_side(self) -> usize {
        match self {
            Self::MiniXception => 28,
            Self::Xception | Self::InceptionV3 | Self::SimpleInception => 299,
            _ => 224,
        }
    }
}

/// As typed in a file.
impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whose implementation a published network follows where two differ: the
/// epsilon of batch norms, padding of strided windows, padding in means, which
/// layers have biases and scales. Weights of one compute other logits under the
/// other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Numerics {
    /// `keras.applications`.
    #[default]
    Keras,
    /// PyTorch image models: Wightman's timm.
    Timm,
}

/// What the modules of a middle block see besides the output of the one before.
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
