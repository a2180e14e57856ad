//! A word that is put into a completion in place of the end of its thoughts, so that it goes on thinking.

/// Keeps a completion thinking: when it closes its thoughts too early, what closes them is taken back, the phrase's tokens are
/// put in, not drawn, and sampling goes on behind them (the lower bound of budget forcing, s1, arXiv 2501.19393, section 3.1: the
/// end of thinking is suppressed and "Wait" is appended).
///
/// Thoughts are closed by the text `closing`, or by an end token before it. Tokens are taken back whole: one that closes the
/// thoughts and says something before goes too. Once a completion has closed its thoughts and is left to it, or they have
/// been ended ([`crate::ForcedEnd`]), nothing more is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForcedWait {
    /// The phrase; at least one token. It does not hold `closing`.
    pub ids: Vec<i64>,
    /// The text that closes the thoughts; not empty.
    pub closing: String,
    /// Thoughts with at least this many tokens may be closed. What was put in counts.
    pub until_tokens: usize,
    /// How many times it is done for one completion, at the most.
    pub most_times: usize,
}
