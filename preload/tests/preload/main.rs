//! Tests the library from outside: programs in C and C++ run with libgreyspan.so preloaded.

#![cfg(target_os = "linux")]

mod catalogue;
#[path = "../../../tests/profile/decode.rs"]
mod decode;
mod deepbind;
mod forks;
mod harness;
mod idle;
mod park;
mod profile;
mod sandbox;
mod semantics;
mod survival;
mod wrong;
