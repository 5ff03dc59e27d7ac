use super::*;
use crate::sync::unmodeled::{AtomicUsize, Ordering};

static ENDED: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn count(value: *mut c_void) {
    ENDED.fetch_add(value.addr(), Ordering::Relaxed);
}

#[test]
fn the_destructor_runs_once_for_each_thread_that_set_a_value() {
    let key = create_key(count).unwrap();
    for value in [1usize, 10, 100] {
        let thread = std::thread::spawn(move || assert!(set(key, core::ptr::without_provenance_mut(value))));
        thread.join().unwrap();
    }
    std::thread::spawn(move || assert!(set(key, core::ptr::null_mut())))
        .join()
        .unwrap();
    assert_eq!(ENDED.load(Ordering::Relaxed), 111);
}
