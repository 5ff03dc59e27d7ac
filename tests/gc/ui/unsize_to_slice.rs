use greyspan::gc::{Gc, GcCell, Heap};
use greyspan::unsize;

fn main() {
    Heap::new().enter(|m| {
        // A slice read back from the cell would take its length from memory in front of the array.
        let slice: Gc<'_, [u8]> = unsize!(m.alloc([1u8, 2, 3]) => [u8]);
        let cell = GcCell::new(Some(slice));
        assert_eq!(cell.get().unwrap().len(), 3);
    });
}
