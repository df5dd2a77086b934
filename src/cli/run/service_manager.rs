//! What systemd, or whoever speaks sd_notify(3), is told: ready, reloading, stopping, alive. Without one, nothing.

use sd_notify::NotifyState;

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

/// Says that the process is alive, twice in each interval that the service manager allows, for as long as the
/// runtime runs tasks. Must be called inside it.
pub(super) fn keep_alive() {
    let Some(allowed) = sd_notify::watchdog_enabled().filter(|allowed| !allowed.is_zero()) else { return };
    tokio::spawn(async move {
        let mut beat = tokio::time::interval(allowed / 2);
        loop {
            beat.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    });
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
