//! Countdown: problems without end, and transcripts of attempts at them.

pub mod corpus;
pub mod phrases;
pub mod problems;
pub mod solve;
pub mod styles;
pub mod transcript;

#[cfg(test)]
mod languages_tests;
