//! A body that passes byte for byte, while what it loads is noted: of sites that are only observed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};

use super::{Body, Error};
use crate::filter::encoding::{Coding, Decoder};
use crate::filter::{Settings, html};

/// So much of a page is read, decoded; what comes behind passes unseen.
const MOST: usize = 4 << 20;

/// A page that is only looked at.
pub struct Watched<B> {
    upstream: Pin<Box<B>>,
    /// None when the page has been read, or cannot be.
    reader: Option<Box<Reader>>,
}

struct Reader {
    decoder: Decoder,
    rewriter: html::Rewriter,
    discarded: Vec<u8>,
    read: usize,
}

impl<B> Watched<B>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Error>,
{
    /// A page that comes in this coding; what it loads is noted in the settings' own memory of it.
    pub fn new(upstream: B, coding: Coding, settings: &Arc<Settings>, page: html::Page) -> Self {
        // What cannot be decoded is nobody's fault here: it passes all the same.
        let reader = Decoder::new(coding).ok().map(|decoder| {
            let rewriter = html::Rewriter::new(settings, page);
            Box::new(Reader { decoder, rewriter, discarded: Vec::new(), read: 0 })
        });
        Watched { upstream: Box::pin(upstream), reader }
    }

    /// The page as a body like all others.
    pub fn boxed(self) -> Body {
        Body::new(self)
    }
}

impl Reader {
    /// Reads on; none when there is nothing more to learn.
    fn read(mut self: Box<Self>, mut arrived: Bytes) -> Option<Box<Self>> {
        loop {
            let (step, decoded) = self.decoder.step(&arrived).ok()?;
            self.read += decoded.len();
            self.rewriter.write(decoded, &mut self.discarded).ok()?;
            self.discarded.clear();
            arrived.advance(step.consumed);
            if self.read > MOST {
                return None;
            }
            if arrived.is_empty() && !step.is_full {
                return Some(self);
            }
        }
    }
}

impl<B> http_body::Body for Watched<B>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Error>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = ready!(self.upstream.as_mut().poll_frame(context));
        match &polled {
            Some(Ok(frame)) => {
                if let (Some(data), Some(reader)) = (frame.data_ref(), self.reader.take()) {
                    self.reader = reader.read(data.clone());
                }
            }
            Some(Err(_)) => self.reader = None,
            None => {
                if let Some(mut reader) = self.reader.take() {
                    // The end of a page that is only looked at fails nobody.
                    let _ = reader.rewriter.end(&mut reader.discarded);
                }
            }
        }
        Poll::Ready(polled.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.upstream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.upstream.size_hint()
    }
}
