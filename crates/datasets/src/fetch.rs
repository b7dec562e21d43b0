//! Downloads that resume where they were interrupted, and are accepted only if their checksum
//! is the published one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use md5::{Digest, Md5};

/// Redirections that are followed.
const MOST_REDIRECTIONS: u32 = 8;

/// Bytes read at a time.
const PIECE: usize = 1 << 16;

/// A file to download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote<'a> {
    /// Where it is.
    pub address: &'a str,
    /// Its published MD5 in hexadecimal; `None` if the content is checked after unpacking.
    pub md5: Option<&'a str>,
}

/// Why a file could not be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server could not be reached, or the connection was lost.
    #[error("{address}: {problem}{}", kept(*bytes))]
    Network {
        /// The address.
        address: String,
        /// What happened.
        problem: String,
        /// Bytes kept for the next attempt.
        bytes: u64,
    },
    /// The server did not send a file.
    #[error("{address}: expected a file, found HTTP status {status}")]
    Status {
        /// The address.
        address: String,
        /// HTTP's status.
        status: u16,
    },
    /// The file differs from the published one and has been removed.
    #[error(
        "{address}: expected a file with the MD5 {expected}, found {found}; the download has been removed"
    )]
    Checksum {
        /// The address.
        address: String,
        /// The published one.
        expected: String,
        /// That of the file.
        found: String,
    },
    /// A file of this machine cannot be read or written.
    #[error("{file}: {source}", file = file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

fn kept(bytes: u64) -> String {
    if bytes == 0 {
        String::new()
    } else {
        format!("; {bytes} bytes are kept, and the same command resumes from there")
    }
}

/// Downloads `remote` to `target`, with `target.part` beside it until it is complete.
/// `progress` gets the bytes so far and, if known, the total.
///
/// # Errors
/// [`FetchError`]. Bytes received before the connection was lost are kept.
pub fn download(
    remote: Remote,
    target: &Path,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<(), FetchError> {
    let part = part_of(target);
    let io = |source| FetchError::Io { file: part.clone(), source };
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).map_err(io)?;
    }
    let begin = fs::metadata(&part).map_or(0, |metadata| metadata.len());
    receive(remote.address, &part, begin, progress)?;
    if let Some(expected) = remote.md5 {
        let found = md5_of(&part).map_err(io)?;
        if found != expected {
            fs::remove_file(&part).map_err(io)?;
            let (address, expected) = (remote.address.to_owned(), expected.to_owned());
            return Err(FetchError::Checksum { address, expected, found });
        }
    }
    File::open(&part).and_then(|file| file.sync_all()).map_err(io)?;
    fs::rename(&part, target).map_err(io)
}

/// `x.part` beside `x`.
pub(crate) fn part_of(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    target.with_file_name(name)
}

/// Appends the bytes after the first `begin`, or starts again if the server cannot resume
/// there.
fn receive(
    address: &str,
    part: &Path,
    begin: u64,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<(), FetchError> {
    let network =
        |problem: String, bytes| FetchError::Network { address: address.to_owned(), problem, bytes };
    let config = ureq::Agent::config_builder()
        .max_redirects(MOST_REDIRECTIONS)
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        // Of each piece, not of the whole file.
        .timeout_per_read(Some(Duration::from_secs(60)));
    let agent = config.build().new_agent();
    let mut request = agent.get(address);
    if begin > 0 {
        request = request.header("Range", format!("bytes={begin}-"));
    }
    let mut response = request.call().map_err(|error| network(error.to_string(), begin))?;
    let header =
        |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let status = response.status().as_u16();
    let goes_on = header("content-range").is_some_and(|range| range.starts_with(&format!("bytes {begin}-")));
    let begin = match status {
        206 if goes_on => begin,
        200 => 0,
        // There are no further bytes, or these belong to another file.
        206 | 416 if begin > 0 => return receive(address, part, 0, progress),
        status => return Err(FetchError::Status { address: address.to_owned(), status }),
    };
    let whole =
        header("content-length").and_then(|length| length.parse::<u64>().ok()).map(|rest| begin + rest);

    let io = |source| FetchError::Io { file: part.to_owned(), source };
    let mut options = OpenOptions::new();
    options.create(true).write(true);
    let mut file =
        if begin > 0 { options.append(true) } else { options.truncate(true) }.open(part).map_err(io)?;
    let (mut done, mut piece) = (begin, vec![0; PIECE]);
    let mut input = response.body_mut().as_reader();
    loop {
        let read = input.read(&mut piece).map_err(|error| network(error.to_string(), done))?;
        if read == 0 {
            break;
        }
        file.write_all(&piece[..read]).map_err(io)?;
        done += read as u64;
        progress(done, whole);
    }
    match whole {
        Some(whole) if done != whole => {
            Err(network(format!("the answer ended after {done} of {whole} bytes"), done))
        }
        _ => Ok(()),
    }
}

pub(crate) fn md5_of(file: &Path) -> io::Result<String> {
    let (mut input, mut hasher, mut piece) = (File::open(file)?, Md5::new(), vec![0; PIECE]);
    loop {
        match input.read(&mut piece)? {
            0 => break,
            read => hasher.update(&piece[..read]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::JoinHandle;

    use super::*;

    const MD5: &str = "5d41402abc4b2a76b9719d911017c592";

    /// A server on this machine that gives one of `answers` to each request, in turn,
    /// until it is told to stop, and then says what range was asked for each time.
    fn server(answers: Vec<String>, stop: Arc<AtomicBool>) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = format!("http://{}/file", listener.local_addr().unwrap());
        let own = address.clone();
        let serve = move || {
            let (mut ranges, mut answers) = (Vec::new(), answers.into_iter());
            while !stop.load(Ordering::Relaxed) {
                let Ok((mut stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let lines: Vec<String> =
                    lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                let range = lines.iter().find(|line| line.to_ascii_lowercase().starts_with("range:"));
                ranges.push(range.map_or(String::new(), |line| line[6..].trim().to_owned()));
                let answer = answers.next().unwrap_or_default();
                stream.write_all(answer.replace("HERE", &own).as_bytes()).unwrap();
            }
            ranges
        };
        (address, std::thread::spawn(serve))
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n{body}")
    }

    fn fetch(
        answers: Vec<String>,
        before: &str,
        md5: Option<&str>,
    ) -> (Result<String, FetchError>, Vec<String>, String) {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file");
        if !before.is_empty() {
            fs::write(part_of(&target), before).unwrap();
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (address, thread) = server(answers, stop.clone());
        let result = download(Remote { address: &address, md5 }, &target, &mut |_, _| {});
        stop.store(true, Ordering::Relaxed);
        let result = result.map(|()| fs::read_to_string(&target).unwrap());
        let part = fs::read_to_string(part_of(&target)).unwrap_or_default();
        (result, thread.join().unwrap(), part)
    }

    #[test]
    fn a_file_comes_whole_or_in_two_parts() {
        let whole = answer("200 OK", "Content-Length: 5\r\n", "hello");
        assert_eq!(fetch(vec![whole.clone()], "", Some(MD5)).0.unwrap(), "hello");
        let rest = answer("206 Partial Content", "Content-Range: bytes 3-4/5\r\nContent-Length: 2\r\n", "lo");
        let (found, ranges, part) = fetch(vec![rest], "hel", Some(MD5));
        assert_eq!(
            (found.unwrap(), ranges, part),
            ("hello".to_owned(), vec!["bytes=3-".to_owned()], String::new())
        );
        // Servers that know no ranges, and those whose file is shorter by now.
        assert_eq!(fetch(vec![whole.clone()], "hel", Some(MD5)).0.unwrap(), "hello");
        let beyond = answer("416 Range Not Satisfiable", "Content-Length: 0\r\n", "");
        assert_eq!(fetch(vec![beyond, whole], "hello!", Some(MD5)).0.unwrap(), "hello");
    }

    #[test]
    fn what_was_cut_off_is_kept() {
        let cut = answer("200 OK", "Content-Length: 5\r\n", "hel");
        let (found, _, part) = fetch(vec![cut], "", Some(MD5));
        let message = found.unwrap_err().to_string();
        assert!(message.contains("3 bytes are kept"), "{message}");
        assert_eq!(part, "hel");
    }

    #[test]
    fn another_file_is_removed() {
        let other = answer("200 OK", "Content-Length: 5\r\n", "hallo");
        let (found, _, part) = fetch(vec![other], "", Some(MD5));
        let message = found.unwrap_err().to_string();
        assert!(message.contains(&format!("expected a file with the MD5 {MD5}, found")), "{message}");
        assert_eq!(part, "");
    }

    #[test]
    fn errors_and_circles_end() {
        let missing = answer("404 Not Found", "Content-Length: 0\r\n", "");
        let message = fetch(vec![missing], "", None).0.unwrap_err().to_string();
        assert!(message.contains("HTTP status 404"), "{message}");
        let circle = answer("302 Found", "Location: HERE\r\nContent-Length: 0\r\n", "");
        let message =
            fetch(vec![circle; MOST_REDIRECTIONS as usize + 1], "", None).0.unwrap_err().to_string();
        assert!(message.contains("redirect"), "{message}");
    }
}
