//! What binds a connection that is no longer HTTP to the listener it came in by.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::activity::UnderWay;

/// Stands in the extensions of a request that may be upgraded, and is kept for as long as the upgraded connection
/// lasts.
#[derive(Clone, Debug)]
pub struct Tie {
    abort: CancellationToken,
    /// In HTTP/2 an upgraded stream is one of several on its connection, which is not idle meanwhile.
    _under_way: Option<Arc<UnderWay>>,
}

impl Tie {
    pub(super) fn new(abort: CancellationToken, under_way: Option<UnderWay>) -> Self {
        Tie { abort, _under_way: under_way.map(Arc::new) }
    }

    /// Ends when the listener has closed and its time to drain is over.
    pub async fn cut_off(&self) {
        self.abort.cancelled().await;
    }
}
