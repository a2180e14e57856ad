//! Rows that are read, rows that are refused, and what becomes of them as tokens.

use rollout::{Template, Tokenizer};

use super::*;
use crate::config::Over;

const PAIRWISE: RewardObjective = RewardObjective::Pairwise;
const POINTWISE: RewardObjective = RewardObjective::Pointwise;

fn file(lines: &[&str]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines.join("\n")).unwrap();
    file
}

fn reader(over: Over) -> Reader {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/reward_models/qwen2");
    Reader { tokenizer: Tokenizer::load(&folder, 104).unwrap(), template: Template::None, over, end: Some(0) }
}

#[test]
fn rows_that_cannot_be_used_are_refused_by_line() {
    let check = |objective: RewardObjective, row: &str, part: &str| {
        let good = match objective {
            PAIRWISE => r#"{"question": "q", "chosen": "a", "rejected": "b", "domain": "helpful"}"#,
            POINTWISE => r#"{"prompt": "q", "completion": "a", "label": true}"#,
        };
        let message = read(file(&[good, row]).path(), objective).unwrap_err().to_string();
        assert!(message.contains(":2: ") && message.contains(part), "no `{part}` in {message}");
    };
    check(PAIRWISE, r#"{"chosen": "a", "rejected": "b"}"#, "neither `prompt` nor `question`");
    check(PAIRWISE, r#"{"question": "q", "chosen": "a"}"#, "`rejected` is missing");
    check(PAIRWISE, r#"{"question": "q", "completion": "a", "label": true}"#, "`chosen` is missing: a pair has");
    check(PAIRWISE, r#"{"question": "q", "chosen": "a", "rejected": "a"}"#, "the same text");
    check(POINTWISE, r#"{"question": "q", "completion": "a"}"#, "`label` is missing");
    check(POINTWISE, r#"{"question": "q", "chosen": "a", "rejected": "b"}"#, "`completion` is missing: a labelled row");
    check(POINTWISE, r#"{"question": "q", "completion": "a", "label": "good"}"#, "invalid type");
}

#[test]
fn a_prompt_and_a_response_are_tokens_with_an_end() {
    let rows = file(&[
        r#"{"prompt": "no", "question": "ab", "chosen": " <think>x</think> y", "rejected": "z"}"#,
        r#"{"prompt": "ab", "chosen": "long enough to be left out", "rejected": "z"}"#,
        r#"{"question": "ab", "chosen": "<think>x", "rejected": "z"}"#,
    ]);
    let check = |over: Over, max_tokens: usize, n_rows: usize, n_long: usize, n_empty: usize| {
        let reader = reader(over);
        let examples = Examples::open(rows.path(), PAIRWISE, &reader, max_tokens).unwrap();
        assert_eq!((examples.rows.len(), examples.n_long, examples.n_empty), (n_rows, n_long, n_empty));
        assert_eq!(examples.left_out(max_tokens).is_some(), n_long + n_empty > 0);
        examples.rows
    };
    let encode = |text: &str| reader(Over::Response).tokenizer.encode(text).unwrap();
    let whole = check(Over::Response, 100, 3, 0, 0);
    assert_eq!(whole[0].sequences[0], [encode("ab"), encode(" <think>x</think> y"), vec![0]].concat());
    assert_eq!(whole[0].sequences[1], [encode("ab"), encode("z"), vec![0]].concat());
    assert_eq!(whole[0].n_tokens(), whole[0].sequences[0].len() + whole[0].sequences[1].len());
    let summaries = check(Over::Summary, 100, 2, 0, 1);
    assert_eq!(summaries[0].sequences[0], [encode("ab"), encode("y"), vec![0]].concat());
    check(Over::Summary, 12, 1, 1, 1);
    let nothing = Examples::open(rows.path(), PAIRWISE, &reader(Over::Summary), 2).unwrap_err().to_string();
    assert!(
        nothing.contains("none of 3 rows") && nothing.contains("2 are longer than 2 tokens, 1 have no summary"),
        "{nothing}"
    );
}
