//! A table at the front of a region, and the address space that it grows into. The region, which
//! owns its tables, makes them ready piece by piece under the page heap's lock.

use crate::base::addr::align_up;
use crate::base::geometry::TABLE_MIN;
use crate::os::{Claim, Os, PageSource};
use core::ptr::NonNull;

/// The kind of address space behind the prepared parts of a region (REGION-3).
#[derive(Clone, Copy)]
pub(super) enum Ground {
    /// Nothing. With `small`, the system is to use huge pages only when asked.
    Window { small: bool },
    /// A reservation.
    Reserved,
}

impl Ground {
    /// Makes the next part of the region Prepared.
    ///
    /// # Safety
    /// The range lies in the region, behind its prepared part.
    pub(super) unsafe fn prepare(self, os: &Os, base: NonNull<u8>, bytes: usize) -> Claim {
        match self {
            // SAFETY: the range is a part of the window that the region has not claimed yet.
            Self::Window { small } => match unsafe { os.claim(base, bytes) } {
                Claim::Done => {
                    if small {
                        os.advise_huge(base, bytes, false);
                    }
                    Claim::Done
                }
                refused => refused,
            },
            // SAFETY: the range is a Reserved part of the reservation.
            Self::Reserved => match unsafe { os.prepare(base, bytes) } {
                true => Claim::Done,
                false => Claim::Refused,
            },
        }
    }
}

/// A table at the front of a region, which becomes ready piece by piece.
#[derive(Clone, Copy)]
pub(super) struct Table {
    pub(super) base: NonNull<u8>,
    pub(super) prepared: usize,
    pub(super) ready: usize,
    /// Bytes set aside for the table.
    room: usize,
}

impl Table {
    /// Creates a table of `room` bytes at `base`, of which none is prepared.
    pub(super) const fn new(base: NonNull<u8>, room: usize) -> Self {
        Self {
            base,
            prepared: 0,
            ready: 0,
            room,
        }
    }

    /// Returns the byte at `offset`, which is at most the table's length and ends on a system page.
    fn at(&self, offset: usize) -> NonNull<u8> {
        // SAFETY: inside the part of the region set aside for this table, or at its end.
        unsafe { self.base.add(offset) }
    }

    /// Makes at least `bytes` bytes of the table ready.
    pub(super) fn ensure(&mut self, os: &Os, ground: Ground, bytes: usize) -> Claim {
        let want = align_up(bytes, os.page_size());
        if want <= self.ready {
            return Claim::Done;
        }
        // A part that an earlier call prepared and could not make ready stays prepared.
        if want > self.prepared {
            // Each piece is larger than the last, so that there are few. If the system refuses the
            // larger piece, the needed size may still succeed.
            let piece = align_up(
                want.max(self.prepared + (self.prepared / 4).max(TABLE_MIN)),
                os.page_size(),
            );
            let mut to = piece.min(self.room);
            let from = self.at(self.prepared);
            // SAFETY: the bytes behind `prepared` are the table's, and not prepared yet.
            let mut claim = unsafe { ground.prepare(os, from, to - self.prepared) };
            if claim != Claim::Done && to > want {
                to = want;
                // SAFETY: the refused call changed nothing, so the bytes behind `prepared` are not
                // prepared yet.
                claim = unsafe { ground.prepare(os, from, to - self.prepared) };
            }
            if claim != Claim::Done {
                return claim;
            }
            self.prepared = to;
        }
        // SAFETY: the bytes from `ready` to `prepared` are Prepared.
        if !unsafe { os.ready(self.at(self.ready), want - self.ready) } {
            return Claim::Refused;
        }
        self.ready = want;
        Claim::Done
    }

    /// Gives the prepared part back.
    pub(super) fn abandon(&self, os: &Os) {
        if self.prepared > 0 {
            // SAFETY: the table owns these bytes, and no thread uses it any more.
            unsafe { os.free(self.base, self.prepared) };
        }
    }
}
