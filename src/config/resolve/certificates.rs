//! The certificates of the listeners: whether they can be used, are valid today, and fit the sites' hosts.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use super::Scope;
use crate::clock::{Clock, Timestamp};
use crate::config::raw::Main;
use crate::config::tree::Step;
use crate::listener::CertificateFiles;
use crate::listener::certificates::{CertificateFailure, Culprit, Examined, Validity, examine};
use crate::site::{HostPattern, Sites};

/// Notes what is wrong or doubtful with each certificate, and which hosts have none.
pub(in crate::config) fn certificates(scope: &mut Scope<'_>, raw: &Main, sites: &Sites) {
    let mut names = HashSet::new();
    let mut first_list = None;
    let mut are_all_known = true;
    for (listener, tls) in
        raw.listen.iter().flatten().enumerate().filter_map(|(at, raw)| Some((at, raw.tls.as_ref()?)))
    {
        let list = ["tls", "certificates"].map(Step::Key);
        let list = [&[Step::Key("listen"), Step::Item(listener)], list.as_slice()].concat();
        let mut shown = HashMap::new();
        for (item, raw) in tls.certificates.iter().enumerate() {
            let path = [list.as_slice(), &[Step::Item(item)]].concat();
            match certificate(scope, &path, raw, sites) {
                Some(examined) => {
                    warn_of_others_of_its_kind(scope, &path, item, &examined, &mut shown);
                    names.extend(examined.names);
                }
                None => are_all_known = false,
            }
        }
        are_all_known &= !tls.certificates.is_empty()
            && !scope.tree.has_lost(&[list.as_slice(), &[Step::Item(0)]].concat());
        first_list.get_or_insert(list);
    }
    if let (Some(list), true) = (first_list, are_all_known) {
        warn_of_uncovered(scope, &list, &names, sites);
    }
}

fn certificate(
    scope: &mut Scope<'_>,
    path: &[Step<'_>],
    raw: &crate::config::raw::Certificate,
    sites: &Sites,
) -> Option<Examined> {
    let at = |key| [path, &[Step::Key(key)]].concat();
    let (to_certificate, to_key) = (at("certificate"), at("key"));
    let files = CertificateFiles {
        certificate: scope.existing(&to_certificate, &raw.certificate),
        key: scope.existing(&to_key, &raw.key),
    };
    let examined = pair(scope, path, &files, "browsers refuse")?;
    warn_of_no_use(scope, &to_certificate, &examined.names, sites);
    Some(examined)
}

/// Notes what is wrong or doubtful with a certificate and its key; who refuses one that is not valid today is for the words.
pub(super) fn pair(
    scope: &mut Scope<'_>,
    path: &[Step<'_>],
    files: &CertificateFiles,
    who_refuses: &str,
) -> Option<Examined> {
    let at = |key| [path, &[Step::Key(key)]].concat();
    if ![&files.certificate, &files.key].into_iter().all(|file| scope.files.look(file).is_content()) {
        return None;
    }
    match examine(files) {
        Ok(examined) => {
            let now = Clock::system().now();
            if let Some((message, help)) =
                examined.validity.and_then(|validity| doubt(validity, who_refuses, now))
            {
                scope.warn(&at("certificate"), message, help);
            }
            Some(examined)
        }
        Err(failure) => {
            let culprit = match failure.culprit(files) {
                Culprit::Certificate => "certificate",
                Culprit::Key => "key",
            };
            scope.error(&at(culprit), with_cause(&failure), failure.remedy());
            None
        }
    }
}

/// Of two certificates of one name whose keys are of one kind, the second is shown to nobody. `shown` has those before it on
/// this listener, with their lines.
fn warn_of_others_of_its_kind(
    scope: &mut Scope<'_>,
    path: &[Step<'_>],
    item: usize,
    examined: &Examined,
    shown: &mut HashMap<(u8, Box<str>), (usize, usize)>,
) {
    let path = [path, &[Step::Key("certificate")]].concat();
    let own = (item, scope.tree.spot(&path).line);
    let mut by_line = BTreeMap::<_, Vec<_>>::new();
    for name in &examined.names {
        let first = *shown.entry((examined.kind.into(), name.clone())).or_insert(own);
        if first != own {
            by_line.entry(first).or_default().push(name.clone());
        }
    }
    for ((_, line), names) in by_line {
        let names = listed(names.iter());
        let message = format!("the certificate in line {line} is shown for {names}, and not this one");
        let help = "two for one name are of use where the one has an RSA key and the other an ECDSA key: take one out";
        scope.warn(&path, message, help);
    }
}

fn with_cause(failure: &CertificateFailure) -> String {
    match std::error::Error::source(failure) {
        Some(cause) => format!("{failure}: {cause}"),
        None => failure.to_string(),
    }
}

/// Fourteen days, in seconds: as the log of a running proxy counts.
const SOON: i64 = 14 * 86_400;

/// What is doubtful about these dates, and what to do.
fn doubt(
    Validity { not_before, not_after }: Validity,
    who_refuses: &str,
    now: Timestamp,
) -> Option<(String, &'static str)> {
    if not_after < now {
        let help = "renew it: the files are read again when they change";
        Some((format!("the certificate expired at {not_after}: {who_refuses} it"), help))
    } else if now < not_before {
        let help = "wait, set the clock, or use the one before it until then";
        Some((format!("the certificate is valid from {not_before} on: {who_refuses} it before"), help))
    } else if not_after.as_second() - now.as_second() < SOON {
        let help = "renew it: the files are read again when they change";
        Some((format!("the certificate expires at {not_after}"), help))
    } else {
        None
    }
}

/// A name or two beside those of the sites is usual; a certificate without one that any site has is a mistake.
fn warn_of_no_use(scope: &mut Scope<'_>, path: &[Step<'_>], names: &[Box<str>], sites: &Sites) {
    if names.is_empty() {
        let help = "ask for one with the host as a DNS name (subjectAltName): browsers look at nothing else";
        scope.warn(path, "the certificate names no host", help);
    } else if !names.iter().any(|name| is_served(name, sites)) {
        let message = format!("no site has a host of this certificate ({})", listed(names.iter()));
        scope.warn(path, message, "name the right file, or add the host to its site");
    }
}

fn is_served(name: &str, sites: &Sites) -> bool {
    let Some(parent) = name.strip_prefix("*.") else { return sites.find(name).is_some() };
    sites.hosts().any(|host| match host {
        HostPattern::Exact(host) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
        HostPattern::Below(above) => parent == &*above || parent.ends_with(&format!(".{above}")),
        HostPattern::Any => true,
    })
}

/// Browsers refuse a host that no certificate names, whichever is shown to them.
fn warn_of_uncovered(scope: &mut Scope<'_>, list: &[Step<'_>], names: &HashSet<Box<str>>, sites: &Sites) {
    let mut uncovered: Vec<_> = sites.hosts().filter_map(|host| without_certificate(host, names)).collect();
    uncovered.sort();
    if !uncovered.is_empty() {
        let message =
            format!("no certificate names {}: browsers refuse HTTPS there", listed(uncovered.iter()));
        scope.warn(list, message, "add one, or ask for one that names all hosts of the sites");
    }
}

fn without_certificate(host: HostPattern, names: &HashSet<Box<str>>) -> Option<Box<str>> {
    match host {
        // Browsers ask for no name where they are given an address.
        HostPattern::Exact(name) if name.starts_with('[') || name.parse::<IpAddr>().is_ok() => None,
        HostPattern::Exact(name) => {
            let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
            let is_named =
                names.contains(&name) || wildcard.is_some_and(|name| names.contains(name.as_str()));
            (!is_named).then_some(name)
        }
        // Certificates for some of the names below may be all that is in use.
        HostPattern::Below(parent) => {
            let below = format!(".{parent}");
            (!names.iter().any(|name| name.ends_with(&below))).then(|| format!("*{below}").into())
        }
        HostPattern::Any => None,
    }
}

/// The first few of many.
fn listed<'a>(names: impl ExactSizeIterator<Item = &'a Box<str>>) -> String {
    const MOST: usize = 3;
    let more = names.len().saturating_sub(MOST);
    let shown = names.take(MOST).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::{Timestamp, Validity, doubt};
    use std::os::unix::fs::PermissionsExt;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use tempfile::TempDir;

    use crate::config::{FirstStart, Loaded, Problem, load};

    /// Writes a certificate for `names` that is valid in `years`.
    fn write_pair(folder: &TempDir, stem: &str, names: &[&str], years: (i32, i32)) {
        let key = KeyPair::generate().unwrap();
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut parameters = CertificateParams::new(names).unwrap();
        parameters.not_before = date_time_ymd(years.0, 1, 1);
        parameters.not_after = date_time_ymd(years.1, 1, 1);
        let certificate = parameters.self_signed(&key).unwrap();
        std::fs::write(folder.path().join(format!("{stem}.pem")), certificate.pem()).unwrap();
        std::fs::write(folder.path().join(format!("{stem}.key")), key.serialize_pem()).unwrap();
    }

    fn folder() -> TempDir {
        let folder = TempDir::new().unwrap();
        let secrets = folder.path().join("secrets");
        std::fs::write(&secrets, "s".repeat(64)).unwrap();
        std::fs::set_permissions(secrets, std::fs::Permissions::from_mode(0o600)).unwrap();
        folder
    }

    /// The settings with these pairs of files, for a site with these hosts.
    fn loaded(folder: &TempDir, hosts: &str, pairs: &[(&str, &str)]) -> Result<Loaded, Vec<Problem>> {
        let mut main = "secrets: file:secrets\nsites: site.yaml\nlisten:\n  - address: 127.0.0.1:0\n    \
         tls:\n      certificates:\n"
            .to_owned();
        for (certificate, key) in pairs {
            main += &format!("        - {{ certificate: {certificate}.pem, key: {key}.key }}\n");
        }
        let site = format!("hosts: [{hosts}]\nupstream: http://127.0.0.1:3000\nmode: off\n");
        std::fs::write(folder.path().join("site.yaml"), site).unwrap();
        std::fs::write(folder.path().join("consentry.yaml"), main).unwrap();
        load(&folder.path().join("consentry.yaml"), FirstStart::ReadOnly)
    }

    fn told(folder: &TempDir, problems: &[Problem]) -> Vec<String> {
        let root = format!("{}/", folder.path().display());
        problems.iter().map(|problem| problem.to_string().replace(&root, "")).collect()
    }

    #[test]
    fn a_certificate_that_fits_is_not_spoken_of() {
        let folder = folder();
        write_pair(&folder, "a", &["a.example", "mail.a.example"], (2000, 3000));
        write_pair(&folder, "b", &["*.b.example"], (2000, 3000));
        let hosts = "a.example, www.b.example, \"*.b.example\", 127.0.0.1, \"[::1]\"";
        let loaded = loaded(&folder, hosts, &[("a", "a"), ("b", "b")]).unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", told(&folder, &loaded.warnings));
    }

    #[test]
    fn files_that_cannot_be_used_are_errors_at_the_line_that_names_them_and_stop_no_reload() {
        let folder = folder();
        write_pair(&folder, "a", &["a.example"], (2000, 3000));
        write_pair(&folder, "b", &["b.example"], (2000, 3000));
        std::fs::write(folder.path().join("empty.pem"), "").unwrap();
        let pairs = [("a", "b"), ("empty", "a"), ("none", "a")];
        let loaded = loaded(&folder, "a.example", &pairs).unwrap();
        assert!(loaded.warnings.iter().all(Problem::is_error));
        let mut told = told(&folder, &loaded.warnings);
        let last = told.pop().unwrap();
        assert_eq!(
            told,
            [
                "consentry.yaml:7:38: the key in b.key is not that of the certificate in a.pem; \
                 name the key that the certificate was asked for with",
                "consentry.yaml:8:26: empty.pem holds no certificate; \
                 name a PEM file that begins with `-----BEGIN CERTIFICATE-----`",
            ]
        );
        assert!(
            last.starts_with("consentry.yaml:9:26: the file `none.pem` does not exist; looked for "),
            "{last}"
        );
    }

    #[test]
    fn of_two_certificates_of_one_name_and_kind_the_second_is_spoken_of() {
        let folder = folder();
        write_pair(&folder, "a", &["a.example", "b.example", "*.a.example"], (2000, 3000));
        write_pair(&folder, "b", &["b.example", "a.example", "www.a.example"], (2000, 3000));
        let rsa = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let certificate =
            CertificateParams::new(vec!["a.example".into()]).unwrap().self_signed(&rsa).unwrap();
        std::fs::write(folder.path().join("rsa.pem"), certificate.pem()).unwrap();
        std::fs::write(folder.path().join("rsa.key"), rsa.serialize_pem()).unwrap();
        let pairs = [("a", "a"), ("rsa", "rsa"), ("b", "b")];
        let hosts = "a.example, b.example, www.a.example";
        let loaded = loaded(&folder, hosts, &pairs).unwrap();
        assert_eq!(
            told(&folder, &loaded.warnings),
            [
                "consentry.yaml:9:26: the certificate in line 7 is shown for `b.example`, `a.example`, and not this one; \
              two for one name are of use where the one has an RSA key and the other an ECDSA key: take one out"
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_not_said_to_be_missing() {
        let folder = folder();
        write_pair(&folder, "a", &["a.example"], (2000, 3000));
        std::fs::create_dir(folder.path().join("folder.pem")).unwrap();
        let mkfifo = std::process::Command::new("mkfifo").arg(folder.path().join("pipe.pem")).status();
        assert!(mkfifo.unwrap().success());
        let pairs = [("folder", "a"), ("pipe", "a"), ("a.pem/b", "a"), ("a", "a")];
        let loaded = loaded(&folder, "a.example", &pairs).unwrap();
        let told = told(&folder, &loaded.warnings);
        for (line, said) in [
            "`folder.pem` is not a file",
            "`pipe.pem` is not a file",
            "the file `a.pem/b.pem` cannot be read: Not a directory",
        ]
        .iter()
        .enumerate()
        {
            let expected = format!("consentry.yaml:{}:26: {said}", line + 7);
            assert!(told[line].starts_with(&expected), "{told:?}");
        }
    }

    #[test]
    fn dates_and_names_that_do_not_fit_are_warned_of() {
        let folder = folder();
        write_pair(&folder, "old", &["a.example"], (2000, 2001));
        write_pair(&folder, "new", &["*.b.example"], (3000, 3001));
        write_pair(&folder, "other", &["c.example", "*.c.example", "d.example", "e.example"], (2000, 3000));
        write_pair(&folder, "nameless", &[], (2000, 3000));
        let pairs = [("old", "old"), ("new", "new"), ("other", "other"), ("nameless", "nameless")];
        let hosts =
            "a.example, \"*.b.example\", b.example, x.d.example, \"*.f.example\", g.example, h.example";
        let loaded = loaded(&folder, hosts, &pairs).unwrap();
        assert!(!loaded.warnings.iter().any(Problem::is_error));
        let at = |line: usize, column: usize, said: &str| format!("consentry.yaml:{line}:{column}: {said}");
        assert_eq!(
            told(&folder, &loaded.warnings),
            [
                at(
                    6,
                    7,
                    "no certificate names `*.f.example`, `b.example`, `g.example` and 2 more: browsers \
                     refuse HTTPS there; add one, or ask for one that names all hosts of the sites"
                ),
                at(
                    7,
                    26,
                    "the certificate expired at 2001-01-01T00:00:00Z: browsers refuse it; renew it: the \
                     files are read again when they change"
                ),
                at(
                    8,
                    26,
                    "the certificate is valid from 3000-01-01T00:00:00Z on: browsers refuse it before; \
                     wait, set the clock, or use the one before it until then"
                ),
                at(
                    9,
                    26,
                    "no site has a host of this certificate (`c.example`, `*.c.example`, `d.example` and \
                     1 more); name the right file, or add the host to its site"
                ),
                at(
                    10,
                    26,
                    "the certificate names no host; ask for one with the host as a DNS name \
                     (subjectAltName): browsers look at nothing else"
                ),
            ]
        );
    }

    #[test]
    fn fourteen_days_before_its_end_a_certificate_is_spoken_of() {
        let [not_before, not_after] =
            ["2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z"].map(|at| at.parse::<Timestamp>().unwrap());
        for (now, expected) in [
            ("2025-12-31T23:59:59Z", Some("the certificate is valid from")),
            ("2026-03-18T00:00:00Z", None),
            ("2026-03-18T00:00:01Z", Some("the certificate expires at 2026-04-01T00:00:00Z")),
            ("2026-04-01T00:00:01Z", Some("the certificate expired at")),
        ] {
            let told = doubt(Validity { not_before, not_after }, "browsers refuse", now.parse().unwrap());
            let said = told.map(|(message, _)| message);
            assert_eq!(said.is_some(), expected.is_some(), "{now}");
            assert!(said.unwrap_or_default().starts_with(expected.unwrap_or_default()), "{now}");
        }
    }

    #[test]
    fn a_site_for_all_hosts_fits_every_certificate() {
        let folder = folder();
        write_pair(&folder, "a", &["*.a.example"], (2000, 3000));
        let loaded = loaded(&folder, "\"*\"", &[("a", "a")]).unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", told(&folder, &loaded.warnings));
    }
}
