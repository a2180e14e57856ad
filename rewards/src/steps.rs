//! Scores of the steps of a text: what they are, and when they make sense.

use serde::{Deserialize, Serialize};

/// What one step of the reasoning is worth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepScore {
    /// Where the step ends in the completion's text: a byte offset on the boundary of a character, exclusive, from 1 to the
    /// text's length. It begins where the step before it ends.
    pub end: usize,
    /// Its score, finite.
    pub score: f32,
}

/// The mean of the scores; `None` of no steps.
pub fn mean_of_steps(steps: &[StepScore]) -> Option<f32> {
    // In float64, so that thousands of steps of one score have that score as their mean.
    let sum: f64 = steps.iter().map(|step| f64::from(step.score)).sum();
    (!steps.is_empty()).then(|| (sum / steps.len() as f64) as f32)
}

/// The ends of `steps`, those of `text`, in characters (Unicode scalar values): the unit outside of the program, where texts
/// are not counted in bytes. One pass over the text.
pub fn ends_in_characters(steps: &[StepScore], text: &str) -> Vec<usize> {
    let (mut begin, mut n_characters) = (0, 0);
    let to_end = |step: &StepScore| {
        n_characters += text[begin..step.end].chars().count();
        begin = step.end;
        n_characters
    };
    steps.iter().map(to_end).collect()
}

/// What is wrong with `steps` as those of `text`, if anything.
pub(crate) fn fault(steps: &[StepScore], text: &str) -> Option<String> {
    let mut begin = 0;
    for (idx, &StepScore { end, score }) in steps.iter().enumerate() {
        let nth = idx + 1;
        if !score.is_finite() {
            return Some(format!("step {nth} has the score {score}"));
        }
        if end <= begin {
            return Some(format!("step {nth} ends at byte {end}, and the one before it at {begin}"));
        }
        if !text.is_char_boundary(end) {
            let length = text.len();
            return Some(format!("step {nth} ends at byte {end}, where no character of the {length} bytes ends"));
        }
        begin = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_faults() {
        let check = |steps: &[(usize, f32)], mean: Option<f32>, wrong: Option<&str>| {
            let steps: Vec<StepScore> = steps.iter().map(|&(end, score)| StepScore { end, score }).collect();
            if wrong.is_none() {
                assert_eq!(mean_of_steps(&steps), mean);
                let ends: Vec<usize> = steps.iter().map(|step| "aäb"[..step.end].chars().count()).collect();
                assert_eq!(ends_in_characters(&steps, "aäb"), ends);
            }
            let found = fault(&steps, "aäb");
            assert_eq!(found.is_some(), wrong.is_some(), "{found:?}");
            assert!(found.unwrap_or_default().contains(wrong.unwrap_or_default()));
        };
        check(&[], None, None);
        check(&[(1, 0.5)], Some(0.5), None);
        check(&[(1, 1.0), (3, 0.0), (4, 0.5)], Some(0.5), None);
        check(&[(1, f32::MAX), (3, f32::MAX)], Some(f32::MAX), None);
        check(&[(0, 1.0)], None, Some("step 1 ends at byte 0"));
        check(&[(3, 1.0), (3, 1.0)], None, Some("step 2 ends at byte 3, and the one before it at 3"));
        check(&[(2, 1.0)], None, Some("no character of the 4 bytes"));
        check(&[(5, 1.0)], None, Some("no character of the 4 bytes"));
        check(&[(1, f32::NAN)], None, Some("score NaN"));
    }
}
