//! A listener that runs, with limits as wide or as tight as the test wants them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use consentry::clock::Clock;
use consentry::listener::certificates::Certificates;
use consentry::listener::tickets::Tickets;
use consentry::listener::{
    App, Conditions, Limits, ProxyProtocol, Settings, Timeouts, Transport, Workers, bind,
};
use consentry::telemetry::Metrics;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::soon;

/// How a listener is set up; by default nothing of it is felt.
#[derive(Clone, Debug)]
pub struct Setup {
    pub transport: Transport,
    pub proxy_protocol: ProxyProtocol,
    pub timeouts: Timeouts,
    pub limits: Limits,
}

impl Default for Setup {
    fn default() -> Self {
        let long = Duration::from_secs(60);
        Setup {
            transport: Transport::Clear,
            proxy_protocol: ProxyProtocol::Unused,
            timeouts: Timeouts {
                tls_handshake: long,
                request_header: long,
                request_body: long,
                idle: long,
                drain: long,
            },
            limits: Limits {
                connections: 0,
                connections_per_address: 0,
                request_header: 32 * 1024,
                request_body: 0,
            },
        }
    }
}

/// A listener on port 0.
pub struct Running {
    pub address: SocketAddr,
    pub metrics: Arc<Metrics>,
    pub certificates: Option<Certificates>,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Running {
    pub fn start(app: impl App, setup: Setup) -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        let (transport, proxy_protocol) = (setup.transport, setup.proxy_protocol);
        let tickets = Tickets::new(Clock::system());
        let bound = bind(&Settings { address, transport, proxy_protocol }, &tickets, None).unwrap();
        let (address, certificates) = (bound.local_address(), bound.certificates());
        let metrics = Arc::<Metrics>::default();
        let conditions = Conditions::new(setup.timeouts, setup.limits, Arc::clone(&metrics));
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(bound.serve(app, conditions, Workers::default(), shutdown.clone()));
        Running { address, metrics, certificates, shutdown, serving }
    }

    /// Tells it to stop; it goes on with what is under way.
    pub fn begin_to_stop(&self) {
        self.shutdown.cancel();
    }

    /// Waits until it has stopped.
    pub async fn stopped(self) {
        self.shutdown.cancel();
        soon(self.serving).await.unwrap();
    }
}
