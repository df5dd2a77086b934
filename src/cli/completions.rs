//! `consentry completions`: what a shell proposes after `consentry` and a tab.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Arguments, output};

/// For which shell.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell that reads it.
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script on standard output.
pub(super) fn run(args: &Args) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "consentry", &mut script);
    output::print(&script)
}
