//! The command line of the runners: `--key value` options and plain flags.

/// The words of a command line that no call has taken yet.
#[derive(Debug)]
pub struct Arguments(Vec<String>);

impl Arguments {
    /// Returns the arguments of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self(
            std::env::args_os()
                .skip(1)
                .map(|word| word.to_string_lossy().into_owned())
                .collect(),
        )
    }

    /// Returns these words as arguments.
    #[must_use]
    pub fn of(words: Vec<String>) -> Self {
        Self(words)
    }

    /// Takes the first word, which names the command.
    pub fn word(&mut self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }

    /// Takes the flag `name`; returns whether it was there.
    pub fn flag(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|word| word != name);
        self.0.len() < before
    }

    /// Takes `name VALUE`.
    ///
    /// # Errors
    /// If the value is missing.
    pub fn value(&mut self, name: &str) -> Result<Option<String>, String> {
        let Some(at) = self.0.iter().position(|word| word == name) else {
            return Ok(None);
        };
        if at + 1 == self.0.len() {
            return Err(format!("{name} needs a value"));
        }
        self.0.remove(at);
        Ok(Some(self.0.remove(at)))
    }

    /// Takes `name NUMBER`, or returns `default`.
    ///
    /// # Errors
    /// If the value is missing or is no number.
    pub fn number<T: std::str::FromStr>(&mut self, name: &str, default: T) -> Result<T, String> {
        match self.value(name)? {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("{name} needs a number, not {text:?}")),
        }
    }

    /// Takes `name A,B,C` and looks each word up; `None` if the option is not there. A repeated
    /// word counts once; `A*` stands for all that begin with `A`.
    ///
    /// # Errors
    /// If a word is not among `all`; the message lists the known ones.
    pub fn choice<T: Copy>(
        &mut self,
        name: &str,
        all: &[T],
        label: impl Fn(T) -> String,
    ) -> Result<Option<Vec<T>>, String> {
        let Some(list) = self.value(name)? else {
            return Ok(None);
        };
        let (mut chosen, mut seen) = (Vec::new(), Vec::new());
        for word in list.split(',') {
            let meant = |label: &str| match word.strip_suffix('*') {
                Some(start) => label.starts_with(start),
                None => label == word,
            };
            let found = all.iter().map(|&item| (label(item), item));
            let mut found = found.filter(|(label, _)| meant(label)).peekable();
            if found.peek().is_none() {
                let valid: Vec<String> = all.iter().map(|&item| label(item)).collect();
                return Err(format!("{name}: unknown {word:?}; valid: {}", valid.join(", ")));
            }
            for (label, item) in found {
                if !seen.contains(&label) {
                    seen.push(label);
                    chosen.push(item);
                }
            }
        }
        Ok(Some(chosen))
    }

    /// Ends the reading of arguments.
    ///
    /// # Errors
    /// If a word is left over.
    pub fn finish(self) -> Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some(word) => Err(format!("unknown argument {word:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Arguments {
        Arguments(text.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn options_are_taken_in_any_order_and_the_rest_is_refused() {
        let mut arguments = words("run --b 7 --quick --a x,y,x");
        assert_eq!(arguments.word().as_deref(), Some("run"));
        assert!(arguments.flag("--quick"));
        assert_eq!(
            arguments.choice("--a", &["x", "y", "z"], str::to_owned),
            Ok(Some(vec!["x", "y"]))
        );
        assert_eq!(arguments.number("--b", 1), Ok(7));
        let all = ["x1", "y", "x2"];
        let chosen = words("--a x2,x*").choice("--a", &all, str::to_owned);
        assert_eq!(chosen, Ok(Some(vec!["x2", "x1"])));
        assert!(words("--a z*").choice("--a", &all, str::to_owned).is_err());
        assert_eq!(arguments.finish(), Ok(()));
        assert!(words("--other").finish().is_err());
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_valid_ones() {
        let message = words("--a q").choice("--a", &["x", "y"], str::to_owned).unwrap_err();
        assert!(message.contains("\"q\"") && message.contains("x, y"), "{message}");
        assert!(words("--a").value("--a").is_err());
    }
}
