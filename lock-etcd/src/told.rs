//! What a waiter's two watches tell of a hand-over: its own key is touched, and the one before is deleted, at once.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::news::{News, Touch};

/// So long at most, who saw one of the two events of a hand-over waits for the other. Seldom that long: a holder that stood
/// in the queue hands over, unless it is killed; a waiter that gives up doesn't.
const AT_ONCE: Duration = Duration::from_millis(2);

pub(crate) type Told = mpsc::UnboundedReceiver<(Whose, News)>;

/// Whose key it is that a watch tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Own,
    Before,
}

/// The touch of the own key, if it was in the revision in which the one before was deleted. The two events come over one
/// stream, but in any order.
pub(crate) async fn touched_at(told: &mut Told, revision: i64) -> Option<Touch> {
    let touch = |news: &_| match news {
        (Whose::Own, News::Touched(touch)) if touch.revision == revision => Some(*touch),
        _ => None,
    };
    soon(told, touch).await
}

/// Whether the one before was deleted in the revision in which the own key was touched.
pub(crate) async fn is_deleted_at(told: &mut Told, revision: i64) -> bool {
    let deleted =
        |news: &_| matches!(news, (Whose::Before, News::Deleted(at)) if at.revision == revision).then_some(());
    soon(told, deleted).await.is_some()
}

/// What is looked for among the next news. Whatever else comes is found by the next look.
async fn soon<T>(told: &mut Told, find: impl Fn(&(Whose, News)) -> Option<T>) -> Option<T> {
    let found = async {
        loop {
            let news = told.recv().await?;
            if let Some(found) = find(&news) {
                return Some(found);
            }
            if matches!(news, (Whose::Own, News::Deleted(_)) | (_, News::Broken(_))) {
                return None;
            }
        }
    };
    timeout(AT_ONCE, found).await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::news::Deletion;

    #[tokio::test]
    async fn only_touch_and_deletion_of_one_revision_hand_over() {
        let touch = Touch { revision: 9, created: 5 };
        let (tell, mut told) = mpsc::unbounded_channel();
        let say = |whose, news| tell.send((whose, news)).unwrap();
        say(Whose::Own, News::Touched(Touch { revision: 8, created: 5 }));
        assert_eq!(touched_at(&mut told, 9).await, None);
        say(Whose::Own, News::Touched(touch));
        assert_eq!(touched_at(&mut told, 9).await, Some(touch));
        for (revision, expected) in [(8, false), (9, true)] {
            say(Whose::Before, News::Deleted(Deletion { revision, endpoint: 0 }));
            assert_eq!(is_deleted_at(&mut told, 9).await, expected);
        }
        // The own place went meanwhile.
        say(Whose::Own, News::Deleted(Deletion { revision: 9, endpoint: 0 }));
        say(Whose::Own, News::Touched(touch));
        assert_eq!(touched_at(&mut told, 9).await, None);
    }
}
