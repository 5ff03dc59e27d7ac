//! A client that is a plain TCP connection.

#![allow(dead_code, reason = "each test program uses some of it")]

use greyspan_console::Console;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Returns the value of a header, whose name is in lower case. Panics if it occurs twice.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|header| header.0 == name);
        let first = values.next().map(|header| header.1.as_str());
        assert!(values.next().is_none(), "the header {name} occurs twice");
        first
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    /// Returns the whole number for the key `name` in a body of JSON.
    pub(crate) fn number(&self, name: &str) -> u64 {
        let rest = self.text().split(&format!("\"{name}\":")).nth(1).expect(name);
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect(name)
    }
}

pub(crate) fn get(console: &Console, path: &str) -> Answer {
    ask(console, "GET", path, &[])
}

pub(crate) fn post(console: &Console, path: &str) -> Answer {
    ask(console, "POST", path, &[("Greyspan-Action", "1")])
}

pub(crate) fn ask(console: &Console, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask_at(
        SocketAddr::from(([127, 0, 0, 1], console.address().port())),
        method,
        path,
        headers,
    )
}

pub(crate) fn ask_at(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n",
        address.port()
    );
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += "\r\n";
    let answer = send_to(address, request.as_bytes());
    let cut = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let cut = cut.unwrap_or_else(|| panic!("{path}: no answer: {:?}", String::from_utf8_lossy(&answer)));
    let head = std::str::from_utf8(&answer[..cut]).expect("a head of ASCII");
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").expect(line);
        (name.to_ascii_lowercase(), value.to_owned())
    };
    let answer = Answer {
        status: status.expect(head),
        headers: lines.map(header).collect(),
        body: answer[cut + 4..].to_vec(),
    };
    if let Some(length) = answer.header("content-length") {
        assert_eq!(length, answer.body.len().to_string(), "{path}");
    }
    answer
}

/// Sends exactly these bytes, and returns all bytes that arrive until the connection ends.
pub(crate) fn send(console: &Console, bytes: &[u8]) -> Vec<u8> {
    send_to(console.address(), bytes)
}

fn send_to(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
    // The console may disconnect before it has read all of it.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}
