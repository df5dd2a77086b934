//! Standard output, for the commands whose answer is a text.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

/// Prints `text`, and tells whether it arrived.
pub(super) fn print(text: &[u8]) -> ExitCode {
    let mut output = io::stdout().lock();
    match output.write_all(text).and_then(|()| output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough, as `head` does.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("consentry: standard output cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}
