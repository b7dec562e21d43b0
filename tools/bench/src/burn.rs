//! burn's side of the benchmark: `burn THREADS`.

use burn::{
    module::Module,
    nn::{
        BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
        loss::{CrossEntropyLoss, CrossEntropyLossConfig},
        pool::{MaxPool2d, MaxPool2dConfig},
    },
    optim::{GradientsParams, SgdConfig, momentum::MomentumConfig},
    tensor::{Device, Distribution, Int, Tensor, activation::relu, module::conv2d, ops::ConvOptions},
};
use worker::{Missing, Prepared, Request, Work};

#[path = "../../../crates/training/examples/bench/worker.rs"]
mod worker;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let threads = std::env::args().nth(1).ok_or("usage: burn THREADS")?;
    // SAFETY: no other thread runs yet. It is read once, by the thread pool.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", &threads) };
    let device = Device::flex().autodiff();
    worker::serve("burn", "0.22.1", |request| match request.work {
        Work::Conv => Ok(convolution(request, &device)),
        Work::Module => Ok(chain(request, &device)),
        Work::Step => Ok(mini_xception(request, &device)),
        Work::Xception | Work::Forward => Err(Missing::from("its library of models has no Xception")),
        Work::Machine => Err(Missing::from("not for peers")),
    })
}

fn noise(shape: [usize; 4], device: &Device) -> Tensor<4> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// Its gradients come from a tape that a forward pass records: one part.
fn convolution(request: &Request, device: &Device) -> Prepared {
    let Request { batch, channels, side, segments, .. } = *request;
    let x = noise([batch, channels, side, side], device).require_grad();
    let weights = noise([channels, channels / segments, 3, 3], device).require_grad();
    let run = move || {
        let options = ConvOptions::new([1, 1], [1, 1], [1, 1], segments);
        let gradients = conv2d(x.clone(), weights.clone(), None, options).backward();
        Ok(drop((x.grad(&gradients), weights.grad(&gradients))))
    };
    Prepared { parts: vec![("passes", Box::new(run))], ..Prepared::default() }
}

fn conv(in_c: usize, out_c: usize, kernel: usize, stride: usize, groups: usize, device: &Device) -> Conv2d {
    let border = kernel / 2;
    Conv2dConfig::new([in_c, out_c], [kernel, kernel])
        .with_stride([stride, stride])
        .with_groups(groups)
        .with_padding(PaddingConfig2d::Explicit(border, border, border, border))
        .with_bias(false)
        .init(device)
}

fn norm(channels: usize, device: &Device) -> BatchNorm {
    BatchNormConfig::new(channels).with_epsilon(1e-3).init(device)
}

/// \[ReLU,\] 1x1, 3x3 over segments, batch norm.
#[derive(Module, Debug)]
struct Unit {
    relu: bool,
    pointwise: Conv2d,
    spatial: Conv2d,
    norm: BatchNorm,
}

impl Unit {
    fn new(in_c: usize, out_c: usize, segments: usize, relu: bool, device: &Device) -> Self {
        Self {
            relu,
            pointwise: conv(in_c, out_c, 1, 1, 1, device),
            spatial: conv(out_c, out_c, 3, 1, segments.min(out_c), device),
            norm: norm(out_c, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = if self.relu { relu(x) } else { x };
        self.norm.forward(self.spatial.forward(self.pointwise.forward(x)))
    }
}

/// Two modules, halved, plus the strided skip: an entry stage or the exit.
#[derive(Module, Debug)]
struct Flow {
    first: Unit,
    second: Unit,
    pool: MaxPool2d,
    skip: Conv2d,
    norm: BatchNorm,
}

impl Flow {
    fn new(in_c: usize, mid_c: usize, out_c: usize, segments: usize, relu: bool, device: &Device) -> Self {
        // One row and column at the far side, as Keras' "same".
        let pool = MaxPool2dConfig::new([3, 3]).with_strides([2, 2]);
        Self {
            first: Unit::new(in_c, mid_c, segments, relu, device),
            second: Unit::new(mid_c, out_c, segments, true, device),
            pool: pool.with_padding(PaddingConfig2d::Explicit(0, 0, 1, 1)).init(),
            skip: conv(in_c, out_c, 1, 2, 1, device),
            norm: norm(out_c, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.pool.forward(self.second.forward(self.first.forward(x.clone())));
        y + self.norm.forward(self.skip.forward(x))
    }
}

/// Units one after the other.
#[derive(Module, Debug)]
struct Units {
    units: Vec<Unit>,
}

impl Units {
    fn new(count: usize, channels: usize, segments: usize, device: &Device) -> Self {
        Self { units: (0..count).map(|_| Unit::new(channels, channels, segments, true, device)).collect() }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.units.iter().fold(x, |x, unit| unit.forward(x))
    }
}

#[derive(Module, Debug)]
struct Chain {
    norm: BatchNorm,
    units: Units,
}

#[derive(Module, Debug)]
struct MiniXception {
    stem: Conv2d,
    stem_norm: BatchNorm,
    entry: Vec<Flow>,
    middle: Vec<Units>,
    exit: Flow,
    logits: Linear,
}

impl MiniXception {
    fn new(request: &Request, device: &Device) -> Self {
        let (sizes, segments) = (&request.network, request.segments);
        let (mut entry, mut channels) = (Vec::new(), sizes.stem);
        for (stage, &out_c) in sizes.entry.iter().enumerate() {
            entry.push(Flow::new(channels, out_c, out_c, segments, stage > 0, device));
            channels = out_c;
        }
        Self {
            stem: conv(sizes.image, sizes.stem, 3, 1, 1, device),
            stem_norm: norm(sizes.stem, device),
            entry,
            middle: (0..sizes.middle).map(|_| Units::new(sizes.modules, channels, segments, device)).collect(),
            exit: Flow::new(channels, channels, sizes.exit, segments, true, device),
            logits: LinearConfig::new(sizes.exit, sizes.classes).init(device),
        }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = relu(self.stem_norm.forward(self.stem.forward(images)));
        let x = self.entry.iter().fold(x, |x, flow| flow.forward(x));
        let x = self.middle.iter().fold(x, |x, block| block.forward(x.clone()) + x);
        self.logits.forward(channel_means(relu(self.exit.forward(x))))
    }
}

fn channel_means(x: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = x.dims();
    x.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels])
}

fn loss_of(batch: usize, classes: usize, device: &Device) -> (CrossEntropyLoss, Tensor<1, Int>) {
    let labels: Vec<i32> = (0..batch).map(|i| (i % classes) as i32).collect();
    (CrossEntropyLossConfig::new().init(device), Tensor::from_data(labels.as_slice(), device))
}

fn chain(request: &Request, device: &Device) -> Prepared {
    let (channels, side) = (request.channels, request.side);
    let units = Units::new(request.chain, channels, request.segments, device);
    let chain = Chain { norm: norm(channels, device), units };
    let facts = [("parameters", trained(&chain))].into();
    let images = noise([request.batch, channels, side, side], device);
    let (loss, labels) = loss_of(request.batch, channels, device);
    let run = move || {
        let logits = channel_means(chain.units.forward(chain.norm.forward(images.clone())));
        let gradients = loss.forward(logits, labels.clone()).backward();
        Ok(drop(GradientsParams::from_grads(gradients, &chain)))
    };
    Prepared { parts: vec![("passes", Box::new(run))], facts }
}

fn mini_xception(request: &Request, device: &Device) -> Prepared {
    let network = MiniXception::new(request, device);
    let facts = [("parameters", trained(&network))].into();
    let images = noise([request.batch, request.network.image, request.side, request.side], device);
    let (loss, labels) = loss_of(request.batch, request.network.classes, device);
    let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
    let mut optimizer = SgdConfig::new().with_momentum(Some(momentum)).init();
    // An optimiser takes a network and gives the next one.
    let mut held = Some(network);
    let run = move || {
        let network = held.take().ok_or("an earlier step failed")?;
        let gradients = loss.forward(network.forward(images.clone()), labels.clone()).backward();
        let gradients = GradientsParams::from_grads(gradients, &network);
        held = Some(optimizer.step(0.01, network, gradients));
        Ok(())
    };
    Prepared { parts: vec![("step", Box::new(run))], facts }
}

/// Trained values: running means and variances are parameters to burn.
fn trained<M: Module>(module: &M) -> f64 {
    module.num_params() as f64
}
