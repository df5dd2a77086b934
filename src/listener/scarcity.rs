//! Where the process has no file left (`ulimit -n`): who keeps connections that nobody uses just now closes them.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::Notify;

/// All in this process share its files.
static WANTED: Notify = Notify::const_new();

/// How long others have to close something before it is tried again.
pub const BREATHER: Duration = Duration::from_millis(100);

/// Whether the process or the system has no file left (EMFILE and ENFILE of open(2)).
pub fn is_of_files(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Asks all who keep something to close it.
pub fn ask() {
    WANTED.notify_waiters();
}

/// Ends when somebody asks.
pub async fn asked() {
    WANTED.notified().await;
}
