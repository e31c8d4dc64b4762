//! Requests at random moments, more frequent after each publish, on new connections and on kept ones.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::random::Random;

/// Requests per second on each kind of connection: between publishes, and right after one.
const STEADY: f64 = 60.0;
const DENSE: f64 = 450.0;
/// Duration of the dense load after a publish: the time of an ordered change over a round trip of 20 ms.
const DENSE_FOR: Duration = Duration::from_millis(130);
/// Number of kept connections. Those with an odd number last through the whole run, the others are renewed now and then, so
/// that some begin on every listener.
const KEPT: usize = 12;
const RENEWED_PER_SECOND: f64 = 0.3;
/// Longer than any successful request takes.
const PATIENCE: Duration = Duration::from_secs(10);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: upstream\r\n\r\n";
const LAST_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: upstream\r\nconnection: close\r\n\r\n";

/// Load that runs until it is stopped.
pub(crate) struct Load {
    target: SocketAddr,
    results: Mutex<Results>,
    /// Milliseconds from `begun` to the last publish, plus one; 0 before the first.
    published: AtomicU64,
    begun: Instant,
    stop: CancellationToken,
}

/// The results of the requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results {
    pub(crate) on_new: u64,
    pub(crate) on_kept: u64,
    /// The number of each result other than 200, by its description.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Kept connections that were closed before an answer began, for example by the end of a drain.
    pub(crate) cut: u64,
    pub(crate) slowest: Duration,
}

/// The end of a request.
enum Answer {
    Status {
        code: u16,
        close: bool,
    },
    /// The connection was closed before the first byte of the answer.
    Closed,
}

impl Load {
    pub(crate) fn new(target: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            target,
            results: Mutex::default(),
            published: AtomicU64::new(0),
            begun: Instant::now(),
            stop: CancellationToken::new(),
        })
    }

    /// Starts the load. The tasks end after [`Self::stop`].
    pub(crate) fn start(self: &Arc<Self>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(self).on_new_connections());
        for number in 0..KEPT {
            tasks.spawn(Arc::clone(self).on_a_kept_connection(number % 2 == 1));
        }
        tasks
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Marks the start of a publish: the load becomes dense.
    pub(crate) fn note_publish(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.published.store(now.saturating_add(1), Ordering::Relaxed);
    }

    pub(crate) fn results(&self) -> Results {
        self.results.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, edit: impl FnOnce(&mut Results)) {
        edit(&mut self.results.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn rate(&self) -> f64 {
        let published = self.published.load(Ordering::Relaxed);
        let since = self.begun.elapsed().saturating_sub(Duration::from_millis(published));
        if published > 0 && since < DENSE_FOR {
            DENSE
        } else {
            STEADY
        }
    }

    /// Waits for the next arrival of one of `parts` tasks that share the load. Checks the rate meanwhile, so that the load is
    /// dense from the start of a publish; arrivals stay random.
    async fn next_arrival(&self, random: &mut Random, parts: f64) {
        const LOOK_AGAIN: Duration = Duration::from_millis(10);
        loop {
            let pause = random.pause(self.rate() / parts);
            if pause <= LOOK_AGAIN {
                return sleep(pause).await;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn on_new_connections(self: Arc<Self>) {
        let mut random = Random::new();
        let mut requests = JoinSet::new();
        while !self.stop.is_cancelled() {
            self.next_arrival(&mut random, 1.0).await;
            let load = Arc::clone(&self);
            requests.spawn(async move {
                let begun = Instant::now();
                let answer = load.on_a_new_connection().await;
                load.note(|results| {
                    results.on_new += 1;
                    results.slowest = results.slowest.max(begun.elapsed());
                    results.note("new", answer);
                });
            });
            while requests.try_join_next().is_some() {}
        }
        requests.join_all().await;
    }

    async fn on_a_new_connection(&self) -> io::Result<Answer> {
        let mut connection = self.connect().await?;
        exchange(&mut connection, LAST_REQUEST).await
    }

    async fn on_a_kept_connection(self: Arc<Self>, for_good: bool) {
        let mut random = Random::new();
        let parts = f64::from(u32::try_from(KEPT).expect("a handful"));
        while !self.stop.is_cancelled() {
            let ends = if for_good {
                None
            } else {
                Some(random.pause(RENEWED_PER_SECOND))
            };
            let begun = Instant::now();
            let mut connection = match self.connect().await {
                Ok(connection) => connection,
                Err(error) => {
                    self.note(|results| results.note("kept", Err(error)));
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let mut served = false;
            while !self.stop.is_cancelled() && ends.is_none_or(|ends| begun.elapsed() < ends) {
                self.next_arrival(&mut random, parts).await;
                let sent = Instant::now();
                let answer = exchange(&mut connection, REQUEST).await;
                let goes_on = matches!(answer, Ok(Answer::Status { close: false, .. }));
                self.note(|results| match answer {
                    Ok(Answer::Closed) if served => results.cut += 1,
                    answer => {
                        results.on_kept += 1;
                        results.slowest = results.slowest.max(sent.elapsed());
                        results.note("kept", answer);
                    }
                });
                if !goes_on {
                    break;
                }
                served = true;
            }
        }
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let connection = timeout(PATIENCE, TcpStream::connect(self.target)).await??;
        connection.set_nodelay(true)?;
        Ok(connection)
    }
}

impl Results {
    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    fn note(&mut self, connection: &str, answer: io::Result<Answer>) {
        let failure = match answer {
            Ok(Answer::Status { code: 200, .. }) => return,
            Ok(Answer::Status { code, .. }) => format!("{code} on {connection}"),
            Ok(Answer::Closed) => format!("closed on {connection}"),
            Err(error) => format!("{:?} on {connection}", error.kind()),
        };
        *self.failures.entry(failure).or_default() += 1;
    }
}

/// Sends one request and reads its answer.
async fn exchange(connection: &mut TcpStream, request: &[u8]) -> io::Result<Answer> {
    timeout(PATIENCE, async {
        match connection.write_all(request).await {
            Ok(()) => {}
            Err(error) if is_closed(&error) => return Ok(Answer::Closed),
            Err(error) => return Err(error),
        }
        read_answer(connection).await
    })
    .await?
}

async fn read_answer(connection: &mut TcpStream) -> io::Result<Answer> {
    let mut answer = Vec::with_capacity(512);
    loop {
        let length = match connection.read_buf(&mut answer).await {
            Ok(length) => length,
            Err(error) if is_closed(&error) => 0,
            Err(error) => return Err(error),
        };
        if length == 0 && answer.is_empty() {
            return Ok(Answer::Closed);
        }
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_ascii_lowercase();
        let body_length = header(&head, "content-length").and_then(|value| value.parse::<usize>().ok());
        if body.len() >= body_length.unwrap_or(0) {
            let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
            return Ok(Answer::Status {
                code: code.ok_or(io::ErrorKind::InvalidData)?,
                close: header(&head, "connection") == Some("close"),
            });
        }
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(key, _)| *key == name).map(|(_, value)| value)
}
