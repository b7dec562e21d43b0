//! `decouple init`: a commented experiment file, and `decouple schema`: what
//! editors check it by.

use std::{
    fs::File,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use decouple_experiment::{Overrides, parse, schema, template};

use crate::{
    arguments::Init,
    failure::{Failure, IO, USAGE},
    text::answer,
};

pub(crate) fn run(arguments: &Init) -> Result<u8, Failure> {
    let name = arguments.name.trim_end_matches(".toml");
    let (text, file) = (template(name), format!("{name}.toml"));
    if Path::new(&file).file_name() != Some(file.as_ref()) {
        refuse!(USAGE, "`{name}` cannot name an experiment: expected a name without folders");
    }
    // A name that cannot be a folder's is refused as it would be in the file.
    parse(&text, &file, &Overrides::default())?;
    let folder = PathBuf::from("experiments");
    let path = if folder.is_dir() { folder } else { PathBuf::new() }.join(file);
    let written = File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            refuse!(USAGE, "{} already exists; choose another name, or remove the file", path.display());
        }
        Err(error) => refuse!(IO, "cannot write {}: {error}", path.display()),
    }
    say!("next: edit it, then run decouple plan {}", path.display());
    answer(&format!("{}\n", path.display()))
}

/// Prints the JSON schema of experiment files.
pub(crate) fn print_schema() -> Result<u8, Failure> {
    answer(&format!("{:#}\n", schema()))
}
