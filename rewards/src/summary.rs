//! What a user reads of a completion.

const OPEN: &str = "<answer>";
const CLOSE: &str = "</answer>";

/// The summary of a completion: what stands behind its thoughts, and of that the inside of the last closed `<answer>` where there
/// is one. White space around it is left out; none if nothing is left.
///
/// Thoughts end with the last `</think>`. Where they have begun and never end, only a closed `<answer>` counts; where there are
/// none, the whole completion does.
///
/// - `think_prefilled`: whether the prompt ends inside of `<think>`
pub fn summary(completion: &str, think_prefilled: bool) -> Option<&str> {
    let behind = completion.rsplit_once("</think>").map(|(_, behind)| behind);
    let has_thoughts = think_prefilled || completion.contains("<think>");
    let unclosed = if has_thoughts { "" } else { completion };
    let summary = in_answer(behind.unwrap_or(completion)).unwrap_or_else(|| behind.unwrap_or(unclosed)).trim();
    (!summary.is_empty()).then_some(summary)
}

/// The inside of the last closed `<answer>`.
fn in_answer(text: &str) -> Option<&str> {
    let inside = &text[..text.rfind(CLOSE)?];
    Some(&inside[inside.rfind(OPEN)? + OPEN.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_what_a_user_reads() {
        let check = |completion: &str, prefilled: bool, expected: Option<&str>| {
            assert_eq!(summary(completion, prefilled), expected, "{completion:?}, {prefilled}");
        };
        check(" plain text ", false, Some("plain text"));
        check("plain text", true, None);
        check("", false, None);
        check("<think>a</think> b", false, Some("b"));
        check("a</think>\nb ", true, Some("b"));
        check("<think>a</think> b </think> c", false, Some("c"));
        check("<think>a</think> \n", false, None);
        check("<think>never closed", false, None);
        check("<think>a</think> <answer> b\nc </answer>", false, Some("b\nc"));
        check("<think>a</think> first <answer>b</answer> <answer>c</answer> end", false, Some("c"));
        check("<think>a</think><answer> </answer>", false, None);
        check("<think>a</think>b <answer>c", false, Some("b <answer>c"));
        check("<think>a</think>b</answer> c", false, Some("b</answer> c"));
        check("x <answer>b</answer> y", false, Some("b"));
        // What was only thought of is no answer, unless it is all there is.
        check("<think>perhaps <answer>a</answer></think> b", false, Some("b"));
        check("<think>so <answer>a</answer>", false, Some("a"));
    }
}
