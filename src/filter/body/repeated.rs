//! The body of a page that may have come before: then it leaves as it left the last time.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;

use super::gathered::{Extent, Gathered};
use super::page::{Forms, Page, Report};
use super::{Body, Error};
use crate::filter::memory::{Look, Remembered, Shape, Sighting};
use crate::filter::{Settings, html};

/// The largest page, as it leaves, that is remembered.
const LARGEST: usize = 1024 * 1024;

/// A page that is rewritten, unless it is remembered.
pub struct Repeated<B: http_body::Body> {
    stage: Stage<B>,
    report: Report,
}

enum Stage<B: http_body::Body> {
    Gathering(Gathered<B>, Box<Plan>),
    Recalled(Bytes),
    Rewriting(Box<Page<Gathered<B>>>, Option<Lesson>),
    Ended,
}

/// What the page is rewritten with.
struct Plan {
    shape: Shape,
    forms: Forms,
    settings: Arc<Settings>,
    page: html::Page,
}

/// What is learnt of a page that came before and is not remembered.
struct Lesson {
    sighting: Sighting,
    body: Vec<u8>,
}

impl<B> Repeated<B>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Error> + Send + Unpin,
{
    /// A page of this shape.
    pub fn new(
        upstream: B,
        shape: Shape,
        forms: Forms,
        settings: &Arc<Settings>,
        page: html::Page,
        report: Report,
    ) -> Self {
        let plan = Plan { shape, forms, settings: Arc::clone(settings), page };
        Repeated { stage: Stage::Gathering(Gathered::new(upstream), Box::new(plan)), report }
    }

    /// The same page, with what the upstream has sent of it at hand, so that head and body can leave together. It
    /// waits for nothing.
    pub async fn at_hand(mut self) -> Self {
        if let Stage::Gathering(gathered, _) = &mut self.stage {
            poll_fn(|context| gathered.poll_at_hand(context)).await;
        }
        self
    }

    /// The page as a body like all others.
    pub fn boxed(self) -> Body {
        Body::new(self)
    }

    /// What follows when so much of the page has been gathered.
    fn begin(&self, extent: Extent, gathered: Gathered<B>, plan: Plan) -> Result<Stage<B>, Error> {
        let Plan { shape, forms, settings, page } = plan;
        let look = match extent {
            Extent::Whole => shape.look(gathered.pieces()),
            Extent::Beginning => Look::New,
        };
        let lesson = match look {
            Look::New => None,
            Look::Again(sighting) => Some(Lesson { sighting, body: Vec::new() }),
            Look::Known(Remembered { body, findings }) => {
                self.report.page("rewritten");
                self.report.found(&findings);
                return Ok(Stage::Recalled(body));
            }
        };
        let page = Page::new(gathered, forms, &settings, page, self.report.clone())
            .inspect_err(|cause| self.report.refused(cause.reason()))?;
        Ok(Stage::Rewriting(Box::new(page), lesson))
    }
}

impl Lesson {
    /// Hears what leaves; none when there is too much of it.
    fn hear(mut self, piece: &[u8]) -> Option<Self> {
        self.body.extend_from_slice(piece);
        (self.body.len() <= LARGEST).then_some(self)
    }

    fn learn(self, findings: html::Findings) {
        self.sighting.remember(Remembered { body: self.body.into(), findings });
    }
}

impl<B> http_body::Body for Repeated<B>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Error> + Send + Unpin,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Stage::Gathering(gathered, _) = &mut self.stage {
            let extent = ready!(gathered.poll_gather(context));
            if let Stage::Gathering(gathered, plan) = std::mem::replace(&mut self.stage, Stage::Ended) {
                self.stage = match self.begin(extent, gathered, *plan) {
                    Ok(stage) => stage,
                    Err(error) => return Poll::Ready(Some(Err(error))),
                };
            }
        }
        match &mut self.stage {
            Stage::Gathering(..) | Stage::Ended => Poll::Ready(None),
            Stage::Recalled(body) => {
                let body = std::mem::take(body);
                self.stage = Stage::Ended;
                Poll::Ready(Some(Ok(Frame::data(body))))
            }
            Stage::Rewriting(page, lesson) => {
                let polled = ready!(Pin::new(&mut **page).poll_frame(context));
                *lesson = match (lesson.take(), &polled) {
                    (Some(lesson), Some(Ok(frame))) => {
                        lesson.hear(frame.data_ref().map_or(&[][..], |data| data))
                    }
                    (lesson, None) => lesson,
                    (_, _) => None,
                };
                if page.is_end_stream()
                    && let (Some(lesson), Some(findings)) = (lesson.take(), page.take_findings())
                {
                    lesson.learn(findings);
                }
                Poll::Ready(polled)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.stage {
            Stage::Gathering(..) | Stage::Recalled(_) => false,
            Stage::Rewriting(page, _) => page.is_end_stream(),
            Stage::Ended => true,
        }
    }
}

#[cfg(test)]
mod tests;
