//! Opens the listener. By default only addresses that this machine alone can reach are allowed.

use crate::ServeError;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};

/// Returns a listener at the first of the addresses that can be bound. All of them must be allowed:
/// loopback addresses, or any address if `remote` is set.
pub(crate) fn bind(address: impl ToSocketAddrs, remote: bool) -> Result<TcpListener, ServeError> {
    let addresses: Vec<SocketAddr> = address.to_socket_addrs().map_err(ServeError::Address)?.collect();
    if let Some(reachable) = addresses.iter().find(|address| !remote && !is_loopback(address.ip())) {
        return Err(ServeError::Remote(*reachable));
    }
    let mut failed = ServeError::Address(io::Error::new(
        io::ErrorKind::NotFound,
        "the name resolves to no address",
    ));
    for address in addresses {
        let bound = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        match bound {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = ServeError::Bind(address, error),
        }
    }
    Err(failed)
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Returns the URL under which a browser on this machine opens the console at `address`.
pub(crate) fn url(address: SocketAddr) -> String {
    let port = address.port();
    match address.ip() {
        // The listener accepts every address of this machine: the loopback address is one of them.
        ip if ip.is_unspecified() => format!("http://127.0.0.1:{port}/"),
        IpAddr::V4(ip) => format!("http://{ip}:{port}/"),
        IpAddr::V6(ip) => format!("http://[{ip}]:{port}/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_had_unless_told() {
        for address in ["127.0.0.1:0", "127.8.9.1:0"] {
            assert!(bind(address, false).is_ok(), "{address}");
        }
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
            assert!(matches!(bind(address, false), Err(ServeError::Remote(_))), "{address}");
        }
        assert!(bind("0.0.0.0:0", true).is_ok());
        // An address reserved for documentation: no machine has it.
        assert!(matches!(bind("192.0.2.1:0", true), Err(ServeError::Bind(..))));
    }

    #[test]
    fn what_is_no_address_is_said() {
        for address in ["", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000"] {
            let error = bind(address, false).expect_err(address);
            assert!(matches!(error, ServeError::Address(_)), "{error}");
        }
        let none: &[SocketAddr] = &[];
        assert!(matches!(bind(none, false), Err(ServeError::Address(_))));
    }

    #[test]
    fn a_url_opens_in_a_browser() {
        let of = |text: &str| url(text.parse().expect("an address"));
        assert_eq!(of("127.0.0.1:6060"), "http://127.0.0.1:6060/");
        assert_eq!(of("[::1]:80"), "http://[::1]:80/");
        assert_eq!(of("0.0.0.0:80"), "http://127.0.0.1:80/");
    }
}
