//! How long the spans are that a thread takes: short ones first.
//!
//! A program that uses many sizes has few objects of most of them, in each of its threads, and the pages of a span are lost to all other
//! classes. So the first two spans of a class are an eighth of a whole one, the next a quarter, then a half: each as long as those before it
//! together, so that a class has at most twice the memory that it needs. A class that the thread has left behind begins anew.
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
        let lengths = class.lengths();
        let taken = of_class(&self.taken, class);
        let step = usize::from(taken.get().saturating_sub(1));
        // In order, so that the longest come last; the array's last is that of all further spans.
        let lengths = lengths.get(..=step).unwrap_or(&lengths);
        let span = self.find_span(tiers, class, lengths)?;
        taken.set(taken.get().saturating_add(1));
        Some(span)
    }

    /// The thread has left `class` behind.
    pub(super) fn forget_taken(&self, class: SizeClass) {
        of_class(&self.taken, class).set(0);
    }

    fn find_span(&self, tiers: &Tiers, class: SizeClass, lengths: &[usize]) -> Option<&'static MSpan> {
        let kept = || {
            lengths
                .iter()
                .rev()
                .find_map(|&pages| self.store.take_spare(class, pages))
        };
        if let Some(span) = tiers.take_resting(class).or_else(kept) {
            span.revive(class);
            tiers.mheap.note_use(span);
            return Some(span);
        }
        tiers.end_long_rest();
        let idle = || {
            lengths
                .iter()
                .rev()
                .find_map(|&pages| tiers.mheap.take_small_idle(class, pages))
        };
        idle().or_else(|| {
            let pages = *lengths.last()?;
            // Before the heap grows.
            tiers.end_rest_for(pages * PAGE);
            if self.runs_seem_to_have(tiers, pages * PAGE) {
                self.give_all_runs(tiers);
            }
            idle().or_else(|| tiers.mheap.take_small(class, pages))
        })
    }
}
