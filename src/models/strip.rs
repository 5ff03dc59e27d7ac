//! A strip of memory: it is cut anew only after all its pieces are back.

use crate::sync::strip::Strip;
use loom::cell::UnsafeCell;
use loom::thread;

#[test]
fn models_a_strip_is_cut_anew_only_after_all_pieces_are_back() {
    loom::model(|| {
        struct World(Strip, [UnsafeCell<u32>; 2]);
        // SAFETY: the model is about these cells; loom checks each access.
        unsafe impl Sync for World {}
        let world: &'static World = Box::leak(Box::new(World(Strip::new(), [UnsafeCell::new(0), UnsafeCell::new(0)])));
        let cut_and_bring_back = move || {
            let fit = |cut: usize| (cut < 32).then_some(cut + 16);
            let Some(place) = world.0.cut(fit) else { return };
            world.1[place / 16].with_mut(|value| {
                // SAFETY: loom checks that no other thread accesses the cell meanwhile.
                unsafe { *value += 1 }
            });
            if world.0.bring_back() {
                world.0.renew();
            }
        };
        let threads = [(); 2].map(|()| thread::spawn(cut_and_bring_back));
        cut_and_bring_back();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(world.0.cut(|cut| Some(cut + 16)), Some(0), "all are back");
    });
}
