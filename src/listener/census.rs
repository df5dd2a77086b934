//! How many connections are open, in all and from each address, and how many may be.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;
use crate::telemetry::Metrics;

/// The count of all listeners together.
#[derive(Debug)]
pub(super) struct Census {
    room: Option<Arc<Semaphore>>,
    per_address: usize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    metrics: Arc<Metrics>,
}

/// Room for one more connection, whoever comes.
#[derive(Debug)]
pub(super) struct Room {
    _permit: Option<OwnedSemaphorePermit>,
}

/// One counted connection; it counts until this is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    census: Arc<Census>,
    household: Option<IpAddr>,
    _room: Room,
}

impl Census {
    pub(super) fn new(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        let room = match limits.connections {
            0 => None,
            most => Some(Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))),
        };
        let by_address = Mutex::default();
        Census { room, per_address: limits.connections_per_address, by_address, metrics }
    }

    /// Waits for room, so that who is too many queues in the kernel instead of being turned away.
    pub(super) async fn room(&self) -> Room {
        let permit = match &self.room {
            None => None,
            Some(room) => Arc::clone(room).acquire_owned().await.ok(),
        };
        Room { _permit: permit }
    }

    /// Counts a connection, unless its address has too many already.
    pub(super) fn admit(self: &Arc<Self>, room: Room, address: IpAddr) -> Option<Ticket> {
        let household = (self.per_address > 0).then(|| household(address));
        if let Some(household) = household {
            let mut by_address = self.by_address();
            let count = by_address.entry(household).or_default();
            if *count >= self.per_address {
                return None;
            }
            *count += 1;
        }
        self.metrics.connections.inc();
        Some(Ticket { census: Arc::clone(self), household, _room: room })
    }

    fn by_address(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Each change is one number; a panic elsewhere leaves none half written.
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.census.metrics.connections.dec();
        let Some(household) = self.household else { return };
        let mut by_address = self.census.by_address();
        if let Some(count) = by_address.get_mut(&household) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&household);
            }
        }
    }
}

/// Whoever has an IPv6 address has at least the 64 bits below it as well, so these count as one.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(connections: usize, connections_per_address: usize) -> Arc<Census> {
        let limits = Limits { connections, connections_per_address, request_header: 0, request_body: 0 };
        Arc::new(Census::new(&limits, Arc::default()))
    }

    #[tokio::test]
    async fn an_address_with_too_many_connections_waits_until_one_ends() {
        let census = census(0, 2);
        let mut open = Vec::new();
        for address in ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "192.0.2.1", "::ffff:192.0.2.1"] {
            open.push(census.admit(census.room().await, address.parse().unwrap()).unwrap());
        }
        for address in ["2001:db8::3", "192.0.2.1"] {
            assert!(census.admit(census.room().await, address.parse().unwrap()).is_none());
        }
        assert_eq!(census.metrics.connections.get(), 5);
        open.clear();
        assert!(census.by_address().is_empty());
        assert_eq!(census.metrics.connections.get(), 0);
    }

    #[tokio::test]
    async fn a_full_house_has_room_again_when_one_leaves() {
        let census = census(1, 0);
        let only = census.admit(census.room().await, "192.0.2.1".parse().unwrap()).unwrap();
        let mut next = Box::pin(census.room());
        assert!(
            std::future::poll_fn(|context| std::task::Poll::Ready(next.as_mut().poll(context).is_pending()))
                .await
        );
        drop(only);
        next.await;
    }
}
