//! Words around a value by which a sentence does not state it: operators, doubts, denials, alternatives.

use super::prose::floor_boundary;

/// How much of a sentence before its cue is looked at, in bytes.
const MAX_CLAUSE_BYTES: usize = 96;

/// Whether the words that lead up to a value do something to it, or do not state it: "half of", "twice", "anything but",
/// "divisible by". What a value is said to be of ("a total of 18") must be known to leave it as it is.
pub(super) fn alters(before: &str) -> bool {
    const OPERATORS: [&str; 36] = [
        "negative",
        "minus",
        "plus",
        "twice",
        "thrice",
        "double",
        "triple",
        "half",
        "times",
        "under",
        "over",
        "beyond",
        "within",
        "beneath",
        "but",
        "except",
        "besides",
        "from",
        "than",
        "without",
        "like",
        "near",
        "nearly",
        "almost",
        "unlike",
        "versus",
        "per",
        "squared",
        "cubed",
        "root",
        "inverse",
        "reciprocal",
        "log",
        "mod",
        "modulo",
        "against",
    ];
    const AMOUNTS: [&str; 61] = [
        "total",
        "sum",
        "value",
        "values",
        "number",
        "answer",
        "result",
        "amount",
        "length",
        "area",
        "volume",
        "perimeter",
        "cost",
        "price",
        "probability",
        "chance",
        "average",
        "mean",
        "profit",
        "distance",
        "maximum",
        "minimum",
        "speed",
        "rate",
        "balance",
        "set",
        "solution",
        "radius",
        "height",
        "width",
        "consists",
        "weight",
        "remainder",
        "difference",
        "increase",
        "decrease",
        "discount",
        "savings",
        "loss",
        "gain",
        "score",
        "earnings",
        "age",
        "income",
        "salary",
        "fee",
        "tax",
        "tip",
        "bill",
        "budget",
        "revenue",
        "expenses",
        "count",
        "time",
        "temperature",
        "duration",
        "percentage",
        "payment",
        "debt",
        "measure",
        "magnitude",
    ];
    let words: Vec<String> = before
        .split(|c: char| c.is_whitespace() || "()*$:,;".contains(c))
        .map(|word| word.trim_matches(['"', '\'', '_']).to_lowercase())
        .filter(|word| !word.is_empty())
        .collect();
    let is = |i: usize, list: &[&str]| words.get(i).is_some_and(|word| list.contains(&word.as_str()));
    let Some(last) = words.len().checked_sub(1) else { return false };
    if is(last, &OPERATORS) {
        return true;
    }
    // "the square root of the number", "divisible by".
    let article = usize::from(is(last, &["a", "the", "exactly", "about"]));
    let Some(last) = last.checked_sub(article) else { return false };
    match words[last].as_str() {
        "of" => last == 0 || !is(last - 1, &AMOUNTS),
        "by" => last > 0 && is(last - 1, &["divisible", "divided", "multiplied", "multiplying", "dividing"]),
        word => OPERATORS.contains(&word),
    }
}

/// Whether a word of `text` says that what it states is doubted or wrong.
pub(super) fn doubts(text: &str) -> bool {
    const WORDS: [&str; 14] = [
        "not",
        "wrong",
        "false",
        "incorrect",
        "whether",
        "cannot",
        "can't",
        "isn't",
        "never",
        "except",
        "neither",
        "untrue",
        "unless",
        "mistaken",
    ];
    text.split(|c: char| !(c.is_alphanumeric() || c == '\'')).any(|word| WORDS.contains(&word.to_lowercase().as_str()))
}

/// Words with which a sentence does not state the value in it as the answer.
pub(super) fn unsure(word: &str) -> bool {
    const WORDS: [&str; 15] = [
        "not", "or", "either", "isn", "neither", "nor", "maybe", "most", "least", "than", "between", "up", "above",
        "below", "never",
    ];
    WORDS.contains(&word)
}

/// Whether the sentence that ends in `before` denies what it goes on to call the answer: "it is false that the".
pub(super) fn disowned(before: &str) -> bool {
    let near = &before[floor_boundary(before, before.len().saturating_sub(MAX_CLAUSE_BYTES))..];
    let clause = near.rsplit(['.', ',', ';', '\n', '?', '!', ':']).next().unwrap_or(near).to_lowercase();
    let denied = ["not think", "not believe", "n't think", "n't believe", "not sure", "not true"];
    clause
        .split(|c: char| !c.is_alphanumeric())
        .any(|word| matches!(word, "false" | "untrue" | "whether" | "wrong" | "incorrect"))
        || denied.into_iter().any(|words| clause.contains(words))
}

/// Whether a sentence, up to its last value, offers that value beside another: "x = 2 or x = 3", "2 and 3".
pub(super) fn offers_several(before: &str) -> bool {
    let has_value = |text: &str| text.bytes().any(|b| b.is_ascii_digit()) || text.contains('$');
    let or = before.rfind(" or ").is_some_and(|at| has_value(&before[..at]));
    // "and" joins other things as well: only a name may stand between it and the value.
    let and = before.rfind(" and ").is_some_and(|at| {
        let name = before[at + 5..].trim_matches(['$', ' ', '(', '\\']);
        has_value(&before[..at]) && (name.is_empty() || name.ends_with('=') && name.len() <= 8)
    });
    or || and
}

/// Whether the sentence that `before` ends in says that something is not so.
pub(super) fn denies(before: &str) -> bool {
    let start = before.rfind(['\n', '.', '?', ';', ',']).map_or(0, |at| at + 1);
    let sentence = before[start..].to_lowercase();
    let words = [
        "n't ",
        "not ",
        "never ",
        "neither ",
        "instead of ",
        " than ",
        "cannot ",
        "except ",
        "at most ",
        "at least ",
        "between ",
        "up to ",
    ];
    let sentence = format!(" {sentence}");
    words.into_iter().any(|word| sentence.contains(word))
}
