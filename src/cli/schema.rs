//! `consentry schema`: the JSON Schema of both YAML files, for editors and for CI.

use std::process::ExitCode;

use clap::ValueEnum;

use super::output;
use crate::config::{self, File};

/// Which schema.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file that it describes; without it, one schema that both kinds of files fit.
    #[arg(long, value_enum, value_name = "FILE")]
    file: Option<Kind>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// `consentry.yaml`.
    Main,
    /// `sites/NAME.yaml`.
    Site,
}

/// Prints the schema on standard output.
pub(super) fn run(args: &Args) -> ExitCode {
    let schema = match args.file {
        Some(Kind::Main) => config::schema_of(File::Main),
        Some(Kind::Site) => config::schema_of(File::Site),
        None => config::schema_of_both(),
    };
    output::print(format!("{schema:#}\n").as_bytes())
}
