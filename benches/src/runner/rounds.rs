//! Runs the rounds: in each round, every allocator runs every row once. Each round begins with
//! another allocator, so that a drift of the machine affects all alike. The order also changes, so
//! that each allocator follows a different one: it may reuse memory that the previous process has
//! just given back, in the state in which it was given back. One warm-up round comes first and does
//! not count.

use super::machine::busy_seconds;
use super::results::{Cell, Sample};
use crate::measure;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Returns a flag that the first Ctrl-C or TERM after this call sets; the second one ends the
/// process at once.
///
/// # Errors
/// If the system refuses.
pub fn on_interrupt() -> std::io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The order matters: the first handler reads the flag before the second one sets it, so
        // only a second signal ends the process.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&interrupted))?;
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    Ok(interrupted)
}

/// Runs `rounds` rounds over all cells and calls `once(cell index, warming up)` for each cell in
/// each round. Returns true if all rounds ended. A cell that fails once is not run again.
pub fn run(
    cells: &mut [Cell],
    rounds: usize,
    interrupted: &AtomicBool,
    mut once: impl FnMut(usize, bool) -> Result<Sample, String>,
) -> bool {
    let starts = row_starts(cells);
    let steps = cells.len() * (rounds + 1);
    let bar = bar(steps);
    let begin = Instant::now();
    for round in 0..=rounds {
        let warming = round == 0;
        for row in starts.windows(2) {
            for index in order(row[0], row[1], round) {
                let cell = &mut cells[index];
                bar.set_message(format!("{} {} {}", cell.bench, threads(cell.threads), cell.alloc));
                if cell.failure.is_none() {
                    let (result, others) = beside_others(|| once(index, warming));
                    // Relaxed: the flag carries no other data.
                    if interrupted.load(Ordering::Relaxed) {
                        bar.finish_and_clear();
                        return false;
                    }
                    match result {
                        Ok(sample) if warming => cell.warm_checksum = Some(sample.checksum),
                        Ok(sample) => cell.add(sample, others),
                        Err(problem) => {
                            bar.suspend(|| eprintln!("FAILED: {} under {}: {problem}", cell.bench, cell.alloc));
                            cell.failure = Some(problem);
                        }
                    }
                }
                bar.inc(1);
            }
        }
        if !std::io::stderr().is_terminal() {
            let name = if warming {
                "warm-up".to_owned()
            } else {
                format!("round {round} of {rounds}")
            };
            eprintln!("{name} done after {:.0} s", begin.elapsed().as_secs_f64());
        }
    }
    bar.finish_and_clear();
    true
}

fn bar(steps: usize) -> ProgressBar {
    let style = "{wide_bar} {pos}/{len}  {elapsed} gone, {eta} to go  {msg}";
    let style = ProgressStyle::with_template(style).expect("the template is valid");
    // It draws nothing if standard error is no terminal.
    ProgressBar::new(steps as u64).with_style(style)
}

/// Returns the beginning of each row, and the end.
fn row_starts(cells: &[Cell]) -> Vec<usize> {
    let mut starts = vec![0];
    for row in cells.chunk_by(Cell::same_row) {
        starts.push(starts[starts.len() - 1] + row.len());
    }
    starts
}

/// Returns the indices from `start` to `end`, beginning one later in each round and with another
/// step size. So each index follows a different one than in the round before, as far as enough step
/// sizes exist that visit each index once.
fn order(start: usize, end: usize, round: usize) -> impl Iterator<Item = usize> {
    let length = end - start;
    let steps = (1..length).filter(|&step| gcd(step, length) == 1);
    let step = steps.clone().nth(round % steps.count().max(1)).unwrap_or(1);
    (0..length).map(move |place| start + (round + place * step) % length)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Runs `work` and returns the number of cores that other processes, neither this one nor its
/// child, kept busy meanwhile; 0 if the system does not tell.
fn beside_others<R>(work: impl FnOnce() -> R) -> (R, f64) {
    let own = || {
        let (this, children) = (measure::usage(), measure::usage_of_children());
        this.user_seconds + this.system_seconds + children.user_seconds + children.system_seconds
    };
    let (busy, mine, start) = (busy_seconds(), own(), Instant::now());
    let result = work();
    let (mine, elapsed) = (own() - mine, start.elapsed().as_secs_f64());
    let all = busy_seconds().zip(busy).map_or(0.0, |(after, before)| after - before);
    (result, ((all - mine) / elapsed).max(0.0))
}

/// Formats `1 thread`, `2 threads`, or nothing if the command decides.
#[must_use]
pub fn threads(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => "1 thread".to_owned(),
        _ => format!("{count} threads"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells() -> Vec<Cell> {
        vec![
            Cell::new("a", "x", 1),
            Cell::new("b", "x", 1),
            Cell::new("a", "y", 1),
            Cell::new("b", "y", 1),
        ]
    }

    #[test]
    fn rounds_take_turns_and_the_first_warms_up() {
        let (mut cells, mut seen) = (cells(), Vec::new());
        let whole = run(&mut cells, 2, &AtomicBool::new(false), |index, warming| {
            seen.push((index, warming));
            Ok(Sample::default())
        });
        assert!(whole);
        let (warm, rest) = seen.split_at(4);
        assert_eq!(warm, [(0, true), (1, true), (2, true), (3, true)]);
        assert_eq!(
            rest.iter().map(|step| step.0).collect::<Vec<_>>(),
            [1, 0, 3, 2, 0, 1, 2, 3]
        );
        assert!(cells.iter().all(|cell| cell.seconds.len() == 2));
    }

    #[test]
    fn each_allocator_runs_once_a_round_and_after_each_other_one_in_turn() {
        let rounds: Vec<Vec<usize>> = (0..6).map(|round| order(10, 17, round).collect()).collect();
        let mut pairs = std::collections::HashSet::new();
        for round in &rounds {
            let mut all = round.clone();
            all.sort_unstable();
            assert!(all.into_iter().eq(10..17));
            pairs.extend(round.windows(2).map(|pair| (pair[0], pair[1])));
        }
        assert_eq!(pairs.len(), 36, "no allocator follows another twice: {rounds:?}");
        for (length, round) in (1..9).flat_map(|length| (0..9).map(move |round| (length, round))) {
            let mut all: Vec<usize> = order(0, length, round).collect();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..length));
        }
    }

    #[test]
    fn a_cell_that_fails_is_left_out_from_then_on_and_the_others_go_on() {
        let (mut cells, mut runs) = (cells(), 0);
        run(&mut cells, 2, &AtomicBool::new(false), |index, _| {
            runs += usize::from(index == 1);
            if index == 1 {
                Err("signal".to_owned())
            } else {
                Ok(Sample::default())
            }
        });
        assert_eq!(
            (runs, cells[1].failure.as_deref(), cells[1].seconds.len()),
            (1, Some("signal"), 0)
        );
        assert!(
            cells
                .iter()
                .filter(|cell| cell.failure.is_none())
                .all(|cell| cell.seconds.len() == 2)
        );
    }

    #[test]
    fn an_interrupted_run_keeps_what_it_has_and_blames_nobody() {
        let (mut cells, interrupted) = (cells(), AtomicBool::new(false));
        let whole = run(&mut cells, 2, &interrupted, |index, warming| {
            if !warming && index == 3 {
                interrupted.store(true, Ordering::Relaxed);
                return Err("interrupted".to_owned());
            }
            Ok(Sample::default())
        });
        assert!(!whole);
        assert_eq!(
            cells.iter().map(|cell| cell.seconds.len()).collect::<Vec<_>>(),
            [1, 1, 0, 0]
        );
        assert!(cells.iter().all(|cell| cell.failure.is_none()));
    }
}
