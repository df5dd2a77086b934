//! What was there for this process before it began: sockets that a service manager (`LISTEN_FDS`, sd_listen_fds(3)) or
//! the process that this one replaces has opened, and which of them belongs to which address; the keys of its tickets.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use listenfd::ListenFd;
use socket2::SockRef;

use super::tickets::Tickets;
use crate::clock::Clock;

/// The variable by which a process tells the one that replaces it who it is: its process id.
const PREDECESSOR: &str = "CONSENTRY_PREDECESSOR";

/// Set where that process writes the keys of its TLS tickets to this one's standard input.
const TICKETS: &str = "CONSENTRY_TICKETS";

/// What a process leaves to the one that replaces it.
#[derive(Debug)]
pub struct Legacy {
    /// Its listening sockets.
    pub sockets: Vec<OwnedFd>,
    /// The keys of its TLS tickets.
    pub tickets: Tickets,
}

impl Legacy {
    /// What the environment of the other process says of it; the sockets begin at file descriptor 3. The
    /// [keys](Tickets::written) go to its standard input, which is closed behind them.
    pub fn announce(&self, other: &mut Command) {
        // Those are about this process, or about the sockets that it was given itself.
        for name in ["LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_PID"] {
            other.env_remove(name);
        }
        other
            .env(PREDECESSOR, std::process::id().to_string())
            .env(TICKETS, "stdin")
            .env("LISTEN_FDS", self.sockets.len().to_string())
            .stdin(Stdio::piped());
    }
}

/// Who opened the sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Giver {
    /// A service manager, or nobody.
    #[default]
    ServiceManager,
    /// The process that this one replaces, which goes on until it is told that it may go.
    Predecessor,
}

/// What this process was given. It holds secrets, so nothing prints it.
#[derive(Default)]
pub struct Inherited {
    giver: Giver,
    sockets: Vec<Handed>,
    /// What else was given, for the log.
    unusable: Vec<String>,
    /// The keys of tickets, as they were written.
    tickets: String,
}

#[derive(Debug)]
struct Handed {
    socket: TcpListener,
    address: SocketAddr,
    /// What the service manager calls it (`FileDescriptorName=`).
    name: String,
}

impl Inherited {
    /// No sockets: every address is bound anew.
    pub fn none() -> Self {
        Inherited::default()
    }

    /// Takes what the environment names. Must be called before any thread is there, because it takes the
    /// variables out, so that nobody takes the sockets twice.
    pub fn from_environment() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut given = ListenFd::from_env();
        let mut inherited = Inherited { giver: giver(), ..Inherited::default() };
        if inherited.giver == Giver::Predecessor && std::env::var_os(TICKETS).is_some() {
            inherited.tickets = read_keys(std::io::stdin().lock());
        }
        for index in 0..given.len() {
            let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown").to_owned();
            let socket = given.take_tcp_listener(index).ok().flatten().filter(is_listening);
            match socket.and_then(|socket| Some((socket.local_addr().ok()?, socket))) {
                Some((address, socket)) => inherited.sockets.push(Handed { socket, address, name }),
                None => inherited.unusable.push(name),
            }
        }
        inherited
    }

    /// Who opened them.
    pub fn giver(&self) -> Giver {
        self.giver
    }

    /// The keys of the process before, where there was one; else none yet.
    pub fn tickets(&self, clock: &Clock) -> Tickets {
        Tickets::read(clock.clone(), &self.tickets)
    }

    /// Gives each of `addresses` its socket, if there is one. Port 0 takes any that is left on its address. What
    /// nobody wants is closed, and said.
    pub fn claim(mut self, addresses: &[SocketAddr]) -> Vec<Option<TcpListener>> {
        let mut claimed: Vec<_> =
            addresses.iter().map(|address| self.take(|handed| handed == *address)).collect();
        for (address, claimed) in addresses.iter().zip(&mut claimed) {
            if address.port() == 0 && claimed.is_none() {
                *claimed = self.take(|handed| handed.ip() == address.ip());
            }
        }
        for handed in &self.sockets {
            let (name, address) = (handed.name.as_str(), handed.address);
            tracing::warn!(name, %address, "a socket was handed over that no listener has as its address");
        }
        for name in &self.unusable {
            tracing::warn!(name, "a socket was handed over that does not listen for TCP");
        }
        claimed
    }

    fn take(&mut self, fits: impl Fn(SocketAddr) -> bool) -> Option<TcpListener> {
        let index = self.sockets.iter().position(|handed| fits(handed.address))?;
        Some(self.sockets.remove(index).socket)
    }
}

fn giver() -> Giver {
    // What a parent says of itself: the variable may have come down from further up.
    let parent = std::os::unix::process::parent_id().to_string();
    if std::env::var(PREDECESSOR).is_ok_and(|id| id == parent) {
        Giver::Predecessor
    } else {
        Giver::ServiceManager
    }
}

/// Whatever can be read to the end: without keys, browsers shake hands anew, and nothing else is lost.
fn read_keys(from: impl Read) -> String {
    const MOST: u64 = 4096;
    let mut keys = String::new();
    match from.take(MOST).read_to_string(&mut keys) {
        Ok(_) => keys,
        Err(_) => String::new(),
    }
}

fn is_listening(socket: &TcpListener) -> bool {
    SockRef::from(socket).is_listener().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed(sockets: Vec<TcpListener>) -> Inherited {
        let handed = |socket: TcpListener| Handed {
            address: socket.local_addr().unwrap(),
            socket,
            name: "web".into(),
        };
        Inherited { sockets: sockets.into_iter().map(handed).collect(), ..Inherited::none() }
    }

    #[test]
    fn each_address_gets_its_own_socket_and_port_0_what_is_left() {
        let sockets: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let at: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let elsewhere: SocketAddr = "[::1]:0".parse().unwrap();
        let claimed = handed(sockets).claim(&[any, at[1], elsewhere, at[0], any, any]);
        let claimed: Vec<_> =
            claimed.iter().map(|socket| socket.as_ref().map(|socket| socket.local_addr().unwrap())).collect();
        assert_eq!(claimed, [Some(at[2]), Some(at[1]), None, Some(at[0]), None, None]);
    }
}
