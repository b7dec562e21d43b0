//! How much of the processor's multiply-add peak a module of the spectrum reaches, forward and
//! backward, on one thread: maps and channels of networks that ablations train.
//!
//! ```sh
//! cargo run --release --package decouple-kernels --example roofline
//! ```
//!
//! With `definition` no convolution is computed by Winograd tiles, with `bf16` matrix products
//! have factors in bf16, with `all` every instruction set is measured.

use std::time::Instant;

use decouple_kernels::{
    activation::Activation,
    arithmetic::{Arithmetic, Precision, Winograd},
    buffer::{Buffer, Scratch},
    conv::WeightOrder,
    convs::{Backward, ConvSpec, Convs, Forward, InputGradient},
    geometry::{ConvGeometry, ConvOptions, MapShape},
    isa::Isa,
    layout::{LANES, MapLayout},
    peak,
    rows::{Affine, Prologue, ThroughNorm},
};

/// Side of the map, channels, segments, images.
const MODULES: [(usize, usize, usize, usize); 33] = [
    (28, 5, 1, 64),
    (28, 12, 8, 64),
    (28, 16, 16, 64),
    (14, 11, 1, 64),
    (14, 23, 8, 64),
    (14, 32, 32, 64),
    (7, 22, 1, 64),
    (7, 47, 8, 64),
    (7, 64, 64, 64),
    (4, 22, 1, 64),
    (4, 47, 8, 64),
    (4, 64, 64, 64),
    (32, 16, 4, 64),
    (32, 32, 32, 64),
    (32, 64, 8, 64),
    (16, 128, 1, 64),
    (16, 128, 16, 64),
    (16, 128, 128, 64),
    (8, 128, 16, 64),
    // Of sizes about those from which Winograd tiles pay.
    (32, 64, 1, 64),
    (32, 64, 2, 64),
    (32, 32, 1, 64),
    (16, 32, 1, 64),
    (16, 64, 1, 64),
    (16, 128, 2, 64),
    (16, 128, 4, 64),
    (8, 32, 1, 64),
    (8, 64, 1, 64),
    (8, 256, 1, 64),
    (7, 32, 1, 64),
    (7, 64, 1, 64),
    (19, 728, 91, 16),
    (19, 728, 728, 16),
];

fn main() {
    let has = |word: &str| std::env::args().any(|argument| argument == word);
    let winograd = if has("definition") { Winograd::Off } else { Winograd::F2 };
    let precision = if has("bf16") { Precision::Bf16 } else { Precision::F32 };
    let arithmetic = Arithmetic { winograd, precision };
    let families = if has("all") { usize::MAX } else { 1 };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    pool.install(|| {
        for isa in Isa::available().take(families) {
            let peak = peak::macs_per_sec(isa);
            println!("{}: {:.1} billion multiply-adds a second", isa.name(), peak / 1e9);
            println!("map      channels  segments   forward           back");
            MODULES.iter().for_each(|&module| measure(isa, peak, arithmetic, module));
        }
    });
}

fn measure(
    isa: Isa,
    peak: f64,
    arithmetic: Arithmetic,
    (side, channels, segments, images): (usize, usize, usize, usize),
) {
    let shape = MapShape::new(side, side, channels);
    let layout = MapLayout::new(shape, 1);
    let spec = |options| ConvSpec {
        geometry: ConvGeometry::new(shape, channels, options).expect("a module"),
        order: WeightOrder::ChannelFirst,
        activation: None,
    };
    let specs = [spec(ConvOptions::pointwise()), spec(ConvOptions::spatial(3, segments))];
    let macs: u64 = specs.iter().map(|spec| spec.geometry.macs()).sum::<u64>() * images as u64;
    let mut convs = Convs::new(isa, &specs, &[layout; 3], true, arithmetic);
    let weights = specs.map(|spec| vec![0.1; spec.geometry.weight_count()]);
    let mut grads = weights.clone();
    let (mut x, mut middle, mut y, mut dx) =
        (map(&layout, images), map(&layout, images), map(&layout, images), map(&layout, images));
    x.iter_mut().enumerate().for_each(|(i, x)| *x *= (i % 7) as f32 - 3.0);
    let dy = map(&layout, images);
    let ones = vec![1.0; channels];
    let through = ThroughNorm { a: ones.clone(), b: ones.clone(), c: ones.clone() };
    let prologue = Prologue {
        affine: Some(Affine { mean: &ones, scale: &ones, shift: &ones }),
        activation: Some(Activation::Relu),
    };
    let mut sums = vec![[[0.0; LANES]; 2]; convs.sums(&layout, images)];
    let mut scratch = Scratch::default();
    scratch.reserve(convs.forward_scratch().max(convs.backward_scratch()));
    let mut partial = vec![0.0; convs.partial(images)];
    let forward = time(|| {
        convs.pack_forward(&[&weights[0], &weights[1]]);
        let moments = Some((&ones[..], &mut sums[..]));
        let step = Forward {
            images,
            x: &x,
            prologue,
            biases: [None; 2],
            middle: Some(&mut middle),
            y: &mut y,
            moments,
        };
        convs.forward(step, &scratch);
    });
    let back = time(|| {
        convs.pack_back(&[&weights[0], &weights[1]]);
        let input = InputGradient { target: &mut dx, adds: false, sums: Some((&ones, &mut sums)) };
        let [first, second] = &mut grads;
        let weights = vec![&mut first[..], &mut second[..]];
        let step = Backward {
            images,
            x: &x,
            prologue,
            middle: Some(&middle),
            gradient: &dy,
            through: Some((&through, &y)),
            weights,
            partial: &mut partial,
            bias: None,
            input: Some(input),
        };
        convs.backward(step, &scratch);
    });
    let share = |passes: f64, secs: f64| 100.0 * passes * macs as f64 / secs / peak;
    println!(
        "{side:>2}x{side:<2} {channels:>10} {segments:>9}   {:7.2} ms {:3.0} %   {:7.2} ms {:3.0} %   both {:3.0} %",
        forward * 1e3,
        share(1.0, forward),
        back * 1e3,
        share(2.0, back),
        share(3.0, forward + back),
    );
}

/// A map of which the margins are zero.
fn map(layout: &MapLayout, images: usize) -> Buffer {
    let mut map = Buffer::zeroed(layout.len(images));
    let batch = layout.batch(images);
    for image in 0..images {
        for (row, column) in
            (0..layout.shape.h).flat_map(|row| (0..layout.shape.w).map(move |column| (row, column)))
        {
            for channel in 0..layout.shape.c {
                map[batch.place(image, row, column, channel)] = 0.01 * ((image + row + column) % 5) as f32;
            }
        }
    }
    map
}

/// The lower quartile of repeated runs, in seconds.
fn time(mut work: impl FnMut()) -> f64 {
    work();
    let (began, mut runs) = (Instant::now(), Vec::new());
    while runs.len() < 7 || began.elapsed().as_secs_f64() < 0.3 {
        let start = Instant::now();
        work();
        runs.push(start.elapsed().as_secs_f64());
    }
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 4]
}
