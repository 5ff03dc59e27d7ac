//! Formats tables of text: names aligned to the left, numbers to the right.

/// A table that is printed once it is complete.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
    left: usize,
}

impl Table {
    /// Returns a table with these headings. Only the first column holds names.
    #[must_use]
    pub fn new(headings: &[&str]) -> Self {
        Self::with_names(1, headings)
    }

    /// Returns a table with these headings. The first `names` columns hold names.
    #[must_use]
    pub fn with_names(names: usize, headings: &[&str]) -> Self {
        Self {
            rows: vec![headings.iter().map(|&heading| heading.to_owned()).collect()],
            left: names,
        }
    }

    /// Adds an empty line.
    pub fn gap(&mut self) {
        self.rows.push(Vec::new());
    }

    /// Adds a row; missing cells at its end are empty.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = widths[column];
                line.push_str(if column == 0 { "" } else { "  " });
                line.push_str(&match column < self.left {
                    true => format!("{cell:<width$}"),
                    // A remark that is wider than the numbers above it begins where they begin.
                    false => format!("{cell:>width$}"),
                });
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["name", "n"]);
        table.row(vec!["a".into(), "100".into()]);
        table.row(vec!["longer".into()]);
        assert_eq!(table.to_string(), "name      n\na       100\nlonger\n");
    }
}
