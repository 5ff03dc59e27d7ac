//! Refilling a bin: the slow half of allocation.
//!
//! Sources come in the order of what is cheapest to get and best to use up:
//! 1. the active span's free list;
//! 2. the mailbox: remote lists of this thread's spans, which become free lists;
//! 3. the active span's remote list, whose message may still be on its way;
//! 4. fresh objects of the active span;
//! 5. other owned spans with room, the one longest out of use first, so that frees gather in the
//!    others;
//! 6. the central lists;
//! 7. an empty span that rests there, or that the thread kept;
//! 8. the page heap.
//!
//! If the active span has untouched objects only, an owned span with free objects goes before it.
//!
//! New spans are short at first. A program that uses many sizes has few objects of most of them, in
//! each of its threads. The pages of a span are lost to all other classes. So a thread's first two
//! spans of a class are an eighth of a whole one, the next a quarter, then a half. Each is about as
//! long as all before it together. So a class that needs more than its first span takes at most
//! about twice its need. If a thread leaves a class behind, the class begins anew.
//!
//! If free pages have memory but no run of them is long enough, the thread takes a shorter span
//! instead of new memory. So the gaps that short spans leave when they end are of use.
//!
//! Go's and tcmalloc's spans of a class have one length. mimalloc extends a page's free list as the
//! page is used, but holds the page all the same.

use super::spans::{fetch_remote, take_one};
use super::{MCache, check};
use crate::base::geometry::{CARVE, PAGE, SURE_AFTER};
use crate::mspan::{Block, CHECKED, MSpan};
use crate::size_class::SizeClass;
use crate::sync::atomic::Ordering::Relaxed;
use crate::tiers::Tiers;
use core::ptr::null_mut;

/// The partial spans among which the thread looks for empty ones when it leaves a class behind. The
/// few that it has kept are among the oldest.
const FIRST: usize = 16;

impl MCache {
    /// Takes an object of `class` from its bin or by a refill. Returns null if there is no memory.
    /// The cache is ready.
    pub(crate) fn take(&self, tiers: &Tiers, class: SizeClass) -> *mut Block {
        let block = self.bins.pop(class);
        if block.is_null() {
            self.refill(tiers, class)
        } else {
            block
        }
    }

    /// Refills the empty bin of `class` and takes an object. Returns null if there is no memory.
    /// The cache is ready.
    #[cold]
    #[inline(never)]
    fn refill(&self, tiers: &Tiers, class: SizeClass) -> *mut Block {
        if CHECKED && self.bins.held(class) > 0 {
            // A signal handler may have brought some blocks since the bin was found empty.
            let block = self.bins.pop(class);
            if block.is_null() {
                self.bins.report_youngest(class);
            }
            return block;
        }
        self.heed_purge(tiers);
        // If the program changes its sizes, the memory of those it has left behind goes back.
        // One class at a time, so that no refill takes long.
        if self.bins.note_refill(class) {
            self.end_idle_runs(tiers);
        }
        if let Some(idle) = self.bins.window.take_idle() {
            self.end_idle(tiers, idle, FIRST);
        }
        self.bins.open(class);
        self.search_spans(tiers, class, |cache, class, span| cache.fill_from(tiers, class, span))
    }

    /// Takes an object of `class` for the heap's own use, straight from a span. Returns null if
    /// there is no memory. The cache is ready. No bin is touched: a signal handler that interrupts
    /// the fast path may need an array for large objects, while a bin is about to change.
    pub(super) fn take_past_bins(&self, tiers: &Tiers, class: SizeClass) -> *mut Block {
        let object = self.search_spans(tiers, class, |cache, class, span| {
            let mut object = take_one(span);
            if object.is_null() && tiers.mheap.raise(span) {
                object = take_one(span);
            }
            cache.tally(class.index()).add(u32::from(!object.is_null()), 0);
            object
        });
        check_out(class, object)
    }

    /// Returns what `get` takes from the first span of this thread that has an object, or null if
    /// there is no memory.
    fn search_spans(
        &self,
        tiers: &Tiers,
        class: SizeClass,
        get: impl Fn(&Self, SizeClass, &'static MSpan) -> *mut Block,
    ) -> *mut Block {
        // The mail may empty the active span, which then ends.
        if self.spans.active(class).is_some_and(|span| !span.has_free()) {
            self.collect_mail(tiers);
        }
        self.spans.prefer_used(class);
        if let Some(span) = self.spans.active(class) {
            let head = get(self, class, span);
            if !head.is_null() {
                return head;
            }
            self.spans.retire_active(class, span);
        }
        self.collect_mail(tiers);
        while let Some(span) = self.next_span(tiers, class) {
            self.spans.activate(class, span);
            let head = get(self, class, span);
            if !head.is_null() {
                return head;
            }
            self.spans.retire_active(class, span);
        }
        null_mut()
    }

    /// Takes a zeroed object of `class` from memory that was never touched, or returns null.
    pub(crate) fn take_untouched(&self, class: SizeClass) -> *mut u8 {
        let object = self.spans.take_untouched(class);
        self.tally(class.index()).add(u32::from(!object.is_null()), 0);
        object
    }

    /// Moves the ready objects of the span into the bin and pops one.
    fn fill_from(&self, tiers: &Tiers, class: SizeClass, span: &'static MSpan) -> *mut Block {
        fetch_remote(span);
        let batch = self.bins.batch(class);
        let count = span.free_count().min(batch);
        if count > 0 {
            self.tally(class.index()).add(count, 0);
            let object = self.bins.fill(class, count, |put| span.take_free(count, put));
            if CHECKED && !span.is_free_object(object) {
                span.report_link(object);
            }
            return check_out(class, object);
        }
        let (fresh, count) = span.carve(batch);
        if count == 0 {
            // Sunk objects last: they have no memory.
            return if tiers.mheap.raise(span) {
                self.fill_from(tiers, class, span)
            } else {
                null_mut()
            };
        }
        self.tally(class.index()).add(count, 0);
        let objects = (0..count as usize).map(|index| {
            let object = fresh.wrapping_add(index * class.size()).cast();
            if CHECKED {
                check::fresh(span, object);
            }
            object
        });
        check_out(class, self.bins.fill(class, count, |put| objects.for_each(put)))
    }

    /// Finds a span with room that stands on no list of this thread.
    fn next_span(&self, tiers: &Tiers, class: SizeClass) -> Option<&'static MSpan> {
        if let Some(span) = self.spans.pop_partial(class) {
            return Some(span);
        }
        let me = self.shared.mailbox.id();
        if let Some((span, taken)) = tiers.central(class).take(me) {
            span.absorb(taken);
            return Some(span);
        }
        let span = self.new_span(tiers, class)?;
        span.word.adopt_new(me);
        Some(span)
    }

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
            idle().or_else(|| {
                let span = tiers.mheap.take_small(class, pages)?;
                self.bring_memory(tiers, class, span);
                Some(span)
            })
        })
    }

    /// Brings memory to a span that the page heap has just given, if the class has grown steadily.
    fn bring_memory(&self, tiers: &Tiers, class: SizeClass, span: &MSpan) {
        // Programs may write to parts of larger objects only.
        if self.spans.taken(class) >= SURE_AFTER && class.size() <= CARVE {
            tiers.mheap.populate(span);
        }
    }

    /// Makes pages idle, because the heap is about to grow by `pages` pages. Ends the rest of empty
    /// spans, and gives up runs that this thread keeps, if they have as much memory.
    pub(super) fn make_idle(&self, tiers: &Tiers, pages: usize) {
        tiers.end_rest_for(pages * PAGE);
        self.give_runs_for(tiers, pages);
    }

    /// Gives up what is kept if the program has asked for all memory back since this thread last
    /// looked.
    #[inline]
    pub(crate) fn heed_purge(&self, tiers: &Tiers) {
        if self.is_asked(tiers) {
            self.purges_seen.set(tiers.purges.load(Relaxed));
            self.trim(tiers);
        }
    }

    /// Whether the program has asked for all memory back since this thread last gave up what it
    /// keeps.
    #[inline]
    pub(super) fn is_asked(&self, tiers: &Tiers) -> bool {
        tiers.purges.load(Relaxed) != self.purges_seen.get()
    }
}

/// Clears the mark of `block`, which leaves the bins for the program.
#[inline(always)]
fn check_out(class: SizeClass, block: *mut Block) -> *mut Block {
    if CHECKED {
        check::hand_out(class, block);
    }
    block
}

fn revive(tiers: &Tiers, class: SizeClass, span: &'static MSpan) -> &'static MSpan {
    if span.class() != Some(class) {
        tiers.mheap.forget_holes(span);
    }
    span.revive(class);
    tiers.mheap.note_use(span);
    span
}
