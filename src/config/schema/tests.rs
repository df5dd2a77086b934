//! The schema against the decoder: what one takes, the other takes.

use std::collections::BTreeSet;
use std::path::Path;

use jsonschema::Validator;
use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;

use super::raw::service::OwnService;
use super::raw::site::{Banner, Cookies, Document, Gate, Hsts, Lifetime, Party, Theme, ThirdParties};
use super::raw::upstream::{Health, Identity, Target};
use super::raw::words::{CategoryWord, Colour, CookieName, Host, Location, PathRule, Size, Time};
use super::raw::{Admin, Certificate, Ledger, Limits, Listener, Log, Main, Timeouts, Tls};
use super::*;

fn validator(schema: &Value) -> Validator {
    jsonschema::draft202012::meta::validate(schema).unwrap_or_else(|error| panic!("no schema: {error}"));
    jsonschema::draft202012::new(schema).unwrap()
}

fn read(path: &Path) -> Value {
    serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn problems(schema: &Value, file: &Value) -> String {
    validator(schema).iter_errors(file).map(|error| format!("{}: {error}\n", error.instance_path())).collect()
}

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

#[test]
fn the_examples_fit_the_schema_of_their_kind_and_that_of_both() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, kind) in [
        ("config/consentry.yaml", File::Main),
        ("config/sites/example.yaml", File::Site),
        ("tests/fixtures/config/good/consentry.yaml", File::Main),
    ] {
        let file = read(&root.join(name));
        assert_eq!(problems(&schema_of(kind), &file), "", "{name}");
        assert_eq!(problems(&schema_of_both(), &file), "", "{name}");
    }
}

#[test]
fn unknown_keys_wrong_words_and_keys_without_a_value_are_refused_at_every_depth() {
    for (kind, text) in [
        (File::Main, "{}"),
        (File::Main, "listen: []"),
        (File::Main, "listen: [{ address: '127.0.0.1:1' }]\nlimts: {}"),
        (File::Main, "listen: [{ address: '127.0.0.1:1', tls: { certs: [] } }]"),
        (File::Main, "listen: [{ address: '127.0.0.1:1' }]\ntimeouts: { idle: 30 }"),
        (File::Main, "listen: [{ address: '127.0.0.1:1' }]\ntimeouts: { idle: }"),
        (File::Main, "listen: [{ address: '127.0.0.1:1' }]\nlimits: { connections: -1 }"),
        (File::Main, "listen: [{ address: '127.0.0.1:1' }]\nlimits: { request_body: 64 }"),
        (File::Main, "listen: [{ address: '127.0.0.1:1' }]\ndefaults: { mode: enfroce }"),
        (File::Site, "hosts: [http://a.se]"),
        (File::Site, "hosts:"),
        (File::Site, "mode: enfroce"),
        (File::Site, "upstream: [{ url: 'http://a', verfy: false }]"),
        (File::Site, "upstream: []"),
        (File::Site, "services: { matomo: { without_consent: anonymize } }"),
        (File::Site, "services: { matomo: alow }"),
        (File::Site, "banner: { texts: { sv: { titel: Kakor } } }"),
        (File::Site, "banner: { theme: { accent: red } }"),
        (File::Site, "gates: [{ name: a, document: b, path: [/x] }]"),
        (File::Site, "documents: { a: { kind: notice, path: /a } }"),
        (File::Site, "own_services: [{ name: a, category: fun }]"),
    ] {
        assert_ne!(problems(&schema_of(kind), &yaml(text)), "", "{text}");
    }
}

#[test]
fn everything_that_the_decoder_takes_fits() {
    for (kind, text) in [
        (File::Main, "listen: [{ address: 'env:LISTEN' }]\nlimits: { request_body: 0, request_header: '0' }"),
        (File::Site, "upstream: http://a"),
        (File::Site, "upstream: { url: 'https://a', ca: ca.pem }"),
        (File::Site, "upstream: [http://a, { url: 'https://b', verify: false }]"),
        (File::Site, "services: { our-own: strip, matomo: { without_consent: block, with_consent: allow } }"),
        (File::Site, "controller: { name: 1177, organisation_number: 5560000000 }"),
        (File::Site, "banner: { texts: { sv: { title: Kakor } } }"),
        (File::Site, "{}"),
    ] {
        assert_eq!(problems(&schema_of(kind), &yaml(text)), "", "{text}");
    }
}

/// The words of a table, each as the schema and as the parser sees it.
fn agree<T: JsonSchema + std::str::FromStr>(words: &[&str]) {
    let schema = written(schema_for!(T));
    let validator = validator(&schema);
    for word in words {
        assert_eq!(validator.is_valid(&json!(word)), word.parse::<T>().is_ok(), "{word} against {schema}");
    }
}

#[test]
fn words_are_what_their_parsers_take() {
    agree::<Time>(&["30s", "10m", "2h", "180d", "0s", "", "30", "s", "1.5h", "-3s", "30 s", "1w"]);
    agree::<Size>(&["64KiB", "8MiB", "1GiB", "12B", "0", "64", "64KB", "64kib", "KiB"]);
    agree::<Host>(&[
        "www.example.se",
        "räksmörgås.se",
        "*.example.se",
        "*",
        "127.0.0.1",
        "[::1]",
        "example.se.",
        "",
        "http://a.se",
        "a.se:80",
        "a.se/x",
        "a*.se",
        "*.",
        "*.*.se",
        "a b",
        "u@a.se",
        "::1",
    ]);
    agree::<Tag>(&["sv", "de-AT", "zh-Hant-TW", "", "s", "svenska", "sv_SE", "sv-"]);
    agree::<Colour>(&["#FFF", "#0b57d0", "fff", "#ff", "#ggg", "red", "#0b57d0ff"]);
    agree::<PathRule>(&["/", "/logout", "/api/*", "/*", "", "logout", "/a*b", "/a**"]);
    agree::<CookieName>(&["PHPSESSID", "cart*", "*", "a.b-c_d", "", "a b", "a=b", "*a", "a**", "a;"]);
    agree::<Location>(&[
        "stats.acme.example/*",
        "CDN.example.net",
        "*.example.net/track?id=*",
        "*/matomo.js",
        "",
        "*",
        "*/*",
        "/track",
        "https://a.se/x",
        "a.se/*/b",
        "//a.se",
    ]);
    agree::<CategoryWord>(&["necessary", "marketing", "Marketing", "fun", ""]);
    agree::<Text>(&["å", " a ", "", "  "]);
}

/// The keys that the decoder knows, out of its own complaint about one that it does not.
fn decoded<T: DeserializeOwned>() -> BTreeSet<String> {
    let complaint = serde_yaml::from_str::<T>("no-such-key: 1").err().unwrap().to_string();
    let (_, list) = complaint.split_once("expected ").unwrap_or_else(|| panic!("{complaint}"));
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn described<T: DeserializeOwned + JsonSchema>() -> (BTreeSet<String>, BTreeSet<String>) {
    let schema = written(schema_for!(T));
    assert_eq!(schema["additionalProperties"], false, "{}", T::schema_name());
    let keys = schema["properties"].as_object().unwrap().keys().cloned().collect();
    (keys, decoded::<T>())
}

#[test]
fn every_key_of_the_files_is_in_the_schema() {
    macro_rules! same {
        ($($kind:ty),* $(,)?) => {$(
            let (told, taken) = described::<$kind>();
            assert_eq!(told, taken, "{}", stringify!($kind));
        )*};
    }
    same!(Main, Listener, Tls, Certificate, Admin, Ledger, Log, Timeouts, Limits);
    same!(Site, Party, Document, Gate, Banner, Theme, Lifetime, OwnService, ThirdParties, Cookies, Target);
    same!(Identity, Health, Hsts);
}

#[test]
fn every_key_says_what_it_is_for() {
    let schema = schema_of_both();
    let mut mute = Vec::new();
    for (name, kind) in schema["$defs"].as_object().unwrap() {
        for (key, property) in kind["properties"].as_object().into_iter().flatten() {
            if property["description"].as_str().is_none_or(str::is_empty) {
                mute.push(format!("{name}.{key}"));
            }
        }
    }
    assert!(mute.is_empty(), "{mute:?}");
}

/// The defaults that a schema tells, as a file that writes them out.
fn defaults(schema: &Value, kind: &Value) -> Value {
    let mut file = Map::new();
    for (key, property) in kind["properties"].as_object().into_iter().flatten() {
        let kind = property["$ref"].as_str().and_then(|name| schema.pointer(name.strip_prefix('#')?));
        // What has to say something else as well cannot be written with its defaults alone.
        let kind = kind.filter(|kind| kind.get("required").is_none());
        match (property.get("default"), kind.map(|kind| defaults(schema, kind))) {
            (Some(default), _) => file.insert(key.clone(), default.clone()),
            (None, Some(inner)) if inner != json!({}) && key != "defaults" => file.insert(key.clone(), inner),
            _ => None,
        };
    }
    file.into()
}

#[test]
fn the_defaults_that_it_tells_are_those_in_force() {
    let load = |mut main: Value, mut site: Value| {
        main["listen"] = json!([{ "address": "127.0.0.1:0" }]);
        site["hosts"] = json!(["www.example.se"]);
        site["upstream"] = json!("http://127.0.0.1:1");
        let folder = tempfile::TempDir::new().unwrap();
        let sites = folder.path().join("config/sites");
        std::fs::create_dir_all(&sites).unwrap();
        // Every JSON document is a YAML document.
        std::fs::write(sites.join("example.yaml"), site.to_string()).unwrap();
        std::fs::write(folder.path().join("config/consentry.yaml"), main.to_string()).unwrap();
        let path = folder.path().join("config/consentry.yaml");
        let settings = crate::config::load(&path, crate::config::FirstStart::ReadOnly)
            .unwrap_or_else(|problems| panic!("{problems:?}"))
            .settings;
        let site = settings.sites.iter().next().unwrap();
        let whole = format!(
            "{:#?}",
            (
                (&settings.ledger, settings.log_format, settings.log_client_address),
                (&settings.timeouts, &settings.upstream_timeouts, &settings.limits),
                (&site.mode, &site.lifetime, &site.own_path, site.upstream.client_address, site.upstream.via),
                (site.filter.unknown_third_parties, site.filter.banner, site.filter.crawlers),
                (site.filter.look.position, &site.filter.look.theme),
                (site.visit.global_privacy_control, site.visit.do_not_track),
                (&site.filter.cookies, site.filter.html_token),
            )
        );
        whole.replace(folder.path().to_str().unwrap(), "")
    };
    let (main, site) = (schema_of(File::Main), schema_of(File::Site));
    let written = (defaults(&main, &main), defaults(&site, &site));
    assert_eq!(written.0["timeouts"]["idle"], "60s", "{}", written.0);
    assert_eq!(written.1["banner"]["lifetime"]["agreed"], "180d", "{}", written.1);
    assert_eq!(load(written.0, written.1), load(json!({}), json!({})));
}
