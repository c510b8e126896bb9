//! How large the futures are that users embed in their tasks: what a waiting task costs in memory, and what is copied each
//! time such a future is boxed.

use std::mem::size_of_val;

use lock_core::{MemoryBackend, Supervisor};

#[test]
fn the_futures_of_a_lock_stay_small() {
    let locks = Supervisor::new(MemoryBackend::new());
    let acquire = locks.lock("k").acquire();
    let try_acquire = locks.lock("k").try_acquire();
    println!("acquire {} bytes, try_acquire {}", size_of_val(&acquire), size_of_val(&try_acquire));
    assert!(size_of_val(&acquire) <= 2048, "acquire: {} bytes", size_of_val(&acquire));
    assert!(size_of_val(&try_acquire) <= 2048, "try_acquire: {} bytes", size_of_val(&try_acquire));
}
