//! Service workers of the site's own. Browsers keep one until its script differs byte by byte, with the policy that it
//! came with, and send through it what its pages ask for: so each begins with what knows of the visitor's choices.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::CONTENT_TYPE;

use super::body::{self, Body};
use super::csp::{self, Effect, Policy};
use super::{Plan, Settings, scope, whole};
use crate::visit::{Scheme, Visit, Worker};
use crate::web::worker::{self, Facts};

/// Whether an answer is the script of a service worker, which is read whole.
pub(super) fn is_script<B: http_body::Body>(visit: &Visit, answer: &Response<B>) -> bool {
    let kind = answer.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
    let is_code = |kind: Vec<u8>| [&b"javascript"[..], b"ecmascript"].iter().any(|word| holds(&kind, word));
    visit.worker == Some(Worker::Service)
        && answer.status().is_success()
        && kind.is_some_and(is_code)
        && !answer.body().is_end_stream()
}

fn holds(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// Filters the script of a service worker, as [`super::apply`] does all other answers, and puts the beginning before it.
pub(super) async fn filter<B>(
    settings: &Arc<Settings>,
    visit: &Visit,
    plan: Plan,
    answer: Response<B>,
    report: body::Report,
) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<body::Error> + Send + Unpin,
{
    let rewrite = |script: &[u8]| {
        let policy = &scope::of(settings, visit).policy;
        Some(begun(policy.as_ref(), visit.arrival.scheme, &settings.look.own_path, script))
    };
    whole::filter(settings, visit, plan, answer, (report, "service-worker"), rewrite).await
}

/// A script with the beginning for these choices before it.
fn begun(policy: Option<&Policy>, scheme: Scheme, own_path: &str, script: &[u8]) -> Vec<u8> {
    let text = policy.and_then(|policy| policy.value(scheme).to_str().ok()).unwrap_or_default();
    let is_enforced = policy.is_some_and(|policy| policy.effect() == Effect::Enforces);
    let facts = Facts { policy: if is_enforced { text } else { "" }, choices: &csp::name(policy), own_path };
    // A directive stands first or is none.
    let strict = if is_strict(script) { "'use strict';" } else { "" };
    [strict.as_bytes(), worker::beginning(facts).as_bytes(), script].concat()
}

/// Whether a script begins with the directive `use strict`, behind whatever blanks and remarks.
fn is_strict(script: &[u8]) -> bool {
    let mut rest = script.strip_prefix(b"\xef\xbb\xbf").unwrap_or(script);
    loop {
        rest = rest.trim_ascii_start();
        let after = if rest.starts_with(b"//") {
            rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'))
        } else if rest.starts_with(b"/*") {
            rest.windows(2).skip(2).position(|end| end == b"*/").map(|at| at + 4)
        } else {
            break;
        };
        let Some(after) = after.and_then(|at| rest.get(at..)) else { return false };
        rest = after;
    }
    rest.starts_with(b"'use strict'") || rest.starts_with(b"\"use strict\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_is_strict_stays_so_and_others_do_not_become_it() {
        for (script, expected) in [
            ("'use strict'; var a", true),
            ("\u{feff}/* (c) */ // x\n \"use strict\"", true),
            ("/**/'use strict'", true),
            ("/*/ 'use strict'", false),
            ("var a; 'use strict'", false),
            ("// 'use strict'", false),
            ("", false),
        ] {
            assert_eq!(is_strict(script.as_bytes()), expected, "{script}");
            let begun = begun(None, Scheme::Https, "/_consent/", script.as_bytes());
            assert_eq!(begun.starts_with(b"'use strict';("), expected, "{script}");
            assert!(begun.ends_with(script.as_bytes()), "{script}");
        }
    }
}
