//! A server program, under a leash: it never outlives the process that started it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// What is started: a program, its arguments, and where it keeps its data.
#[derive(Debug, Clone)]
pub struct Program {
    file: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Program {
    /// The program in `file`, without arguments.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), arguments: Vec::new(), environment: Vec::new() }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }
}

/// A running server: killed when this is dropped, and when the process that started it ends, however it ends.
///
/// Its directory goes with it. Nothing here belongs to a runtime: one server may serve tests of many runtimes.
#[derive(Debug)]
pub struct Process {
    program: Program,
    // Before the directory: the server ends first.
    running: Option<Running>,
    directory: tempfile::TempDir,
}

/// The leash is a shell that starts the server and reads a pipe of ours. The pipe ends with our process, even
/// where that is killed, and then the shell kills the server. (A parent-death signal would need unsafe code here.)
#[derive(Debug)]
struct Running {
    leash: Child,
    pipe: Option<ChildStdin>,
    pid: Pid,
}

/// `$1` is the directory, the rest the server and its arguments. "keep" leaves the directory: it is started again,
/// or removed by its owner.
const LEASH: &str = r#"
directory=$1; shift
"$@" >>"$directory/log" 2>&1 </dev/null &
server=$!
echo "$server"
read -r word
kill -KILL "$server" 2>/dev/null
wait "$server" 2>/dev/null
[ "$word" = keep ] || rm -rf "$directory"
"#;

impl Process {
    /// Starts what `program` makes of a new, empty directory. It isn't ready yet: see [`Process::wait_for`].
    ///
    /// # Errors
    /// When the directory can't be made or the program can't be started.
    pub fn start(program: impl FnOnce(&Path) -> Program) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("distlock-server-").tempdir()?;
        let mut process = Self { program: program(directory.path()), directory, running: None };
        process.start_again()?;
        Ok(process)
    }

    /// Starts it again after [`Process::kill`], with the same arguments and what is left of its data.
    ///
    /// # Errors
    /// When it runs, or can't be started.
    pub fn start_again(&mut self) -> Result<()> {
        if self.running.is_some() {
            bail!("{} runs already", self.program.file.display());
        }
        let mut leash = Command::new("sh")
            .args(["-c", LEASH, "leash"])
            .arg(self.directory.path())
            .arg(&self.program.file)
            .args(&self.program.arguments)
            .envs(self.program.environment.iter().cloned())
            .current_dir(self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a shell")?;
        let pipe = leash.stdin.take();
        let mut line = String::new();
        BufReader::new(leash.stdout.take().context("the shell's output")?).read_line(&mut line)?;
        let pid = line.trim().parse().ok().and_then(Pid::from_raw).context("the shell told no process id")?;
        self.running = Some(Running { leash, pipe, pid });
        Ok(())
    }

    /// Kills it at once (SIGKILL), also where it is stopped, and waits for its end. Its data stays.
    ///
    /// # Errors
    /// When that can't be done.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        running.end()
    }

    /// Stops it (SIGSTOP): connections stay, nothing is answered.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn stop(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on after [`Process::stop`].
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn go_on(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let running = self.running.as_ref().context("the server doesn't run")?;
        kill_process(running.pid, signal).context("signalling the server")
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<i32> {
        self.running.as_ref().map(|running| running.pid.as_raw_nonzero().get())
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        fs::read(self.directory.path().join("log"))
            .map_or_else(|error| format!("(no log: {error})"), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits until `ready` answers something, for half a minute at most. Blocks the thread.
    ///
    /// # Errors
    /// When the server ends meanwhile, or isn't ready in time; with its log's last lines.
    pub fn wait_for<T>(&mut self, mut ready: impl FnMut(&Self) -> Option<T>) -> Result<T> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(answer) = ready(self) {
                return Ok(answer);
            }
            let ended = !self.is_running();
            if ended || Instant::now() > end {
                let what = if ended { "ended" } else { "wasn't ready within 30 s" };
                let log = self.log();
                let lines: Vec<_> = log.lines().collect();
                let last = lines[lines.len().saturating_sub(15)..].join("\n");
                bail!("{} {what}. Its last lines:\n{last}", self.program.file.display());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn is_running(&self) -> bool {
        // The leash has not waited for it yet: an ended server is a zombie.
        self.pid().is_some_and(|pid| match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(line) => !line.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')),
            // No /proc: taken as running, and the time limit decides.
            Err(_) => !Path::new("/proc/self").exists(),
        })
    }
}

impl Running {
    fn end(&mut self) -> Result<()> {
        if let Some(mut pipe) = self.pipe.take() {
            // A shell that is gone has nothing left to end.
            drop(pipe.write_all(b"keep\n"));
        }
        self.leash.wait().context("waiting for the server's end")?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.end());
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Process, Program};

    fn sleeper() -> Process {
        Process::start(|_| Program::new("/bin/sleep").arg("600")).unwrap()
    }

    #[test]
    fn a_server_ends_with_what_stands_for_it_even_when_stopped() {
        let server = sleeper();
        let (pid, directory) = (server.pid().unwrap(), server.directory().to_owned());
        server.stop().unwrap();
        drop(server);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        assert!(!directory.exists());
    }

    #[test]
    fn a_killed_server_starts_again_with_its_data() {
        let mut server = sleeper();
        std::fs::write(server.directory().join("data"), "x").unwrap();
        let first = server.pid();
        server.kill().unwrap();
        server.start_again().unwrap();
        assert_ne!(server.pid(), first);
        assert!(server.directory().join("data").exists());
    }

    #[test]
    fn a_server_that_ends_at_once_is_told_with_its_words() {
        let mut server = Process::start(|_| Program::new("/bin/sh").args(["-c", "echo bad port; exit 1"])).unwrap();
        let error = server.wait_for(|_| None::<()>).unwrap_err().to_string();
        assert!(error.contains("bad port"), "{error}");
    }
}
