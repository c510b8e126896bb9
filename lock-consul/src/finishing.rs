//! A request that goes on when its caller doesn't wait for it any more.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

type Undo<T> = Box<dyn FnOnce(T) -> Boxed<()> + Send>;
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Dropped before its end, it goes on in a task of its own: a connection whose answer nobody read can't be used again,
/// and at the agent it lives on until the answer is written. So calls that are given up, in however great numbers,
/// open no connections.
pub(crate) struct Finishing<T: Send + 'static> {
    request: Option<Boxed<T>>,
    undo: Option<Undo<T>>,
}

impl<T: Send + 'static> Finishing<T> {
    /// The request must end by itself within a bound.
    pub(crate) fn new(request: impl Future<Output = T> + Send + 'static) -> Self {
        Self { request: Some(Box::pin(request)), undo: None }
    }

    /// What to do with an answer for which nobody waits any more.
    pub(crate) fn or_else<F>(mut self, undo: impl FnOnce(T) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.undo = Some(Box::new(|answer| Box::pin(undo(answer))));
        self
    }
}

impl<T: Send + 'static> Future for Finishing<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // A future isn't polled again after its end.
        let Some(request) = &mut self.request else { return Poll::Pending };
        let answer = std::task::ready!(request.as_mut().poll(context));
        self.request = None;
        Poll::Ready(answer)
    }
}

impl<T: Send + 'static> Drop for Finishing<T> {
    fn drop(&mut self) {
        if let Some(request) = self.request.take()
            && let Ok(runtime) = Handle::try_current()
        {
            let undo = self.undo.take();
            runtime.spawn(async {
                let answer = request.await;
                if let Some(undo) = undo {
                    undo(answer).await;
                }
            });
        }
    }
}
