//! Work on several threads, never more of it at once than was allowed, with results in the order of the work.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// Permission to run a number of programs at once, shared by all callers of one reward.
#[derive(Debug)]
pub(crate) struct Slots {
    n_slots: usize,
    free: Mutex<usize>,
    freed: Condvar,
}

impl Slots {
    pub fn new(n_slots: usize) -> Self {
        Self { n_slots, free: Mutex::new(n_slots), freed: Condvar::new() }
    }

    /// `work` on every item, at most [`Slots::new`] of them at once over all callers; results in the items' order.
    pub fn map<T: Sync, R: Send>(&self, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
        let next = AtomicUsize::new(0);
        let run = || {
            let mut done = Vec::new();
            while let Some((idx, item)) =
                Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, items.get(i)?)))
            {
                let _slot = self.take();
                done.push((idx, work(item)));
            }
            done
        };
        let n_threads = self.n_slots.min(items.len());
        let mut done = if n_threads <= 1 {
            run()
        } else {
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(run)).collect();
                threads.into_iter().flat_map(|thread| thread.join().expect("the work does not panic")).collect()
            })
        };
        done.sort_unstable_by_key(|(idx, _)| *idx);
        done.into_iter().map(|(_, result)| result).collect()
    }

    fn take(&self) -> Slot<'_> {
        // A count cannot be left half changed, so a panic elsewhere does not spoil it.
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Slot(self)
    }
}

/// One permission, given back when dropped.
struct Slot<'a>(&'a Slots);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order_and_the_bound_holds_over_all_callers() {
        let slots = Slots::new(3);
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let items: Vec<usize> = (0..200).collect();
        let work = |item: &usize| {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::yield_now();
            running.fetch_sub(1, Ordering::SeqCst);
            item * 2
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let expected: Vec<usize> = items.iter().map(|item| item * 2).collect();
                    assert_eq!(slots.map(&items, work), expected);
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 3);
        assert_eq!(slots.map(&[] as &[usize], work), Vec::<usize>::new());
    }
}
