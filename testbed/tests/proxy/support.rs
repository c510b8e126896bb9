//! A server of lines, and a client of it.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use testbed::proxy::Proxy;

/// How long a client listens before it calls it silence. Longer than anything here takes; only silence costs it.
const SILENCE: Duration = Duration::from_millis(200);

/// Answers each line with `+line`, in threads of its own, until the test's process ends.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Lines in the order in which they came, with the number of the connection.
    heard: Arc<Mutex<Vec<(usize, String)>>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::<Mutex<Vec<_>>>::default();
        let own = heard.clone();
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (stream, heard) = (stream.unwrap(), own.clone());
                std::thread::spawn(move || serve(number, &stream, &heard));
            }
        });
        Self { address, heard }
    }

    /// A server, and a proxy to it.
    pub(crate) fn behind_proxy() -> (Self, Proxy) {
        let server = Self::start();
        let proxy = Proxy::to(server.address);
        (server, proxy)
    }

    /// What it was asked, and so has done. An end is told as "(end)" or "(reset)".
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().iter().map(|(_, line)| line.clone()).collect()
    }

    /// Waits until it has heard this.
    pub(crate) fn until_heard(&self, line: &str) {
        for _ in 0..1000 {
            if self.heard().iter().any(|heard| heard == line) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{line:?} was never heard: {:?}", self.heard());
    }
}

fn serve(number: usize, stream: &TcpStream, heard: &Mutex<Vec<(usize, String)>>) {
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = String::new();
        let end = match lines.read_line(&mut line) {
            Ok(0) => "(end)",
            Ok(_) => "",
            Err(_) => "(reset)",
        };
        let told = if end.is_empty() { line.trim_end() } else { end };
        heard.lock().unwrap().push((number, told.to_owned()));
        if !end.is_empty() || (&*stream).write_all(format!("+{line}").as_bytes()).is_err() {
            return;
        }
    }
}

/// What a client hears.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Line(String),
    Silence,
    End,
    Reset,
}

pub(crate) struct Client {
    lines: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(proxy: &Proxy) -> Self {
        Self::try_connect(proxy).unwrap()
    }

    pub(crate) fn try_connect(proxy: &Proxy) -> io::Result<Self> {
        let stream = TcpStream::connect(proxy.address())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        Ok(Self { lines: BufReader::new(stream) })
    }

    /// A client that has been answered once, so its connection is there from end to end.
    pub(crate) fn greeted(proxy: &Proxy) -> Self {
        let mut client = Self::connect(proxy);
        assert_eq!(client.ask("hello"), Heard::Line("+hello".to_owned()));
        client
    }

    pub(crate) fn say(&self, text: &str) {
        // A connection that was reset is heard of by reading.
        let _ = self.lines.get_ref().write_all(text.as_bytes());
    }

    pub(crate) fn hear(&mut self) -> Heard {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) => Heard::End,
            Ok(_) => Heard::Line(line.trim_end().to_owned()),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Heard::Silence,
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Heard::Reset,
                _ => panic!("{error}"),
            },
        }
    }

    /// Waits longer for an answer than [`Client::hear`] does.
    pub(crate) fn hear_at_last(&mut self) -> Heard {
        (0..50).map(|_| self.hear()).find(|heard| *heard != Heard::Silence).unwrap_or(Heard::Silence)
    }

    pub(crate) fn ask(&mut self, line: &str) -> Heard {
        self.say(&format!("{line}\n"));
        self.hear()
    }

    pub(crate) fn is_answered(&mut self) -> bool {
        self.ask("?") == Heard::Line("+?".to_owned())
    }
}
