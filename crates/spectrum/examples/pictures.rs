//! Writes the pictures of docs/figures: the paper's figures 1 to 5 and the
//! other networks, drawn from their graphs.
//!
//! ```text
//! cargo run --package decouple-spectrum --example pictures -- docs/figures
//! ```

use std::path::Path;

use decouple_spectrum::{
    drawing::svg,
    network::figures,
    network::{Family, NetworkSpec, Numerics},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: pictures FOLDER")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    for (number, title) in (1..).zip(figures::TITLES) {
        let graph = figures::module(number).ok_or("figures 1 to 4 exist")?;
        std::fs::write(folder.join(format!("figure-{number}.svg")), svg(&graph, title))?;
    }
    for family in Family::ALL {
        let spec = NetworkSpec::of(family, Numerics::Keras);
        let (input, classes) = family.images();
        let graph = spec.graph(input, classes)?;
        let (name, title) = match family {
            Family::Xception => ("figure-5".to_owned(), "Figure 5: Xception".to_owned()),
            family => (family.to_string(), family.to_string()),
        };
        std::fs::write(folder.join(format!("{name}.svg")), svg(&graph, &title))?;
    }
    Ok(())
}
