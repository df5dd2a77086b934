//! `consentry init`: a site's YAML and its documents in every language asked for, with `[FILL IN: …]` where only the
//! controller knows.
//!
//! It never overwrites, and what it leaves behind passes `consentry check`.

mod texts;

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::clock::Clock;
use crate::config::{self, FirstStart, Problem};

/// Arguments of `consentry init`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The site's name: that of its file, and of the folder of its documents.
    name: String,
    /// A name by which visitors reach the site; may be repeated.
    #[arg(long = "host", value_name = "HOST", required = true)]
    hosts: Vec<String>,
    /// The address of the application behind.
    #[arg(long, value_name = "URL")]
    upstream: String,
    /// The languages of the site, with commas between them; the first is the fallback.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "sv,en")]
    languages: Vec<String>,
    /// Where to write; without it, where the settings of the proxy are.
    #[arg(long, value_name = "FOLDER")]
    directory: Option<PathBuf>,
    /// The legal name of who answers for the personal data.
    #[arg(long, value_name = "NAME")]
    controller: Option<String>,
    /// The number under which they are registered.
    #[arg(long, value_name = "NUMBER", requires = "controller")]
    organisation_number: Option<String>,
    /// Their postal address.
    #[arg(long, requires = "controller")]
    address: Option<String>,
    /// Their address for questions about personal data.
    #[arg(long, requires = "controller")]
    email: Option<String>,
    /// The legal name of who runs the application for them.
    #[arg(long, value_name = "NAME")]
    processor: Option<String>,
    /// The cookie by which the application knows who is logged in: those visitors must have read the privacy
    /// information before they go on.
    #[arg(long, value_name = "COOKIE")]
    session_cookie: Option<String>,
}

/// Writes the files, or says why not.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    match init(args, config) {
        Ok(report) => {
            // Who does not listen finds the files all the same.
            let _ = write!(std::io::stdout().lock(), "{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "consentry init: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A file that is to be written.
struct File {
    path: PathBuf,
    content: String,
}

fn init(args: &Args, config: &Path) -> anyhow::Result<String> {
    check_words(args)?;
    let config = match &args.directory {
        Some(folder) => folder.join("consentry.yaml"),
        None => config.to_owned(),
    };
    let folder = config.parent().unwrap_or(Path::new(""));
    let is_first = !config.exists();
    let mut files = files(args, folder);
    if is_first {
        files.insert(0, File { path: config.clone(), content: PROXY.to_owned() });
    }
    let present: Vec<_> = files.iter().filter(|file| file.path.exists()).collect();
    if !present.is_empty() {
        let names: Vec<_> = present.iter().map(|file| file.path.display().to_string()).collect();
        bail!("nothing is overwritten, and these exist already: {}", names.join(", "));
    }
    let before = if is_first { HashSet::new() } else { errors(&config) };
    let written = write_all(&files)?;
    let news: Vec<Problem> =
        errors(&config).into_iter().filter(|problem| !before.contains(problem)).collect();
    if !news.is_empty() {
        written.remove();
        super::check::print(&news);
        bail!("the settings would have errors with it; nothing is left of it");
    }
    Ok(report(args, &config, &files))
}

/// Names become paths, and tags names of files.
fn check_words(args: &Args) -> anyhow::Result<()> {
    let is_word = |text: &str| {
        !text.is_empty()
            && text.len() <= 64
            && !text.starts_with('.')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    if !is_word(&args.name) {
        bail!("`{}` cannot name a site: write letters, digits, hyphens and dots", args.name);
    }
    if let Some(tag) = args.languages.iter().find(|tag| !is_word(tag)) {
        bail!("`{tag}` is not a language tag, such as sv or en");
    }
    Ok(())
}

fn errors(config: &Path) -> HashSet<Problem> {
    match config::load(config, FirstStart::ReadOnly) {
        Ok(_) => HashSet::new(),
        Err(problems) => problems.into_iter().filter(Problem::is_error).collect(),
    }
}

fn files(args: &Args, folder: &Path) -> Vec<File> {
    let version = Clock::system().now().strftime("%Y-%m-%d").to_string();
    let documents = folder.join("documents").join(&args.name);
    let mut files =
        vec![File { path: folder.join("sites").join(format!("{}.yaml", args.name)), content: site(args) }];
    for document in texts::DOCUMENTS {
        for language in &args.languages {
            let path = documents.join(format!("{}.{language}.md", document.name));
            files.push(File { path, content: document.written(language, &version, &known(args)) });
        }
    }
    files
}

fn known(args: &Args) -> texts::Known {
    texts::Known {
        hosts: args.hosts.iter().any(|host| host != "*"),
        controller: args.controller.is_some(),
        organisation_number: args.organisation_number.is_some(),
        address: args.address.is_some(),
        email: args.email.is_some(),
        processor: args.processor.is_some(),
    }
}

/// Files that were written, to take them away again.
struct Written(Vec<PathBuf>);

impl Written {
    fn remove(&self) {
        for path in &self.0 {
            // What cannot be removed is named by the error that led here.
            let _ = fs::remove_file(path);
        }
    }
}

fn write_all(files: &[File]) -> anyhow::Result<Written> {
    let mut written = Written(Vec::new());
    for file in files {
        if let Err(error) = write_one(file) {
            written.remove();
            return Err(error).with_context(|| format!("{} cannot be written", file.path.display()));
        }
        written.0.push(file.path.clone());
    }
    Ok(written)
}

fn write_one(file: &File) -> std::io::Result<()> {
    if let Some(folder) = file.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    // Never over a file that came meanwhile.
    let mut new = fs::OpenOptions::new().write(true).create_new(true).open(&file.path)?;
    new.write_all(file.content.as_bytes())
}

fn report(args: &Args, config: &Path, files: &[File]) -> String {
    let mut report = String::from("written:\n");
    for file in files {
        report.push_str(&format!("  {}\n", file.path.display()));
    }
    let places: usize = files.iter().map(|file| file.content.matches("[FILL IN:").count()).sum();
    let name = &args.name;
    report.push_str(&format!(
        "\n{places} places wait for what only you know. Look for `[FILL IN: …]`, or run\n  consentry check --config {}\n\
         Until the privacy information is filled in, {name} asks nobody for anything and its services stay held.\n",
        config.display()
    ));
    let is_read = config::load(config, FirstStart::ReadOnly)
        .is_ok_and(|loaded| loaded.settings.sites.iter().any(|site| *site.name == **name));
    if !is_read {
        report.push_str(&format!("{} does not read it: look at `sites` there.\n", config.display()));
    }
    report
}

/// The settings of a proxy that has none yet.
const PROXY: &str = "\
# The proxy. Relative paths are relative to this file.

listen:
  - address: 127.0.0.1:8080
admin: { address: 127.0.0.1:9090 }           # /healthz /readyz /metrics; never on a public address
secrets: file:../data/secrets                # made at the first start
ledger: { sqlite: ../data/ledger.sqlite }
sites: sites/*.yaml
";

fn site(args: &Args) -> String {
    let list = |items: &[String]| items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", ");
    let mut yaml = format!(
        "# {}: what happens to the site, and for whom. `consentry schema` tells every key.\n\n\
         hosts: [{}]\nupstream: {}\nlanguages: [{}]                          # the first is the fallback\n\n",
        args.name,
        list(&args.hosts),
        quoted(&args.upstream),
        args.languages.join(", ")
    );
    yaml.push_str(&parties(args));
    yaml.push_str("\ndocuments:\n");
    for document in texts::DOCUMENTS {
        yaml.push_str(&format!(
            "  {}:\n    kind: {}\n    path: {}\n    files:\n",
            document.name, document.kind, document.path
        ));
        for language in &args.languages {
            let file = format!("../documents/{}/{}.{language}.md", args.name, document.name);
            yaml.push_str(&format!("      {language}: {file}\n"));
        }
    }
    yaml.push_str(&gates(args));
    yaml.push_str(SERVICES);
    yaml
}

fn parties(args: &Args) -> String {
    let mut yaml = String::new();
    match &args.controller {
        Some(name) => {
            yaml.push_str(&format!(
                "controller:                                  # who answers for the personal data\n  name: {}\n",
                quoted(name)
            ));
            for (key, value) in [
                ("organisation_number", &args.organisation_number),
                ("address", &args.address),
                ("email", &args.email),
            ] {
                match value {
                    Some(value) => yaml.push_str(&format!("  {key}: {}\n", quoted(value))),
                    None => yaml.push_str(&format!("  # {key}:\n")),
                }
            }
        }
        None => yaml.push_str(
            "# controller:                                # who answers for the personal data (GDPR article 13(1)(a))\n\
             #   name:\n#   organisation_number:\n#   address:\n#   email:\n",
        ),
    }
    match &args.processor {
        Some(name) => yaml.push_str(&format!("processor: {{ name: {} }}\n", quoted(name))),
        None => yaml
            .push_str("# processor: { name: …, email: … }            # who runs the application for them\n"),
    }
    yaml
}

fn gates(args: &Args) -> String {
    let administrators = "- { name: administrators, document: user-agreement, paths: [\"/admin/*\"] }";
    match &args.session_cookie {
        Some(cookie) => format!(
            "\ngates:                                       # who must have read or accepted what before going on\n  \
             - {{ name: customers, document: privacy, cookie: {}, except: [/logout] }}\n  # {administrators}\n",
            quoted(cookie)
        ),
        None => format!(
            "\n# gates:                                     # who must have read or accepted what before going on\n\
             #   - {{ name: customers, document: privacy, cookie: PHPSESSID, except: [/logout] }}\n#   {administrators}\n"
        ),
    }
}

const SERVICES: &str = "
# services:                                  # strip | consent | anonymize | allow; a category, or one service
#   matomo: anonymize
# cookies: { necessary: [PHPSESSID] }         # those that the site cannot work without
";

/// Text as YAML reads it back: what JSON writes is YAML, too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
