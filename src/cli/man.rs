//! `consentry man`: the manual, one page a command, made from the command line itself.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::{Arguments, output};

/// Where the manual goes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write every page into this folder, which is made if need be; without it, print the main one.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// Headings of the main page, each with its terms.
const SECTIONS: [(&str, &[(&str, &str)]); 4] = [
    (
        "FILES",
        &[
            (
                "config/consentry.yaml",
                "The proxy: listeners, secrets, ledger, limits, defaults of every site.",
            ),
            ("config/sites/NAME.yaml", "One site each."),
            ("config/documents/", "The texts that sites publish, in Markdown."),
            ("data/", "What the proxy writes: the secrets that sign cookies, and the ledger."),
            ("/etc/consentry/, /var/lib/consentry/", "The same, where the Debian package keeps them."),
        ],
    ),
    (
        "SIGNALS",
        &[
            ("SIGHUP", "Reads the settings again; a file with an error leaves what it describes as it was."),
            (
                "SIGUSR2",
                "Starts the program that now lies at this path on the same sockets, and ends when it serves.",
            ),
            ("SIGTERM, SIGINT", "Takes no new connections, lets requests under way end, and stops."),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            ("CONSENTRY_CONFIG", "The file of settings, where --config names none."),
            ("CONSENTRY_LOG", "How much is logged, such as debug or consentry=trace; info without it."),
        ],
    ),
    (
        "EXIT STATUS",
        &[
            ("0", "Done."),
            ("1", "The settings have errors, the proxy is not healthy, or the ledger is not intact."),
            ("2", "The arguments are wrong, or the ledger cannot be read."),
        ],
    ),
];

/// Prints the main page, or writes every page.
pub(super) fn run(args: &Args) -> ExitCode {
    let command = whole();
    let done = match &args.folder {
        None => page(&command).map(|page| output::print(&page)).context("the page cannot be made"),
        Some(folder) => write_all(&command, folder)
            .map(|()| ExitCode::SUCCESS)
            .with_context(|| format!("the pages cannot be written to {}", folder.display())),
    };
    done.unwrap_or_else(|error| {
        eprintln!("consentry: {error:#}");
        ExitCode::FAILURE
    })
}

/// The command line, complete; `help` is no page of its own.
fn whole() -> Command {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    command
}

fn write_all(command: &Command, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join(format!("{}.1", name(command))), page(command)?)?;
    command.get_subcommands().try_for_each(|inner| write_all(inner, folder))
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone())
        .source(concat!("Consentry ", env!("CARGO_PKG_VERSION")))
        .manual("Consentry");
    let mut page = Vec::new();
    man.render(&mut page)?;
    if command.get_name() == name(command) {
        more(command).to_writer(&mut page)?;
    }
    Ok(page)
}

/// What the arguments do not tell, and where to read on.
fn more(command: &Command) -> Roff {
    let mut roff = Roff::new();
    for (heading, terms) in SECTIONS {
        roff.control("SH", [heading]);
        for (term, text) in terms {
            roff.control("TP", []);
            roff.text([bold(*term)]);
            roff.text([roman(*text)]);
        }
    }
    let pages: Vec<String> = command.get_subcommands().map(|inner| format!("{}(1)", name(inner))).collect();
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(pages.join(", "))]);
    roff
}

/// `consentry`, `consentry-run`, and so on.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}
