//! The library from outside: programs of C and C++ that run with libgreyspan.so in front of everything else.

#![cfg(target_os = "linux")]

mod catalogue;
#[path = "../../../tests/profile/decode.rs"]
mod decode;
mod deepbind;
mod forks;
mod harness;
mod idle;
mod profile;
mod sandbox;
mod semantics;
mod survival;
mod wrong;
