//! Parsers on texts of real systems, and whole look-ups in folders that stand for a system.

use super::parse::{below, group, limit, mount, pressure, unescaped};
use super::{Caps, Version, caps, pressure as pressure_below};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use Version::{One, Two};

/// A folder that stands for the root of a system; removed at the end.
struct System(PathBuf);

impl System {
    /// Makes the system of a process with these groups and mounts.
    fn new(groups: &str, mounts: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("greyspan-cgroup-{}-{number}", std::process::id());
        let system = Self(std::env::temp_dir().join(name));
        system.write("/proc/self/cgroup", groups);
        system.write("/proc/self/mountinfo", mounts);
        system
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn caps(&self) -> Option<Caps> {
        caps(self.0.as_os_str().as_encoded_bytes())
    }

    fn pressure(&self) -> Option<u32> {
        pressure_below(self.0.as_os_str().as_encoded_bytes())
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn two(max: Option<usize>, high: Option<usize>) -> Option<Caps> {
    Some(Caps {
        version: Two,
        max,
        high,
    })
}

fn one(max: Option<usize>) -> Option<Caps> {
    Some(Caps {
        version: One,
        max,
        high: None,
    })
}

const MOUNT_TWO: &str = "\
22 28 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:13 - proc proc rw
26 23 0:24 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
28 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
";

/// A version 1 container of Docker without a cgroup namespace, with a read-only mount per
/// controller.
const DOCKER_ONE: &str = "\
1171 1068 0:190 / / rw,relatime master:452 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/ABC:/var/lib/docker/overlay2/l/DEF
1176 1175 0:31 /docker/3c4f /sys/fs/cgroup/cpu,cpuacct ro,nosuid,nodev,noexec,relatime master:15 - cgroup cgroup rw,cpu,cpuacct
1181 1175 0:36 /docker/3c4f /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime master:20 - cgroup cgroup rw,memory
";

#[test]
fn the_line_of_the_processs_group_is_found() {
    for (line, found) in [
        ("0::/", Some((Two, "/"))),
        (
            "0::/user.slice/user-1000.slice/session-2.scope",
            Some((Two, "/user.slice/user-1000.slice/session-2.scope")),
        ),
        ("0::/../other", Some((Two, "/../other"))),
        ("4:memory:/docker/3c4f", Some((One, "/docker/3c4f"))),
        ("11:hugetlb,memory,pids:/a:b", Some((One, "/a:b"))),
        ("1:name=systemd:/init.scope", None),
        ("3:memoryless:/x", None),
        ("0::", None),
        ("0:", None),
        ("", None),
        ("memory", None),
    ] {
        let found = found.map(|(version, path)| (version, path.as_bytes()));
        assert_eq!(group(line.as_bytes()), found, "{line}");
    }
}

#[test]
fn the_mount_of_the_hierarchy_is_found() {
    let lines = |text: &'static str| {
        text.lines()
            .filter_map(|line| mount(line.as_bytes()))
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(MOUNT_TWO), [(Two, &b"/"[..], &b"/sys/fs/cgroup"[..])]);
    let docker = (One, &b"/docker/3c4f"[..], &b"/sys/fs/cgroup/memory"[..]);
    assert_eq!(lines(DOCKER_ONE), [docker]);
    // Any number of optional fields, also none.
    assert!(mount(b"1 2 0:3 /a /b rw - cgroup2 none rw").is_some());
    assert!(mount(b"1 2 0:3 /a /b rw shared:1 master:2 - cgroup2 none rw").is_some());
    for bad in [
        "",
        "1 2 3",
        "1 2 0:3 /a /b rw cgroup2",
        "1 2 0:3 /a /b rw -",
        "1 2 0:3 / /b rw - cgroup memory cpu",
    ] {
        assert_eq!(mount(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn a_group_is_looked_for_below_the_root_of_its_mount() {
    for (own, root, found) in [
        ("/", "/", Some("")),
        ("/a/b", "/", Some("/a/b")),
        ("/a/b", "/a/b", Some("")),
        ("/a/b/c", "/a/b", Some("/c")),
        ("/a/bc", "/a/b", None),
        ("/a", "/a/b", None),
        // Outside of the namespace, and so of what the mount shows.
        ("/../b", "/", None),
        ("/../b", "/..", Some("/b")),
        ("/../b", "/../b", Some("")),
        // The mount shows the group's parents, but not which of their children is the group's.
        ("/", "/../..", Some("")),
        ("/../b", "/../..", Some("")),
        ("/a", "/../b", None),
        ("/..a", "/", Some("/..a")),
    ] {
        let found = found.map(str::as_bytes);
        assert_eq!(below(own.as_bytes(), root.as_bytes()), found, "{own} below {root}");
    }
    let plain = |text: &str| String::from_utf8(unescaped(text.as_bytes()).collect()).expect("UTF-8");
    assert_eq!(plain(r"/a\040b\134c\0"), r"/a b\c\0");
}

#[test]
fn limits_and_pressure_are_numbers() {
    for (text, found) in [
        ("536870912\n", Some(536_870_912)),
        ("0\n", Some(0)),
        ("9223372036854771712\n", Some(9_223_372_036_854_771_712)),
        ("99999999999999999999999\n", Some(usize::MAX)),
        ("max\n", None),
        ("-1\n", None),
        ("", None),
        ("12 34\n", None),
    ] {
        assert_eq!(limit(text.as_bytes()), found, "{text}");
    }
    for (text, found) in [
        (
            "some avg10=0.00 avg60=0.00 avg300=0.00 total=22194029\nfull avg10=9.00 avg60=0.00 avg300=0.00 total=9\n",
            Some(0),
        ),
        ("some avg10=12.34 avg60=0.00 avg300=0.00 total=1\n", Some(1234)),
        ("full avg10=12.34 avg60=0.00 avg300=0.00 total=1\n", None),
        ("some avg10=12 avg60=0.00\n", None),
        ("some avg10=12.3 avg60=0.00\n", None),
        ("some avg60=12.34\n", None),
        ("", None),
    ] {
        assert_eq!(pressure(text.as_bytes()), found, "{text}");
    }
}

#[test]
fn version_two_takes_the_least_limits_up_to_the_mount() {
    let system = System::new("0::/kube.slice/pod.slice/box.scope\n", MOUNT_TWO);
    let top = "/sys/fs/cgroup";
    assert_eq!(system.caps(), two(None, None), "no files at all");
    system.write(&format!("{top}/kube.slice/pod.slice/box.scope/memory.max"), "max\n");
    system.write(&format!("{top}/kube.slice/pod.slice/box.scope/memory.high"), "900\n");
    assert_eq!(system.caps(), two(None, Some(900)));
    system.write(&format!("{top}/kube.slice/pod.slice/memory.max"), "700\n");
    system.write(&format!("{top}/kube.slice/memory.max"), "800\n");
    system.write(&format!("{top}/kube.slice/memory.high"), "max\n");
    assert_eq!(system.caps(), two(Some(700), Some(900)));
    // The mount's own root counts, and the folders above it do not.
    system.write(&format!("{top}/memory.max"), "600\n");
    system.write("/sys/fs/memory.max", "1\n");
    assert_eq!(system.caps(), two(Some(600), Some(900)));
    // The container is resized.
    system.write(&format!("{top}/memory.max"), "max\n");
    system.write(&format!("{top}/kube.slice/pod.slice/memory.max"), "5000\n");
    assert_eq!(system.caps(), two(Some(800), Some(900)));
    system.write("/proc/self/cgroup", "0::/kube.slice\n");
    assert_eq!(system.caps(), two(Some(800), None), "the process moved");
}

#[test]
fn version_one_wins_where_it_has_the_memory() {
    let system = System::new("4:memory:/docker/3c4f\n1:name=systemd:/docker/3c4f\n0::/\n", DOCKER_ONE);
    system.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1048576\n");
    assert_eq!(system.caps(), one(Some(1_048_576)));
    system.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_eq!(system.caps(), one(Some(9_223_372_036_854_771_712)));
    // A group inside the container, on a hybrid system.
    let hybrid = format!("{MOUNT_TWO}{DOCKER_ONE}");
    let system = System::new("0::/x\n4:memory:/docker/3c4f/job\n", &hybrid);
    system.write("/sys/fs/cgroup/x/memory.max", "1\n");
    system.write("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "77\n");
    system.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "88\n");
    assert_eq!(system.caps(), one(Some(77)));
    // On a hybrid system without that controller in version 1, version 2 counts.
    let system = System::new("1:name=systemd:/x\n0::/x\n", &hybrid);
    system.write("/sys/fs/cgroup/x/memory.max", "66\n");
    assert_eq!(system.caps(), two(Some(66), None));
}

#[test]
fn a_container_with_a_namespace_sees_itself_as_the_root() {
    let system = System::new("0::/\n", MOUNT_TWO);
    system.write("/sys/fs/cgroup/memory.max", "4096\n");
    assert_eq!(system.caps(), two(Some(4096), None));
    // The process was moved out of the namespace's group.
    system.write("/proc/self/cgroup", "0::/../neighbour\n");
    system.write("/sys/fs/neighbour/memory.max", "1\n");
    assert_eq!(system.caps(), two(None, None));
    system.write("/proc/self/mountinfo", &MOUNT_TWO.replace("0:24 / ", "0:24 /.. "));
    system.write("/sys/fs/cgroup/neighbour/memory.max", "2048\n");
    assert_eq!(system.caps(), two(Some(2048), None));
}

#[test]
fn mount_points_with_spaces_and_mounts_of_other_groups_are_no_obstacle() {
    let mounts = r"30 23 0:24 /other /mnt/other rw - cgroup2 none rw
31 23 0:24 /a\040group /mnt/my\040groups rw - cgroup2 none rw
";
    let system = System::new("0::/a group/x\n", mounts);
    system.write("/mnt/my groups/x/memory.max", "55\n");
    system.write("/mnt/other/memory.max", "11\n");
    assert_eq!(system.caps(), two(Some(55), None));
}

#[test]
fn garbage_is_no_limit_and_missing_files_are_no_answer() {
    for (groups, mounts) in [
        ("", ""),
        ("0::/x\n", ""),
        ("nothing\n", MOUNT_TWO),
        ("\u{0}\u{1}:::\n::", "- - - - - - cgroup2"),
    ] {
        assert_eq!(
            System::new(groups, mounts).caps(),
            two(None, None),
            "{groups:?} {mounts:?}"
        );
    }
    let long = format!("0::/{}\n", "x".repeat(5000));
    assert_eq!(System::new(&long, MOUNT_TWO).caps(), two(None, None));
    assert_eq!(
        System::new(&format!("0::/{}\n", "x".repeat(1000)), MOUNT_TWO).caps(),
        two(None, None)
    );
    let system = System::new("0::/\n", MOUNT_TWO);
    system.write("/sys/fs/cgroup/memory.max", "lots\n");
    assert_eq!(system.caps(), two(None, None));
    for missing in ["proc/self/mountinfo", "proc/self/cgroup"] {
        fs::remove_file(system.0.join(missing)).expect("the file");
        assert_eq!(system.caps(), None, "{missing}");
    }
    assert_eq!(system.pressure(), None);
    system.write(
        "/proc/pressure/memory",
        "some avg10=1.50 avg60=0.00 avg300=0.00 total=3\n",
    );
    assert_eq!(system.pressure(), Some(150));
}

#[test]
fn this_system_answers() {
    let machine = crate::os::machine_memory().expect("Linux tells");
    assert!(machine > 1 << 20);
    // A build machine may hide its files, but what it shows is understood.
    if fs::exists("/proc/self/cgroup").is_ok_and(|there| there) {
        assert!(caps(b"").is_some());
    }
    if fs::read("/proc/pressure/memory").is_ok() {
        assert!(pressure_below(b"").is_some_and(|pressure| pressure <= 10_000));
    }
}
