//! `decouple`: how far should a convolutional network decouple cross-channel
//! from spatial correlations?
#![forbid(unsafe_code)]
// Use `say!` and `print` instead: they survive a closed pipe, and escape control characters from outside.
#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod text;
#[macro_use]
mod failure;

mod arguments;
mod clock;
mod commands;
mod environment;
mod screen;
mod signals;

use std::process::ExitCode;

use clap::Parser;
use decouple_training::device;

use arguments::{Arguments, Command};
use failure::{Failure, USAGE};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refused(&error),
    };
    let checked = device::check().map_err(|problem| Failure::new(USAGE, problem));
    match checked.and_then(|()| execute(&arguments)) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.code())
        }
    }
}

fn execute(arguments: &Arguments) -> Result<u8, Failure> {
    match &arguments.command {
        Command::Run(run) => commands::run::run(&arguments.common, run),
        Command::Plan(plan) => commands::plan::run(&arguments.common, plan),
        Command::Submit(submit) => commands::submit::run(&arguments.common, submit),
        Command::Status(status) => commands::status::run(&arguments.common, status),
        Command::Report(report) => commands::report::run(&arguments.common, report),
        Command::Power(report) => commands::report::power(&arguments.common, report),
        Command::Describe(describe) => commands::describe::run(&arguments.common, describe),
        Command::Weights(weights) => commands::weights::run(weights),
        // On a thread of the pool: waiting outside it costs a wake-up per operation.
        Command::Predict(predict) => rayon::scope(|_| commands::predict::run(&arguments.common, predict)),
        Command::Evaluate(evaluate) => rayon::scope(|_| commands::evaluate::run(&arguments.common, evaluate)),
        Command::Export(export) => commands::export::run(&arguments.common, export),
        Command::Diagnose(diagnose) => commands::diagnose::run(&arguments.common, diagnose),
        Command::Data(data) => commands::data::run(&arguments.common, data),
        Command::Init(init) => commands::init::run(init),
        Command::Compare(compare) => commands::compare::run(&arguments.common, compare),
        Command::Diff(diff) => commands::strays::diff(&arguments.common, diff),
        Command::Clean(clean) => commands::strays::clean(&arguments.common, clean),
        Command::Schema => commands::init::print_schema(),
        Command::Completions(completions) => commands::manual::completions(completions),
        Command::Manual(manual) => commands::manual::manual(manual),
        Command::Verify(verify) => commands::verify::run(&arguments.common, verify),
        Command::Doctor(doctor) => commands::doctor::run(&arguments.common, doctor),
    }
}

/// Prints clap's message about invalid arguments, or its help.
fn refused(error: &clap::Error) -> ExitCode {
    let plain = error.render().to_string();
    if text::shown(&plain) == plain {
        // In colour if the terminal supports it; a terminal that is gone must not cause a
        // panic.
        let _ = error.print();
    } else {
        say!("{}", plain.trim_end());
    }
    // Help goes to standard output, and is no refusal.
    for (variable, flag) in arguments::VARIABLES.into_iter().filter(|_| error.use_stderr()) {
        let is_typed =
            std::env::args_os().any(|argument| argument.as_encoded_bytes().starts_with(flag.as_bytes()));
        if let Some(value) = std::env::var_os(variable)
            && plain.contains(flag)
            && !is_typed
        {
            say!("   = {variable} is set to `{}`", value.to_string_lossy());
        }
    }
    ExitCode::from(error.exit_code() as u8)
}
