//! Pictures of networks: everything on the page, nothing over something else.

use decouple_kernels::geometry::MapShape;
use decouple_spectrum::drawing::svg;
use decouple_spectrum::network::figures;
use decouple_spectrum::network::{Dense, Family, NetworkSpec, Numerics};

/// Left, top, right and bottom.
type Extents = [f64; 4];

fn attribute(element: &str, name: &str) -> Option<f64> {
    let (_, rest) = element.split_once(&format!(" {name}=\""))?;
    rest.split('"').next()?.parse().ok()
}

/// The rectangles of a picture; the first is the page.
fn rectangles(picture: &str) -> Vec<Extents> {
    let page = [0.0, 0.0, attribute(picture, "width").unwrap(), attribute(picture, "height").unwrap()];
    let drawn = picture.lines().filter(|line| line.starts_with("<rect x=")).map(|line| {
        let [x, y, width, height] =
            ["x", "y", "width", "height"].map(|name| attribute(line, name).expect("a number"));
        [x, y, x + width, y + height]
    });
    std::iter::once(page).chain(drawn).collect()
}

fn contains(outer: &Extents, inner: &Extents) -> bool {
    outer[0] <= inner[0] && outer[1] <= inner[1] && outer[2] >= inner[2] && outer[3] >= inner[3]
}

fn are_apart(a: &Extents, b: &Extents) -> bool {
    a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1]
}

fn check(picture: &str, what: &str) {
    let rectangles = rectangles(picture);
    assert!(rectangles.len() > 2, "{what}");
    for (index, a) in rectangles.iter().enumerate() {
        assert!(contains(&rectangles[0], a), "{what}: {a:?} leaves the page");
        for b in &rectangles[index + 1..] {
            assert!(contains(a, b) || contains(b, a) || are_apart(a, b), "{what}: {a:?} {b:?}");
        }
    }
    let is_closed = |line: &str| line.ends_with("/>") || line.ends_with("</text>");
    let lines: Vec<&str> = picture.lines().collect();
    assert!(lines[1..lines.len() - 1].iter().all(|line| is_closed(line)), "{what}");
    assert!(!picture.contains("NaN") && !picture.contains("inf"), "{what}");
}

#[test]
fn every_network_fits_on_its_page() {
    for number in 1..=4 {
        check(&svg(&figures::module(number).unwrap(), "a figure"), &format!("figure {number}"));
    }
    for family in Family::ALL {
        let spec = NetworkSpec::of(family, Numerics::Keras);
        let graph = spec.graph(MapShape { c: 3, ..family.images().0 }, 1000).unwrap();
        check(&svg(&graph, family.name()), family.name());
    }
    let dense =
        NetworkSpec { dense: Dense::All, dropout: 0.5, ..NetworkSpec::of(Family::Xception, Numerics::Keras) };
    let graph = dense.graph(MapShape::new(299, 299, 3), 10).unwrap();
    check(&svg(&graph, "a title with <signs> & more that is much longer than the picture is wide"), "dense");
}

#[test]
fn blocks_that_repeat_are_drawn_once() {
    let graph =
        NetworkSpec::of(Family::Xception, Numerics::Keras).graph(MapShape::new(299, 299, 3), 1000).unwrap();
    let picture = svg(&graph, "Xception");
    assert!(picture.contains(">block4 to 11<") && picture.contains(">8×<"));
    // Four strided skips, and the identity of the middle flow.
    assert_eq!(picture.matches("<circle").count(), 5);
    assert_eq!(picture.matches(">conv 1x1 /2<").count(), 4);
    assert_eq!(picture.matches(">3x3 per channel, 1x1<").count(), 13);
}
