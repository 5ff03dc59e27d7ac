//! [`Ring`]: a short queue of fixed room, for work whose memory is on its way to the processor.

/// A queue of at most `N` values. `N` is a power of two.
pub(crate) struct Ring<T, const N: usize> {
    places: [T; N],
    /// Counts of pushes and of pops. Both wrap.
    pushed: usize,
    popped: usize,
}

impl<T: Copy, const N: usize> Ring<T, N> {
    /// Makes an empty ring. `filler` stands where no value was pushed yet.
    pub(crate) fn new(filler: T) -> Self {
        const { assert!(N.is_power_of_two()) };
        Self {
            places: [filler; N],
            pushed: 0,
            popped: 0,
        }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.pushed.wrapping_sub(self.popped)
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.pushed == self.popped
    }

    #[inline(always)]
    pub(crate) fn is_full(&self) -> bool {
        self.len() == N
    }

    /// Adds a value. The ring is not full.
    #[inline(always)]
    pub(crate) fn push(&mut self, value: T) {
        debug_assert!(!self.is_full());
        self.places[self.pushed % N] = value;
        self.pushed = self.pushed.wrapping_add(1);
    }

    /// Returns the oldest value.
    #[inline(always)]
    pub(crate) fn oldest(&self) -> Option<T> {
        (!self.is_empty()).then(|| self.places[self.popped % N])
    }

    /// Takes the oldest value.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<T> {
        let oldest = self.oldest()?;
        self.popped = self.popped.wrapping_add(1);
        Some(oldest)
    }

    /// Returns the value taken `back` pops ago, at most `N`. There was no push since that pop.
    #[inline(always)]
    pub(crate) fn taken(&self, back: usize) -> T {
        self.places[self.popped.wrapping_sub(back) % N]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_in_the_order_of_their_pushes() {
        let mut ring: Ring<u32, 4> = Ring::new(0);
        // Many more than fit, so that both counts go round.
        for value in 1..100 {
            ring.push(2 * value);
            ring.push(2 * value + 1);
            assert_eq!((ring.len(), ring.oldest()), (2, Some(2 * value)));
            assert_eq!((ring.pop(), ring.pop()), (Some(2 * value), Some(2 * value + 1)));
            assert_eq!((ring.taken(2), ring.taken(1)), (2 * value, 2 * value + 1));
            assert!(ring.pop().is_none() && ring.is_empty());
        }
        (0..4).for_each(|value| ring.push(value));
        assert!(ring.is_full() && ring.oldest() == Some(0));
    }
}
