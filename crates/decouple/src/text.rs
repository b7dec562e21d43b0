//! Output for people: formatting of numbers, and printing to standard output and standard
//! error.

use std::{
    borrow::Cow,
    fmt::Arguments,
    io::{ErrorKind, IsTerminal, Write},
    ops::ControlFlow,
};

pub(crate) use decouple_reporting::{
    TextTable,
    numbers::{duration, plural, short_count},
};
pub(crate) use decouple_spectrum::cost::grouped;

use crate::failure::{Failure, IO, SUCCESS};

/// Prints to standard output. A reader that has gone away (`| head`) is not an error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_part(text).map(drop)
}

/// As [`print()`], for one text of many: a break if the reader has gone away and wants no other.
pub(crate) fn print_part(text: &str) -> Result<ControlFlow<()>, Failure> {
    write(&shown(text))
}

/// As [`print_part`], in the place of the `before` lines above. Unless `stays`, the next text replaces this one.
pub(crate) fn redraw(before: usize, text: &str, stays: bool) -> Result<ControlFlow<()>, Failure> {
    write(&frame(before, text, stays))
}

/// What a terminal obeys is added here; in `text` it is written out.
fn frame(before: usize, text: &str, stays: bool) -> String {
    let up = if before > 0 { format!("\x1b[{before}A\x1b[J") } else { String::new() };
    // What is replaced must have a row for each line, so what is too wide for the terminal is cut off.
    let [cut, wrap] = if stays { [""; 2] } else { ["\x1b[?7l", "\x1b[?7h"] };
    format!("{up}{cut}{}{wrap}\n", shown(text.trim_end_matches('\n')))
}

/// Whether what is on `stream` can be drawn again: it is a terminal that moves its cursor.
pub(crate) fn can_redraw(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether somebody may still read standard output: not where it is a pipe whose other end is closed.
#[cfg(unix)]
pub(crate) fn is_read() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let out = std::io::stdout();
    let mut asked = [PollFd::new(&out, PollFlags::empty())];
    let answered = poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    answered.is_err() || !asked[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// Nobody can tell here before something is written.
#[cfg(not(unix))]
pub(crate) fn is_read() -> bool {
    true
}

fn write(text: &str) -> Result<ControlFlow<()>, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(Failure::new(IO, format!("cannot write to standard output: {error}"))),
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
    fn a_terminal_obeys_what_moves_its_cursor_and_nothing_else() {
        assert_eq!(frame(0, "one\ntwo\n", false), "\x1b[?7lone\ntwo\x1b[?7h\n");
        assert_eq!(frame(2, "\x1b[31mred\n", false), "\x1b[2A\x1b[J\x1b[?7l\\u001b[31mred\x1b[?7h\n");
        assert_eq!(frame(1, "the last\n", true), "\x1b[1A\x1b[Jthe last\n");
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!([1, 5 << 20, 3 << 29].map(bytes), ["1 MiB", "5 MiB", "1.5 GiB"]);
    }
}
