//! Bodies of pages, frame by frame.

use std::collections::VecDeque;

use http_body_util::BodyExt;
use proptest::prelude::*;

use super::*;
use crate::filter::html::{Inserts, Page as Knowledge};
use crate::filter::tests::{Act, Script, set, settings};

const CODINGS: [Coding; 5] = [Coding::Identity, Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];

fn page(script: Script, from: Coding, to: Coding) -> Page<Script> {
    let settings = Arc::new(settings(set(Vec::new(), &[])));
    let knowledge = Knowledge {
        url: "https://www.example.se/".parse().unwrap(),
        granted: crate::consent::Granted::default(),
        syntax: html::Syntax::Html,
        inserts: Inserts::Nothing,
        embeds: None,
        nonce: None,
        scope: crate::filter::scope::Scope::of_granted(&settings, &crate::consent::Granted::default()),
    };
    let report = Report::new(&settings, &Arc::default());
    let forms = Forms { from, to, charset: None };
    Page::new(script, forms, &settings, knowledge, report).unwrap()
}

fn encode(coding: Coding, body: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(coding).unwrap();
    encoder.write(body).unwrap();
    encoder.finish().unwrap()
}

fn decode(coding: Coding, mut body: &[u8]) -> Vec<u8> {
    let mut decoder = Decoder::new(coding).unwrap();
    let mut decoded = Vec::new();
    loop {
        let (step, bytes) = decoder.step(body).unwrap();
        decoded.extend_from_slice(bytes);
        body = &body[step.consumed..];
        if body.is_empty() && !step.is_full {
            return decoded;
        }
    }
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// The frames that leave, and the error that ends them, if one does.
fn sent(mut page: Page<Script>) -> (Vec<Bytes>, Option<Error>) {
    run(async {
        let mut frames = Vec::new();
        while let Some(frame) = page.frame().await {
            match frame {
                Ok(frame) => frames.push(frame.into_data().unwrap()),
                Err(error) => return (frames, Some(error)),
            }
        }
        (frames, None)
    })
}

#[test]
fn every_frame_leaves_when_the_upstream_pauses() {
    let texts = ["<!doctype html><p>one", "</p><p>two", "</p><p>three</p>"];
    for to in CODINGS {
        let mut acts = VecDeque::new();
        for text in texts {
            acts.extend([Act::Data(Bytes::from_static(text.as_bytes())), Act::Pause]);
        }
        let (frames, error) = sent(page(Script(acts), Coding::Identity, to));
        assert!(error.is_none());
        let mut decoder = Decoder::new(to).unwrap();
        for (frame, text) in frames.iter().zip(texts) {
            assert_eq!(decoder.step(frame).unwrap().1, text.as_bytes(), "{to:?}");
        }
    }
}

#[test]
fn what_cannot_be_filtered_to_its_end_ends_in_an_error() {
    let html = b"<!doctype html><p>a page of some length, a page of some length</p>".as_slice();
    let gzip = encode(Coding::Gzip, html);
    let flipped = {
        let mut bytes = gzip.clone();
        let at = bytes.len() - 5;
        bytes[at] ^= 1;
        bytes
    };
    let trailing = [gzip.as_slice(), b"<script>".as_slice()].concat();
    for (body, what) in
        [(&gzip[..gzip.len() - 3], "cut"), (&flipped, "changed"), (&trailing, "trailing"), (html, "no gzip")]
    {
        let mut page = page(Script::of(&[body]), Coding::Gzip, Coding::Identity);
        run(async {
            let cause = loop {
                match page.frame().await {
                    Some(Ok(_)) => {}
                    Some(Err(cause)) => break cause,
                    None => panic!("{what} ended cleanly"),
                }
            };
            assert!(cause.is::<CutOff>(), "{what}");
            assert!(page.frame().await.unwrap().is_err(), "{what}, asked again");
        });
        assert!(page.report.metrics.render().contains("cut_off_total{reason=\"decoding\"} 1"), "{what}");
    }
}

#[test]
fn an_upstream_that_breaks_off_ends_in_an_error() {
    let acts = [Act::Data(Bytes::from_static(b"<p>half")), Act::BreakOff].into();
    let (_, error) = sent(page(Script(acts), Coding::Identity, Coding::Brotli));
    assert!(matches!(error.unwrap().downcast_ref(), Some(CutOff::Upstream(_))));
}

#[test]
fn trailers_of_the_upstream_do_not_pass() {
    let acts = [Act::Data(Bytes::from_static(b"<p>whole")), Act::Trailers].into();
    let (frames, error) = sent(page(Script(acts), Coding::Identity, Coding::Identity));
    assert!(error.is_none());
    assert_eq!(frames.concat(), b"<p>whole");
}

#[test]
fn a_body_that_explodes_leaves_in_bounded_frames() {
    let bomb = [b"<p>".as_slice(), &vec![b' '; 2 << 20]].concat();
    for from in &CODINGS[1..] {
        let coded = encode(*from, &bomb);
        let (frames, error) = sent(page(Script::of(&[&coded]), *from, Coding::Identity));
        assert!(error.is_none());
        assert!(frames.iter().all(|frame| frame.len() <= 4 * FRAME), "{from:?}");
        assert_eq!(frames.iter().map(Bytes::len).sum::<usize>(), bomb.len(), "{from:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_split_of_a_coded_page_gives_the_same_page(
        text in proptest::collection::vec(any::<u8>(), 0..3_000),
        cuts in proptest::collection::vec(1usize..300, 0..30),
        from in proptest::sample::select(&CODINGS[..]),
        to in proptest::sample::select(&CODINGS[..]),
    ) {
        let html = [b"<!doctype html>".as_slice(), &text].concat();
        let coded = encode(from, &html);
        let mut rest = coded.as_slice();
        let mut acts = VecDeque::new();
        for cut in cuts {
            let (frame, after) = rest.split_at(cut.min(rest.len()));
            acts.extend([Act::Data(Bytes::copy_from_slice(frame)), Act::Pause]);
            rest = after;
        }
        acts.push_back(Act::Data(Bytes::copy_from_slice(rest)));
        let (whole, error) = sent(page(Script::of(&[&coded]), from, to));
        prop_assert!(error.is_none());
        let (split, error) = sent(page(Script(acts), from, to));
        prop_assert!(error.is_none());
        prop_assert_eq!(decode(to, &split.concat()), decode(to, &whole.concat()));
    }
}
