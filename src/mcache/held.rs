//! How much free memory a thread cache keeps, for the statistics.
//!
//! The owner writes these counts where blocks, runs and spans come and go in large numbers. The
//! fast path counts nothing. So blocks in bins count by the bins' capacity (BIN-4 of
//! [`bins`](super::bins)). The counts order nothing, so they are relaxed throughout.

use super::MCache;
use super::bins::Bins;
use crate::size_class::SizeClass;
use crate::sync::atomic::Ordering::Relaxed;

impl Bins {
    /// Notes that the bin, which could hold `before` blocks, has another capacity (BIN-4).
    pub(super) fn note_cap(&self, class: SizeClass, before: usize) {
        let most = self.most.load(Relaxed) + self.cap(class) * class.size();
        self.most.store(most - before * class.size(), Relaxed);
    }
}

impl MCache {
    /// Returns an upper bound of the free bytes that the cache keeps: blocks in bins, blocks to be
    /// sent to other threads, runs, and empty spans. Any thread may ask.
    pub(crate) fn held_bytes(&self) -> usize {
        let (_, gathered) = self.shared.outbox.gathered();
        let runs = self.shared.run_bytes.load(Relaxed);
        self.bins.most.load(Relaxed) + runs + self.spans.store.bytes() + gathered as usize
    }
}
