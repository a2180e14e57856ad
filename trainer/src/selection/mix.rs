//! Mixing of other data into what was sampled, in a given proportion: DeepSeek-R1's 600,000 reasoning rows and 200,000 others.

use rollout::random::Stream;
use serde::Serialize;
use serde_json::{Map, Value};

use super::draw::Lottery;

/// A row of data, with whatever keys it has.
pub type Row = Map<String, Value>;

/// Other data that is mixed in.
#[derive(Debug, Clone, PartialEq)]
pub struct Ingredient {
    /// Names it in counts.
    pub name: String,
    /// Its rows.
    pub rows: Vec<Row>,
    /// Its share of all rows of the mixture, in (0, 1) (DeepSeek-R1: 0.25).
    pub fraction: f64,
}

/// Rows of an ingredient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MixCount {
    /// Its name.
    pub name: String,
    /// Rows there are.
    pub n_rows: u64,
    /// Rows that make its fraction.
    pub n_wanted: u64,
    /// Rows that were taken: as many as wanted, or all there are.
    pub n_taken: u64,
}

/// A mixture.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixed {
    /// All rows in a random order, each with the number of its ingredient; `None` for the own ones.
    pub rows: Vec<(Option<usize>, Row)>,
    /// By ingredient.
    pub counts: Vec<MixCount>,
}

/// Fractions that cannot be mixed.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "the fractions of what is mixed in come to {sum}: each is more than 0, and all together are less than 1, so that room is \
         left for the rows they are mixed into"
)]
pub struct MixError {
    /// Of the fractions.
    pub sum: f64,
}

/// The lotteries: the order of all, and from this number on the draw of each ingredient.
const ORDER: u64 = 0;
const FIRST_INGREDIENT: u64 = 1;

/// Mixes `ingredients` into `own` so that each has its fraction of all rows, and puts all into a random order. Rows are drawn
/// without repetition; where an ingredient has too few, all of them are taken, and its count says so.
///
/// The mixture depends on the rows and on `stream`, and not on the order of the rows.
///
/// # Errors
///
/// [`MixError`] if a fraction is not above 0, or all together are not below 1.
pub fn mix(own: Vec<Row>, ingredients: Vec<Ingredient>, stream: &Stream) -> Result<Mixed, MixError> {
    let sum: f64 = ingredients.iter().map(|ingredient| ingredient.fraction).sum();
    // Written so that a fraction that is no number is refused too.
    let is_possible = sum < 1.0 && ingredients.iter().all(|ingredient| ingredient.fraction > 0.0);
    if !is_possible {
        return Err(MixError { sum });
    }
    let n_all = own.len() as f64 / (1.0 - sum);
    let lottery = |use_idx| Lottery::new(&Stream::new(stream.bits(use_idx), &[]));
    let mut rows: Vec<(Option<usize>, Row)> = own.into_iter().map(|row| (None, row)).collect();
    let mut counts = Vec::with_capacity(ingredients.len());
    for (ingredient_idx, mut ingredient) in ingredients.into_iter().enumerate() {
        let n_wanted = (ingredient.fraction * n_all).round() as usize;
        let n_rows = ingredient.rows.len();
        lottery(FIRST_INGREDIENT + ingredient_idx as u64).shuffle(&mut ingredient.rows, identity);
        ingredient.rows.truncate(n_wanted);
        counts.push(MixCount {
            name: ingredient.name,
            n_rows: n_rows as u64,
            n_wanted: n_wanted as u64,
            n_taken: ingredient.rows.len() as u64,
        });
        rows.extend(ingredient.rows.into_iter().map(|row| (Some(ingredient_idx), row)));
    }
    lottery(ORDER).shuffle(&mut rows, |(_, row)| identity(row));
    Ok(Mixed { rows, counts })
}

/// A row in JSON.
fn identity(row: &Row) -> String {
    // A map with text for keys always has a form in JSON.
    serde_json::to_string(row).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(name: &str, n: usize) -> Vec<Row> {
        let row = |number: usize| Row::from_iter([(name.to_owned(), Value::from(number))]);
        (0..n).map(row).collect()
    }

    fn ingredient(name: &str, n: usize, fraction: f64) -> Ingredient {
        Ingredient { name: name.to_owned(), rows: rows(name, n), fraction }
    }

    fn stream() -> Stream {
        Stream::new(3, &[1])
    }

    #[test]
    fn fractions_are_of_the_whole() {
        let check = |n_own: usize, ingredients: &[(usize, f64)], expected: &[(u64, u64)]| {
            let ingredients = ingredients.iter().map(|&(n, fraction)| ingredient("x", n, fraction)).collect();
            let mixed = mix(rows("own", n_own), ingredients, &stream()).unwrap();
            let counts: Vec<(u64, u64)> = mixed.counts.iter().map(|count| (count.n_wanted, count.n_taken)).collect();
            assert_eq!(counts, expected);
            assert_eq!(mixed.rows.len() as u64, n_own as u64 + expected.iter().map(|(_, taken)| taken).sum::<u64>());
        };
        // DeepSeek-R1's 600,000 and 200,000 in small.
        check(600, &[(500, 0.25)], &[(200, 200)]);
        check(50, &[(100, 0.25), (100, 0.25)], &[(25, 25), (25, 25)]);
        check(600, &[(10, 0.25)], &[(200, 10)]);
        check(0, &[(10, 0.5)], &[(0, 0)]);
        check(7, &[], &[]);
    }

    #[test]
    fn impossible_fractions_are_refused() {
        for fractions in [vec![0.0], vec![-0.5], vec![1.0], vec![0.5, 0.5], vec![f64::NAN]] {
            let ingredients = fractions.iter().map(|&fraction| ingredient("x", 9, fraction)).collect();
            assert!(mix(rows("own", 9), ingredients, &stream()).is_err(), "{fractions:?}");
        }
    }

    #[test]
    fn the_order_of_rows_changes_nothing_and_all_are_shuffled_together() {
        let (own, general) = (rows("own", 60), ingredient("general", 90, 0.25));
        let mixed = mix(own.clone(), vec![general.clone()], &stream()).unwrap();
        let reversed = Ingredient { rows: general.rows.iter().rev().cloned().collect(), ..general.clone() };
        assert_eq!(mixed, mix(own.iter().rev().cloned().collect(), vec![reversed], &stream()).unwrap());
        assert_ne!(mixed, mix(own, vec![general], &Stream::new(4, &[1])).unwrap());
        let first_half = mixed.rows[..40].iter().filter(|(from, _)| from.is_some()).count();
        assert!((4..=16).contains(&first_half), "{first_half} of 20");
    }
}
