//! How near the convolutions come to the machine's peak: a table of times and
//! of multiply-adds per second as a share of a measured loop of them.
//!
//! `cargo run --release -p decouple-kernels --example roofline [isa [batch height channels]]`,
//! where `isa` is avx512, avx2 or portable. The number of threads is rayon's
//! (`RAYON_NUM_THREADS`). Rows F2 and F4 are Winograd's, where it pays, and count
//! the multiply-adds of the definition: they may exceed the peak.

use std::time::{Duration, Instant};

use decouple_kernels::{
    conv,
    geometry::{ConvGeometry, ConvOptions, MapShape},
    isa::{Context, Isa},
    numerics::{Numerics, Winograd},
    peak,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let isa = match arguments.next() {
        None => Isa::best(),
        Some(name) => Isa::available().find(|isa| isa.name() == name).ok_or("no such instructions here")?,
    };
    let numbers = arguments.map(|n| n.parse()).collect::<Result<Vec<usize>, _>>()?;
    let (batch, side, c) = match numbers[..] {
        [] => (64, 16, 128),
        [batch, side, c] => (batch, side, c),
        _ => return Err("expected batch, height and channels".into()),
    };
    let ctx = Context::new(isa).ok_or("no such instructions here")?;
    let threads = rayon::current_num_threads();
    let peak = peak::macs_per_sec(&ctx);
    println!(
        "{}, {threads} threads, {:.1} GMAC/s peak; batch {batch} of {side}x{side}x{c}",
        isa.name(),
        peak / 1e9
    );
    println!("kernel     c  forward ms    %  input ms    %  weights ms    %");
    let map = MapShape::new(side, side, c);
    let widths = std::iter::successors(Some(1), |&width| Some(width * 2)).take_while(|&width| width < c);
    for width in widths.chain([c]) {
        let g = ConvGeometry::new(map, c, ConvOptions::spatial(3, c / width))?;
        row(&ctx, &format!("3x3 {width:8}"), &g, batch)?;
        for (name, winograd) in [("F2 ", Winograd::F2), ("F4 ", Winograd::F4)] {
            let ctx = ctx.clone().with(Numerics { winograd, ..Numerics::default() });
            if matches!(conv::path(&g, batch, &ctx), conv::Path::WinogradF2 | conv::Path::WinogradF4) {
                row(&ctx, &format!("{name} {width:8}"), &g, batch)?;
            }
        }
    }
    row(&ctx, &format!("1x1 {c:8}"), &ConvGeometry::new(map, c, ConvOptions::pointwise())?, batch)
}

/// Times the three passes of one convolution and prints a line.
fn row(ctx: &Context, name: &str, g: &ConvGeometry, batch: usize) -> Result<(), Box<dyn std::error::Error>> {
    let x = vec![0.5; batch * g.input().len()];
    let weights = vec![0.5; g.weight_count()];
    let grad_y = vec![0.5; batch * g.output().len()];
    let (mut y, mut grad_x, mut grad_weights) = (grad_y.clone(), x.clone(), weights.clone());
    let times = [
        best_of(|| conv::forward(ctx, g, &x, &weights, &mut y))?,
        best_of(|| conv::backward_input(ctx, g, &grad_y, &weights, &mut grad_x))?,
        best_of(|| conv::backward_weights(ctx, g, &x, &grad_y, &mut grad_weights))?,
    ];
    // The clock of a shared machine wanders: compare with the peak of the moment.
    let peak = peak::macs_per_sec(ctx);
    let macs = batch as f64 * g.macs() as f64;
    let [forward, input, weights] =
        times.map(|t| (t.as_secs_f64() * 1e3, 100.0 * macs / t.as_secs_f64() / peak));
    println!(
        "{name} {:10.3} {:4.0} {:9.3} {:4.0} {:11.3} {:4.0}",
        forward.0, forward.1, input.0, input.1, weights.0, weights.1
    );
    Ok(())
}

/// The shortest of the runs that fit into a tenth of a second, at least five.
fn best_of<E>(mut run: impl FnMut() -> Result<(), E>) -> Result<Duration, E> {
    run()?;
    let (begin, mut best, mut runs) = (Instant::now(), Duration::MAX, 0);
    while runs < 5 || begin.elapsed() < Duration::from_millis(100) {
        let start = Instant::now();
        run()?;
        best = best.min(start.elapsed());
        runs += 1;
    }
    Ok(best)
}
