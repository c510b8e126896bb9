//! Who is woken by which event, and that a watch is there when it is said to be.

use notify::event::{CreateKind, DataChange, RemoveKind};

use super::*;

#[test]
fn what_waiters_do_themselves_wakes_nobody() {
    for kind in [AccessKind::Open(AccessMode::Any), AccessKind::Close(AccessMode::Read), AccessKind::Read] {
        assert!(is_what_waiters_do(EventKind::Access(kind)));
    }
    assert!(!is_what_waiters_do(EventKind::Access(AccessKind::Close(AccessMode::Write))), "a holder's death");
}

#[tokio::test]
async fn a_release_a_death_and_a_successor_wake_and_a_sweep_does_not() {
    let name = format!("{:020}", 7);
    for (kind, news) in [
        (EventKind::Access(AccessKind::Close(AccessMode::Write)), Some(News::Closed)),
        (EventKind::Modify(ModifyKind::Data(DataChange::Any)), Some(News::Changed)),
        (EventKind::Modify(ModifyKind::Name(RenameMode::To)), Some(News::Changed)),
        (EventKind::Create(CreateKind::File), Some(News::Changed)),
        (EventKind::Remove(RemoveKind::File), None),
        (EventKind::Modify(ModifyKind::Name(RenameMode::From)), None),
    ] {
        let ear = Arc::new(Ear::default());
        let place = Place { ears: vec![ear.clone()], idle_since: Instant::now(), watched: true, losses: 0 };
        place.tell(&name, kind);
        let heard = tokio::time::timeout(Duration::ZERO, ear.news()).await.ok();
        assert_eq!(heard, news, "{kind:?}");
    }
}

/// What happens once between two steps of a watch's beginning, or its end.
#[derive(Default)]
pub(super) struct Between(pub(super) Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl std::fmt::Debug for Between {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Between")
    }
}

impl Watches {
    pub(super) fn pause(&self) {
        let act = lock(&self.between.0).take();
        if let Some(act) = act {
            act();
        }
    }

    /// As if the system had no watch to give.
    pub(crate) fn break_for_test(&self) {
        *lock(&self.watcher) = Source::Missing;
    }

    /// How many directories are watched.
    pub(crate) fn count(&self) -> usize {
        lock(&self.places).len()
    }
}

/// A directory that is watched by nobody any more, for long enough.
fn idle(watches: &Watches, directory: &Path) {
    drop(watches.watch(directory, &Arc::default()));
    lock(&watches.places).get_mut(directory).unwrap().idle_since = Instant::now().checked_sub(2 * LINGER).unwrap();
}

#[tokio::test]
async fn who_watches_while_idle_watches_are_dropped_is_told_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let watches = Arc::new(Watches::default());
    idle(&watches, dir.path());
    let ear = Arc::new(Ear::default());
    let (sender, receiver) = std::sync::mpsc::channel();
    let (watches2, ear2, path) = (watches.clone(), ear.clone(), dir.path().to_owned());
    *lock(&watches.between.0) = Some(Box::new(move || {
        let (begun, done) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let watch = watches2.watch(&path, &ear2);
            let _ = begun.send(());
            sender.send(watch).unwrap();
        });
        // It ends here, or has to wait for us.
        let _ = done.recv_timeout(Duration::from_millis(300));
    }));
    watches.tidy();
    let watch = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(watch.works());
    std::fs::write(dir.path().join(format!("{:020}", 7)), b"").unwrap();
    tokio::time::timeout(Duration::from_secs(10), ear.news()).await.expect("the kernel watches it");
}

#[tokio::test]
async fn a_directory_deleted_while_its_watch_begins_is_not_said_to_be_watched() {
    let dir = tempfile::tempdir().unwrap();
    let watches = Watches::default();
    let (places, path) = (watches.places.clone(), dir.path().to_owned());
    *lock(&watches.between.0) = Some(Box::new(move || {
        let event = Event::new(EventKind::Remove(RemoveKind::Folder)).add_path(path);
        tell(&places, Ok(event));
    }));
    assert!(!watches.watch(dir.path(), &Arc::default()).works());
    assert!(watches.watch(dir.path(), &Arc::default()).works(), "the next one begins anew");
}
