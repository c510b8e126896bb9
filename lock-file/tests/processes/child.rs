//! The other process: started by the tests, told by a variable what to do.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use lock_core::{Lease, LockBackend, Renewal};
use lock_file::FileBackend;
use rustix::process::{Pid, Signal, kill_process};

use super::{acquire, request};

const ROLE: &str = "LOCK_FILE_TEST_ROLE";
const DIRECTORY: &str = "LOCK_FILE_TEST_DIRECTORY";
const TTL_MS: &str = "LOCK_FILE_TEST_TTL_MS";

/// A child process, killed with the test.
pub(crate) struct Process {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Process {
    /// Starts this binary again with nothing to run but the entry below.
    pub(crate) fn start(role: &str, directory: &Path, ttl: Duration) -> Self {
        Self::start_with(role, directory, ttl, "LOCK_FILE_TEST_NOTHING", directory)
    }

    /// The same with a variable of its environment set to a path.
    pub(crate) fn start_with(role: &str, directory: &Path, ttl: Duration, name: &str, value: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child::entry", "--nocapture", "--test-threads=1"])
            .env(name, value)
            .env(ROLE, role)
            .env(DIRECTORY, directory)
            .env(TTL_MS, ttl.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// The next thing that the child says; the test harness's own lines are passed over.
    pub(crate) fn hear(&mut self) -> String {
        let mut line = String::new();
        while self.out.read_line(&mut line).unwrap() > 0 {
            if let Some((_, said)) = line.split_once("child: ") {
                return said.trim().to_owned();
            }
            line.clear();
        }
        panic!("the child ended without a word");
    }

    /// Lets the child go on.
    pub(crate) fn say(&mut self, word: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{word}").unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it, and returns once it stands still: until then it may still be granted a lock.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        let pid = Some(Pid::from_child(&self.child));
        rustix::process::waitpid(pid, rustix::process::WaitOptions::UNTRACED).unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says a line to the test.
fn say(line: impl std::fmt::Display) {
    println!("child: {line}");
}

fn hear() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// Not a test of its own: without the variable it is over at once.
#[test]
fn entry() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let directory = std::env::var_os(DIRECTORY).unwrap();
    let ttl = Duration::from_millis(std::env::var(TTL_MS).unwrap().parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match role.as_str() {
            "hold" => hold(directory.as_ref(), ttl).await,
            "open-default" => open_default(),
            #[cfg(target_os = "linux")]
            "hold-and-fork" => hold_and_fork(directory.as_ref(), ttl).await,
            "wait" => wait(directory.as_ref(), ttl).await,
            "count" => count(directory.as_ref(), ttl).await,
            "exhaust" => exhaust(directory.as_ref(), ttl).await,
            other => panic!("no role {other}"),
        }
    });
}

/// Holds the lock; whenever told to, renews it and says what came of it.
async fn hold(directory: &Path, ttl: Duration) {
    let backend = FileBackend::open(directory).unwrap();
    let request = request(ttl);
    let grant = acquire(&backend, &request).await;
    say(grant.token());
    while hear() == "renew" {
        let lease = Lease::new(request.claim(), grant.token(), request.ttl());
        say(match backend.renew(&lease).await.unwrap() {
            Renewal::Renewed(_) => "renewed",
            Renewal::Lost => "lost",
        });
    }
}

/// Holds the lock, and starts a child that has the record's descriptor, as after a fork.
#[cfg(target_os = "linux")]
async fn hold_and_fork(directory: &Path, ttl: Duration) {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    let backend = FileBackend::open(directory).unwrap();
    acquire(&backend, &request(ttl)).await;
    let record = directory.join(super::KEY).join("00000000000000000001").canonicalize().unwrap();
    let mut numbers = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    let ours = numbers.find(|path| std::fs::read_link(path).is_ok_and(|target| target == record)).unwrap();
    let number = ours.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let this = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    // The same opening of the file, so the same kernel lock.
    let shared = pidfd_getfd(this, number, PidfdGetfdFlags::empty()).unwrap();
    let mut heir = Command::new("sleep").arg("60").stdin(Stdio::from(shared)).stdout(Stdio::null()).spawn().unwrap();
    say(heir.id());
    hear();
    heir.wait().unwrap();
}

/// Opens the default directory and says what came of it.
fn open_default() {
    match FileBackend::open_default() {
        Ok(backend) => say(format_args!("opened {}", backend.directory().display())),
        Err(error) => say(format_args!("{:?} {error}", error.kind())),
    }
}

/// Waits for the lock, says how it got it, and goes.
async fn wait(directory: &Path, ttl: Duration) {
    let backend = FileBackend::open(directory).unwrap();
    say("waiting");
    let grant = acquire(&backend, &request(ttl)).await;
    say(format_args!("{} {:?}", grant.token(), grant.takeover()));
    hear();
}

/// Takes the lock again and again for a while, and counts up the file `counter` under it.
async fn count(directory: &Path, ttl: Duration) {
    let backend = FileBackend::open(directory).unwrap();
    let counter = directory.join("../counter");
    say("ready");
    hear();
    let (begun, mut times) = (Instant::now(), 0);
    while begun.elapsed() < ttl {
        let request = request(Duration::from_secs(20));
        acquire(&backend, &request).await;
        let before: u64 = std::fs::read_to_string(&counter).unwrap().parse().unwrap();
        std::fs::write(&counter, (before + 1).to_string()).unwrap();
        backend.release(&request.claim()).await.unwrap();
        times += 1;
    }
    say(times);
    hear();
}

/// Holds locks until there are no descriptors left, and says what the error is.
async fn exhaust(directory: &Path, ttl: Duration) {
    let backend = FileBackend::open(directory).unwrap();
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = Some(64);
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    for n in 0..100 {
        let key = lock_core::LockKey::new(format!("many/{n}")).unwrap();
        let request = lock_core::AcquireRequest::new(key, lock_core::Ttl::new(ttl).unwrap());
        if let Err(error) = backend.try_acquire(&request).await {
            say(format_args!("{:?} {error}", error.kind()));
            return;
        }
    }
    say("no end of descriptors");
}
