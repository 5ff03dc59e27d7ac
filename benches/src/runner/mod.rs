//! Lists the allocators that can be compared, and builds their programs.
//!
//! A separate Cargo invocation builds each rival with only that rival's feature. So a rival that
//! does not build is named and skipped, and two versions of one C library are never linked
//! together.
//!
//! Two things would make a rival slower than it is, and this module avoids both. With debug
//! information in the profile, some build scripts compile the rival unoptimised. Without CMake,
//! snmalloc's build leaves its assertions in.

#![forbid(unsafe_code)]

pub mod arguments;
pub mod child;
pub mod count;
pub mod curves;
pub mod exec;
pub mod groups;
pub mod html;
pub mod machine;
pub mod measures;
pub mod numbers;
pub mod plan;
pub mod plot;
pub mod results;
pub mod rounds;
pub mod score;
pub mod scoreboard;
mod sections;
pub mod table;
pub mod text;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocator {
    /// The name on the command line and in results. With `_` for `-` it ends the names of its
    /// programs.
    pub name: &'static str,
    /// The Cargo feature that enables it; `None` if it is always there.
    pub feature: Option<&'static str>,
    /// Whether it runs under valgrind.
    pub valgrind: bool,
}

const fn rival(name: &'static str, valgrind: bool) -> Allocator {
    Allocator {
        name,
        feature: Some(name),
        valgrind,
    }
}

/// All allocators.
pub const ALLOCATORS: &[Allocator] = &[
    Allocator {
        name: "greyspan",
        feature: None,
        valgrind: true,
    },
    Allocator {
        name: "system",
        feature: None,
        valgrind: true,
    },
    rival("mimalloc", true),
    rival("mimalloc-v2", true),
    rival("jemalloc", true),
    // It reserves more address space at its start than valgrind can provide.
    rival("snmalloc", false),
    rival("rpmalloc", true),
];

impl Allocator {
    /// Returns the allocator called `name`.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        ALLOCATORS.iter().copied().find(|allocator| allocator.name == name)
    }

    /// Returns whether the features of this build enable it.
    #[must_use]
    pub fn is_enabled(self) -> bool {
        cfg!(feature = "rivals")
            || match self.feature {
                None => true,
                Some("mimalloc") => cfg!(feature = "mimalloc"),
                Some("mimalloc-v2") => cfg!(feature = "mimalloc-v2"),
                Some("jemalloc") => cfg!(feature = "jemalloc"),
                Some("snmalloc") => cfg!(feature = "snmalloc"),
                Some("rpmalloc") => cfg!(feature = "rpmalloc"),
                Some(_) => false,
            }
    }

    /// Returns the name of its program of the kind `cell` or `icount`.
    #[must_use]
    pub fn program(self, kind: &str) -> String {
        format!("{kind}_{}", self.name.replace('-', "_"))
    }
}

/// The programs that exist, and the allocators without one, each with the reason.
pub type Programs = (Vec<(Allocator, PathBuf)>, Vec<(Allocator, String)>);

/// The way to build the programs.
#[derive(Clone, Debug)]
pub struct Build {
    target: PathBuf,
    environment: Vec<(&'static str, &'static str)>,
}

impl Build {
    /// Builds with the release profile as it is, into `target`: fat LTO.
    #[must_use]
    pub fn release(target: &Path) -> Self {
        Self {
            target: target.to_path_buf(),
            environment: Vec::new(),
        }
    }

    /// Builds with the release profile but without LTO and with Cargo's default number of codegen
    /// units. It uses another folder below `target`, so that neither build overwrites the other.
    #[must_use]
    pub fn without_lto(target: &Path) -> Self {
        Self {
            target: target.join("no-lto"),
            environment: vec![
                ("CARGO_PROFILE_RELEASE_LTO", "off"),
                ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
            ],
        }
    }

    /// Builds the program of `kind` for `allocator` and returns its path.
    ///
    /// # Errors
    /// The messages of Cargo, if it failed.
    pub fn program(&self, allocator: Allocator, kind: &str) -> Result<PathBuf, String> {
        let name = allocator.program(kind);
        let mut cargo = self.cargo("greyspan-bench");
        cargo.args(["--bin", &name]);
        cargo.args(["--features", allocator.feature.unwrap_or("")]);
        cargo.env("CARGO_PROFILE_RELEASE_DEBUG", "false");
        if allocator.name == "snmalloc" {
            let flags = std::env::var("CXXFLAGS").unwrap_or_default();
            cargo.env("CXXFLAGS", format!("{flags} -DNDEBUG").trim());
        }
        self.made(cargo, &name)
    }

    /// Builds `libgreyspan.so` and returns its path.
    ///
    /// # Errors
    /// The messages of Cargo, if it failed.
    pub fn library(&self) -> Result<PathBuf, String> {
        self.made(self.cargo("greyspan-preload"), exec::LIBRARY)
    }

    /// Returns the Cargo command that builds a package of this workspace.
    fn cargo(&self, package: &str) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--release", "--package", package]);
        cargo
            .arg("--manifest-path")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        cargo.arg("--target-dir").arg(&self.target);
        cargo
    }

    /// Runs `cargo`, which makes the file `name`, and returns the file's path.
    fn made(&self, mut cargo: Command, name: &str) -> Result<PathBuf, String> {
        cargo.envs(self.environment.iter().copied()).stdin(Stdio::null());
        let output = cargo
            .output()
            .map_err(|error| format!("cargo could not be started: {error}"))?;
        if output.status.success() {
            Ok(self.target.join("release").join(name))
        } else {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("{}\ncargo: {}", said.trim_end(), output.status))
        }
    }

    /// Builds the programs of `kind` for all `allocators`. Returns those that exist now, and those
    /// that failed, each with the last line of Cargo's messages. All messages go to standard error.
    #[must_use]
    pub fn programs(&self, allocators: &[Allocator], kind: &str) -> Programs {
        let (mut built, mut failed) = (Vec::new(), Vec::new());
        for &allocator in allocators {
            eprint!("building {} ... ", allocator.program(kind));
            match self.program(allocator, kind) {
                Ok(path) => {
                    eprintln!("done");
                    built.push((allocator, path));
                }
                Err(output) => {
                    failed.push((allocator, not_built(&output)));
                }
            }
        }
        (built, failed)
    }
}

/// Reports a failed build on standard error with the end of Cargo's messages, and returns the line
/// with the reason.
#[must_use]
pub fn not_built(output: &str) -> String {
    eprintln!("FAILED, skipped");
    let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
    for line in &lines[lines.len().saturating_sub(15)..] {
        eprintln!("  {line}");
    }
    let error = lines.iter().find(|line| line.starts_with("error")).or(lines.last());
    format!("not built: {}", error.unwrap_or(&""))
}

/// Returns the target folder that this program was built into, or Cargo's default.
#[must_use]
pub fn target_folder() -> PathBuf {
    let own = std::env::current_exe().ok();
    let folder = own.as_deref().and_then(Path::parent).and_then(Path::parent);
    folder.map_or_else(|| PathBuf::from("target"), Path::to_path_buf)
}
