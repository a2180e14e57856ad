//! Whether a sentence behind a choice offers another one beside it: "C. But D is also right."

/// Words directly in front of a letter that make it a second choice.
const LEADS: [&str; 22] = [
    "or",
    "and",
    "nor",
    "but",
    "also",
    "though",
    "although",
    "however",
    "yet",
    "while",
    "maybe",
    "perhaps",
    "possibly",
    "probably",
    "alternatively",
    "either",
    "option",
    "choice",
    "letter",
    "answer",
    "think",
    "even",
];

/// Words by which a sentence grants that a letter may be right, too.
const GRANTS: [&str; 16] = [
    "right",
    "correct",
    "works",
    "work",
    "possible",
    "fits",
    "fit",
    "valid",
    "acceptable",
    "plausible",
    "true",
    "could",
    "might",
    "may",
    "too",
    "also",
];

/// Words by which a sentence rejects the letter in it, or only weighs it.
const REJECTS: [&str; 36] = [
    "not",
    "no",
    "never",
    "cannot",
    "can't",
    "isn't",
    "doesn't",
    "don't",
    "won't",
    "wrong",
    "incorrect",
    "false",
    "invalid",
    "impossible",
    "eliminated",
    "eliminate",
    "rule",
    "ruled",
    "fails",
    "fail",
    "ignores",
    "contradicts",
    "because",
    "unlike",
    "seem",
    "seems",
    "seemed",
    "look",
    "looks",
    "appear",
    "appears",
    "tempting",
    "close",
    "only",
    "less",
    "instead",
];

/// Longest text that is looked at, in characters: a hedge follows its choice at once.
const MAX_CHARS: usize = 400;

/// Whether `text`, which follows the choice of the letter `chosen`, offers another of the letters up to `last` as well. Letters
/// that are part of a choice's text (`Dog`, `Vitamin D`, `Plan A and B`) are no offers.
pub(crate) fn offers_another(chosen: char, last: char, text: &str) -> bool {
    let end = text.char_indices().nth(MAX_CHARS).map_or(text.len(), |(at, _)| at);
    text[..end].split(['.', '!', '?', ';', '\n', ',', '。']).any(|clause| offers(chosen, last, clause))
}

/// The words of a clause as they are written, without the marks around them.
fn words(clause: &str) -> Vec<String> {
    let marks = |c: char| !c.is_alphanumeric() && c != '\'' && c != '+';
    let words = clause.split(|c: char| c.is_whitespace() || "{}$*\\/".contains(c)).map(|word| word.trim_matches(marks));
    words.filter(|word| !word.is_empty()).map(|word| word.replace('’', "'")).collect()
}

fn offers(chosen: char, last: char, clause: &str) -> bool {
    let words = words(clause);
    let lower: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    let any = |list: &[&str]| lower.iter().any(|word| list.contains(&word.as_str()));
    let another = |i: usize| {
        let mut chars = words[i].chars();
        let letter = chars.next().filter(|letter| ('A'..=last).contains(letter) && chars.next().is_none());
        let article = matches!(letter, Some('A' | 'I'))
            && lower
                .get(i + 1)
                .is_some_and(|next| !GRANTS.contains(&next.as_str()) && !["is", "would"].contains(&next.as_str()));
        letter.is_some_and(|letter| letter != chosen) && !article && (i == 0 || LEADS.contains(&lower[i - 1].as_str()))
    };
    // "or D", "but D": nothing else is said.
    let bare = |i: usize| i > 0 && i + 1 == words.len() && lower[..i].iter().all(|word| LEADS.contains(&word.as_str()));
    !any(&REJECTS) && (0..words.len()).any(|i| another(i) && (bare(i) || any(&GRANTS)))
}

#[cfg(test)]
mod tests {
    use super::offers_another;

    #[test]
    fn offers_and_texts_that_are_none() {
        for (text, offered) in [
            (" but D", true),
            (". But D is also right.", true),
            (", though D works", true),
            (". Or D.", true),
            (". However, option (D) could be correct", true),
            (" or maybe D", true),
            (". D is also possible.", true),
            (". A is right, too", true),
            (". But C is also right.", false),
            (" Dog", false),
            (" Vitamin D", false),
            (" Plan A and Plan B", false),
            (". A good idea", false),
            (". D is the midpoint of AB", false),
            (". But D is wrong.", false),
            (". Although B may seem right, it ignores friction.", false),
            (". D does not work.", false),
            (", not D", false),
            (" because D is too large", false),
            ("", false),
        ] {
            assert_eq!(offers_another('C', 'E', text), offered, "{text:?}");
        }
    }
}
