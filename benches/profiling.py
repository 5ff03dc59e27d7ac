#!/usr/bin/env python3
"""Measures the heap profiler's cost while it samples: each row of the scoreboard with the profiler off and on at 512 KiB, in
turns, on an idle machine.

    benches/profiling.py NAME [ROUNDS]      writes benches/results/NAME-profiling.txt (default: 5 rounds)

NAME names the machine. The rows are those of benches/results/NAME.json, which benches/publish.sh writes. Both sides run the
same program, built with the feature `profiling`. Takes about ten minutes on 2 cores, plus one to build. If the ratio of a row
is beyond 3 per cent, the row runs again with three times as many rounds, because noise of the machine causes most such
ratios. The second column is the ratio of the fastest runs, which the machine disturbs less than the medians.
"""

import json
import math
import os
import pathlib
import statistics
import subprocess
import sys

PROJECT = pathlib.Path(__file__).resolve().parent.parent
RATE = "/dev/null:512KiB"
WORST = 1.03


def build():
    """Builds the cell and returns its path."""
    command = ["cargo", "build", "--release", "--package", "greyspan-bench", "--bin", "cell_greyspan", "--features", "greyspan/profiling"]
    subprocess.run([*command, "--target-dir", "target/profiling"], cwd=PROJECT, check=True)
    return PROJECT / "target/profiling/release/cell_greyspan"


def rows(name):
    """Returns the benches of the scoreboard with their numbers of threads, except the one that mostly sleeps."""
    cells = json.loads((PROJECT / f"benches/results/{name}.json").read_text())["cells"]
    return [(cell["bench"], cell["threads"]) for cell in cells if cell["alloc"] == "greyspan" and cell["bench"] != "idle-after-peak"]


def seconds(cell, bench, threads, on):
    """Runs the cell once and returns its time."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GREYSPAN_")}
    if on:
        environment["GREYSPAN_PROFILE"] = RATE
    done = subprocess.run([cell, bench, str(threads)], capture_output=True, text=True, env=environment, check=True)
    return json.loads(done.stdout.splitlines()[-1])["seconds"]


def ratios(cell, bench, threads, rounds):
    """Runs rounds in turns and returns the time with sampling divided by that without: of the medians, and of the fastest."""
    times = ([], [])
    for turn in range(rounds):
        for on in (False, True) if turn % 2 == 0 else (True, False):
            times[on].append(seconds(cell, bench, threads, on))
    return [of(times[True]) / of(times[False]) for of in (statistics.median, min)]


def main():
    if not 2 <= len(sys.argv) <= 3 or "/" in sys.argv[1]:
        sys.exit("error: expected a name for the machine; usage: benches/profiling.py NAME [ROUNDS]")
    rounds = int(sys.argv[2]) if len(sys.argv) == 3 else 5
    cell = build()
    found = []
    for bench, threads in rows(sys.argv[1]):
        median, fastest = ratios(cell, bench, threads, rounds)
        if not 1 / WORST <= median <= WORST:
            median, fastest = ratios(cell, bench, threads, rounds * 3)
        found.append((bench, threads, median, fastest))
        print(f"{bench:24} {threads}  {median:.3f}  {fastest:.3f}", file=sys.stderr, flush=True)
    means = [math.exp(sum(math.log(row[column]) for row in found) / len(found)) for column in (2, 3)]
    found.sort(key=lambda row: -row[2])
    lines = ["Time with sampling divided by time without", "bench                 threads   medians   fastest"]
    lines += [f"{bench:24} {threads:4}  {median:8.3f}  {fastest:8.3f}" for bench, threads, median, fastest in found]
    lines += ["", f"geometric means of {len(found)} rows: {means[0]:.4f}, {means[1]:.4f}; one sample per 512 KiB on average"]
    text = "\n".join(lines) + "\n"
    (PROJECT / f"benches/results/{sys.argv[1]}-profiling.txt").write_text(text)
    print(text)


main()
