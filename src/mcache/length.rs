//! How long the spans are that a thread takes: short ones first.
//!
//! A program that uses many sizes has few objects of most of them, in each of its threads. The
//! pages of a span are lost to all other classes. So a thread's first two spans of a class are an
//! eighth of a whole one, the next a quarter, then a half. Each is about as long as all before it
//! together. So a class that needs more than its first span takes at most about twice its need. If
//! a thread leaves a class behind, the class begins anew.
//!
//! If free pages have memory but no run of them is long enough, the thread takes a shorter span
//! instead of new memory. So the gaps that short spans leave when they end are of use.
//!
//! Go's and tcmalloc's spans of a class have one length. mimalloc extends a page's free list as the
//! page is used, but holds the page all the same.

use super::MCache;
use crate::base::geometry::PAGE;
use crate::mspan::MSpan;
use crate::size_class::SizeClass;
use crate::tiers::Tiers;

impl MCache {
    /// Takes an empty span for `class`, which no thread owns. `None`: there is no memory.
    pub(super) fn new_span(&self, tiers: &Tiers, class: SizeClass) -> Option<&'static MSpan> {
        let span = match tiers.take_resting(class) {
            Some(span) => revive(tiers, class, span),
            None => self.find_span(tiers, class)?,
        };
        self.spans.note_taken(class);
        Some(span)
    }

    fn find_span(&self, tiers: &Tiers, class: SizeClass) -> Option<&'static MSpan> {
        let lengths = class.lengths();
        let step = usize::from(self.spans.taken(class).saturating_sub(1));
        // The longest first, and none that is longer than the thread's turn.
        let lengths = || lengths.iter().take(step + 1).rev();
        if let Some(span) = lengths().find_map(|&pages| self.spans.store.take_spare(class, pages)) {
            return Some(revive(tiers, class, span));
        }
        tiers.end_long_rest();
        let idle = || lengths().find_map(|&pages| tiers.mheap.take_small_idle(class, pages));
        idle().or_else(|| {
            let pages = *lengths().next()?;
            self.make_idle(tiers, pages);
            idle().or_else(|| tiers.mheap.take_small(class, pages))
        })
    }

    /// Makes pages idle, because the heap is about to grow by `pages` pages. Ends the rest of empty
    /// spans, and gives up the runs that this thread keeps, if they have as much memory.
    pub(super) fn make_idle(&self, tiers: &Tiers, pages: usize) {
        tiers.end_rest_for(pages * PAGE);
        if self.runs_seem_to_have(tiers, pages * PAGE) {
            self.give_all_runs(tiers);
        }
    }
}

fn revive(tiers: &Tiers, class: SizeClass, span: &'static MSpan) -> &'static MSpan {
    span.revive(class);
    tiers.mheap.note_use(span);
    span
}
