//! Allocates all the time and keeps almost nothing: its heap profile shows which function does it.
//!
//! ```text
//! cargo run --release --features profiling --example churn_hunt -- target/churn
//! go tool pprof -top target/churn/churn.pb.gz     or open target/churn/churn.svg in a browser
//! ```
//!
//! The program writes a table of a million cells as text. One function builds each line by adding
//! every cell to a new string, so it copies the line again and again. The other pushes the cells
//! onto one string. In the in-use profile both look alike, because neither keeps anything. In the
//! profile of allocated bytes, the first function stands far ahead.

use greyspan::Greyspan;
use greyspan::profile::{self, Profile, View};
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();

/// Builds a line the slow way: each cell makes a new, longer string from all cells so far.
#[inline(never)]
fn line_by_copies(cells: &[u32]) -> String {
    cells.iter().fold(String::new(), |line, cell| format!("{line}{cell},"))
}

/// Builds the same line in one growing string.
#[inline(never)]
fn line_in_place(cells: &[u32]) -> String {
    let mut line = String::new();
    for cell in cells {
        line.push_str(&cell.to_string());
        line.push(',');
    }
    line
}

fn main() -> io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "target/churn".into()));
    fs::create_dir_all(&folder)?;
    profile::start(profile::DEFAULT_RATE)?;
    let cells: Vec<u32> = (0..200).map(|cell| cell * 7919 % 100_000).collect();
    let mut bytes = 0;
    for _ in 0..2_500 {
        bytes += black_box(line_by_copies(&cells)).len();
        bytes += black_box(line_in_place(&cells)).len();
    }
    profile::stop();
    let churn = Profile::take().with_view(View::AllocSpace);
    let mut pprof = BufWriter::new(File::create(folder.join("churn.pb.gz"))?);
    churn.write_pprof(&mut pprof)?;
    pprof.flush()?;
    let mut picture = BufWriter::new(File::create(folder.join("churn.svg"))?);
    churn.write_flamegraph(&mut picture)?;
    picture.flush()?;
    println!(
        "{bytes} bytes of lines; allocated {} MiB, in use {} KiB, by the profile",
        churn.total(View::AllocSpace) >> 20,
        churn.total(View::InuseSpace) >> 10,
    );
    println!("{}: churn.pb.gz and churn.svg", folder.display());
    Ok(())
}
