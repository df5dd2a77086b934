//! The command line: one file a command.

mod check;
mod completions;
mod demo;
mod healthcheck;
mod init;
mod ledger;
mod man;
mod output;
mod preview;
mod run;
mod schema;
mod scratch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A reverse proxy that makes the site behind it keep the law on cookies and privacy.
#[derive(Debug, Parser)]
#[command(name = "consentry", version, arg_required_else_help = true)]
struct Arguments {
    /// The settings of the proxy.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "config/consentry.yaml",
        env = "CONSENTRY_CONFIG"
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy.
    Run,
    /// Read everything that `run` reads, and print every problem.
    Check(check::Args),
    /// Write a site's settings and documents, and mark what only you can fill in.
    Init(init::Args),
    /// Show the proxy in front of a small legacy shop, ready to open in a browser.
    Demo(demo::Args),
    /// Show what visitors meet in every state, without an upstream.
    Preview(preview::Args),
    /// Give out and verify the proof of who agreed to what.
    Ledger(ledger::Args),
    /// Print the JSON Schema of the settings, for editors and for CI.
    Schema(schema::Args),
    /// Ask the proxy that runs whether it is well.
    Healthcheck(healthcheck::Args),
    /// Print the completions of a shell.
    Completions(completions::Args),
    /// Print the manual page, or write all of them.
    Man(man::Args),
}

/// Reads the arguments, does what they say, and tells how it went.
pub fn main() -> ExitCode {
    let Arguments { config, command } = Arguments::parse();
    match command {
        Command::Run => run::run(&config),
        Command::Check(args) => check::run(&args, &config),
        Command::Init(args) => init::run(&args, &config),
        Command::Demo(args) => demo::run(args),
        Command::Ledger(args) => ledger::run(args, &config),
        Command::Preview(args) => preview::run(args, &config),
        Command::Schema(args) => schema::run(&args),
        Command::Healthcheck(args) => healthcheck::run(args, &config),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
