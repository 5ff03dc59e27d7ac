//! The library from outside: programs of C and C++ that run with libgreyspan.so in front of everything else.

#![cfg(target_os = "linux")]

mod harness;
mod semantics;
mod survival;
mod wrong;
