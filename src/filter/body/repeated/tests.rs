//! Pages that come again.

use futures_util::FutureExt;
use http_body_util::BodyExt;

use super::*;
use crate::consent::Granted;
use crate::filter::encoding::Coding;
use crate::filter::html::{Inserts, Request};
use crate::filter::scope::Scope;
use crate::filter::tests::{Act, Script, set, settings};
use crate::telemetry::Metrics;

const HTML: &str =
    "<!doctype html><body><p>Hello</p><script src=https://www.google-analytics.com/ga.js></script>";

/// A site, and what it is asked for.
struct Site {
    settings: Arc<Settings>,
    scope: Arc<Scope>,
    report: Report,
}

impl Site {
    fn new() -> Self {
        let settings = Arc::new(settings(set(Vec::new(), &[])));
        settings.observed.saw_service("google-analytics");
        let scope = Scope::of_granted(&settings, &Granted::default());
        let report = Report::new(&settings, &Arc::default());
        Site { settings, scope, report }
    }

    fn page(&self, path: &str) -> html::Page {
        html::Page {
            url: format!("https://www.example.se{path}").parse().unwrap(),
            granted: Granted::default(),
            syntax: html::Syntax::Html,
            inserts: Inserts::Nothing,
            embeds: None,
            nonce: None,
            scope: Arc::clone(&self.scope),
        }
    }

    fn body(&self, page: html::Page, script: Script) -> Repeated<Script> {
        let forms = Forms { from: Coding::Identity, to: Coding::Identity, charset: None };
        let shape = Shape::of(&self.settings, &page, forms).unwrap();
        Repeated::new(script, shape, forms, &self.settings, page, self.report.clone())
    }

    /// How a page leaves, and whether it was remembered.
    fn answer(&self, page: html::Page, html: &str) -> (String, bool) {
        let mut body = self.body(page, Script::of(&[html.as_bytes()]));
        run(async {
            let mut text = Vec::new();
            let mut was_remembered = true;
            while let Some(frame) = body.frame().await {
                was_remembered &= !matches!(body.stage, Stage::Rewriting(..));
                text.extend_from_slice(&frame.unwrap().into_data().unwrap());
            }
            (String::from_utf8(text).unwrap(), was_remembered)
        })
    }
}

fn run<F: Future>(future: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap().block_on(future)
}

#[test]
fn a_page_that_came_twice_is_remembered_and_leaves_as_it_did_before() {
    let site = Site::new();
    let answers: Vec<_> = (0..4).map(|_| site.answer(site.page("/a"), HTML)).collect();
    assert!(answers[0].0.contains("text/plain"), "{}", answers[0].0);
    assert!(answers.iter().all(|(text, _)| *text == answers[0].0));
    assert_eq!(
        answers.iter().map(|(_, was_remembered)| *was_remembered).collect::<Vec<_>>(),
        [false, false, true, true]
    );
}

#[test]
fn whatever_shapes_a_page_keeps_it_apart() {
    let site = Site::new();
    for _ in 0..3 {
        site.answer(site.page("/b"), HTML);
    }
    assert!(site.answer(site.page("/b"), HTML).1);
    let mut others = vec![site.page("/other"), site.page("/b?"), site.page("http://www.example.se/b")];
    others.push(html::Page { granted: Granted::all(), ..site.page("/b") });
    others.push(html::Page { granted: Granted::default().with_service("youtube"), ..site.page("/b") });
    others.push(html::Page { inserts: Inserts::Guard(Arc::clone(&site.scope.guard)), ..site.page("/b") });
    others.push(html::Page {
        scope: Scope::of_granted(&site.settings, &Granted::default()),
        ..site.page("/b")
    });
    for page in others {
        let name = format!("{page:?}");
        // Twice: the first time nothing is looked up.
        site.answer(page.clone(), HTML);
        assert!(!site.answer(page, HTML).1, "{name}");
    }
    assert!(!Site::new().answer(site.page("/b"), HTML).1, "another site");
    let twice = |html: &str| [site.answer(site.page("/b"), html), site.answer(site.page("/b"), html)];
    assert!(
        twice(&HTML.replace("Hello", "hello"))
            .iter()
            .all(|(text, remembered)| text.contains("hello") && !remembered)
    );
    site.settings.observed.saw_service("matomo");
    assert!(twice(HTML).iter().all(|(_, remembered)| !remembered), "the banner names what was seen");
}

#[test]
fn no_two_kinds_of_page_have_one_shape() {
    let site = Site::new();
    let spoken = |tag| crate::web::language::Language::parse(tag).unwrap();
    let page = |change: &dyn Fn(&mut Inserts)| {
        let mut inserts = Inserts::Page {
            guard: Arc::clone(&site.scope.guard),
            banner: crate::filter::Banner::Shown,
            note: None,
            undecided: true,
            signal: crate::consent::signal::Signal::Absent,
            language: spoken("sv"),
            fixed: None,
            return_to: "/".into(),
            request: Request::Read,
            presumed: false,
        };
        change(&mut inserts);
        html::Page { inserts, ..site.page("/") }
    };
    let forms = Forms { from: Coding::Identity, to: Coding::Identity, charset: None };
    let mut shapes = vec![];
    macro_rules! with {
        ($field:ident = $value:expr) => {
            shapes.push(
                Shape::of(
                    &site.settings,
                    &page(&|inserts| {
                        if let Inserts::Page { $field, .. } = inserts {
                            *$field = $value
                        }
                    }),
                    forms,
                )
                .unwrap(),
            )
        };
    }
    with!(presumed = false);
    with!(presumed = true);
    with!(banner = crate::filter::Banner::Off);
    with!(undecided = false);
    with!(signal = crate::consent::signal::Signal::GlobalPrivacyControl);
    with!(signal = crate::consent::signal::Signal::DoNotTrack);
    with!(language = spoken("en"));
    with!(fixed = Some(spoken("sv")));
    with!(return_to = "/a".into());
    with!(request = Request::Posted);
    for (from, to) in [(Coding::Gzip, Coding::Identity), (Coding::Identity, Coding::Gzip)] {
        shapes.push(Shape::of(&site.settings, &page(&|_| {}), Forms { from, to, charset: None }).unwrap());
    }
    let count = shapes.len();
    for (at, shape) in shapes.iter().enumerate() {
        assert!(!shapes[at + 1..].contains(shape), "{at} of {count}");
    }
    let nonce = html::Page { nonce: Some("abc".into()), ..site.page("/") };
    assert!(Shape::of(&site.settings, &nonce, forms).is_none(), "a nonce is used once");
}

#[test]
fn what_was_found_in_a_page_is_counted_each_time() {
    let metrics = Arc::new(Metrics::default());
    let mut site = Site::new();
    site.report = Report::new(&site.settings, &metrics);
    let html = "<!doctype html><script>fbq('init','1'); own(';</script>";
    for _ in 0..4 {
        site.answer(site.page("/c"), html);
    }
    let metrics = metrics.render();
    let unjudged =
        metrics.lines().filter(|line| line.starts_with("consentry_unjudged_total")).collect::<Vec<_>>();
    assert!(unjudged.iter().any(|line| line.ends_with(" 4")), "{unjudged:?}");
}

#[test]
fn what_pauses_leaves_within_milliseconds_and_is_never_remembered() {
    let site = Site::new();
    for _ in 0..4 {
        let stalls = [Act::Stall, Act::Stall, Act::Stall];
        let acts = [Act::Data(HTML.into())].into_iter().chain(stalls).chain([Act::Data("<p>more".into())]);
        let mut body = site.body(site.page("/d"), Script(acts.collect()));
        run(async {
            let before = tokio::time::Instant::now();
            let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert!(first.starts_with(b"<!doctype html>"));
            assert!(before.elapsed() <= std::time::Duration::from_millis(3), "{:?}", before.elapsed());
            assert!(matches!(body.stage, Stage::Rewriting(_, None)));
        });
    }
}

#[test]
fn what_the_upstream_has_sent_leaves_at_once_and_whole() {
    let site = Site::new();
    let long = "<p>A page of some length.</p>".repeat(700);
    let acts = [Act::Data(HTML.into()), Act::Pause, Act::Data(long.clone().into()), Act::Pause].into();
    let body = site.body(site.page("/f"), Script(acts));
    run(async {
        let mut body = body.at_hand().await;
        let page = body.frame().now_or_never().expect("it is there").unwrap().unwrap().into_data().unwrap();
        assert!(page.starts_with(b"<!doctype html>") && page.ends_with(long.as_bytes()));
        assert!(http_body::Body::is_end_stream(&body), "the end of it comes with the last of it");
    });
}

#[test]
fn nobody_waits_for_what_the_upstream_has_not_sent() {
    let site = Site::new();
    for acts in [[Act::Stall, Act::Stall], [Act::Data(HTML.into()), Act::Stall]] {
        let body = site.body(site.page("/g"), Script(acts.into_iter().chain([Act::Stall]).collect()));
        run(async {
            let before = tokio::time::Instant::now();
            body.at_hand().await;
            assert!(before.elapsed().is_zero(), "{:?}", before.elapsed());
        });
    }
}

#[test]
fn a_page_that_breaks_off_is_cut_off_however_often_it_came() {
    let site = Site::new();
    for turn in 0..8 {
        let acts = [Act::Data(HTML.into()), Act::BreakOff].into();
        let body = site.body(site.page("/e"), Script(acts));
        run(async {
            let mut body = if turn % 2 == 0 { body } else { body.at_hand().await };
            let error = loop {
                match body.frame().await.expect("it never ends cleanly") {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert!(error.is::<crate::filter::body::CutOff>());
        });
    }
}
