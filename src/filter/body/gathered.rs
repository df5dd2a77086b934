//! A body whose beginning is gathered before anybody reads it: all of it, where it comes at once.
//!
//! What the upstream has sent comes piece by piece all the same: another task reads it, and has the next piece only
//! when it had its turn. So a turn is given to all others before any clock is asked for.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use tokio::time::Sleep;

/// For how long what has come may be kept back to see whether all of it comes.
const PATIENCE: Duration = Duration::from_millis(2);

/// The most that is gathered.
const MOST: usize = 256 * 1024;

/// How much of a body has been gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// Not all of it: it is long, pauses, or broke off.
    Beginning,
}

/// What was gathered, and then what comes.
pub(super) struct Gathered<B: http_body::Body> {
    upstream: Pin<Box<B>>,
    pieces: VecDeque<Bytes>,
    size: usize,
    end: Option<End<B::Error>>,
    turn: Turn,
    patience: Option<Pin<Box<Sleep>>>,
}

/// Whether others had their turn since the last piece came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    ToCome,
    Had,
}

enum End<E> {
    Clean,
    Broken(E),
}

impl<B: http_body::Body<Data = Bytes>> Gathered<B> {
    pub(super) fn new(upstream: B) -> Self {
        let upstream = Box::pin(upstream);
        Gathered { upstream, pieces: VecDeque::new(), size: 0, end: None, turn: Turn::ToCome, patience: None }
    }

    /// Gathers what comes.
    pub(super) fn poll_gather(&mut self, context: &mut Context<'_>) -> Poll<Extent> {
        match ready!(self.poll_at_hand(context)) {
            Some(extent) => Poll::Ready(extent),
            // Nothing is kept back yet.
            None if self.pieces.is_empty() => Poll::Pending,
            None => {
                let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
                patience.as_mut().poll(context).map(|()| Extent::Beginning)
            }
        }
    }

    /// Gathers what is there already, or will be as soon as others had a turn; none where that may be more or not.
    pub(super) fn poll_at_hand(&mut self, context: &mut Context<'_>) -> Poll<Option<Extent>> {
        loop {
            match &self.end {
                Some(End::Clean) => return Poll::Ready(Some(Extent::Whole)),
                // It is told behind what came before it.
                Some(End::Broken(_)) => return Poll::Ready(Some(Extent::Beginning)),
                None if self.size > MOST => return Poll::Ready(Some(Extent::Beginning)),
                None => {}
            }
            match self.upstream.as_mut().poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => self.add(frame),
                Poll::Ready(Some(Err(error))) => self.end = Some(End::Broken(error)),
                Poll::Ready(None) => self.end = Some(End::Clean),
                Poll::Pending if self.pieces.is_empty() || self.turn == Turn::Had => {
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    self.turn = Turn::Had;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    }

    /// What was gathered, as it came.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &Bytes> + Clone {
        self.pieces.iter()
    }

    fn add(&mut self, frame: Frame<Bytes>) {
        // Trailers speak of the upstream's bytes: a digest, a signature.
        if let Ok(data) = frame.into_data()
            && !data.is_empty()
        {
            self.turn = Turn::ToCome;
            self.size += data.len();
            self.pieces.push_back(data);
        }
        if self.upstream.is_end_stream() {
            self.end = Some(End::Clean);
        }
    }
}

impl<B: http_body::Body<Data = Bytes>> http_body::Body for Gathered<B>
where
    B::Error: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(piece) = self.pieces.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match self.end.replace(End::Clean) {
            Some(End::Clean) => Poll::Ready(None),
            Some(End::Broken(error)) => Poll::Ready(Some(Err(error))),
            None => {
                self.end = None;
                self.upstream.as_mut().poll_frame(context)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
            && match &self.end {
                Some(End::Clean) => true,
                Some(End::Broken(_)) => false,
                None => self.upstream.is_end_stream(),
            }
    }
}
