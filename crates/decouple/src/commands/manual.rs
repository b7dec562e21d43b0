//! `decouple manual` and `decouple completions`: documentation of the command line for shells
//! and `man`.

use std::{fs, path::Path};

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::{
    arguments::{Arguments, Completions, Manual},
    failure::{Failure, IO, SUCCESS},
    text::answer,
};

/// Prints a completion script.
pub(crate) fn completions(completions: &Completions) -> Result<u8, Failure> {
    let mut command = Arguments::command();
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut command, "decouple", &mut script);
    answer(&String::from_utf8_lossy(&script))
}

/// Prints the manual page, or writes one for each command into a folder.
pub(crate) fn manual(arguments: &Manual) -> Result<u8, Failure> {
    let command = Arguments::command();
    let Some(folder) = &arguments.folder else {
        return answer(&String::from_utf8_lossy(&page(command)?));
    };
    let io = |error: std::io::Error| Failure::new(IO, format!("cannot write {}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(io)?;
    write_pages(command, "", folder)?;
    Ok(SUCCESS)
}

/// Writes `decouple-run.1` and the like: `command`'s page and those below it.
fn write_pages(mut command: Command, prefix: &str, folder: &Path) -> Result<(), Failure> {
    let name = format!("{prefix}{}", command.get_name());
    command.build();
    for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
        write_pages(child.clone(), &format!("{name}-"), folder)?;
    }
    let path = folder.join(format!("{name}.1"));
    let page = page(command.name(name).disable_help_subcommand(true))?;
    fs::write(&path, page)
        .map_err(|error| Failure::new(IO, format!("cannot write {}: {error}", path.display())))
}

fn page(command: Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page).map_err(|error| Failure::new(IO, error))?;
    Ok(page)
}
