//! What a connection waits for beside its requests: seldom there, and asked for with every request.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A future that is polled when it has been woken itself, not each time that its task is.
#[derive(Debug)]
pub(super) struct Seldom<'a, F> {
    future: Pin<&'a mut F>,
    alarm: Arc<Alarm>,
    /// The task that the alarm wakes.
    known: Option<Waker>,
}

#[derive(Debug)]
struct Alarm {
    is_raised: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl<'a, F: Future> Seldom<'a, F> {
    pub(super) fn new(future: Pin<&'a mut F>) -> Self {
        // It is polled once in any case.
        let alarm = Alarm { is_raised: AtomicBool::new(true), task: Mutex::new(None) };
        Seldom { future, alarm: Arc::new(alarm), known: None }
    }
}

impl<F: Future> Future for Seldom<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        if !this.known.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            // Before the alarm is looked at: one that is raised from here on wakes the task.
            *this.alarm.task() = Some(context.waker().clone());
            this.known = Some(context.waker().clone());
        }
        if !this.alarm.is_raised.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let waker = Waker::from(Arc::clone(&this.alarm));
        this.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

impl Alarm {
    fn task(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.is_raised.store(true, Ordering::Release);
        let task = self.task().clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::sync::{Notify, oneshot};

    use super::*;

    #[tokio::test]
    async fn it_is_polled_once_and_then_each_time_that_it_was_woken() {
        let (polls, rang) = (Cell::new(0), Notify::new());
        let mut ring = std::pin::pin!(rang.notified());
        let mut counted = std::pin::pin!(poll_fn(|context| {
            polls.set(polls.get() + 1);
            ring.as_mut().poll(context)
        }));
        let mut seldom = Seldom::new(counted.as_mut());
        for _ in 0..10 {
            assert_eq!(futures_util::poll!(&mut seldom), Poll::Pending);
        }
        assert_eq!(polls.get(), 1);
        rang.notify_one();
        (&mut seldom).await;
        assert_eq!(polls.get(), 2);
    }

    #[tokio::test]
    async fn it_wakes_the_task_that_has_it_now() {
        let (ring, rung) = oneshot::channel::<()>();
        let mut rung = Box::pin(async { rung.await.unwrap() });
        let mut seldom = Seldom::new(rung.as_mut());
        let mut nobody = Context::from_waker(Waker::noop());
        assert_eq!(Pin::new(&mut seldom).poll(&mut nobody), Poll::Pending);
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            ring.send(()).unwrap();
        });
        tokio::time::timeout(Duration::from_secs(10), seldom).await.unwrap();
    }
}
