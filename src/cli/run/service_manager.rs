//! What systemd, or whoever speaks sd_notify(3), is told: ready, reloading, stopping, alive. Without one, nothing.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::listener::Pulse;

/// Everything is served.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The settings are being read again; [`ready`] follows.
pub(super) fn reloading() {
    // Without the time, systemd takes the `READY=1` that follows for an older one (`Type=notify-reload`).
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager is not told of the reload"),
    }
}

/// Nothing new is taken in any more.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Another process serves now, and is the one to watch.
pub(super) fn replaced_by(id: u32) {
    tell(&[NotifyState::MainPid(id)]);
}

/// Says that the process is alive, four times in each interval that the service manager allows, for as long as the
/// runtime runs tasks and the threads that serve have done so in the last half of it. Must be called inside it.
pub(super) fn keep_alive(pulse: &Pulse) {
    /// While all is well, the pulse is a second old at most.
    const LEAST: Duration = Duration::from_secs(3);
    let Some(allowed) = sd_notify::watchdog_enabled().filter(|allowed| !allowed.is_zero()) else { return };
    let pulse = pulse.clone();
    tokio::spawn(async move {
        let mut beat = tokio::time::interval(allowed / 4);
        loop {
            beat.tick().await;
            if pulse.age() < (allowed / 2).max(LEAST) {
                tell(&[NotifyState::Watchdog]);
            } else {
                tracing::error!("a thread that serves connections does nothing any more");
            }
        }
    });
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
