//! How the log is written: lines for people or for programs, on standard error.
//!
//! A request is one event under the target [`ACCESS`]. Its line has a form of its own, because it is the one that
//! is written most: columns for people, and for programs one JSON object with its keys always in the same order.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{self, Format, JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::spool::{Log, Spool};

/// The target of the access log: `CONSENTRY_LOG=info,access=off` leaves it out.
pub const ACCESS: &str = "access";

/// Lines for people or for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts the log on standard error; `CONSENTRY_LOG` (such as `debug` or `consentry=trace`) sets how much. What it
/// says nothing of is logged from `info` on: a slip of the pen silences no error. Lines go out beside whoever writes
/// them; keep what is given back until the program ends.
pub fn start_log(format: LogFormat) -> io::Result<Log> {
    let (spool, running) = Spool::start(io::stderr())?;
    let wanted = std::env::var("CONSENTRY_LOG").unwrap_or_default();
    let (filter, slip) = filter(&wanted);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(spool);
    // A second start in one process (tests do it) keeps the first log.
    let _ = match format {
        LogFormat::Text => log.event_format(text()).try_init(),
        LogFormat::Json => log.fmt_fields(JsonFields::new()).event_format(json()).try_init(),
    };
    if let Some(part) = slip {
        tracing::warn!(
            part,
            "CONSENTRY_LOG: no level; write off, error, warn, info, debug or trace, or access=off"
        );
    }
    Ok(running)
}

/// The filter that is wanted, and the first part of it that says nothing.
fn filter(wanted: &str) -> (EnvFilter, Option<&str>) {
    // rustls warns of names that clients send: anybody could fill a disk with that, and it names nobody.
    const USUAL: &str = "info,notify=error,rustls=error";
    let parts = || wanted.split(',').map(str::trim).filter(|part| !part.is_empty());
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    let says_something = |part: &str| match part.rsplit_once('=') {
        Some((target, level)) => !target.is_empty() && !level.is_empty() && is_level(level),
        None => is_level(part),
    };
    let words: Vec<&str> =
        std::iter::once(USUAL).chain(parts().filter(|part| says_something(part))).collect();
    let filter = EnvFilter::try_new(words.join(",")).unwrap_or_else(|_| EnvFilter::new(USUAL));
    (filter, parts().find(|part| !says_something(part)))
}

fn text() -> Lines<Format> {
    Lines { access: LogFormat::Text, others: format::format().with_target(false) }
}

fn json() -> Lines<Format<format::Json>> {
    Lines { access: LogFormat::Json, others: format::format().json().flatten_event(true) }
}

/// The access log in our form, and everything else in that of the library.
struct Lines<F> {
    access: LogFormat,
    others: F,
}

impl<S, N, F> FormatEvent<S, N> for Lines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if event.metadata().target() != ACCESS {
            return self.others.format_event(context, writer, event);
        }
        let mut fields = Fields { writer: writer.by_ref(), format: self.access, outcome: Ok(()) };
        fields.begin();
        event.record(&mut fields);
        fields.outcome?;
        writer.write_str(if self.access == LogFormat::Json { "}\n" } else { "\n" })
    }
}

/// Writes the fields of a request as they come: in the order in which the event names them.
struct Fields<'a> {
    writer: Writer<'a>,
    format: LogFormat,
    outcome: fmt::Result,
}

impl Fields<'_> {
    fn begin(&mut self) {
        let (before, after) = match self.format {
            LogFormat::Text => ("", ""),
            LogFormat::Json => ("{\"timestamp\":\"", "\",\"level\":\"INFO\""),
        };
        let time = &mut |writer: &mut Writer<'_>| {
            writer.write_str(before)?;
            SystemTime.format_time(writer)?;
            writer.write_str(after)
        };
        self.outcome = time(&mut self.writer);
    }

    fn write(&mut self, field: &Field, value: Value<'_>) {
        if self.outcome.is_ok() {
            self.outcome = match self.format {
                LogFormat::Text => value.in_columns(field.name(), &mut self.writer),
                LogFormat::Json => value.in_json(field.name(), &mut self.writer),
            };
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, Value::Text(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, Value::Number(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.write(field, Value::Fraction(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, Value::Truth(value));
    }

    /// What comes here is written by its `Display`, which `%` and messages use: addresses, and the message.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, Value::Shown(value));
    }
}

enum Value<'a> {
    Text(&'a str),
    Number(u64),
    Fraction(f64),
    Truth(bool),
    Shown(&'a dyn fmt::Debug),
}

impl Value<'_> {
    /// What every request has stands in columns and needs no name; the rest follows with its name.
    fn in_columns(&self, name: &str, writer: &mut Writer<'_>) -> fmt::Result {
        match (name, self) {
            ("message" | "trace_id", _) => Ok(()),
            ("client", value) => write!(writer, " {:<15}", Bare(value)),
            ("method", value) => write!(writer, " {:<4}", Bare(value)),
            ("status", value) => write!(writer, " {:>3}", Bare(value)),
            ("bytes_sent", Value::Number(bytes)) => write!(writer, " {bytes:>9} B"),
            ("total_milliseconds", Value::Fraction(time)) => write!(writer, " {time:>8.1} ms"),
            ("scheme", value) => write!(writer, " {}://", Bare(value)),
            ("host" | "path", value) => write!(writer, "{}", Bare(value)),
            ("http_version", value) => write!(writer, " HTTP/{}", Bare(value)),
            ("head_milliseconds", Value::Fraction(time)) => write!(writer, " head={time:.1}ms"),
            ("bytes_received", Value::Number(0)) => Ok(()),
            (name, value) => write!(writer, " {name}={}", Bare(value)),
        }
    }

    fn in_json(&self, name: &str, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, ",\"{name}\":")?;
        match self {
            Value::Number(number) => write!(writer, "{number}"),
            Value::Fraction(number) => write!(writer, "{number}"),
            Value::Truth(truth) => write!(writer, "{truth}"),
            Value::Text(text) => {
                writer.write_char('"')?;
                Escaped(writer).write_str(text)?;
                writer.write_char('"')
            }
            Value::Shown(value) => {
                writer.write_char('"')?;
                write!(Escaped(writer), "{value:?}")?;
                writer.write_char('"')
            }
        }
    }
}

/// A value without a name. Text that could be taken for another column is quoted.
struct Bare<'a>(&'a Value<'a>);

impl fmt::Display for Bare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Text(text) if text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"') => {
                f.pad(text)
            }
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Number(number) => number.fmt(f),
            Value::Fraction(number) => number.fmt(f),
            Value::Truth(truth) => truth.fmt(f),
            Value::Shown(value) => value.fmt(f),
        }
    }
}

/// Text inside a JSON string (RFC 8259 section 7).
struct Escaped<'a, 'b>(&'a mut Writer<'b>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(|letter: char| letter < ' ' || matches!(letter, '"' | '\\')) {
            let plain = part.trim_end_matches(|letter: char| letter < ' ' || matches!(letter, '"' | '\\'));
            self.0.write_str(plain)?;
            for letter in part.chars().skip(plain.chars().count()) {
                write!(self.0, "\\u{:04x}", u32::from(letter))?;
            }
        }
        Ok(())
    }
}

/// What is written of the events that `tell` makes.
#[cfg(test)]
pub(super) fn written(format: LogFormat, tell: impl FnOnce()) -> String {
    // While there is one subscriber alone, tracing asks that of whichever thread comes by a place first, and keeps
    // the answer for all threads; of several, it asks all.
    static ANOTHER: std::sync::LazyLock<tracing::Dispatch> =
        std::sync::LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::registry()));
    std::sync::LazyLock::force(&ANOTHER);
    let paper = tests::Paper::default();
    let writer = paper.clone();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
    match format {
        LogFormat::Text => tracing::subscriber::with_default(log.event_format(text()).finish(), tell),
        LogFormat::Json => {
            let log = log.fmt_fields(JsonFields::new()).event_format(json()).finish();
            tracing::subscriber::with_default(log, tell);
        }
    }
    paper.text()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_client_fills_no_log_with_what_the_library_of_tls_thinks_of_it() {
        use tracing_subscriber::layer::SubscriberExt;
        for (wanted, is_written) in [("", false), ("info", false), ("rustls=warn", true)] {
            let log = tracing_subscriber::registry().with(filter(wanted).0);
            tracing::subscriber::with_default(log, || {
                assert_eq!(
                    tracing::enabled!(target: "rustls::msgs::handshake", tracing::Level::WARN),
                    is_written
                );
                assert!(tracing::enabled!(target: "consentry::listener", tracing::Level::INFO));
            });
        }
    }

    #[test]
    fn a_slip_of_the_pen_silences_no_error_and_is_told() {
        for (wanted, expected, slip) in [
            ("", "notify=error,rustls=error,info", None),
            ("debug", "notify=error,rustls=error,debug", None),
            ("access=off", "access=off,notify=error,rustls=error,info", None),
            (
                "consentry=trace, access=off",
                "consentry=trace,access=off,notify=error,rustls=error,info",
                None,
            ),
            ("inf,access=off", "access=off,notify=error,rustls=error,info", Some("inf")),
            ("info,access=of", "notify=error,rustls=error,info", Some("access=of")),
            ("nonsense=", "notify=error,rustls=error,info", Some("nonsense=")),
            ("off", "notify=error,rustls=error,off", None),
        ] {
            let (filter, found) = filter(wanted);
            let sorted = |text: String| {
                let mut parts: Vec<_> = text.split(',').map(str::to_owned).collect();
                parts.sort();
                parts
            };
            assert_eq!((sorted(filter.to_string()), found), (sorted(expected.to_owned()), slip), "{wanted}");
        }
    }

    #[derive(Clone, Default)]
    pub(super) struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Paper {
        pub(super) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn request(host: &str) {
        tracing::info!(
            target: ACCESS,
            client = %"192.0.2.0",
            method = "GET",
            status = 200_u16,
            bytes_sent = 70_000_u64,
            total_milliseconds = 12.345,
            scheme = "https",
            host,
            path = "/bilder",
            http_version = "1.1",
            head_milliseconds = 0.5,
            site = "shop",
            upstream = None::<&str>,
            bytes_received = 0_u64,
            trace_id = "0af7651916cd43dd8448eb211c80319c",
            "request"
        );
    }

    #[test]
    fn people_read_a_request_in_columns() {
        let line = written(LogFormat::Text, || request("www.example.se"));
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.ends_with('Z'), "{time}");
        assert_eq!(
            rest,
            "192.0.2.0       GET  200     70000 B     12.3 ms https://www.example.se/bilder HTTP/1.1 \
             head=0.5ms site=shop\n"
        );
    }

    #[test]
    fn programs_read_a_request_as_json_with_its_keys_in_order() {
        let line = written(LogFormat::Json, || request("www.example.se"));
        let (start, rest) = line.split_once("\",\"level\"").unwrap();
        assert!(start.starts_with("{\"timestamp\":\""), "{start}");
        assert_eq!(
            rest,
            ":\"INFO\",\"message\":\"request\",\"client\":\"192.0.2.0\",\"method\":\"GET\",\"status\":200,\
             \"bytes_sent\":70000,\"total_milliseconds\":12.345,\"scheme\":\"https\",\
             \"host\":\"www.example.se\",\"path\":\"/bilder\",\"http_version\":\"1.1\",\
             \"head_milliseconds\":0.5,\"site\":\"shop\",\"bytes_received\":0,\
             \"trace_id\":\"0af7651916cd43dd8448eb211c80319c\"}\n"
        );
    }

    #[test]
    fn no_host_writes_a_column_or_a_line_of_its_own() {
        for host in ["a b.example", "a\n2026-01-01 forged", "\"},{\"\\", "\u{1b}[31m", "å\"\"å"] {
            let line = written(LogFormat::Text, || request(host));
            assert!(line.contains(&format!("https://{host:?}/bilder")), "{line}");
            assert_eq!(line.lines().count(), 1, "{line}");
            let line = written(LogFormat::Json, || request(host));
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(value["host"], host, "{line}");
        }
    }

    #[test]
    fn other_events_keep_their_own_form() {
        let tell = || tracing::warn!(site = "shop", "no answer");
        assert!(written(LogFormat::Text, tell).ends_with("  WARN no answer site=\"shop\"\n"));
        let line = written(LogFormat::Json, tell);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["message"], &value["site"]), (&"no answer".into(), &"shop".into()));
    }
}
