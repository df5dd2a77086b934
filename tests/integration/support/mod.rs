//! The test kit: certificates, a scripted upstream, a browser that keeps cookies, and the parts under test on
//! port 0. Nothing sleeps, nothing has a fixed port, and nothing leaves the loopback.

pub mod browser;
pub mod certificates;
pub mod entries;
pub mod forward;
pub mod frames;
pub mod liar;
pub mod postgres;
pub mod running;
pub mod upstream;
pub mod whole;
pub mod wire;

use std::time::Duration;

/// Waits for `future`, but not for ever: a test that hangs says where.
#[track_caller]
pub fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let place = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(Duration::from_secs(20), future).await {
            Ok(output) => output,
            Err(_) => panic!("nothing happened at {place}"),
        }
    }
}
