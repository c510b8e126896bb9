//! Watching directories, so that those who wait are told of a release, a crash, a ticket that left.
//!
//! One watcher per backend, created by the first wait. On Linux inotify reports the closing of a
//! file that was open for writing, so the death of a holder is told as well as its release.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

use crate::ear::{Ear, News};
use crate::owners::lock;
use crate::slot::number_of;

/// Under steady contention a process waits again at once: the watch stays for it.
const LINGER: Duration = Duration::from_secs(2);
/// Lingering watches beyond this are dropped at once.
const MAX_IDLE: usize = 64;

/// The watches of one backend.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    places: Arc<Mutex<HashMap<PathBuf, Place>>>,
    /// Its own mutex: the watcher's thread, which takes `places`, must never wait for a caller
    /// that waits for that thread.
    watcher: Mutex<Source>,
    any_idle: Arc<AtomicBool>,
    warned: AtomicBool,
    #[cfg(test)]
    between: tests::Between,
}

/// The system's watcher.
#[derive(Debug, Default)]
enum Source {
    /// Nobody has waited yet.
    #[default]
    Unasked,
    /// None can be had.
    Missing,
    Watcher(RecommendedWatcher),
}

/// A watched directory.
#[derive(Debug)]
struct Place {
    ears: Vec<Arc<Ear>>,
    idle_since: Instant,
    /// The kernel watches it. Not so when that failed, or the directory was deleted.
    watched: bool,
    /// How often the kernel's watch ended by itself.
    losses: u64,
}

/// One waiter's part in a watch.
#[derive(Debug)]
pub(crate) struct Watch {
    directory: PathBuf,
    ear: Arc<Ear>,
    places: Arc<Mutex<HashMap<PathBuf, Place>>>,
    any_idle: Arc<AtomicBool>,
}

impl Watches {
    /// Begins to watch `directory`. Changes from now on are told to `ear`.
    pub(crate) fn watch(&self, directory: &Path, ear: &Arc<Ear>) -> Watch {
        let unwatched = {
            let mut places = lock(&self.places);
            let place = places.entry(directory.to_owned()).or_insert_with(|| Place {
                ears: Vec::new(),
                idle_since: Instant::now(),
                watched: false,
                losses: 0,
            });
            place.ears.push(ear.clone());
            (!place.watched).then_some(place.losses)
        };
        if let Some(losses) = unwatched {
            let added = self.add(directory);
            #[cfg(test)]
            self.pause();
            // Not if it was deleted meanwhile, as the watcher's thread may have said already.
            if let Some(place) = lock(&self.places).get_mut(directory)
                && place.losses == losses
            {
                place.watched = added;
            }
        }
        Watch {
            directory: directory.to_owned(),
            ear: ear.clone(),
            places: self.places.clone(),
            any_idle: self.any_idle.clone(),
        }
    }

    fn add(&self, directory: &Path) -> bool {
        let mut source = lock(&self.watcher);
        if let Source::Unasked = *source {
            let places = self.places.clone();
            *source = match notify::recommended_watcher(move |event| tell(&places, event)) {
                Ok(watcher) => Source::Watcher(watcher),
                Err(error) => {
                    self.warn(&error);
                    Source::Missing
                }
            };
        }
        let Source::Watcher(watcher) = &mut *source else { return false };
        let added = watcher.watch(directory, RecursiveMode::NonRecursive);
        added.inspect_err(|error| self.warn(error)).is_ok()
    }

    fn warn(&self, error: &notify::Error) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %error,
                "no directory watch: waiting for locks falls back to asking every few milliseconds; \
                 raise fs.inotify.max_user_instances or max_user_watches"
            );
        }
    }

    /// Drops watches that nobody has used for a while. Called on the way of other calls: dropping
    /// one waits for the watcher's thread, which a destructor must not. One load when idle.
    pub(crate) fn tidy(&self) {
        if !self.any_idle.load(Ordering::Relaxed) {
            return;
        }
        // First: who begins to watch such a directory meanwhile, waits, and its watch is not dropped.
        let mut source = lock(&self.watcher);
        let mut over = Vec::new();
        {
            let mut places = lock(&self.places);
            let mut idle = places.values().filter(|place| place.ears.is_empty()).count();
            places.retain(|directory, place| {
                let keep = !place.ears.is_empty() || (idle <= MAX_IDLE && place.idle_since.elapsed() < LINGER);
                if !keep {
                    idle -= 1;
                    over.push(directory.clone());
                }
                keep
            });
            self.any_idle.store(idle > 0, Ordering::Relaxed);
        }
        #[cfg(test)]
        self.pause();
        if let Source::Watcher(watcher) = &mut *source {
            for directory in over {
                // Fails when the directory is gone, and the watch with it.
                let _ = watcher.unwatch(&directory);
            }
        }
    }
}

impl Watch {
    /// Whether changes are told at present.
    pub(crate) fn works(&self) -> bool {
        lock(&self.places).get(&self.directory).is_some_and(|place| place.watched)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(place) = lock(&self.places).get_mut(&self.directory) {
            place.ears.retain(|ear| !Arc::ptr_eq(ear, &self.ear));
            if place.ears.is_empty() {
                place.idle_since = Instant::now();
                self.any_idle.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// Wakes those whom an event concerns. On the watcher's thread.
fn tell(places: &Mutex<HashMap<PathBuf, Place>>, event: notify::Result<Event>) {
    let event = match event {
        Ok(event) => event,
        Err(error) => Event { paths: error.paths, ..Event::new(EventKind::Any) },
    };
    if is_what_waiters_do(event.kind) {
        return;
    }
    let mut places = lock(places);
    if event.need_rescan() || event.paths.is_empty() {
        // Events were lost: everybody looks.
        places.values().for_each(Place::wake_all);
        return;
    }
    for path in &event.paths {
        if let Some(place) = places.get_mut(path) {
            // The directory itself was deleted or moved, and the kernel's watch with it.
            place.watched = false;
            place.losses += 1;
            place.wake_all();
        } else if let Some(name) = path.file_name().and_then(OsStr::to_str)
            && let Some(place) = path.parent().and_then(|parent| places.get(parent))
        {
            place.tell(name, event.kind);
        }
    }
}

/// Others' opening and reading must not wake those who wait, or each would wake all the others.
fn is_what_waiters_do(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)) => true,
        _ => false,
    }
}

impl Place {
    /// Something happened to the file `name` in this directory.
    fn tell(&self, name: &str, kind: EventKind) {
        let closed = matches!(kind, EventKind::Access(_));
        let left = matches!(kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)));
        if number_of(name).is_some() {
            // One that left had a successor before, which was told.
            if !left {
                let news = if closed { News::Closed } else { News::Changed };
                self.ears.iter().for_each(|ear| ear.lock_changed(news));
            }
        } else if left || closed {
            self.ears.iter().for_each(|ear| ear.ticket_left(name));
        }
    }

    fn wake_all(&self) {
        for ear in &self.ears {
            ear.doubt();
            ear.wake(News::Closed);
        }
    }
}

#[cfg(test)]
mod tests;
