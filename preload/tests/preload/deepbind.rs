//! Tests objects that a program loads with `RTLD_DEEPBIND`; the cases are in `tests/c/deepbind.c`.

use crate::harness::{preloaded, program, run};

fn deepbind(case: &str) {
    let inner = program("deepbind.c", &["-shared", "-fPIC", "-DINNER"]);
    let folder = inner.parent().and_then(|folder| folder.file_name()).expect("a folder");
    let path = format!("-Wl,--enable-new-dtags,-rpath,$ORIGIN/../{}", folder.display());
    let outer = program("deepbind.c", &["-shared", "-fPIC", "-DOUTER", &path]);
    let mut command = preloaded(program("deepbind.c", &[]));
    command.arg(case).arg(inner).arg(outer);
    let end = run(command);
    end.assert_well();
    assert_eq!(end.err, "");
}

#[test]
fn blocks_pass_between_the_program_and_an_object_that_would_find_libc_first() {
    deepbind("blocks_pass");
}

#[test]
fn the_run_path_of_the_object_that_calls_dlopen_counts() {
    deepbind("the_callers_path_counts");
}

#[test]
fn other_namespaces_have_their_own_heap() {
    deepbind("namespaces");
}

#[test]
fn dlopen_gives_what_the_c_librarys_gives() {
    deepbind("results");
}
