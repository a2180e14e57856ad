//! cons@k: the answer that most of k samples give.

use rewards::Accuracy;

/// The sample whose answer stands for what most samples say; none if no sample has an answer.
///
/// Answers that are the same ([`Accuracy::classes`]) vote together, samples without an answer do not vote. The class with
/// the most votes wins, and of several with as many the one whose first answer was seen first. It stands by its first
/// sample: whether the consensus is right is whether that sample is (self-consistency, Wang et al. 2022, arXiv 2203.11171;
/// R1's cons@64).
///
/// - `answers`: what each sample answered, in the order of samples
pub fn voted(accuracy: &Accuracy, answers: &[Option<&str>]) -> Option<usize> {
    let voting: Vec<(usize, &str)> =
        answers.iter().enumerate().filter_map(|(index, answer)| answer.map(|answer| (index, answer))).collect();
    let texts: Vec<&str> = voting.iter().map(|&(_, answer)| answer).collect();
    // By class: its first sample, and its votes.
    let mut classes: Vec<(usize, usize)> = Vec::new();
    for (&(index, _), class) in voting.iter().zip(accuracy.classes(&texts)) {
        match classes.get_mut(class) {
            Some((_, votes)) => *votes += 1,
            None => classes.push((index, 1)),
        }
    }
    let most = classes.iter().map(|&(_, votes)| votes).max()?;
    classes.iter().find(|&&(_, votes)| votes == most).map(|&(first, _)| first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::tests::golden;

    // scripts/golden/evaluation.py: spellings of known values, counted by Python's collections.Counter.
    #[test]
    fn votes_are_counted_as_by_the_reference() {
        let golden = golden();
        let tables = golden["votes"].as_array().expect("tables");
        assert!(tables.len() >= 200, "{} tables", tables.len());
        for table in tables {
            let answers: Vec<Option<&str>> =
                table["answers"].as_array().expect("answers").iter().map(|a| a.as_str()).collect();
            let theirs = table["voted"].as_u64().map(|index| index as usize);
            assert_eq!(voted(&Accuracy::default(), &answers), theirs, "{answers:?}");
        }
    }

    #[test]
    fn ties_go_to_the_first_seen_and_no_answer_does_not_vote() {
        let check = |answers: &[Option<&str>], expected: Option<usize>| {
            assert_eq!(voted(&Accuracy::default(), answers), expected, "{answers:?}");
        };
        check(&[], None);
        check(&[None, None], None);
        check(&[None, Some("7"), None, None], Some(1));
        check(&[Some("1"), Some("2"), Some("3"), Some("2")], Some(1));
        check(&[Some("1"), Some("2"), Some("2"), Some("1")], Some(0));
        check(&[Some("3"), Some("1/2"), Some("0.5"), Some(r"\frac{2}{4}"), Some("3")], Some(1));
    }
}
