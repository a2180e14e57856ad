//! Finds answers in sentences: behind "the answer is", as the last value, as the only value.

use std::borrow::Cow;

use super::doubt::{alters, denies, disowned, doubts, offers_several, unsure};

/// Most mentions of "answer" that are looked at, from the end.
const MAX_MENTIONS: usize = 64;
/// How far behind "answer" its "is" may stand, in bytes.
const MAX_CUE_BYTES: usize = 96;
/// How much of a completion's end is searched for its last value, in bytes.
const MAX_TAIL_BYTES: usize = 16_384;
/// Longest last line that may as a whole be the answer, in bytes.
const MAX_LINE_BYTES: usize = 512;

/// What follows the last "answer is", "answer:" or 答案 that something follows.
pub(super) fn after_cue(region: &str) -> Option<&str> {
    let mut end = region.len();
    for _ in 0..MAX_MENTIONS {
        let english = region[..end].rfind("nswer");
        let chinese = region[..end].rfind("答案");
        let at = english.max(chinese)?;
        let behind = if Some(at) == chinese && english != chinese {
            chinese_cue(&region[at + "答案".len()..])
        } else {
            english_cue(&region[at + "nswer".len()..])
        };
        if disowned(&region[..at]) {
            end = at;
            continue;
        }
        if let Some(statement) = behind.map(|behind| statement(behind).trim_end_matches('*'))
            && !statement.is_empty()
        {
            return Some(statement);
        }
        end = at;
    }
    None
}

/// What follows the "is" or the colon of an answer; `rest` begins behind the word "answer".
fn english_cue(rest: &str) -> Option<&str> {
    let rest = rest.strip_prefix('s').unwrap_or(rest);
    let near = &rest[..floor_boundary(rest, MAX_CUE_BYTES)];
    let sentence = &near[..near.find(['\n', '.', '?', ',']).unwrap_or(near.len())];
    let verbs = [" is ", " are ", " is:", " are:", " is\n", ":", "：", " would be ", " will be ", " should be ", " = "];
    // The verb may be the last word of its line.
    let whole_line = near.find('\n').filter(|&at| near[..at].ends_with(" is") || near[..at].ends_with(" is:"));
    let found = verbs.into_iter().filter_map(|verb| sentence.find(verb).map(|at| (at, at + verb.len()))).min();
    let end = found.map(|(_, end)| end).or(whole_line)?;
    let mut behind = rest[end..].trim_start_matches([' ', ':', '*', '_', '\n', '\r', '：', '>', '}']);
    // A list of Markdown, and no sign.
    if rest[..rest.len() - behind.len()].ends_with('\n') {
        behind = behind.strip_prefix("- ").unwrap_or(behind);
    }
    for filler in [
        "therefore ",
        "thus ",
        "simply ",
        "just ",
        "equal to ",
        "exactly ",
        "then ",
        "hence ",
        "given by ",
        "option ",
        "choice ",
    ] {
        behind = behind.strip_prefix(filler).unwrap_or(behind).trim_start_matches([':', ' ']);
    }
    Some(behind)
}

fn chinese_cue(rest: &str) -> Option<&str> {
    let behind = rest.trim_start_matches(['是', '为', '：', ':', ' ', '*', '\n']);
    (behind.len() < rest.len()).then_some(behind)
}

/// The first statement of `text`: its first line or sentence, formulas kept whole.
fn statement(text: &str) -> &str {
    let text = text.trim_start();
    for (open, close) in [("$$", "$$"), ("\\[", "\\]")] {
        if let Some(inner) = text.strip_prefix(open) {
            return inner.find(close).map_or(inner, |end| &inner[..end]).trim();
        }
    }
    let mut in_formula = false;
    for (at, c) in text.char_indices() {
        let next = text[at + c.len_utf8()..].chars().next();
        match c {
            '$' => in_formula = !in_formula,
            '\n' | '。' => return text[..at].trim(),
            '.' | '!' if !in_formula && next.is_none_or(char::is_whitespace) && !text[..at].ends_with('.') => {
                // "18!!!" is no factorial.
                let said = if text[..at].ends_with("!!") { text[..at].trim_end_matches('!') } else { &text[..at] };
                return said.trim_end_matches('*').trim();
            }
            _ => {}
        }
    }
    text.trim()
}

/// `text` up to where a subordinate clause begins.
pub(super) fn main_clause(text: &str) -> &str {
    let stops = [
        ", which",
        ", because",
        ", since",
        ", so ",
        ", as ",
        ", where",
        ", when",
        ", with ",
        ", for ",
        ", i.e.",
        " because ",
        " since ",
        " which ",
        " when ",
        " where ",
        " (since",
        " (because",
        " as required",
        " as desired",
        ", if ",
        " if ",
        ", that",
        ", not ",
        ", rather",
        " after ",
        " for the ",
        " in total",
        ", and the",
        ", and this",
        " instead",
        " (approx",
    ];
    let end = stops.into_iter().filter_map(|stop| text.find(stop)).min();
    text[..end.unwrap_or(text.len())].trim_end_matches([',', ' '])
}

/// The only value in `text`, if that is a sentence with one value in it and nothing speaks against it. Outside of the value
/// there may be words only: what is not understood of a formula must not be left out.
pub(super) fn only_value(text: &str) -> Option<&str> {
    let prose = |text: &str| text.chars().all(|c| c.is_alphabetic() || c.is_whitespace() || ",.:;'’!?-*".contains(c));
    let words = || text.split(|c: char| !c.is_alphabetic());
    if words().any(|word| unsure(&word.to_lowercase())) || doubts(text) {
        return None;
    }
    if text.contains('$') {
        let parts: Vec<&str> = text.split('$').collect();
        if parts.len() == 3 && !alters(parts[0]) && prose(parts[0]) && prose(parts[2]) && !parts[1].trim().is_empty() {
            return Some(parts[1]);
        }
    }
    let (start, end) = last_number(text)?;
    let in_sentence =
        text[..start].contains(' ') && (text[end..].is_empty() || !text[end..].starts_with(char::is_alphabetic));
    (in_sentence && !alters(&text[..start]) && prose(&text[..start]) && prose(&text[end..])).then(|| &text[start..end])
}

/// The last line of `region` with a letter or a digit in it, shortened where it is long.
pub(super) fn last_line(region: &str) -> Option<&str> {
    let line = region.lines().rev().find(|line| line.chars().any(char::is_alphanumeric))?.trim();
    Some(&line[..floor_boundary(line, MAX_LINE_BYTES)])
}

/// What `sentence` says behind its last verb.
pub(super) fn after_verb(sentence: &str) -> Option<&str> {
    [" is ", " are ", " = ", ": "]
        .into_iter()
        .filter_map(|verb| sentence.rfind(verb).map(|at| &sentence[at + verb.len()..]))
        .min_by_key(|rest| rest.len())
        .filter(|rest| !doubts(&sentence[..sentence.len() - rest.len()]))
}

/// The last value of `region`: its last line if that is short, what its last sentence ends on, its last formula or number.
/// The caller reads what it is given as a whole, so every candidate here is one piece of text.
pub(super) fn last_value(region: &str) -> Option<Cow<'_, str>> {
    let region = &region[floor_boundary(region, region.len().saturating_sub(MAX_TAIL_BYTES))..];
    let says = |line: &&str| line.chars().any(|c| c.is_alphanumeric() || c == '∞');
    let line = region.lines().rev().find(says)?.trim();
    // Quotations and lists of Markdown, check marks, "A:".
    let line = ["> ", "• ", "✅ ", "A: "].into_iter().fold(line, |line, mark| line.strip_prefix(mark).unwrap_or(line));
    let formula = last_formula(region);
    let number = last_number(region);
    let line_start = line.as_ptr() as usize - region.as_ptr() as usize;
    if let Some(end) =
        [" is the answer", " is the final answer", " is the correct answer"].into_iter().find_map(|cue| line.find(cue))
    {
        return Some(Cow::Borrowed(line[..end].rsplit(". ").next().unwrap_or("")));
    }
    if line.len() <= MAX_LINE_BYTES && plain_answer(line) {
        return Some(Cow::Borrowed(line));
    }
    let candidate = match (formula, number) {
        (Some((_, end)), Some((start, number_end))) if start >= end => (start, number_end),
        (Some(formula), _) => formula,
        (None, Some(number)) => number,
        (None, None) => return Some(Cow::Borrowed(&line[..floor_boundary(line, MAX_LINE_BYTES)])),
    };
    // A formula of signs only may stand behind the last line with letters or digits.
    let in_line = candidate.0.checked_sub(line_start).filter(|&at| at <= line.len() && line.len() <= MAX_LINE_BYTES);
    if let Some(at) = in_line {
        let sentence_start = line[..at].rfind(". ").map_or(0, |end| end + 2);
        let sentence = line[sentence_start..].trim();
        let before = &line[sentence_start..at];
        if offers_several(before) || alters(before) || doubts(before.rsplit(',').next().unwrap_or(before)) {
            return Some(Cow::Borrowed(sentence));
        }
        if ends_a_computation(&line[..at]) {
            return Some(Cow::Borrowed(region[candidate.0..candidate.1].trim()));
        }
        // What the sentence says behind its verb: "the solutions are 2 and 3".
        let verbs = [" is ", " are ", " be ", ": ", " equals "];
        if let Some(verb_end) = verbs.into_iter().filter_map(|verb| line.rfind(verb).map(|at| at + verb.len())).max()
            && verb_end <= at
        {
            return Some(Cow::Borrowed(line[verb_end..].trim()));
        }
    }
    // What a sentence denies is not its answer; the whole sentence is, which is no value.
    if denies(&region[..candidate.0]) {
        return Some(Cow::Borrowed(&line[..floor_boundary(line, MAX_LINE_BYTES)]));
    }
    Some(Cow::Borrowed(region[candidate.0..candidate.1].trim()))
}

/// Whether `before` ends in "= " behind a computation with numbers only: "the total is 5 + 13 = ".
fn ends_a_computation(before: &str) -> bool {
    let Some(left) = before.trim_end_matches([' ', '$']).strip_suffix('=') else { return false };
    let computed = left.trim_end_matches(|c: char| c.is_ascii_digit() || " +-*/×·().,$%−".contains(c));
    let word = computed.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
    left[computed.len()..].bytes().any(|b| b.is_ascii_digit())
        && (word.len() > 1 || computed.ends_with(':'))
        && computed.ends_with(|c: char| c.is_alphabetic() || c == ':')
}

/// `sentence` without the words that lead up to a statement: "So", "Therefore we have".
pub(super) fn without_lead(sentence: &str) -> &str {
    const WORDS: [&str; 24] = [
        "so",
        "thus",
        "therefore",
        "hence",
        "then",
        "we",
        "have",
        "get",
        "find",
        "obtain",
        "that",
        "the",
        "finally",
        "and",
        "this",
        "gives",
        "roots",
        "solutions",
        "values",
        "are",
        "is",
        "solution",
        "value",
        "conclude",
    ];
    let mut rest = sentence.trim();
    while let Some((word, after)) = rest.split_once([' ', ',']) {
        if !WORDS.contains(&word.to_lowercase().as_str()) {
            break;
        }
        rest = after.trim_start_matches([' ', ',', ':']);
    }
    rest
}

/// Whether a line is an answer by itself rather than a sentence: no run of words.
fn plain_answer(line: &str) -> bool {
    let formula_free: String = line.split('$').step_by(2).collect::<Vec<_>>().join(" ");
    let words = formula_free.split(|c: char| !c.is_alphabetic()).filter(|word| {
        let known =
            ["and", "or", "sqrt", "pi", "sin", "cos", "tan", "log", "ln", "frac", "infinity", "text", "left", "right"];
        word.chars().count() > 1 && !known.contains(word) && !line.contains(&format!("\\{word}"))
    });
    // "72 square inches", but not "The total is 72".
    words.count() <= if line.starts_with(|c: char| c.is_ascii_digit()) { 3 } else { 0 }
}

/// Where the last closed formula of `text` starts and ends, delimiters included.
fn last_formula(text: &str) -> Option<(usize, usize)> {
    let dollars = || {
        let end = text.rfind('$')?;
        let double = text[..end].ends_with('$');
        let (inner_end, mark) = if double { (end - 1, "$$") } else { (end, "$") };
        let start = text[..inner_end].rfind(mark)?;
        let inner = &text[start + mark.len()..inner_end];
        // Money: "$13 = $18".
        let money = text[end + 1..].starts_with(|c: char| c.is_ascii_digit());
        (!money && inner.len() <= 2048 && !inner.trim().is_empty() && (double || !inner.contains('\n')))
            .then_some((start, end + 1))
    };
    let pair = |open: &str, close: &str| {
        let end = text.rfind(close)?;
        let start = text[..end].rfind(open)?;
        (end - start <= 4096).then_some((start, end + close.len()))
    };
    [dollars(), pair("\\(", "\\)"), pair("\\[", "\\]")].into_iter().flatten().max_by_key(|&(_, end)| end)
}

/// Where the last number of `text` starts and ends, with its sign, currency, fraction and percent.
fn last_number(text: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let last_digit = bytes.iter().rposition(u8::is_ascii_digit)?;
    let mut end = last_digit + 1;
    let mut start = last_digit;
    while start > 0
        && (bytes[start - 1].is_ascii_digit()
            || (b".,/".contains(&bytes[start - 1]) && start >= 2 && bytes[start - 2].is_ascii_digit()))
    {
        start -= 1;
    }
    if text[..start].ends_with('.') {
        start -= 1;
    }
    // A letter directly in front makes it part of a name, such as `x2`.
    if text[..start].ends_with('$') {
        start -= 1;
    }
    let minus = text[..start].chars().next_back().filter(|c| "-−".contains(*c));
    if let Some(minus) = minus {
        let before = text[..start - minus.len_utf8()].chars().next_back();
        if before.is_none_or(|c| c.is_whitespace() || "=($:".contains(c)) {
            start -= minus.len_utf8();
        }
    }
    if text[end..].starts_with('%') {
        end += 1;
    } else if text[end..].starts_with("\\%") {
        end += 2;
    }
    Some((start, end))
}

/// The largest character boundary of `text` up to `at`.
pub(super) fn floor_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}
