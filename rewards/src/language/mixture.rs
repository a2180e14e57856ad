//! Estimates how much of a text is in one of several languages that share a script, from their common words.

use std::collections::BTreeMap;

use super::function_words::LISTS;

/// Words that a further language must explain to be believed in; the first one needs only one.
const FURTHER_WORDS: u64 = 3;

/// The share of the target among the words that tell languages apart, 0 to 1; `None` if there is no such word.
///
/// `known` has how often words were met, by the set of lists that have them; `target` is an entry of [`LISTS`]. First those
/// languages are chosen, the best one first, that explain the words which the target does not; each further one must explain
/// three, and a twentieth, of what is left to explain at least. So a word that happens to be in the list of a language
/// of which there is no other trace changes little. Then words of the target that no chosen language has stand against words
/// of the chosen languages that the target does not have.
pub(super) fn share_of(target: usize, known: &BTreeMap<u32, u64>) -> Option<f64> {
    let own = 1_u32 << target;
    let total: u64 = known.iter().filter(|(lists, _)| **lists != 0).map(|(_, n)| n).sum();
    let mut chosen = 0_u32;
    let mut n_other = 0;
    loop {
        let explained = |language: usize| -> u64 {
            let open = known.iter().filter(|(lists, _)| *lists & (own | chosen) == 0 && *lists >> language & 1 == 1);
            open.map(|(_, n)| n).sum()
        };
        // The first of equals, so that the order of the lists decides and nothing else.
        let best = (0..LISTS.len()).rev().max_by_key(|&language| explained(language));
        let Some((language, n)) = best.map(|language| (language, explained(language))) else { break };
        let needed = if chosen == 0 { 1 } else { FURTHER_WORDS.max(total / 20) };
        if n < needed {
            break;
        }
        chosen |= 1 << language;
        n_other += n;
    }
    let n_target: u64 =
        known.iter().filter(|(lists, _)| *lists & own != 0 && *lists & chosen == 0).map(|(_, n)| n).sum();
    let n_telling = n_target + n_other;
    (n_telling > 0).then(|| n_target as f64 / n_telling as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_words_stand_against_those_of_the_languages_that_are_there() {
        let check = |known: &[(u32, u64)], expected: Option<f64>| {
            let share = share_of(0, &known.iter().copied().collect());
            assert_eq!(share, expected, "{known:?}");
        };
        check(&[], None);
        check(&[(0, 5)], None);
        check(&[(0b1, 5)], Some(1.0));
        check(&[(0b10, 5)], Some(0.0));
        check(&[(0b1, 3), (0b10, 1), (0, 9)], Some(0.75));
        // In both: tells nothing once the other language is there, and is the target's as long as it is not.
        check(&[(0b1, 3), (0b11, 7), (0b10, 1)], Some(0.75));
        check(&[(0b1, 3), (0b11, 7)], Some(1.0));
        // A second stray word in a third list does not make a third language; three do.
        check(&[(0b1, 6), (0b10, 2), (0b100, 1)], Some(0.75));
        check(&[(0b1, 6), (0b10, 3), (0b100, 3)], Some(0.5));
        // What one language explains is not charged to a second.
        check(&[(0b1, 6), (0b110, 2), (0b100, 2)], Some(0.6));
    }
}
