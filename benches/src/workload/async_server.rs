//! An asynchronous server on tokio. Connections are in memory, with one task at each end. The
//! server reads a request line by line, takes it apart into strings and a map of headers, and
//! builds the answer piece by piece. With one thread the runtime is tokio's single-threaded one;
//! with more it has as many workers. Timed: from the first request to the end of the last task, but
//! not the start of the runtime.

#![forbid(unsafe_code)]

use super::{Context, Outcome};
use crate::measure;
use crate::rng::Rng;
use std::collections::BTreeMap;
use std::fmt::Write;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::runtime::{Builder, Runtime};

const CONNECTIONS: usize = 64;
const REQUESTS: usize = 1200;
/// A writer waits once this many unread bytes are in a connection.
const PIPE: usize = 4096;
const PATHS: [&str; 4] = ["/", "/users", "/users/search", "/articles/latest/comments"];

pub(super) fn run(context: &Context) -> Outcome {
    let requests = context.scaled(REQUESTS);
    let runtime = runtime(context.threads);
    let (checksum, seconds) = measure::timed(|| {
        runtime.block_on(async {
            let mut ends = Vec::new();
            for connection in 0..CONNECTIONS {
                let (near, far) = duplex(PIPE);
                ends.push(tokio::spawn(serve(far)));
                ends.push(tokio::spawn(ask(near, connection as u64, requests)));
            }
            let mut sum = 0u64;
            for end in ends {
                sum = sum.wrapping_add(end.await.expect("a task panicked"));
            }
            sum
        })
    });
    Outcome {
        seconds,
        ops: (CONNECTIONS * requests) as u64,
        checksum,
        notes: Vec::new(),
    }
}

fn runtime(threads: usize) -> Runtime {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(threads).build().expect("the system has threads")
}

/// The client: sends a request, reads the whole answer, and repeats. Its sum covers the answers.
async fn ask(stream: DuplexStream, seed: u64, requests: usize) -> u64 {
    let mut rng = Rng::new(seed);
    let mut stream = BufReader::new(stream);
    let mut sum = 0u64;
    for number in 0..requests {
        let body = "x".repeat(rng.below(512));
        let request = format!(
            "POST {}?page={number}&limit={} HTTP/1.1\r\nHost: example.org\r\nUser-Agent: client/{seed}\r\n\
             Accept: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
            PATHS[rng.below(PATHS.len())],
            1 + rng.below(20),
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("the server reads on");
        let head = head(&mut stream).await.expect("the server answers");
        let answer = body_of(&mut stream, &head).await;
        sum = sum.wrapping_add(answer.iter().map(|&byte| u64::from(byte)).sum::<u64>());
    }
    sum
}

/// The server: answers requests until the client closes the connection. Its sum is zero, because
/// the client's sum covers all that it writes.
async fn serve(stream: DuplexStream) -> u64 {
    let mut stream = BufReader::new(stream);
    while let Some(head) = head(&mut stream).await {
        let body = body_of(&mut stream, &head).await;
        let target = head.first.split(' ').nth(1).unwrap_or("/").to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let options: BTreeMap<String, String> = query
            .split('&')
            .filter_map(|option| option.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let items = options.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(1);
        let mut answer = String::new();
        for item in 0..items {
            writeln!(answer, "item {item} of {path} for {:?}", head.fields.get("user-agent")).expect("text grows");
        }
        writeln!(answer, "{} bytes received", body.len()).expect("text grows");
        let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
        stream.write_all(reply.as_bytes()).await.expect("the client reads on");
    }
    0
}

struct Head {
    first: String,
    fields: BTreeMap<String, String>,
}

/// Reads the first line and the fields up to an empty line; `None` at the end of the stream.
async fn head(stream: &mut BufReader<DuplexStream>) -> Option<Head> {
    let mut first = String::new();
    let mut fields = BTreeMap::new();
    if stream.read_line(&mut first).await.expect("the stream holds text") == 0 {
        return None;
    }
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.expect("the stream holds text");
        match line.trim_end().split_once(": ") {
            Some((key, value)) => fields.insert(key.to_lowercase(), value.to_owned()),
            None => return Some(Head { first, fields }),
        };
    }
}

async fn body_of(stream: &mut BufReader<DuplexStream>, head: &Head) -> Vec<u8> {
    let length = head.fields.get("content-length").and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.expect("the body is whole");
    body
}
