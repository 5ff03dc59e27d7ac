//! The figures of a run, in the form of its JSON file: [`Results`] is the file.
//!
//! Names of fields are part of the file format. They keep their meaning within a version.

use super::machine::Machine;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the format.
pub const VERSION: u32 = 1;

/// A whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// The version of the format.
    pub version: u32,
    /// The machine that ran it.
    #[serde(default)]
    pub machine: Machine,
    /// The settings of the run.
    #[serde(default)]
    pub settings: Settings,
    /// One cell for each allocator in each row, row by row.
    pub cells: Vec<Cell>,
}

/// The settings of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The number of rounds asked for, without the one to warm up.
    pub rounds: usize,
    /// The factor that multiplied the number of operations.
    pub scale: f64,
    /// Whether it was interrupted before the last round.
    pub interrupted: bool,
    /// Allocators that were asked for but are missing, each with the reason.
    pub skipped: BTreeMap<String, String>,
    /// The measured command, if it was not one of the benches.
    pub command: Option<String>,
    /// Variables of the environment that an allocator may read.
    pub environment: BTreeMap<String, String>,
    /// Whether the benches ran under shared libraries.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub preload: bool,
}

/// One allocator in one row. Each list has one entry per round.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Cell {
    /// The allocator.
    pub alloc: String,
    /// The workload, or the name that the user gave to a command.
    pub bench: String,
    /// Threads at work; 0 if the command decides.
    pub threads: usize,
    /// The length of the timed part.
    pub seconds: Vec<f64>,
    /// The peak of resident memory.
    pub rss_bytes: Vec<u64>,
    /// Page faults that needed no read from a device.
    pub minor_faults: Vec<u64>,
    /// Page faults that waited for a device. Older files have neither these nor the switches.
    pub major_faults: Vec<u64>,
    /// The times that a thread gave up its processor, most often to wait.
    pub voluntary_switches: Vec<u64>,
    /// The times that the kernel took the processor from a thread that could have gone on.
    pub involuntary_switches: Vec<u64>,
    /// Instructions that cachegrind counted, if it ran the command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instructions: Vec<u64>,
    /// Data misses of cachegrind's first cache.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub d1_misses: Vec<u64>,
    /// Data misses of cachegrind's last cache.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ll_misses: Vec<u64>,
    /// Processor time in user mode, of the whole process.
    pub user_seconds: Vec<f64>,
    /// Processor time in the kernel, of the whole process.
    pub system_seconds: Vec<f64>,
    /// The number of cores that other work kept busy meanwhile, on average.
    pub others: Vec<f64>,
    /// Operations in the timed part; 0 if unknown.
    pub ops: u64,
    /// The share of the row's work that a run did. A slow cell of a steady workload does only a
    /// part. Then `seconds` and `ops` are extrapolated to the whole work; faults and processor time
    /// are not.
    pub share: f64,
    /// The sum over the data that was written and read back.
    pub checksums: Vec<String>,
    /// The checksum of the warm-up round, in which all cells of a row do the same work.
    pub warm_checksum: Option<String>,
    /// Further figures of the workload.
    pub notes: BTreeMap<String, Vec<f64>>,
    /// Resident memory in KiB each 100 ms, of the last round, if the workload samples it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<u64>,
    /// The reason why this cell does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// The figures of one run of one cell.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// See [`Cell`] for this field and the following ones.
    pub seconds: f64,
    /// In bytes.
    pub rss_bytes: u64,
    /// A count.
    pub minor_faults: u64,
    /// A count.
    pub major_faults: u64,
    /// A count.
    pub voluntary_switches: u64,
    /// A count.
    pub involuntary_switches: u64,
    /// In seconds.
    pub user_seconds: f64,
    /// In seconds.
    pub system_seconds: f64,
    /// A count.
    pub ops: u64,
    /// As hexadecimal text.
    pub checksum: String,
    /// Name and figure.
    pub notes: BTreeMap<String, f64>,
    /// In KiB.
    pub curve: Vec<u64>,
    /// Set by the runner, not by the program.
    #[serde(skip)]
    pub share: Option<f64>,
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            alloc: String::new(),
            bench: String::new(),
            threads: 0,
            seconds: Vec::new(),
            rss_bytes: Vec::new(),
            minor_faults: Vec::new(),
            major_faults: Vec::new(),
            voluntary_switches: Vec::new(),
            involuntary_switches: Vec::new(),
            instructions: Vec::new(),
            d1_misses: Vec::new(),
            ll_misses: Vec::new(),
            user_seconds: Vec::new(),
            system_seconds: Vec::new(),
            others: Vec::new(),
            ops: 0,
            share: 1.0,
            checksums: Vec::new(),
            warm_checksum: None,
            notes: BTreeMap::new(),
            curve: Vec::new(),
            failure: None,
        }
    }
}

impl Sample {
    /// Converts the sample of a run that did `share` of the work to one of the whole work.
    #[must_use]
    pub fn of_share(mut self, share: f64) -> Self {
        self.seconds /= share;
        self.ops = (self.ops as f64 / share).round() as u64;
        self.share = Some(share);
        self
    }
}

impl Cell {
    /// Returns a cell without results.
    #[must_use]
    pub fn new(alloc: &str, bench: &str, threads: usize) -> Self {
        Self {
            alloc: alloc.to_owned(),
            bench: bench.to_owned(),
            threads,
            ..Self::default()
        }
    }

    /// Returns whether both cells belong to one row.
    #[must_use]
    pub fn same_row(&self, other: &Self) -> bool {
        self.bench == other.bench && self.threads == other.threads
    }

    /// Adds the sample of one round.
    pub fn add(&mut self, sample: Sample, others: f64) {
        self.seconds.push(sample.seconds);
        self.rss_bytes.push(sample.rss_bytes);
        self.minor_faults.push(sample.minor_faults);
        self.major_faults.push(sample.major_faults);
        self.voluntary_switches.push(sample.voluntary_switches);
        self.involuntary_switches.push(sample.involuntary_switches);
        self.user_seconds.push(sample.user_seconds);
        self.system_seconds.push(sample.system_seconds);
        self.others.push(others);
        self.ops = sample.ops;
        self.share = sample.share.unwrap_or(1.0);
        self.checksums.push(sample.checksum);
        for (key, value) in sample.notes {
            self.notes.entry(key).or_default().push(value);
        }
        self.curve = sample.curve;
    }

    fn append(&mut self, other: Self) {
        self.seconds.extend(other.seconds);
        self.rss_bytes.extend(other.rss_bytes);
        self.minor_faults.extend(other.minor_faults);
        self.major_faults.extend(other.major_faults);
        self.voluntary_switches.extend(other.voluntary_switches);
        self.involuntary_switches.extend(other.involuntary_switches);
        self.instructions.extend(other.instructions);
        self.d1_misses.extend(other.d1_misses);
        self.ll_misses.extend(other.ll_misses);
        self.user_seconds.extend(other.user_seconds);
        self.system_seconds.extend(other.system_seconds);
        self.others.extend(other.others);
        self.ops = other.ops;
        self.checksums.extend(other.checksums);
        for (key, values) in other.notes {
            self.notes.entry(key).or_default().extend(values);
        }
        if !other.curve.is_empty() {
            self.curve = other.curve;
        }
        self.failure = self.failure.take().or(other.failure);
    }
}

impl Results {
    /// Parses the text of a file.
    ///
    /// # Errors
    /// If the text is not such a file, or one of another version.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut results: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if results.version != VERSION {
            return Err(format!(
                "file version {}, but this program reads version {VERSION}",
                results.version
            ));
        }
        results.put_rows_together();
        Ok(results)
    }

    /// Returns the text of the file.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("numbers, text, lists and maps with text as keys");
        text.push('\n');
        text
    }

    /// Returns the cells, row by row.
    pub fn rows(&self) -> impl Iterator<Item = &[Cell]> {
        self.cells.chunk_by(Cell::same_row)
    }

    /// Merges another run on the same machine: new cells, and more rounds of those that exist.
    ///
    /// # Errors
    /// If the machine or the amount of work per run differs: such figures cannot be compared.
    pub fn merge(&mut self, other: Self) -> Result<(), String> {
        if !self.machine.is_like(&other.machine) {
            return Err("the files are from different machines, kernels or compilers".to_owned());
        }
        if (self.settings.scale - other.settings.scale).abs() > f64::EPSILON {
            return Err("another scale".to_owned());
        }
        for cell in other.cells {
            let known = self
                .cells
                .iter_mut()
                .find(|known| known.alloc == cell.alloc && known.same_row(&cell));
            match known {
                Some(known) => known.append(cell),
                None => self.cells.push(cell),
            }
        }
        if self.settings.command != other.settings.command {
            self.settings.command = Some("one per row".to_owned());
        }
        self.settings.interrupted |= other.settings.interrupted;
        self.settings.skipped.extend(other.settings.skipped);
        self.put_rows_together();
        Ok(())
    }

    /// Moves the cells of each row to the position of the row's first cell.
    fn put_rows_together(&mut self) {
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        for cell in std::mem::take(&mut self.cells) {
            match rows.iter_mut().find(|row| row[0].same_row(&cell)) {
                Some(row) => row.push(cell),
                None => rows.push(vec![cell]),
            }
        }
        self.cells = rows.into_iter().flatten().collect();
    }

    /// Fails each cell whose checksum differs from the cells of its row that did the same work. The
    /// most frequent sum counts as right; among equally frequent ones, the system allocator's.
    pub fn hold_checksums_together(&mut self) {
        /// Bench, threads, and the share of the work as bits; `None` for the warm-up round.
        type Work = (String, usize, Option<u64>);
        fn sums(cell: &Cell) -> impl Iterator<Item = (Work, &String)> {
            let work = |share: Option<f64>| (cell.bench.clone(), cell.threads, share.map(f64::to_bits));
            let warm = cell.warm_checksum.iter().map(move |sum| (work(None), sum));
            warm.chain(cell.checksums.iter().map(move |sum| (work(Some(cell.share)), sum)))
        }
        let mut votes: BTreeMap<Work, BTreeMap<String, f64>> = BTreeMap::new();
        for cell in &self.cells {
            for (work, sum) in sums(cell) {
                let vote = votes.entry(work).or_default().entry(sum.clone()).or_default();
                *vote += if cell.alloc == "system" { 1.01 } else { 1.0 };
            }
        }
        for cell in &mut self.cells {
            let wrong = sums(cell).find_map(|(work, sum)| {
                let (right, _) = votes[&work].iter().max_by(|a, b| a.1.total_cmp(b.1))?;
                (sum != right).then(|| format!("wrong result: checksum {sum}, the others say {right}"))
            });
            cell.failure = cell.failure.take().or(wrong);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seconds: f64, checksum: &str) -> Sample {
        Sample {
            seconds,
            rss_bytes: 1 << 20,
            major_faults: 3,
            voluntary_switches: 4,
            involuntary_switches: 5,
            ops: 10,
            checksum: checksum.to_owned(),
            notes: BTreeMap::from([("resident".to_owned(), 7.0)]),
            ..Sample::default()
        }
    }

    fn cell(alloc: &str, bench: &str, checksum: &str) -> Cell {
        let mut cell = Cell::new(alloc, bench, 1);
        cell.add(sample(1.5, checksum), 0.0);
        cell
    }

    fn results(cells: Vec<Cell>) -> Results {
        Results {
            version: VERSION,
            machine: Machine::default(),
            settings: Settings::default(),
            cells,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = results(vec![cell("system", "churn", "a"), cell("greyspan", "churn", "a")]).to_json();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["version"], 1);
        let first = &value["cells"][0];
        assert_eq!(
            (
                first["alloc"].as_str(),
                first["bench"].as_str(),
                first["threads"].as_u64()
            ),
            (Some("system"), Some("churn"), Some(1))
        );
        assert_eq!(
            (first["seconds"][0].as_f64(), first["rss_bytes"][0].as_u64()),
            (Some(1.5), Some(1 << 20))
        );
        assert_eq!(
            (&first["major_faults"][0], &first["voluntary_switches"][0]),
            (&3.into(), &4.into())
        );
        assert_eq!(first.get("failure"), None);
        assert_eq!(Results::parse(&text).unwrap().to_json(), text);
    }

    #[test]
    fn the_least_that_the_format_promises_is_enough_and_another_version_is_refused() {
        let least = r#"{"version":1,"cells":[{"alloc":"a","bench":"b","threads":1,"seconds":[1],"rss_bytes":[2]}]}"#;
        assert_eq!(Results::parse(least).unwrap().cells[0].seconds, [1.0]);
        let message = Results::parse(&least.replace("\"version\":1", "\"version\":2")).unwrap_err();
        assert!(message.contains("version 2"), "{message}");
        assert!(Results::parse("{}").is_err() && Results::parse("no JSON").is_err());
    }

    #[test]
    fn a_merged_run_adds_rounds_to_known_cells_and_keeps_rows_together() {
        let mut first = results(vec![cell("system", "churn", "a"), cell("system", "larson", "a")]);
        first
            .merge(results(vec![
                cell("greyspan", "churn", "a"),
                cell("system", "churn", "a"),
            ]))
            .unwrap();
        let names: Vec<_> = first
            .cells
            .iter()
            .map(|cell| (&*cell.bench, &*cell.alloc, cell.involuntary_switches.len()))
            .collect();
        assert_eq!(
            names,
            [
                ("churn", "system", 2),
                ("churn", "greyspan", 1),
                ("larson", "system", 1)
            ]
        );
        let mut other = results(Vec::new());
        other.settings.command = Some("true".to_owned());
        first.merge(other).unwrap();
        assert_eq!(first.settings.command.as_deref(), Some("one per row"));
        let mut other = results(Vec::new());
        other.settings.scale = 0.5;
        assert!(first.merge(other).is_err());
    }

    #[test]
    fn a_cell_whose_checksum_differs_fails_and_the_others_do_not() {
        let failed = |cells: Vec<Cell>| -> Vec<String> {
            let mut results = results(cells);
            results.hold_checksums_together();
            let failed = results.cells.into_iter().filter(|cell| cell.failure.is_some());
            failed.map(|cell| cell.alloc).collect()
        };
        let row = |sums: [&str; 3]| {
            vec![
                cell("x", "b", sums[0]),
                cell("system", "b", sums[1]),
                cell("z", "b", sums[2]),
            ]
        };
        assert!(failed(row(["1", "1", "1"])).is_empty());
        assert_eq!(failed(row(["1", "2", "1"])), ["system"]);
        // With one cell against one, the system's sum counts as right.
        assert_eq!(failed(row(["1", "2", "1"])[..2].to_vec()), ["x"]);
        assert_eq!(failed(row(["9", "2", "9"])[1..].to_vec()), ["z"]);
        // A cell that did another share of the work is compared by its warm-up round.
        let mut cells = row(["1", "1", "7"]);
        cells[2].share = 0.5;
        assert!(failed(cells.clone()).is_empty());
        for (cell, sum) in cells.iter_mut().zip(["3", "3", "4"]) {
            cell.warm_checksum = Some(sum.to_owned());
        }
        assert_eq!(failed(cells), ["z"]);
    }
}
