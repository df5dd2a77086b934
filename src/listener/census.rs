//! How many connections are open, in all and from each address, and how many may be.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;
use super::told::Told;
use crate::telemetry::Metrics;

/// The count of all listeners together.
#[derive(Debug)]
pub(super) struct Census {
    room: Arc<Semaphore>,
    most: Mutex<usize>,
    per_address: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    /// That there is no room.
    told: Mutex<Told>,
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
        let most = most(limits);
        let per_address = AtomicUsize::new(limits.connections_per_address);
        let room = Arc::new(Semaphore::new(most));
        Census {
            room,
            most: Mutex::new(most),
            per_address,
            by_address: Mutex::default(),
            told: Mutex::default(),
            metrics,
        }
    }

    /// Takes other limits. Connections that are too many by them stay; no other comes until they are not.
    pub(super) fn change(&self, limits: &Limits) {
        self.per_address.store(limits.connections_per_address, Ordering::Relaxed);
        let mut before = self.most.lock().unwrap_or_else(PoisonError::into_inner);
        let now = most(limits);
        let too_many = u32::try_from(before.saturating_sub(now)).unwrap_or(u32::MAX);
        self.room.add_permits(now.saturating_sub(*before));
        *before = now;
        if too_many > 0 {
            // It queues before whoever waits for room, so that what becomes free goes here first.
            let surplus = Arc::clone(&self.room).acquire_many_owned(too_many);
            tokio::spawn(async move { surplus.await.map(OwnedSemaphorePermit::forget) });
        }
    }

    /// Waits for room, so that others queue in the kernel instead of being turned away; and no longer than `at_most`.
    pub(super) async fn room(&self, at_most: impl Future<Output = ()>) -> Room {
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
            return Room { _permit: Some(permit) };
        }
        if self.told.lock().unwrap_or_else(PoisonError::into_inner).is_due() {
            let connections = *self.most.lock().unwrap_or_else(PoisonError::into_inner);
            tracing::warn!(
                connections,
                "all connections that there may be are taken, and who comes waits: see `limits.connections`"
            );
        }
        tokio::select! {
            permit = Arc::clone(&self.room).acquire_owned() => Room { _permit: permit.ok() },
            () = at_most => Room { _permit: None },
        }
    }

    /// Counts a connection, unless its address has too many already.
    pub(super) fn admit(self: &Arc<Self>, room: Room, address: IpAddr) -> Option<Ticket> {
        let per_address = self.per_address.load(Ordering::Relaxed);
        let household = (per_address > 0).then(|| household(address));
        if let Some(household) = household {
            let mut by_address = self.by_address();
            let count = by_address.entry(household).or_default();
            if *count >= per_address {
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

/// How many connections there may be at once.
fn most(limits: &Limits) -> usize {
    // More than a machine can have, and no more than a semaphore gives out at once.
    const UNLIMITED: u32 = u32::MAX >> 1;
    match u32::try_from(limits.connections).unwrap_or(UNLIMITED).min(UNLIMITED) {
        0 => UNLIMITED as usize,
        most => most as usize,
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

    async fn room(census: &Census) -> Room {
        census.room(std::future::pending()).await
    }

    fn census(connections: usize, connections_per_address: usize) -> Arc<Census> {
        let limits = Limits { connections, connections_per_address, request_header: 0, request_body: 0 };
        Arc::new(Census::new(&limits, Arc::default()))
    }

    #[tokio::test]
    async fn an_address_with_too_many_connections_waits_until_one_ends() {
        let census = census(0, 2);
        let mut open = Vec::new();
        for address in ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "192.0.2.1", "::ffff:192.0.2.1"] {
            open.push(census.admit(room(&census).await, address.parse().unwrap()).unwrap());
        }
        for address in ["2001:db8::3", "192.0.2.1"] {
            assert!(census.admit(room(&census).await, address.parse().unwrap()).is_none());
        }
        assert_eq!(census.metrics.connections.get(), 5);
        open.clear();
        assert!(census.by_address().is_empty());
        assert_eq!(census.metrics.connections.get(), 0);
    }

    #[tokio::test]
    async fn a_full_house_has_room_again_when_one_leaves() {
        let census = census(1, 0);
        let only = census.admit(room(&census).await, "192.0.2.1".parse().unwrap()).unwrap();
        let mut next = Box::pin(room(&census));
        assert!(
            std::future::poll_fn(|context| std::task::Poll::Ready(next.as_mut().poll(context).is_pending()))
                .await
        );
        drop(only);
        next.await;
    }

    #[tokio::test]
    async fn other_limits_hold_for_whoever_comes_next() {
        let limits = |connections, connections_per_address| Limits {
            connections,
            connections_per_address,
            request_header: 0,
            request_body: 0,
        };
        let census = census(0, 0);
        let address = "192.0.2.1".parse().unwrap();
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(census.admit(room(&census).await, address).unwrap());
        }
        census.change(&limits(2, 0));
        // The surplus is taken out in a task of its own.
        tokio::task::yield_now().await;
        let mut next = Box::pin(room(&census));
        let mut is_waiting = async || {
            tokio::task::yield_now().await;
            std::future::poll_fn(|context| std::task::Poll::Ready(next.as_mut().poll(context).is_pending()))
                .await
        };
        assert!(is_waiting().await, "three are open, and two may be");
        open.pop();
        assert!(is_waiting().await, "two are open");
        open.pop();
        assert!(!is_waiting().await);

        census.change(&limits(0, 1));
        open.push(census.admit(room(&census).await, address).unwrap());
        assert!(census.admit(room(&census).await, address).is_none());
    }
}
