//! The threads that serve connections. Each has a runtime of its own, so that a request stays on one core from its
//! first byte to its last, and waits for no lock that another core has.

use std::io;
use std::net::TcpStream as StdStream;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

use super::pulse::Pulse;

/// Who serves connections; nobody by default, so that the thread that accepts one serves it. The threads end with
/// the last clone, and what they were at with them.
#[derive(Clone, Debug, Default)]
pub struct Workers {
    team: Arc<Team>,
}

#[derive(Debug, Default)]
struct Team {
    workers: Vec<Worker>,
    threads: Vec<JoinHandle<()>>,
    dismissed: CancellationToken,
}

#[derive(Debug)]
struct Worker {
    handle: Handle,
    connections: Arc<AtomicUsize>,
}

/// A connection that counts for its worker until this is dropped.
#[derive(Debug)]
pub(super) struct Load(Option<Arc<AtomicUsize>>);

impl Workers {
    /// One for each core that this process may use. On a single core nobody: threads would only wake each other.
    pub fn start() -> io::Result<Self> {
        match std::thread::available_parallelism().map_or(1, NonZero::get) {
            1 => Ok(Workers::default()),
            cores => Workers::of(cores),
        }
    }

    fn of(count: usize) -> io::Result<Self> {
        let mut team = Team::default();
        for number in 0..count {
            team.hire(number)?;
        }
        Ok(Workers { team: Arc::new(team) })
    }

    /// Whether they all do what they are given. Must be called inside the runtime of the thread that accepts.
    pub fn pulse(&self) -> Pulse {
        Pulse::feel(self.team.workers.iter().map(|worker| worker.handle.clone()).collect())
    }

    /// Has a connection served where the fewest are.
    pub(super) fn serve<F>(
        &self,
        socket: TcpStream,
        attend: impl FnOnce(TcpStream, Load) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let idlest = self.team.workers.iter().min_by_key(|worker| worker.connections.load(Ordering::Relaxed));
        let Some(worker) = idlest else {
            tokio::spawn(attend(socket, Load(None)));
            return;
        };
        let load = Load::on(worker);
        // Out of the hands of the runtime that accepted it.
        match socket.into_std() {
            Ok(socket) => _ = worker.handle.spawn(taken_over(socket, load, attend)),
            Err(error) => tracing::error!(%error, "a connection cannot be handed over"),
        }
    }
}

async fn taken_over<F>(socket: StdStream, load: Load, attend: impl FnOnce(TcpStream, Load) -> F)
where
    F: Future<Output = ()>,
{
    match TcpStream::from_std(socket) {
        Ok(socket) => attend(socket, load).await,
        Err(error) => tracing::error!(%error, "a connection cannot be taken over"),
    }
}

impl Team {
    fn hire(&mut self, number: usize) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, dismissed) = (runtime.handle().clone(), self.dismissed.clone());
        let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            runtime.block_on(dismissed.cancelled());
            // Whoever still looks up a name there need not be waited for.
            runtime.shutdown_background();
        })?;
        self.workers.push(Worker { handle, connections: Arc::default() });
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.dismissed.cancel();
        for thread in self.threads.drain(..) {
            // One that panicked has ended, too.
            let _ = thread.join();
        }
    }
}

impl Load {
    fn on(worker: &Worker) -> Self {
        worker.connections.fetch_add(1, Ordering::Relaxed);
        Load(Some(Arc::clone(&worker.connections)))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(connections) = &self.0 {
            connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    use super::*;

    /// A connection that is served: by which thread, and to be dropped when it is to end.
    type Served = (String, tokio::sync::oneshot::Sender<()>);

    struct Door {
        workers: Workers,
        listener: TcpListener,
        sender: UnboundedSender<Served>,
        served: UnboundedReceiver<Served>,
    }

    impl Door {
        async fn of(workers: Workers) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (sender, served) = unbounded_channel();
            Door { workers, listener, sender, served }
        }

        /// Lets somebody in, and tells who serves them.
        async fn enter(&mut self) -> Served {
            let mut client = TcpStream::connect(self.listener.local_addr().unwrap()).await.unwrap();
            client.write_all(b"here").await.unwrap();
            let (socket, _) = self.listener.accept().await.unwrap();
            let sender = self.sender.clone();
            self.workers.serve(socket, |socket, load| async move {
                socket.readable().await.unwrap();
                let thread = std::thread::current().name().unwrap_or_default().to_owned();
                let (end, ended) = tokio::sync::oneshot::channel();
                sender.send((thread, end)).unwrap();
                let _ = ended.await;
                drop(load);
            });
            self.served.recv().await.unwrap()
        }
    }

    #[tokio::test]
    async fn connections_are_spread_evenly_over_the_threads() {
        let mut door = Door::of(Workers::of(3).unwrap()).await;
        let mut served = HashMap::<String, Vec<Served>>::new();
        for _ in 0..6 {
            let one = door.enter().await;
            served.entry(one.0.clone()).or_default().push(one);
        }
        let mut counts: Vec<_> =
            served.iter().map(|(thread, theirs)| (thread.as_str(), theirs.len())).collect();
        counts.sort_unstable();
        assert_eq!(counts, [("worker-0", 2), ("worker-1", 2), ("worker-2", 2)]);
        served.remove("worker-1");
        while door.workers.team.workers[1].connections.load(Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(door.enter().await.0, "worker-1", "who left makes room");
    }

    #[tokio::test]
    async fn without_other_threads_the_one_that_accepts_serves() {
        let mut door = Door::of(Workers::default()).await;
        let own = std::thread::current().name().unwrap_or_default().to_owned();
        assert_eq!(door.enter().await.0, own);
    }

    #[tokio::test]
    async fn what_is_under_way_ends_with_the_threads() {
        let mut door = Door::of(Workers::of(2).unwrap()).await;
        let (_, end) = door.enter().await;
        drop(door.workers);
        assert!(end.is_closed());
    }

    #[test]
    fn the_end_waits_for_nothing_that_cannot_be_called_off() {
        let workers = Workers::of(1).unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (begun, has_begun) = std::sync::mpsc::channel();
        // As a look-up of a name by the system.
        workers.team.workers[0].handle.spawn_blocking(move || {
            begun.send(()).unwrap();
            held.recv()
        });
        has_begun.recv().unwrap();
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            drop(workers);
            ended.send(())
        });
        end.recv_timeout(std::time::Duration::from_secs(20)).expect("it waits");
        drop(release);
    }
}
