//! The thread of the console: it listens, and answers.
//!
//! Owns the runtime, which is the thread itself: connections are tasks on it, so that a peer that is slow keeps nobody waiting. What takes the
//! processor for long, writing profiles above all, is done by at most [`WORKERS`] further threads at a time, each of which ends with its job.
//!
//! 1. Bounded: [`CONNECTIONS`] at a time, [`HEAD`] bytes of request, [`ARRIVAL`] for it to arrive or for the next one to begin, no bodies.
//! 2. What nobody waits for any more is not begun: a peer that asks and goes away, again and again, leaves at most [`WORKERS`] jobs behind.
//! 3. Nothing here panics, and whatever a peer does ends its own connection at the most.

use crate::history::{History, PERIOD};
use crate::reply::{Refusal, Reply};
use crate::stream::Patient;
use crate::{Builder, Console, ServeError, profile, route};
use hyper::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::TcpListener as StdListener;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};
use tokio::io::AsyncWrite;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Runtime};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

const CONNECTIONS: usize = 64;
/// How long a peer for which there is no room may take to go.
const GOODBYE: Duration = Duration::from_millis(500);
const WORKERS: usize = 2;
const HEAD: usize = 16 * 1024;
const ARRIVAL: Duration = Duration::from_secs(5);
/// How many profiles of the difference kind may be waited for at a time.
const DELTAS: usize = 4;

/// What all connections share.
pub(crate) struct State {
    pub(crate) options: Builder,
    history: Mutex<History>,
    pub(crate) deltas: Semaphore,
    pub(crate) since: SystemTime,
}

impl State {
    pub(crate) fn history<R>(&self, look: impl FnOnce(&mut History) -> R) -> R {
        look(&mut self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Debug)]
pub(crate) struct Server {
    stop: Arc<Notify>,
    thread: thread::JoinHandle<()>,
}

impl Server {
    pub(crate) fn shutdown(self) {
        self.stop.notify_one();
        // It does not panic, and if it did there would be nothing to end.
        let _ = self.thread.join();
    }
}

/// Serves at `listener`, which does not block.
pub(crate) fn start(listener: StdListener, options: Builder) -> Result<Console, ServeError> {
    profile::unsampled(|| set_up(listener, options))
}

fn set_up(listener: StdListener, options: Builder) -> Result<Console, ServeError> {
    let address = listener.local_addr().map_err(ServeError::Thread)?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(ServeError::Thread)?;
    let listener = {
        let _inside = runtime.enter();
        TcpListener::from_std(listener).map_err(ServeError::Thread)?
    };
    let rate = options.rate;
    let state = Arc::new(State {
        options,
        history: Mutex::new(History::new()),
        deltas: Semaphore::new(DELTAS),
        since: SystemTime::now(),
    });
    let stop = Arc::new(Notify::new());
    let thread = thread::Builder::new()
        .name("greyspan-console".to_owned())
        .spawn({
            let stop = Arc::clone(&stop);
            // What a console allocates is in no profile, its own least of all.
            move || profile::unsampled(|| run(runtime, listener, state, &stop))
        })
        .map_err(ServeError::Thread)?;
    if let Some(rate) = rate {
        profile::begin_if_off(rate);
    }
    let server = Server { stop, thread };
    Ok(Console { address, server })
}

fn run(runtime: Runtime, listener: TcpListener, state: Arc<State>, stop: &Notify) {
    runtime.spawn(sample(Arc::clone(&state)));
    runtime.spawn(listen(listener, state));
    runtime.block_on(stop.notified());
    // Ends its tasks, and with them the port and the connections. A job that a further thread does may outlive it.
    runtime.shutdown_timeout(Duration::from_secs(1));
}

async fn sample(state: Arc<State>) {
    let mut clock = interval(PERIOD);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        clock.tick().await;
        let stats = greyspan::stats();
        state.history(|history| history.add(SystemTime::now(), &stats));
    }
}

async fn listen(listener: TcpListener, state: Arc<State>) {
    let (room, goodbyes) = (
        Arc::new(Semaphore::new(CONNECTIONS)),
        Arc::new(Semaphore::new(CONNECTIONS)),
    );
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // A peer that went away, or no more files: neither is mended by asking again at once.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            if let Ok(turn) = Arc::clone(&goodbyes).try_acquire_owned() {
                tokio::spawn(async move {
                    let _ = timeout(GOODBYE, refuse(stream)).await;
                    drop(turn);
                });
            }
            continue;
        };
        // Answers go out whole.
        let _ = stream.set_nodelay(true);
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let state = Arc::clone(&state);
                async move { Ok::<Reply, Infallible>(route::answer(request, state).await) }
            });
            // An error is the peer's: it sent what is no request, took too long, or went away.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(ARRIVAL)
                .max_buf_size(HEAD)
                .serve_connection(TokioIo::new(Patient::new(stream)), answer)
                .await;
            drop(place);
        });
    }
}

/// Tells a peer that there is no room for it, and waits until it goes: were the connection closed with what it has sent unread, the peer's system
/// would throw the answer away.
async fn refuse(mut stream: TcpStream) {
    let full: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 21\r\nConnection: close\r\n\r\ntoo many connections\n";
    // Fresh, it takes as much at once; if not, it goes without a word.
    if stream.try_write(full).is_err()
        || poll_fn(|context| Pin::new(&mut stream).poll_shutdown(context))
            .await
            .is_err()
    {
        return;
    }
    let mut sent = [0; 1024];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut sent) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
        }
    }
}

thread_local! {
    /// A turn for each further thread. The thread that answers is one console's alone.
    static TURNS: Arc<Semaphore> = Arc::new(Semaphore::new(WORKERS));
}

/// Has a further thread do `job`, which may take long. Before its turn has come it is not handed on, so that it is gone with whoever asked.
pub(crate) async fn work<R: Send + 'static>(
    job: impl FnOnce() -> Result<R, Refusal> + Send + 'static,
) -> Result<R, Refusal> {
    let turn = TURNS.with(Arc::clone).acquire_owned().await;
    let (tell, told) = oneshot::channel();
    // The runtime's own pool panics where the system has no thread to give.
    thread::Builder::new()
        .name("greyspan-work".to_owned())
        .spawn(move || {
            profile::unsampled(|| {
                let outcome = job();
                drop(turn);
                // Perhaps nobody waits any more.
                let _ = tell.send(outcome);
            });
        })
        .map_err(|error| failed(format!("no thread for the job: {error}")))?;
    told.await.unwrap_or_else(|_| Err(failed("the job ended early")))
}

/// Something that the peer has no part in went wrong.
pub(crate) fn failed(why: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, why)
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::RwLock;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    #[test]
    fn what_nobody_waits_for_is_not_begun() {
        let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
        let (gate, done) = (Arc::new(RwLock::new(())), Arc::new(AtomicUsize::new(0)));
        let closed = gate.write().expect("the gate");
        runtime.block_on(async {
            let asked: Vec<_> = (0..20)
                .map(|_| {
                    let (gate, done) = (Arc::clone(&gate), Arc::clone(&done));
                    tokio::spawn(work(move || {
                        drop(gate.read());
                        done.fetch_add(1, SeqCst);
                        Ok(())
                    }))
                })
                .collect();
            // All have come as far as they can.
            tokio::task::yield_now().await;
            asked.iter().for_each(tokio::task::JoinHandle::abort);
            tokio::task::yield_now().await;
        });
        drop(closed);
        runtime.block_on(work(|| Ok(()))).expect("a turn");
        let done = done.load(SeqCst);
        assert!(done <= WORKERS, "{done} jobs that nobody waited for");
    }
}
