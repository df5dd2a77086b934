//! `consentry check`: reads everything that `run` reads and prints every problem.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use crate::config::{self, Colours, FirstStart, Problem};
use crate::observed::Store;
use crate::site::Site;

/// Arguments of `consentry check`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// For people, or for editors and CI.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How problems are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// With the line that is meant, underlined.
    Text,
    /// One JSON object.
    Json,
}

/// Checks the settings as the arguments say.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    check(config, args.format)
}

/// Checks the settings and prints every problem on standard output: 0, or 1 with errors.
pub(super) fn check(config: &Path, format: Format) -> ExitCode {
    let (problems, sites) = match config::load(config, FirstStart::ReadOnly) {
        Ok(loaded) => {
            let mut problems = loaded.warnings;
            let seen = Store::new(loaded.settings.observed_file()).saved();
            let of = |site: &Site| seen.get(&site.name).cloned().unwrap_or_default();
            problems.extend(loaded.settings.undeclared(of));
            (problems, loaded.settings.sites.iter().count())
        }
        Err(problems) => (problems, 0),
    };
    let has_errors = problems.iter().any(Problem::is_error);
    let report = match format {
        Format::Text => text(config, &problems, sites, colours(&io::stdout())),
        Format::Json => json(&problems, sites),
    };
    // A reader that goes away early, such as `head`, has seen what it wanted.
    let _ = writeln!(io::stdout().lock(), "{report}");
    if has_errors { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Prints problems on standard error, for the commands that cannot go on because of them.
pub(super) fn print(problems: &[Problem]) {
    let mut output = io::stderr().lock();
    let colours = colours(&output);
    for problem in problems {
        // Where nobody listens, the exit code still tells.
        let _ = writeln!(output, "{}\n", problem.render(colours));
    }
}

/// Colours for a terminal, unless its user does not want them (no-color.org).
fn colours(output: &impl IsTerminal) -> Colours {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if output.is_terminal() && !unwanted { Colours::On } else { Colours::Off }
}

fn text(config: &Path, problems: &[Problem], sites: usize, colours: Colours) -> String {
    let mut report = String::new();
    for problem in problems {
        report.push_str(&problem.render(colours));
        report.push_str("\n\n");
    }
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let warnings = counted(problems.len() - errors, "warning");
    let summary = match errors {
        0 => format!("{}: {} ready, {warnings}", config.display(), counted(sites, "site")),
        _ => format!("{}: not usable: {}, {warnings}", config.display(), counted(errors, "error")),
    };
    report + &summary
}

fn json(problems: &[Problem], sites: usize) -> String {
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let warnings = problems.len() - errors;
    json!({ "errors": errors, "warnings": warnings, "sites": sites, "problems": problems }).to_string()
}

fn counted(number: usize, thing: &str) -> String {
    match number {
        0 => format!("no {thing}s"),
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Severity;

    fn problem(severity: Severity) -> Problem {
        Problem { severity, file: "a.yaml".into(), place: None, message: "wrong".into(), help: None }
    }

    #[test]
    fn the_summary_counts_errors_and_warnings() {
        let config = Path::new("consentry.yaml");
        let problems = [problem(Severity::Error), problem(Severity::Warning), problem(Severity::Warning)];
        let report = text(config, &problems, 0, Colours::Off);
        assert!(report.ends_with("\n\nconsentry.yaml: not usable: 1 error, 2 warnings"), "{report}");
        assert_eq!(text(config, &[], 1, Colours::Off), "consentry.yaml: 1 site ready, no warnings");
    }

    #[test]
    fn programs_get_every_problem_and_the_counts() {
        let report: serde_json::Value =
            serde_json::from_str(&json(&[problem(Severity::Warning)], 2)).unwrap();
        assert_eq!((report["errors"].as_u64(), report["warnings"].as_u64()), (Some(0), Some(1)));
        assert_eq!(report["problems"][0]["file"], "a.yaml");
    }
}
