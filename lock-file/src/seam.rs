//! Where tests stop the code between two steps, or make a write fail. Nothing in a build.

#[cfg(test)]
pub(crate) use tests::Seam;

/// Places where a process might be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// It has looked, and publishes next.
    BeforePublish,
    /// It has published, and looks again next.
    AfterPublish,
}

/// Nothing.
#[cfg(not(test))]
#[derive(Debug)]
pub(crate) struct Seam;

#[cfg(not(test))]
impl Seam {
    pub(crate) fn new() -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "the tests' seam has something in it")]
    pub(crate) fn pause(&self, _point: Point) {}

    #[expect(clippy::unused_self, reason = "the tests' seam has something in it")]
    pub(crate) fn failure(&self) -> Option<std::io::Error> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::io;
    use std::sync::Mutex;

    use super::Point;
    use crate::owners::lock;

    type Act = Box<dyn FnOnce() + Send>;

    /// What is to happen once, at the next passage of a point.
    #[derive(Default)]
    pub(crate) struct Seam {
        act: Mutex<Option<(Point, Act)>>,
        failure: Mutex<Option<io::Error>>,
    }

    impl Seam {
        pub(crate) fn new() -> Self {
            Self::default()
        }
        pub(crate) fn once_at(&self, point: Point, act: impl FnOnce() + Send + 'static) {
            *lock(&self.act) = Some((point, Box::new(act)));
        }
        pub(crate) fn fail_next_write(&self, error: io::Error) {
            *lock(&self.failure) = Some(error);
        }
        pub(crate) fn pause(&self, point: Point) {
            let act = {
                let mut act = lock(&self.act);
                if act.as_ref().is_none_or(|(at, _)| *at != point) {
                    return;
                }
                act.take()
            };
            if let Some((_, act)) = act {
                act();
            }
        }
        pub(crate) fn failure(&self) -> Option<io::Error> {
            lock(&self.failure).take()
        }
    }

    impl fmt::Debug for Seam {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Seam")
        }
    }
}
