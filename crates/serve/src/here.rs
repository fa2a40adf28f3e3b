//! Calls of an HTTP/2 connection, answered where they are read.
//!
//! A lookup out of memory waits for nothing, so what it costs to make a task of it, and to wake the connection for its
//! answer, is spent for nothing. A call is driven at once as far as it goes; what has to wait goes on as a task.
//!
//! That is left where it would leave threads without work: several calls of one connection are tasks from the
//! beginning as long as fewer connections have calls than there are threads.

use crate::life::Life;
use hyper::rt::Executor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::runtime::Handle;

/// Drives the calls of one connection.
#[derive(Clone)]
pub(crate) struct Here {
    life: Arc<Life>,
    threads: usize,
}

impl Here {
    pub(crate) fn new(life: &Arc<Life>) -> Here {
        Here {
            life: Arc::clone(life),
            threads: Handle::current().metrics().num_workers(),
        }
    }
}

impl<F> Executor<F> for Here
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, call: F) {
        if !self.life.is_alone_or_one_of(self.threads) {
            tokio::spawn(call);
            return;
        }
        let mut call = Box::pin(call);
        // Nobody is woken by it: as a task it is polled again, and says then whom to wake.
        let mut context = Context::from_waker(Waker::noop());
        // One that panics ends by itself, as a task would.
        let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut context)));
        if matches!(polled, Ok(Poll::Pending)) {
            tokio::spawn(call);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::Unread;
    use crate::life::Busy;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::oneshot;
    use tokio::time::Instant;

    fn here(life: &Arc<Life>, threads: usize) -> Here {
        let life = Arc::clone(life);
        Here { life, threads }
    }

    #[tokio::test]
    async fn what_waits_goes_on_as_a_task() {
        let life = Life::new(Instant::now(), Unread::new(1_000), Busy::default());
        let here = here(&life, 1);
        let _call = life.begin();
        let done = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&done);
        here.execute(async move {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.load(Ordering::Relaxed), 1);

        let (go, gone) = oneshot::channel::<()>();
        let (told, heard) = oneshot::channel::<()>();
        here.execute(async move {
            gone.await.expect("is told to go on");
            told.send(()).expect("is heard");
        });
        go.send(()).expect("it waits");
        heard.await.expect("it goes on");
        here.execute(async { panic!("of one call") });
    }

    #[tokio::test]
    async fn threads_are_not_left_without_work() {
        let busy = Busy::default();
        let life = Life::new(Instant::now(), Unread::new(1_000), busy.clone());
        let other = Life::new(Instant::now(), Unread::new(1_000), busy);
        let first = life.begin();
        assert!(life.is_alone_or_one_of(2));
        let second = life.begin();
        assert!(!life.is_alone_or_one_of(2));
        let others = other.begin();
        assert!(life.is_alone_or_one_of(2));
        drop(others);
        assert!(!life.is_alone_or_one_of(2));
        drop((first, second));
    }
}
