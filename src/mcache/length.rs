//! How long the spans are that a thread takes: short ones first.
//!
//! A program that uses many sizes has few objects of most of them, in each of its threads, and the pages of a span are lost to all other
//! classes. So the first two spans of a class are an eighth of a whole one, the next a quarter, then a half: each about as long as those
//! before it together, so that a class that needs more than its first span takes about twice as much at the most. A class that the thread has
//! left behind begins anew.
//!
//! Where free pages have memory but no run of them is as long as wanted, a shorter span is taken in place of new memory: what short spans leave
//! between them when they end is of use to others.
//!
//! Go's and tcmalloc's spans of a class have one length; mimalloc extends a page's free list as it is used, but holds the page all the same.

use super::{MCache, Tiers, of_class};
use crate::base::geometry::PAGE;
use crate::mspan::MSpan;
use crate::size_class::SizeClass;

impl MCache {
    /// An empty span for `class`, which nobody owns. `None`: no memory is to be had.
    pub(super) fn new_span(&self, tiers: &Tiers, class: SizeClass) -> Option<&'static MSpan> {
        let span = match tiers.take_resting(class) {
            Some(span) => Self::revive(tiers, class, span),
            None => self.find_span(tiers, class)?,
        };
        let taken = of_class(&self.taken, class);
        taken.set(taken.get().saturating_add(1));
        Some(span)
    }

    /// The thread has left `class` behind.
    pub(super) fn forget_taken(&self, class: SizeClass) {
        of_class(&self.taken, class).set(0);
    }

    fn revive(tiers: &Tiers, class: SizeClass, span: &'static MSpan) -> &'static MSpan {
        span.revive(class);
        tiers.mheap.note_use(span);
        span
    }

    fn find_span(&self, tiers: &Tiers, class: SizeClass) -> Option<&'static MSpan> {
        let lengths = class.lengths();
        let step = usize::from(of_class(&self.taken, class).get().saturating_sub(1));
        // The longest first, and none that is longer than the thread's turn.
        let lengths = || lengths.iter().take(step + 1).rev();
        if let Some(span) = lengths().find_map(|&pages| self.store.take_spare(class, pages)) {
            return Some(Self::revive(tiers, class, span));
        }
        tiers.end_long_rest();
        let idle = || lengths().find_map(|&pages| tiers.mheap.take_small_idle(class, pages));
        idle().or_else(|| {
            let pages = *lengths().next()?;
            // Before the heap grows.
            tiers.end_rest_for(pages * PAGE);
            if self.runs_seem_to_have(tiers, pages * PAGE) {
                self.give_all_runs(tiers);
            }
            idle().or_else(|| tiers.mheap.take_small(class, pages))
        })
    }
}
