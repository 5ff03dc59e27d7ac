//! The console's thread, which listens and answers.
//!
//! Owns the tokio runtime, which runs on this thread alone. Each connection is a task, so a slow
//! peer delays no other peer. Long jobs, above all writing profiles, run on at most [`WORKERS`]
//! further threads at a time. Each of those ends with its job.
//!
//! 1. Resources are bounded: [`CONNECTIONS`] at a time; [`HEAD`] bytes per request; [`ARRIVAL`] for
//!    a request to arrive, or for the next one to begin; no bodies.
//! 2. A job whose peer has gone is not started. A peer that asks and disconnects again and again
//!    leaves at most [`WORKERS`] jobs behind.
//! 3. No code here panics. A peer can end no connection but its own.

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

/// The most connections at a time.
const CONNECTIONS: usize = 64;
/// The time that a refused peer may take to disconnect.
const GOODBYE: Duration = Duration::from_millis(500);
/// The most threads at a time that do long jobs.
const WORKERS: usize = 2;
/// The most bytes of a request.
const HEAD: usize = 16 * 1024;
/// The time in which a request must arrive.
const ARRIVAL: Duration = Duration::from_secs(5);
/// The most requests for a profile's difference at a time. Each waits for its `seconds`.
const DELTAS: usize = 4;

/// The state that all connections share.
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
        // The thread does not panic; if it did, it would have ended too.
        let _ = self.thread.join();
    }
}

/// Serves at `listener`, which must be non-blocking.
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
            // The console's allocations appear in no profile.
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
    // Ends the tasks, and with them the port and the connections. A job on a further thread may go
    // on.
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
            // The peer has gone, or the process has no more file descriptors: wait before trying
            // again.
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
        // Each answer is written as a whole, so the system need not gather small writes.
        let _ = stream.set_nodelay(true);
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let state = Arc::clone(&state);
                async move { Ok::<Reply, Infallible>(route::answer(request, state).await) }
            });
            // An error is the peer's fault: it sent no valid request, took too long, or
            // disconnected.
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

/// Tells a peer that there are too many connections, and waits until it disconnects. If this side
/// closed the connection before it had read the request, the peer's system would discard the
/// answer.
async fn refuse(mut stream: TcpStream) {
    let full: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 76\r\nConnection: close\r\n\r\ntoo many connections: close another page of the console, or try again later\n";
    // A new connection takes this text in one write. If the write fails, the peer gets no answer.
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
    /// One permit per further thread. Each console has a thread, and so a set of permits.
    static TURNS: Arc<Semaphore> = Arc::new(Semaphore::new(WORKERS));
}

/// Runs `job`, which may take long, on a further thread, and returns its result. Until a permit is
/// free the job waits in this future; if the peer disconnects, the job is dropped with it.
pub(crate) async fn work<R: Send + 'static>(
    job: impl FnOnce() -> Result<R, Refusal> + Send + 'static,
) -> Result<R, Refusal> {
    let turn = TURNS.with(Arc::clone).acquire_owned().await;
    let (tell, told) = oneshot::channel();
    // The runtime's own pool panics if the system refuses a thread; this returns an error.
    thread::Builder::new()
        .name("greyspan-work".to_owned())
        .spawn(move || {
            profile::unsampled(|| {
                let outcome = job();
                drop(turn);
                // The peer may have disconnected.
                let _ = tell.send(outcome);
            });
        })
        .map_err(|error| failed(format!("the system refused a thread: {error}; try again")))?;
    told.await
        .unwrap_or_else(|_| Err(failed("this request failed inside the console; try again")))
}

/// Returns a refusal with status 500, for an error that is not the peer's fault.
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
            // Each task has run until it waits.
            tokio::task::yield_now().await;
            asked.iter().for_each(tokio::task::JoinHandle::abort);
            tokio::task::yield_now().await;
        });
        drop(closed);
        runtime.block_on(work(|| Ok(()))).expect("a turn");
        let done = done.load(SeqCst);
        assert!(done <= WORKERS, "{done} jobs ran although no peer waited for them");
    }
}
