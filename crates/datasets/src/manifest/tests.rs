//! Tables as people write them, and what is wrong with others.

use image::{Rgb, RgbImage};
use proptest::prelude::*;

use super::*;
use crate::fingerprint::Cache;
use crate::loader::streamed;
use crate::stream::{BatchOrder, Part};
use crate::test_files::{changed, changes};
use crate::{DataSpec, Source};

/// A folder with `images/0.png` to `images/4.png`, and a table of it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.0.path().join("images")).unwrap();
        for number in 0..5_u8 {
            let image = RgbImage::from_pixel(4, 4, Rgb([number, 0, 0]));
            image.save(place.0.path().join(format!("images/{number}.png"))).unwrap();
        }
        fs::write(place.0.path().join("classes.txt"), "owl tawny\nwren\nred kite\n").unwrap();
        place
    }

    fn spec(&self, name: &str, multi_label: bool) -> Manifest {
        Manifest {
            file: name.into(),
            columns: Columns::default(),
            classes: Classes {
                count: 3,
                list: Some("classes.txt".into()),
                multi_label,
                ..Classes::default()
            },
            test_share: 0.4,
            reading: Reading::of_size([4, 4]),
        }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn list(
        &self,
        name: &str,
        text: &str,
        change: impl FnOnce(&mut Manifest),
    ) -> Result<ManifestListing, String> {
        self.write(name, text);
        let mut spec = self.spec(name, false);
        change(&mut spec);
        list(&spec, Some(self.0.path())).map_err(|error| {
            let error = error.to_string();
            let place = format!("{}/", self.0.path().display());
            error.strip_prefix(&place).unwrap_or_else(|| panic!("{error}")).to_owned()
        })
    }
}

/// The numbers and labels of files.
fn numbers(files: &Labelled) -> Vec<(String, Vec<u16>)> {
    files
        .iter()
        .map(|(file, labels)| (file.file_stem().unwrap().to_string_lossy().into_owned(), labels.clone()))
        .collect()
}

fn of(number: &str, labels: &[u16]) -> (String, Vec<u16>) {
    (number.to_owned(), labels.to_vec())
}

#[test]
fn a_missing_table_is_told_with_where_it_is_looked_for() {
    let place = Place::new();
    let message = list(&place.spec("no.csv", false), Some(place.0.path())).unwrap_err().to_string();
    assert!(message.contains("no.csv: ") && message.contains("--data"), "{message}");
}

#[test]
fn tables_of_every_kind_say_the_same() {
    let place = Place::new();
    let csv = "\u{feff}id,Path,label,split\n7,images/0.png,owl,train\r\n8,\"images/1.png\",red kite,Training\n9,images/2.png,1,test\n";
    let tsv = csv.replace(',', "\t");
    let json = "{\"file_name\": \"images/0.png\", \"label\": 0, \"split\": \"train\"}\n\n\
                {\"file_name\": \"images/1.png\", \"Label\": \"red kite\", \"Split\": \"train\", \"x\": {}}\n\
                {\"file_name\": \"images/2.png\", \"label\": [\"wren\"], \"split\": \"test\"}";
    for (name, text) in [("a.csv", csv), ("a.tsv", &tsv), ("a.jsonl", json)] {
        let listing = place.list(name, text, |_| ()).unwrap();
        assert_eq!(numbers(&listing.train), [of("0", &[0]), of("1", &[2])], "{name}");
        assert_eq!(numbers(&listing.test), [of("2", &[1])], "{name}");
        assert_eq!(listing.classes[2], "red kite");
        let notes =
            ["no row to train on of 1 of the 3 classes: wren", "no row for testing of 2 of the 3 classes"];
        for (note, expected) in listing.notes.iter().zip(notes) {
            assert!(note.contains(expected), "{note}");
        }
        assert_eq!(listing.hash, blake3::hash(text.as_bytes()));
    }
}

#[test]
fn rows_without_a_split_are_divided_and_unused_splits_named() {
    let place = Place::new();
    // Class by class: two of the three of class 0 with a share of 0.7, and one of the two of class 2.
    let rows: String = (0..5).map(|number| format!("images/{number}.png,{}\n", number % 2 * 2)).collect();
    let listing = place.list("a.csv", &format!("image,class\n{rows}"), |spec| spec.test_share = 0.7).unwrap();
    assert_eq!(numbers(&listing.test), [of("2", &[0]), of("3", &[2]), of("4", &[0])]);
    assert_eq!(numbers(&listing.train), [of("0", &[0]), of("1", &[2])]);
    assert!(listing.is_divided_by_class);
    let text = "path,label,use\nimages/0.png,0,train\nimages/1.png,1,val\nimages/2.png,1,test\n";
    let listing = place.list("a.csv", text, |spec| spec.columns.split = Some("use".to_owned())).unwrap();
    assert_eq!(numbers(&listing.test), [of("2", &[1])]);
    assert!(!listing.is_divided_by_class);
    assert!(
        listing.notes[0].ends_with("a.csv: 1 row is of the split `val` and not used"),
        "{:?}",
        listing.notes
    );
}

#[test]
fn an_image_with_many_labels_may_have_a_row_for_each() {
    let place = Place::new();
    let text = "path,labels,split\nimages/0.png,wren|owl,train\nimages/1.png,,train\nimages/0.png,red kite,train\nimages/2.png,2 0,test\n";
    let listing = place.list("a.csv", text, |spec| spec.classes.multi_label = true).unwrap();
    assert_eq!(numbers(&listing.train), [of("0", &[0, 1, 2]), of("1", &[])]);
    assert_eq!(numbers(&listing.test), [of("2", &[0, 2])]);
}

#[test]
fn a_mistake_is_named_with_file_and_line() {
    let place = Place::new();
    let head = "path,label,split\nimages/0.png,0,train\n";
    for (name, text, expected) in [
        ("a.csv", "name,kind\n".to_owned(), "a.csv:1: expected a column path or image or file"),
        ("a.csv", "path,kind\n".to_owned(), "a.csv:1: expected a column label or labels"),
        ("a.csv", format!("{head}images/1.png,3,train\n"), "a.csv:3: expected a label below 3, found 3"),
        ("a.csv", format!("{head}images/1.png,eagle,train\n"), "a.csv:3: `eagle` is neither the name of a class"),
        ("a.csv", format!("{head}images/1.png,0 1,train\n"), "a.csv:3: expected one label, found 2"),
        ("a.csv", format!("{head}images/1.png,0,dev\n"), "a.csv:3: expected a split, one of train"),
        ("a.csv", format!("{head}images/9.png,0,train\n"), "a.csv:3: no file `"),
        ("a.csv", format!("{head}images/0.png,0,test\n"), "a.csv:3: `images/0.png` stands in an earlier row"),
        ("a.csv", format!("{head}images/1.png,0\n"), "a.csv:3: expected 3 cells as in the first line, found 2"),
        ("a.csv", format!("{head}https://x/1.png,0,train\n"), "a.csv:3: `https://x/1.png` is a web address"),
        ("a.csv", format!("{head},0,train\n"), "a.csv:3: no path"),
        ("a.csv", format!("{head},0,train\n").replace('\n', "\r\n"), "a.csv:3: no path"),
        ("a.csv", format!("{head}images/1.png,0\n").replace('\n', "\r\n"), "a.csv:3: expected 3 cells"),
        ("a.csv", "path,kind\r\n".to_owned(), "a.csv:1: expected a column label"),
        ("a.csv", head.to_owned(), "a.csv: no row with an image for testing"),
        ("a.csv", "path,label\n".to_owned(), "a.csv: no row with an image to train on"),
        ("a.jsonl", "{\"path\": \"images/0.png\", \"label\": 0}\n[1]\n".to_owned(), "a.jsonl:2: expected an object as JSON"),
        ("a.jsonl", "{\"path\": 1, \"label\": 0}".to_owned(), "a.jsonl:1: expected a path as a string, found 1"),
        ("a.jsonl", "{\"path\": \"images/0.png\"}".to_owned(), "a.jsonl:1: expected a column label"),
        (
            "a.jsonl",
            "\n{\"path\": \"images/0.png\", \"label\": 0}\n{\"path\": \"images/1.png\", \"label\": 0, \"split\": \"test\"}".to_owned(),
            "a.jsonl:3: some rows have a split (train, test) and others do not",
        ),
        ("a.xlsx", "PK".to_owned(), "a.xlsx: expected a table that ends in .csv"),
    ] {
        let message = place.list(name, &text, |_| ()).unwrap_err();
        assert!(message.starts_with(expected), "{text}\n{message}");
    }
    let message = place.list("a.csv", head, |spec| spec.columns.path = Some("src".to_owned())).unwrap_err();
    assert_eq!(
        message,
        "a.csv:1: no column `src`, which `data.path-column` names; columns are: path, label, split"
    );
    fs::write(place.0.path().join("latin.csv"), b"path,label\nimages/\xe9.png,0\n").unwrap();
    let message = list(&place.spec("latin.csv", false), Some(place.0.path())).unwrap_err().to_string();
    assert!(message.ends_with("latin.csv:2: not UTF-8"), "{message}");
    let message = list(&place.spec("images", false), Some(place.0.path())).unwrap_err().to_string();
    assert!(message.contains("found no regular file"), "{message}");
}

#[test]
fn a_missing_file_is_left_out_if_asked() {
    let place = Place::new();
    let text = "path,label,split\nimages/0.png,0,train\nimages/9.png,1,train\nimages/1.png,1,test\n";
    let listing = place.list("a.csv", text, |spec| spec.reading.corrupt = Corrupt::Skip).unwrap();
    assert_eq!(listing.train.len(), 1);
    let [skipped] = &listing.skipped[..] else { panic!("one row names no file: {:?}", listing.skipped) };
    assert!(skipped.file.ends_with("images/9.png") && skipped.reason.contains("missing; line 3 of"));
}

#[test]
fn a_file_that_is_no_table_is_called_what_it_is() {
    let place = Place::new();
    for (bytes, expected) in [
        (&b""[..], "empty"),
        (b"\x1f\x8b\x08", "packed with gzip"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\xff\xfep\0a\0", "text in UTF-16"),
        (b"<html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    ] {
        let message = list_parquet(&place, bytes, false).unwrap_err().to_string();
        assert!(message.contains(&format!("or Parquet file, but it is {expected}")), "{message}");
    }
}

#[test]
fn one_file_by_two_spellings_and_two_columns_of_one_name_are_refused() {
    let place = Place::new();
    let text = "path,label,split\nimages/0.png,0,train\nimages/1.png,1,train\n./images//0.png,0,test\n";
    let message = place.list("a.csv", text, |_| {}).unwrap_err().to_string();
    assert!(message.contains("`./images//0.png` stands in an earlier row already"), "{message}");
    let text = text.replace("./images//0.png", "images/../images/0.png");
    let message = place.list("a.csv", &text, |_| {}).unwrap_err().to_string();
    assert!(message.contains("`images/../images/0.png` stands in an earlier row already"), "{message}");
    let whole = place.0.path().canonicalize().unwrap().join("images/0.png").display().to_string();
    let message = place.list("a.csv", &text.replace("images/../images/0.png", &whole), |_| {}).unwrap_err();
    assert!(message.contains(&format!("`{whole}` stands in an earlier row already")), "{message}");
    let text = "{\"path\": \"images/0.png\", \"label\": 1, \"label\": 0}";
    let message = place.list("a.jsonl", text, |_| {}).unwrap_err().to_string();
    assert!(message.ends_with("a.jsonl:1: two values of `label`"), "{message}");
    let message = place.list("b.csv", "path,label,label\n", |_| {}).unwrap_err().to_string();
    assert!(message.ends_with("b.csv:1: two columns are called `label`"), "{message}");
}

#[test]
fn a_quotation_mark_that_nothing_closes_swallows_no_rows() {
    let place = Place::new();
    let rows = |caption: &str, mark: char| {
        let row = |number: u8| {
            let caption = if number == 1 { caption } else { "plain" };
            format!("images/{number}.png{mark}0{mark}{caption}\n")
        };
        format!("path{mark}label{mark}caption\n") + &(0..5).map(row).collect::<String>()
    };
    for (name, mark) in [("a.csv", ','), ("a.tsv", '\t')] {
        let message = place.list(name, &rows("\"to be or not", mark), |_| ()).unwrap_err();
        let expected =
            format!("{name}:3: a quotation mark opens a cell that goes on over rows such as `images/2.png");
        assert!(message.starts_with(&expected), "{message}");
        // A caption may have lines, commas and even names of files.
        let listing = place.list(name, &rows("\"to be,\nor not, as in,\nx.png\"", mark), |_| ()).unwrap();
        assert_eq!(listing.train.len() + listing.test.len(), 5);
    }
    // The next quoted caption closes the cell.
    let row = |number: u8| {
        let open = if number == 1 { "\"open" } else { "\"closed\"" };
        format!("images/{number}.png,{open},0\n")
    };
    let text = "path,caption,label\n".to_owned() + &(0..5).map(row).collect::<String>();
    let message = place.list("b.csv", &text, |_| ()).unwrap_err();
    assert!(message.starts_with("b.csv:3: a quotation mark opens a cell"), "{message}");
    let message = place.list("c.csv", "\"path,label\nimages/0.png,0\n", |_| ()).unwrap_err();
    assert!(message.starts_with("c.csv:1: the name of a column has several lines"), "{message}");
}

#[test]
fn a_row_without_an_end_is_refused() {
    let mut input = Checked::new(io::repeat(b'x'));
    let error = io::copy(&mut input, &mut io::sink()).unwrap_err();
    assert!(error.to_string().contains("a row of more than"), "{error}");
}

#[test]
fn the_images_are_streamed_and_labels_and_weights_are_part_of_what_the_set_is() {
    let place = Place::new();
    place.write("loss.txt", "1\n2\n3\n");
    let text = "path,labels,split\nimages/0.png,0 1,train\nimages/1.png,,train\nimages/2.png,2,train\nimages/3.png,0 2,test\n";
    let load = |text: &str, loss: bool| {
        place.write("a.csv", text);
        let mut table = place.spec("a.csv", true);
        table.classes.class_weights = loss.then(|| "loss.txt".into());
        let spec = DataSpec { source: Source::Manifest(table.clone()), validation: 1, ..DataSpec::default() };
        let listed = streamed::manifest(&table, Some(place.0.path())).unwrap();
        listed.part(&spec, &Cache::at(&place.0.path().join("cache"))).unwrap()
    };
    let data = load(text, false);
    let stream = data.stream.as_ref().unwrap();
    assert_eq!(Part::ALL.map(|part| stream.len(part)), [2, 1, 1]);
    let batch = stream.batches(Part::Train, BatchOrder::AsStored, 8, &[], 1).next().unwrap().unwrap();
    assert_eq!(
        (batch.labels.of(0), batch.labels.of(1), batch.pixels[0], batch.pixels[48]),
        (&[0, 1][..], &[][..], 0, 1)
    );
    assert_eq!(data.checksum, load(text, false).checksum);
    assert_ne!(data.checksum, load(&text.replace("0 1", "0 2"), false).checksum);
    let weighted = load(text, true);
    assert_ne!(data.checksum, weighted.checksum);
    assert_eq!(weighted.stream.unwrap().weights.loss.as_deref(), Some(&[1.0, 2.0, 3.0][..]));
    // The same files, divided in another way: nothing learned of the one holds for the other.
    let divided = load(&text.replace("images/2.png,2,train", "images/2.png,2,test"), false);
    assert_ne!((&divided.mean, &divided.checksum), (&data.mean, &data.checksum));
    // Numbers stand for other names.
    place.write("classes.txt", "wren\nowl tawny\nred kite\n");
    assert_ne!(data.checksum, load(text, false).checksum);
}

/// A table that `tools/parquet-fixtures.py` made.
fn parquet(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet");
    fs::read(folder.join(format!("{name}.parquet"))).unwrap()
}

/// The table `bytes` as a file beside the images.
fn list_parquet(place: &Place, bytes: &[u8], multi_label: bool) -> Result<ManifestListing, DataError> {
    let file = place.0.path().join("a.parquet");
    // Anew, since some file systems wait for the disk where a file is written over.
    let _ = fs::remove_file(&file);
    fs::write(file, bytes).unwrap();
    // Half of each class, or two of five rows.
    let test_share = if multi_label { 0.4 } else { 0.5 };
    list(&Manifest { test_share, ..place.spec("a.parquet", multi_label) }, Some(place.0.path()))
}

#[test]
fn tables_of_parquet_say_what_pandas_and_pyarrow_wrote() {
    let place = Place::new();
    for name in ["names", "numbers", "required"] {
        let bytes = parquet(name);
        let listing = list_parquet(&place, &bytes, false).unwrap();
        let [train, test] = [&listing.train, &listing.test].map(numbers);
        let [third, fourth] = match listing.is_divided_by_class {
            true => [of("2", &[1]), of("3", &[0])],
            false => [of("3", &[0]), of("2", &[1])],
        };
        assert_eq!(train, [of("0", &[0]), of("1", &[2]), third], "{name}");
        assert_eq!(test, [fourth, of("4", &[1])], "{name}");
        assert_eq!(listing.hash, blake3::hash(&bytes));
    }
    for name in ["lists", "groups"] {
        let listing = list_parquet(&place, &parquet(name), true).unwrap();
        let [train, test] = [&listing.train, &listing.test].map(numbers);
        assert_eq!(train, [of("0", &[0, 2]), of("1", &[]), of("3", &[])], "{name}");
        assert_eq!(test, [of("2", &[1]), of("4", &[0, 1, 2])], "{name}");
    }
    let listing = list_parquet(&place, &parquet("gap"), true).unwrap();
    assert_eq!(numbers(&listing.test), [of("2", &[]), of("4", &[1])]);
}

#[test]
fn a_mistake_in_parquet_is_named_with_column_and_row() {
    let place = Place::new();
    for (name, expected) in [
        ("unnamed", "expected a column path or image or file"),
        ("floats", "column `label`: expected strings or integers, or lists of these, found DOUBLE"),
        (
            "structure",
            "column `label`: expected strings or integers, or lists of these, found a structure of 2 columns",
        ),
        ("twice", "column `label`: expected strings or integers, or lists of these, found lists of lists"),
        ("numbered", "row 1: column `path`: expected a text, found 0"),
        ("gap", "row 3: column `label`: expected one label, found 0"),
        ("high", "row 4: column `label`: expected a label below 3, found 3"),
        ("lists", "row 1: column `labels`: expected one label, found 2"),
        ("decimals", "column `label`: expected strings or integers, or lists of these, found DECIMAL"),
        ("dates", "column `label`: expected strings or integers, or lists of these, found DATE"),
        ("doubled", "two columns are called `label`"),
        ("zstd", "not an intact Parquet file: "),
    ] {
        let message = list_parquet(&place, &parquet(name), false).unwrap_err().to_string();
        assert!(message.contains(&format!("a.parquet: {expected}")), "{message}");
        assert!(name != "zstd" || message.ends_with("gzip and no compression"), "{message}");
    }
    let whole = parquet("names");
    for bytes in [&b"path,label"[..], &whole[..whole.len() - 9]] {
        let message = list_parquet(&place, bytes, false).unwrap_err().to_string();
        assert!(message.contains("a.parquet: not an intact Parquet file: "), "{message}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Nothing in a table can end the program.
    #[test]
    fn a_changed_table_is_read_or_refused(
        changes in prop::collection::vec((0_usize..120, any::<u8>()), 0..6), cut in 0_usize..160, kind in 0..3,
    ) {
        let name = ["a.csv", "a.tsv", "a.jsonl"][kind as usize];
        let text = match kind {
            0 => "path,label,split\nimages/0.png,0,train\n\"images/1.png\",wren,test\n".to_owned(),
            1 => "path\tlabel\nimages/0.png\t0\nimages/1.png\twren\n".to_owned(),
            _ => "{\"path\": \"images/0.png\", \"label\": [0]}\n{\"path\": \"images/1.png\", \"label\": \"wren\"}\n".to_owned(),
        };
        let mut bytes = text.into_bytes();
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        bytes.truncate(cut);
        thread_local! { static PLACE: Place = Place::new(); }
        PLACE.with(|place| {
            // Anew, since some file systems wait for the disk where a file is written over.
            let file = place.0.path().join(name);
            let _ = fs::remove_file(&file);
            fs::write(&file, &bytes).unwrap();
            if let Ok(listing) = list(&place.spec(name, true), Some(place.0.path())) {
                assert!(listing.train.len() + listing.test.len() <= 3);
            }
        });
    }

    /// Nothing in a table of Parquet can either.
    #[test]
    fn a_changed_table_of_parquet_is_read_or_refused(kind in 0..5_usize, changes in changes()) {
        let bytes = parquet(["names", "numbers", "lists", "groups", "required"][kind]);
        let _ = crate::parsers::manifest(&changed(bytes, changes), "parquet");
    }
}
