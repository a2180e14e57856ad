//! Takes off what surrounds an answer without belonging to it: formula delimiters, emphasis, boxes, the final stop.

use std::borrow::Cow;

/// `source` without delimiters, markdown emphasis and a final stop.
pub(super) fn undelimited(source: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(source.trim());
    loop {
        let before = text.len();
        let trimmed = strip_once(&text).map(str::to_owned);
        if let Some(trimmed) = trimmed {
            text = Cow::Owned(trimmed);
        }
        if text.len() == before {
            break;
        }
    }
    if text.contains('$') {
        text = Cow::Owned(without_dollars(&text));
    }
    if spaced_thousands(&text) {
        text = Cow::Owned(text.replace(' ', ""));
    } else if text.contains(" {,") {
        text = Cow::Owned(text.replace(" {,", "{,"));
    }
    if text.contains("**") && text.matches("**").count() % 2 == 0 && text.starts_with("**") {
        text = Cow::Owned(text.replace("**", ""));
    }
    text
}

/// `text` with words of mathematics around a value as signs, or without them: "negative 18", `3.5 (or 7/2)`,
/// `\lim_{x \to 0} f(x) = 3`.
pub(super) fn without_words(text: &str) -> Cow<'_, str> {
    let negative = text
        .split_once(' ')
        .filter(|(word, _)| word.eq_ignore_ascii_case("negative") || word.eq_ignore_ascii_case("minus"));
    if let Some((_, value)) = negative
        && value.trim_start().starts_with(|c: char| c.is_ascii_digit() || "$\\".contains(c))
    {
        return Cow::Owned(format!("-{}", undelimited(value)));
    }
    if let Some((value, again)) = text.strip_suffix(')').and_then(|text| text.split_once(" (or ")) {
        return Cow::Owned(format!("{value} or {again}"));
    }
    let names = ["\\lim", "\\int", "\\sum", "\\prod", "\\iint", "\\oint"];
    if names.into_iter().any(|name| text.starts_with(name)) {
        let mut depth = 0_i32;
        let mut last = None;
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                b'=' if depth == 0 => last = Some(at),
                _ => {}
            }
        }
        if let Some(at) = last {
            return Cow::Owned(text[at + 1..].trim().to_owned());
        }
    }
    Cow::Borrowed(text)
}

/// Whether `text` is one number whose thousands are set off by spaces: `1 234 567`.
fn spaced_thousands(text: &str) -> bool {
    let mut groups = text.split(' ');
    let first = groups.next().unwrap_or("").trim_start_matches('-');
    let digits = |group: &str| group.bytes().all(|b| b.is_ascii_digit());
    text.contains(' ')
        && (1..=3).contains(&first.len())
        && digits(first)
        && groups.all(|group| group.len() == 3 && digits(group))
}

/// `text` with small digits and braced points as they are typed on a keyboard: `x₂`, `0{.}5`.
pub(super) fn typed(text: &str) -> Cow<'_, str> {
    let small = |c: char| ('₀'..='₉').contains(&c);
    if !text.contains(small) {
        return if text.contains("{.}") { Cow::Owned(text.replace("{.}", ".")) } else { Cow::Borrowed(text) };
    }
    let mut typed = String::with_capacity(text.len());
    let mut below = false;
    for c in text.chars() {
        match (below, small(c)) {
            (false, true) => typed.push_str("_{"),
            (true, false) => typed.push('}'),
            _ => {}
        }
        below = small(c);
        let digit = char::from_u32(c as u32 - if below { '₀' as u32 - '0' as u32 } else { 0 });
        typed.push(digit.unwrap_or(c));
    }
    if below {
        typed.push('}');
    }
    Cow::Owned(typed.replace("{.}", "."))
}

/// `text` with a decimal comma read as a point, if it is one number with one comma that groups no thousands: `3,14`.
pub(super) fn decimal_comma(text: &str) -> Option<String> {
    let text = undelimited(text);
    let (whole, fraction) = text.split_once(',')?;
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    (digits(whole.trim_start_matches('-')) && digits(fraction)).then(|| format!("{whole}.{fraction}"))
}

/// `text` without one outer layer, or `None`.
fn strip_once(text: &str) -> Option<&str> {
    let pairs = [
        ("$$", "$$"),
        ("$", "$"),
        ("\\(", "\\)"),
        ("\\[", "\\]"),
        ("**", "**"),
        ("`", "`"),
        ("\"", "\""),
        ("```", "```"),
        ("“", "”"),
        ("‘", "’"),
        ("'", "'"),
        ("_", "_"),
        ("<b>", "</b>"),
        ("<strong>", "</strong>"),
    ];
    for (open, close) in pairs {
        if let Some(inner) = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)) {
            let single = open != "$" || !inner.contains('$');
            let escaped = close.starts_with('$') && inner.ends_with('\\');
            if single && !escaped && !inner.contains(open) && !inner.is_empty() {
                return Some(inner.trim());
            }
        }
    }
    // Money in brackets, one mark of emphasis that its partner was cut from, and spaces of LaTeX.
    if let Some(inner) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'))
        && (inner.starts_with('$') || inner.starts_with("\\$"))
        && !inner.contains(['(', ')'])
    {
        return Some(inner.trim());
    }
    if let Some(inner) = text.strip_suffix("**")
        && !inner.contains("**")
    {
        return Some(inner.trim());
    }
    for space in ["\\!", "\\:", "\\quad", "\\qquad", "\\"] {
        if let Some(inner) = text.strip_suffix(space) {
            return Some(inner.trim());
        }
    }
    let shorter = text.trim_end_matches(['.', ',', ';', '。', '\u{200b}', '\u{feff}']).trim();
    // Dots that say how a decimal goes on are part of it.
    if shorter.len() < text.len() && !text.ends_with("...") {
        return Some(shorter);
    }
    None
}

/// Without the dollar signs that delimit formulas. An odd number, or signs directly before digits with no closing one behind
/// them, are money.
fn without_dollars(text: &str) -> String {
    let signs: Vec<usize> =
        text.match_indices('$').map(|(at, _)| at).filter(|&at| !text[..at].ends_with('\\')).collect();
    if signs.len() % 2 == 1 {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len());
    let mut from = 0;
    for at in signs {
        plain.push_str(&text[from..at]);
        plain.push(' ');
        from = at + 1;
    }
    plain.push_str(&text[from..]);
    plain
}

/// Whether `text` says "all real numbers" in words.
pub(super) fn says_all_reals(text: &str) -> bool {
    if !text.contains("real") {
        return false;
    }
    let text = normalised(text);
    matches!(text.as_str(), "all real numbers" | "all reals" | "all real number" | "real numbers" | "every real number")
}

/// Whether `text` says in words that nothing solves the problem, which is the empty set.
pub(super) fn says_none(text: &str) -> bool {
    if !text.contains("solution") && !text.contains("mpty set") {
        return false;
    }
    let text = normalised(text);
    matches!(
        text.as_str(),
        "no solution" | "no solutions" | "no real solution" | "no real solutions" | "empty set" | "the empty set"
    )
}

/// `text` as it is compared when it is no mathematics: without markup, case, punctuation at the ends and double spaces.
pub(super) fn normalised(text: &str) -> String {
    let undelimited = undelimited(text);
    let mut plain = undelimited.into_owned();
    if plain.contains('\\') {
        for command in
            ["\\textbf", "\\textit", "\\textrm", "\\text", "\\mathrm", "\\mathbf", "\\mbox", "\\left", "\\right"]
        {
            plain = plain.replace(command, "");
        }
        for space in ["\\ ", "\\,", "\\;", "\\:", "\\quad", "~"] {
            plain = plain.replace(space, " ");
        }
        plain = plain.replace("\\!", "");
        plain = plain.replace("dfrac", "frac").replace("tfrac", "frac");
    }
    for (long, short) in [("p.m.", "pm"), ("a.m.", "am"), ("P.M.", "pm"), ("A.M.", "am"), ("p.m", "pm"), ("a.m", "am")]
    {
        if plain.contains(long) {
            plain = plain.replace(long, short);
        }
    }
    let mut normal = String::with_capacity(plain.len());
    for c in plain.chars().filter(|c| !"{}*\"'’‘“”$".contains(*c)) {
        if c.is_whitespace() {
            if !normal.ends_with(' ') {
                normal.push(' ');
            }
        } else {
            normal.extend(c.to_lowercase());
        }
    }
    normal.trim_matches([' ', '.', ',', ';', ':', '!']).to_owned()
}

/// [`normalised`], with what says the same in other words taken away: "an ellipse", "does not exist".
pub(super) fn same_words(text: &str) -> String {
    let text = normalised(text);
    let bare = ["a ", "an ", "the "].into_iter().find_map(|article| text.strip_prefix(article)).unwrap_or(&text);
    match bare {
        "does not exist" | "limit does not exist" | "doesn't exist" | "it does not exist" => "dne".to_owned(),
        "yes, it is" | "yes it is" | "yes, they are" | "yes, it does" | "yes, there is" | "yes, there are" => {
            "yes".to_owned()
        }
        "no, it is not" | "no, it isn't" | "no, it does not" | "no, there is not" | "no, they are not" => {
            "no".to_owned()
        }
        bare => bare.to_owned(),
    }
}

/// `text` without any white space: two spellings of one formula.
pub(super) fn squeezed(text: &str) -> String {
    undelimited(text).chars().filter(|c| !c.is_whitespace()).collect()
}

/// Whether `text` holds words, dates or times and nothing else, so that it is meant as text.
pub(super) fn is_words(text: &str) -> bool {
    let text = normalised(text);
    let word = text.split(|c: char| !c.is_alphabetic()).any(|word| word.chars().count() > 1)
        || text.ends_with("pm")
        || text.ends_with("am");
    word && text.chars().all(|c| c.is_alphanumeric() || " -.,&:".contains(c))
}
