//! Output for people: formatting of numbers, and printing to standard output and standard
//! error.

use std::{
    borrow::Cow,
    fmt::Arguments,
    io::{ErrorKind, Write},
};

pub(crate) use decouple_reporting::{
    TextTable,
    numbers::{duration, plural, short_count},
};
pub(crate) use decouple_spectrum::cost::grouped;

use crate::failure::{Failure, IO, SUCCESS};

/// Prints to standard output. A reader that has gone away (`| head`) is not an error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(shown(text).as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(IO, format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints what a command was asked for; its exit code.
pub(crate) fn answer(text: &str) -> Result<u8, Failure> {
    print(text).map(|()| SUCCESS)
}

/// Like `eprintln!`, but closed standard error does not end the program, and control characters are escaped.
macro_rules! say {
    ($($words:tt)*) => { $crate::text::tell(format_args!($($words)*)) };
}

pub(crate) fn tell(words: Arguments<'_>) {
    let line = format!("{words}\n");
    // Nobody is left to report an error to.
    let _ = std::io::stderr().lock().write_all(shown(&line).as_bytes());
}

/// Text in which characters that a terminal would interpret (escape sequences, changes of direction) are
/// escaped as in `\u001b`, which is also their form in JSON. Everything from outside (keys, values, names of
/// files and tensors) reaches a terminal only through this.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    let is_obeyed = |letter: char| {
        (letter.is_control() && letter != '\n' && letter != '\t')
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.chars().any(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let written = |letter: char| {
        if is_obeyed(letter) { format!("\\u{:04x}", u32::from(letter)) } else { letter.to_string() }
    };
    Cow::Owned(text.chars().map(written).collect())
}

/// Bytes as `12 MiB`, `1.4 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    let mib = count as f64 / (1 << 20) as f64;
    if mib < 1024.0 { format!("{:.0} MiB", mib.max(1.0)) } else { format!("{:.1} GiB", mib / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(shown("plain\ttext\n, ±1"), "plain\ttext\n, ±1");
        assert_eq!(shown("\u{1b}[31mred\u{7}\r"), "\\u001b[31mred\\u0007\\u000d");
        assert_eq!(shown("\u{9b}2J \u{202e}txt"), "\\u009b2J \\u202etxt");
        let json = serde_json::to_string("\u{7f}\u{9b}\u{202e}").expect("text");
        let back: String = serde_json::from_str(&shown(&json)).expect("still JSON");
        assert_eq!(back, "\u{7f}\u{9b}\u{202e}");
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!([1, 5 << 20, 3 << 29].map(bytes), ["1 MiB", "5 MiB", "1.5 GiB"]);
    }
}
