//! candle's side of the benchmark: `candle THREADS`.

use candle_core::{DType, Device, Result, Tensor, Var, backprop::GradStore};
use candle_nn::{BatchNorm, loss::cross_entropy};
use worker::{Missing, Prepared, Request, Work};

#[path = "../../../crates/training/examples/bench/worker.rs"]
mod worker;

const CPU: Device = Device::Cpu;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let threads = std::env::args().nth(1).ok_or("usage: candle THREADS")?;
    // SAFETY: no other thread runs yet. Both are read once, by its thread pools.
    unsafe {
        std::env::set_var("RAYON_NUM_THREADS", &threads);
        std::env::set_var("OMP_NUM_THREADS", &threads);
    }
    worker::serve("candle", "0.11.1", |request| match request.work {
        Work::Conv => Ok(convolution(request)?),
        Work::Module => Ok(chain(request)?),
        Work::Step => Ok(mini_xception(request)?),
        Work::Xception | Work::Forward => Err(Missing::from("its library of models has no Xception")),
        Work::Machine => Err(Missing::from("not for peers")),
    })
}

fn noise(shape: &[usize]) -> Result<Tensor> {
    Tensor::randn(0.0_f32, 1.0, shape, &CPU)
}

/// Its backward pass computes both gradients at once.
fn convolution(request: &Request) -> Result<Prepared> {
    let Request { batch, channels, side, segments, .. } = *request;
    let x = Var::from_tensor(&noise(&[batch, channels, side, side])?)?;
    let weights = Var::from_tensor(&noise(&[channels, channels / segments, 3, 3])?)?;
    let y = x.conv2d(&weights, 1, 1, 1, segments)?;
    let forward = move || Ok(drop(x.as_detached_tensor().conv2d(&weights.as_detached_tensor(), 1, 1, 1, segments)?));
    let gradients = move || Ok(drop(y.backward()?));
    Ok(Prepared {
        parts: vec![("forward", Box::new(forward)), ("gradients", Box::new(gradients))],
        ..Prepared::default()
    })
}

/// The trained values of a network, in the order in which they were made.
#[derive(Default)]
struct Parameters(Vec<Var>);

impl Parameters {
    fn conv(&mut self, in_c: usize, out_c: usize, kernel: usize, stride: usize, groups: usize) -> Result<Conv> {
        let fan_in = (in_c / groups * kernel * kernel) as f64;
        let weights = (noise(&[out_c, in_c / groups, kernel, kernel])? * (2.0 / fan_in).sqrt())?;
        let weights = self.add(weights)?;
        Ok(Conv { weights, padding: kernel / 2, stride, groups })
    }

    fn norm(&mut self, channels: usize) -> Result<BatchNorm> {
        let (zeros, ones) = (Tensor::zeros(channels, DType::F32, &CPU)?, Tensor::ones(channels, DType::F32, &CPU)?);
        let (gamma, beta) = (self.add(ones.clone())?, self.add(zeros.clone())?);
        BatchNorm::new_with_momentum(channels, zeros, ones, gamma, beta, 1e-3, 0.1)
    }

    fn module(&mut self, in_c: usize, out_c: usize, segments: usize, relu: bool) -> Result<Module> {
        Ok(Module {
            relu,
            pointwise: self.conv(in_c, out_c, 1, 1, 1)?,
            spatial: self.conv(out_c, out_c, 3, 1, segments.min(out_c))?,
            norm: self.norm(out_c)?,
        })
    }

    fn flow(&mut self, in_c: usize, mid_c: usize, out_c: usize, segments: usize, relu: bool) -> Result<Flow> {
        let modules = [self.module(in_c, mid_c, segments, relu)?, self.module(mid_c, out_c, segments, true)?];
        Ok(Flow { modules, skip: self.conv(in_c, out_c, 1, 2, 1)?, norm: self.norm(out_c)? })
    }

    fn add(&mut self, values: Tensor) -> Result<Tensor> {
        let var = Var::from_tensor(&values)?;
        let tensor = var.as_tensor().clone();
        self.0.push(var);
        Ok(tensor)
    }

    fn count(&self) -> f64 {
        self.0.iter().map(|var| var.elem_count() as f64).sum()
    }
}

struct Conv {
    weights: Tensor,
    padding: usize,
    stride: usize,
    groups: usize,
}

impl Conv {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.conv2d(&self.weights, self.padding, self.stride, 1, self.groups)
    }
}

struct Module {
    relu: bool,
    pointwise: Conv,
    spatial: Conv,
    norm: BatchNorm,
}

impl Module {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = if self.relu { x.relu()? } else { x.clone() };
        self.norm.forward_train(&self.spatial.forward(&self.pointwise.forward(&x)?)?)
    }
}

struct Flow {
    modules: [Module; 2],
    skip: Conv,
    norm: BatchNorm,
}

impl Flow {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.modules[1].forward(&self.modules[0].forward(x)?)?;
        // One row and column at the far side, as Keras' "same"; the padding is
        // below what batch norm gives.
        let y = y.pad_with_same(2, 0, 1)?.pad_with_same(3, 0, 1)?.max_pool2d_with_stride(3, 2)?;
        y + self.norm.forward_train(&self.skip.forward(x)?)?
    }
}

fn chain(request: &Request) -> Result<Prepared> {
    let (channels, side) = (request.channels, request.side);
    let mut parameters = Parameters::default();
    let norm = parameters.norm(channels)?;
    let modules = (0..request.chain).map(|_| parameters.module(channels, channels, request.segments, true));
    let modules = modules.collect::<Result<Vec<_>>>()?;
    let images = noise(&[request.batch, channels, side, side])?;
    let forward = move || {
        let x = norm.forward_train(&images)?;
        modules.iter().try_fold(x, |x, module| module.forward(&x))?.mean((2, 3))
    };
    training("passes", parameters, request.batch, channels, None, forward)
}

fn mini_xception(request: &Request) -> Result<Prepared> {
    let (sizes, segments) = (&request.network, request.segments);
    let mut parameters = Parameters::default();
    let stem = parameters.conv(sizes.image, sizes.stem, 3, 1, 1)?;
    let stem_norm = parameters.norm(sizes.stem)?;
    let (mut entry, mut channels) = (Vec::new(), sizes.stem);
    for (stage, &out_c) in sizes.entry.iter().enumerate() {
        entry.push(parameters.flow(channels, out_c, out_c, segments, stage > 0)?);
        channels = out_c;
    }
    let block = |parameters: &mut Parameters| {
        (0..sizes.modules).map(|_| parameters.module(channels, channels, segments, true)).collect::<Result<Vec<_>>>()
    };
    let middle = (0..sizes.middle).map(|_| block(&mut parameters)).collect::<Result<Vec<_>>>()?;
    let exit = parameters.flow(channels, channels, sizes.exit, segments, true)?;
    let weights = (noise(&[sizes.classes, sizes.exit])? * (1.0 / sizes.exit as f64).sqrt())?;
    let logits = candle_nn::Linear::new(
        parameters.add(weights)?,
        Some(parameters.add(Tensor::zeros(sizes.classes, DType::F32, &CPU)?)?),
    );
    let images = noise(&[request.batch, sizes.image, request.side, request.side])?;
    let forward = move || {
        let mut x = stem_norm.forward_train(&stem.forward(&images)?)?.relu()?;
        for flow in &entry {
            x = flow.forward(&x)?;
        }
        for block in &middle {
            x = (block.iter().try_fold(x.clone(), |y, module| module.forward(&y))? + x)?;
        }
        x = exit.forward(&x)?.relu()?;
        candle_nn::Module::forward(&logits, &x.mean((2, 3))?)
    };
    training("step", parameters, request.batch, sizes.classes, Some(0.01), forward)
}

/// Both passes, and with a learning rate also SGD with momentum, which candle
/// leaves to its users.
fn training(
    part: &'static str,
    parameters: Parameters,
    batch: usize,
    classes: usize,
    rate: Option<f64>,
    forward: impl Fn() -> Result<Tensor> + 'static,
) -> Result<Prepared> {
    let labels: Vec<u32> = (0..batch).map(|i| (i % classes) as u32).collect();
    let labels = Tensor::new(labels, &CPU)?;
    let count = parameters.count();
    let mut momenta = parameters.0.iter().map(|var| var.zeros_like()).collect::<Result<Vec<_>>>()?;
    let run = move || {
        let gradients = cross_entropy(&forward()?, &labels)?.backward()?;
        Ok(match rate {
            Some(rate) => descend(&parameters.0, &mut momenta, &gradients, rate)?,
            None => drop(gradients),
        })
    };
    Ok(Prepared { parts: vec![(part, Box::new(run))], facts: [("parameters", count)].into() })
}

fn descend(variables: &[Var], momenta: &mut [Tensor], gradients: &GradStore, rate: f64) -> Result<()> {
    for (var, momentum) in variables.iter().zip(momenta) {
        if let Some(gradient) = gradients.get(var) {
            *momentum = ((&*momentum * 0.9)? + gradient)?;
            var.set(&(var.as_tensor() - (&*momentum * rate)?)?)?;
        }
    }
    Ok(())
}
