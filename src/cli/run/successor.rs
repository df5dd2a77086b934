//! The process that replaces this one (SIGUSR2): the program as it now lies on the disk, with the same arguments
//! and the same listening sockets. It reads the keys of TLS tickets from its standard input, and says on its standard
//! output when it is ready.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use command_fds::{CommandFdExt, FdMapping};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::listener::tickets::Tickets;
use crate::listener::{Giver, Legacy};

/// What a successor says when it serves.
const READY: &str = "ready";

/// How long a successor may take to read its settings.
const PATIENCE: Duration = Duration::from_secs(60);

/// A successor that is not ready yet; it ends with this.
#[derive(Debug)]
pub(super) struct Successor {
    child: Child,
    says: oneshot::Receiver<String>,
    deadline: Instant,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Serving,
}

impl Successor {
    /// Starts it on the sockets of this process.
    pub(super) fn start(legacy: Legacy) -> anyhow::Result<Self> {
        // The first process of a container takes all others with it when it ends.
        if std::process::id() == 1 {
            bail!("the first process of a container cannot be replaced: start a new container");
        }
        let mut arguments = std::env::args_os();
        // As it was called, and not where that led at the time: a link may lead to a newer program by now.
        let program = arguments.next().context("the program does not know its own name")?;
        let mut command = Command::new(&program);
        command.args(arguments).stdout(Stdio::piped());
        legacy.announce(&mut command);
        let Legacy { sockets, tickets } = legacy;
        let numbered = sockets.into_iter().zip(3..);
        let mappings = numbered.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd }).collect();
        command.fd_mappings(mappings).context("the sockets cannot be handed over")?;
        let child = command.spawn().with_context(|| format!("{} cannot be started", program.display()))?;
        let (sender, says) = oneshot::channel();
        // From here on, whatever fails ends the child, too.
        let mut successor =
            Successor { child, says, deadline: Instant::now() + PATIENCE, state: State::Starting };
        if let Some(input) = successor.child.stdin.take() {
            hand_over(&tickets, input);
        }
        if let Some(output) = successor.child.stdout.take() {
            std::thread::Builder::new().name("successor".into()).spawn(move || listen(output, sender))?;
        }
        Ok(successor)
    }

    /// Waits until it serves, and gives back its process id. May be dropped and called again.
    pub(super) async fn ready(&mut self) -> anyhow::Result<u32> {
        match tokio::time::timeout_at(self.deadline, &mut self.says).await {
            Ok(Ok(said)) if said.trim_end() == READY => {
                self.state = State::Serving;
                Ok(self.child.id())
            }
            Ok(_) => bail!("it ended before it was ready"),
            Err(_) => bail!("it was not ready within {} seconds", PATIENCE.as_secs()),
        }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if self.state == State::Starting {
            // If it has ended by itself, there is nothing to end.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Gives it the keys of the tickets, which fit into the pipe, and closes the pipe.
fn hand_over(tickets: &Tickets, mut input: ChildStdin) {
    if let Err(error) = input.write_all(tickets.written().as_bytes()) {
        tracing::debug!(%error, "the successor takes no keys of tickets: browsers shake hands anew");
    }
}

fn listen(output: ChildStdout, sender: oneshot::Sender<String>) {
    let mut line = String::new();
    if let Err(error) = BufReader::new(output).read_line(&mut line) {
        tracing::debug!(%error, "the successor cannot be heard");
    }
    // Where nobody waits any more, it has been given up.
    let _ = sender.send(line);
}

/// Tells the process that this one replaces, if there is one, that it may go.
pub(super) fn tell_predecessor(giver: Giver) {
    if giver == Giver::Predecessor
        && let Err(error) = writeln!(std::io::stdout().lock(), "{READY}")
    {
        tracing::warn!(%error, "the process before cannot be told that this one is ready");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A successor that is this command, and has this long.
    fn successor(command: &str, patience: Duration) -> Successor {
        let mut child = Command::new("sh").args(["-c", command]).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, says) = oneshot::channel();
        let output = child.stdout.take().unwrap();
        std::thread::spawn(move || listen(output, sender));
        Successor { child, says, deadline: Instant::now() + patience, state: State::Starting }
    }

    #[tokio::test]
    async fn only_its_word_makes_it_ready() {
        for (command, expected) in [
            ("echo ready", "ready"),
            ("echo ready or not", "it ended before it was ready"),
            ("exit 0", "it ended before it was ready"),
        ] {
            let outcome = successor(command, PATIENCE).ready().await;
            let said = outcome.map_or_else(|error| error.to_string(), |_| "ready".into());
            assert_eq!(said, expected, "{command}");
        }
    }

    #[tokio::test]
    async fn one_that_is_silent_for_too_long_is_given_up_and_ended() {
        let mut silent = successor("exec sleep 1000", Duration::ZERO);
        let error = silent.ready().await.unwrap_err();
        assert!(error.to_string().starts_with("it was not ready within"), "{error}");
        let id = silent.child.id().to_string();
        drop(silent);
        let is_there = Command::new("kill").args(["-0", &id]).stderr(Stdio::null()).status().unwrap();
        assert!(!is_there.success());
    }
}
