//! The same bits from the same operations on a GPU, at the price of time and memory.
//!
//! A GPU adds in the order in which its threads come by. libtorch has other ways for many operations, and one switch for the
//! whole process that chooses them; it refuses operations for which it knows none, such as the cumulative sums that sampling
//! needs. So the wish ([`ask`]) is kept apart from the switch, which is on while a [`Scope`] lives.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::ffi;

/// Whether scopes turn the switch on.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Makes every [`Scope`] from now on effective, or without effect as they are at first.
pub fn ask(wanted: bool) {
    ASKED.store(wanted, Ordering::Relaxed);
}

/// Operations give the same bits each time while it lives, if that was asked for; those that cannot are refused.
///
/// Scopes may lie within one another. The switch is the process's: two that overlap in any other way may end it too early.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct Scope {
    /// How the switch stood before; none where nothing was asked for.
    before: Option<bool>,
}

impl Scope {
    /// Begins one.
    pub fn begin() -> Self {
        Self { before: ASKED.load(Ordering::Relaxed).then(|| switch(true)) }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            switch(before);
        }
    }
}

/// Turns libtorch's switch; gives back how it stood.
fn switch(on: bool) -> bool {
    // SAFETY: a value goes in and one comes out.
    unsafe { ffi::shim_deterministic(on) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_is_on_within_scopes_that_were_asked_for() {
        let stands = || {
            let now = switch(true);
            switch(now);
            now
        };
        let unasked = Scope::begin();
        assert!(!stands());
        ask(true);
        let outer = Scope::begin();
        assert!(stands());
        drop(Scope::begin());
        assert!(stands(), "an inner scope leaves it as it was");
        // What the wish is when a scope ends has no effect.
        ask(false);
        drop(outer);
        assert!(!stands());
        drop(unasked);
        assert!(!stands());
    }
}
