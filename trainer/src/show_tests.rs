//! Listings of a small step, and what is said when there is none.

use super::*;
use crate::run::ComponentRow;

fn row(group: usize, row: usize, reward: Option<f32>, n_tokens: usize) -> CompletionRow {
    let component = |score, reason: &str, extracted: Option<&str>| ComponentRow {
        score,
        reason: reason.into(),
        extracted: extracted.map(Into::into),
        rule: "exact".into(),
        steps: Vec::new(),
    };
    CompletionRow {
        step: 12,
        problem_id: format!("p{group}"),
        group,
        row,
        prompt: format!("Make {group} from 1 and 2."),
        text: format!("I think {group}{row}.\nDone."),
        n_tokens,
        stop_reason: "end_token".into(),
        token_ids: None,
        n_thinking_tokens: None,
        forced: Vec::new(),
        left_out: None,
        question: String::new(),
        gold: rewards::Gold::default(),
        components: vec![
            ("countdown".into(), component(reward, "right", Some("1 + 2"))),
            ("format".into(), component(None, "does not apply", None)),
        ],
        reward,
        advantage: reward.unwrap_or(0.0) - 0.5,
    }
}

fn run_with(rows: &[CompletionRow]) -> tempfile::TempDir {
    let run = tempfile::tempdir().unwrap();
    completions::write(run.path(), "r1_zero", 12, rows).unwrap();
    run
}

fn four() -> [CompletionRow; 4] {
    [row(0, 0, Some(0.0), 30), row(0, 1, Some(1.0), 10), row(1, 0, None, 40), row(1, 1, Some(0.1), 20)]
}

fn options(run: &Path) -> ShowOptions {
    ShowOptions { run: run.to_path_buf(), stage: None, step: 12, sort: None, limit: None }
}

const PLAIN: Look = Look { width: 60, colours: false };

fn shown(options: &ShowOptions, look: Look) -> String {
    let mut out = Vec::new();
    show(options, look, &mut out).unwrap();
    String::from_utf8(out).unwrap().replace(&options.run.display().to_string(), "RUN")
}

#[test]
fn steps_are_listed_by_their_last_words() {
    let mut rows = [row(0, 0, Some(0.0), 30)];
    rows[0].text = "First of all: 1 + 1 = 2,\n1 + 2 = 4\u{202e} \u{1f600}".into();
    let step = |end, score| crate::run::StepRow { end, end_token: None, score };
    rows[0].components[0].1.steps = vec![step(23, 1.0), step(34, 0.0), step(99, 0.5)];
    let text = shown(&options(run_with(&rows).path()), Look { width: 100, colours: false });
    let expected = "\n      steps  …st of all: 1 + 1 = 2: 1.000  , 1 + 2 = 4: 0.000  \u{fffd} \u{1f600}: 0.500\n";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_listing() {
    let run = run_with(&four()[..2]);
    let expected = "\
RUN  stage r1_zero  step 12  2 completions

prompt of group 0  p0
  Make 0 from 1 and 2.

group 0 row 0  reward 0.000  advantage -0.500  30 tokens  end_token
    countdown 0.000  right [exact]  found: 1 + 2
    format n/a  does not apply [exact]
  │ I think 00.
  │ Done.

group 0 row 1  reward 1.000  advantage +0.500  10 tokens  end_token
    countdown 1.000  right [exact]  found: 1 + 2
    format n/a  does not apply [exact]
  │ I think 01.
  │ Done.
";
    assert_eq!(shown(&options(run.path()), PLAIN), expected);
}

#[test]
fn tokens_that_were_put_in_are_marked() {
    let mut forced = row(0, 0, Some(1.0), 30);
    forced.forced = vec![[2, 3], [12, 20]];
    let text = shown(&options(run_with(&[forced, row(0, 1, None, 9)]).path()), PLAIN);
    assert!(
        text.contains("  30 tokens (3 to 3, 13 to 20 put in)  end_token\n") && text.contains("  9 tokens  end_token\n"),
        "{text}"
    );
}

/// The order in which completions are listed, as `group.row`.
fn order(options: &ShowOptions) -> Vec<String> {
    let text = shown(options, PLAIN);
    let heads = text.lines().filter_map(|line| line.strip_prefix("group "));
    heads.map(|head| head.split("  ").next().unwrap().replace(" row ", ".")).collect()
}

#[test]
fn orders_and_limits() {
    let run = run_with(&four());
    let check = |sort, limit, expected: &[&str]| {
        assert_eq!(order(&ShowOptions { sort, limit, ..options(run.path()) }), expected, "{sort:?}");
    };
    check(None, None, &["0.0", "0.1", "1.0", "1.1"]);
    check(Some(SortKey::Reward), None, &["0.1", "1.1", "0.0", "1.0"]);
    check(Some(SortKey::Advantage), Some(2), &["0.1", "1.1"]);
    check(Some(SortKey::Tokens), Some(3), &["1.0", "0.0", "1.1"]);
    let limited = shown(&ShowOptions { limit: Some(3), ..options(run.path()) }, PLAIN);
    assert!(limited.starts_with("RUN  stage r1_zero  step 12  3 of 4 completions\n"));
}

#[test]
fn a_prompt_is_printed_once_a_group_or_once_if_all_are_equal() {
    let count = |rows: &[CompletionRow]| {
        let run = run_with(rows);
        shown(&ShowOptions { sort: Some(SortKey::Reward), ..options(run.path()) }, PLAIN).matches("Make ").count()
    };
    assert_eq!(count(&four()), 2);
    let mut equal = four();
    for row in &mut equal {
        row.prompt = "Make it.".into();
    }
    assert_eq!(count(&equal), 1);
}

#[test]
fn text_is_wrapped_and_cannot_command_the_terminal() {
    assert_eq!(wrap("aa bb cc dd", 5), ["aa bb", "cc dd"]);
    assert_eq!(wrap("abcdefgh ij\n\nk", 4), ["abcd", "efgh", "ij", "", "k"]);
    assert_eq!(wrap("\u{6f22}\u{5b57}\u{6f22}", 4), ["\u{6f22}\u{5b57}", "\u{6f22}"]);
    let mut evil = row(0, 0, Some(1.0), 5);
    evil.text = "\u{1b}[2J\u{7} word".repeat(9);
    let run = run_with(&[evil]);
    let text = shown(&options(run.path()), PLAIN);
    assert!(!text.contains('\u{1b}') && text.contains("\u{241b}[2J"));
    assert!(text.lines().filter(|line| line.contains("  │")).all(|line| measure_text_width(line) <= 60), "{text}");
}

#[test]
fn colours_only_where_asked_for() {
    let run = run_with(&four());
    assert!(shown(&options(run.path()), Look { colours: true, ..PLAIN }).contains("\u{1b}["));
    assert!(!shown(&options(run.path()), PLAIN).contains('\u{1b}'));
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let refusal = |options: &ShowOptions| {
        let error = show(options, PLAIN, io::sink()).unwrap_err();
        assert!(error.is_usage());
        error.to_string()
    };
    let run = run_with(&four());
    for step in [1, 2, 3, 7] {
        completions::write(run.path(), "r1_zero", step, &four()).unwrap();
    }
    let message = refusal(&ShowOptions { step: 99, ..options(run.path()) });
    assert!(message.ends_with("stage r1_zero has no completions of step 99; there are steps 1-3, 7, 12"), "{message}");
    let message = refusal(&ShowOptions { stage: Some("sft".into()), ..options(run.path()) });
    assert!(message.ends_with("no stage `sft`; there are: r1_zero"), "{message}");
    completions::write(run.path(), "late", 1, &four()).unwrap();
    let message = refusal(&options(run.path()));
    assert!(message.ends_with("say which stage with --stage; there are: late, r1_zero"), "{message}");
    let message = refusal(&options(&run.path().join("none")));
    assert!(message.ends_with("none: no such run folder"), "{message}");
    let empty = tempfile::tempdir().unwrap();
    assert!(refusal(&options(empty.path())).contains("no completions in this folder"));
}

#[test]
fn a_malformed_row_is_named_by_file_and_line() {
    let run = run_with(&four());
    let file = completions_file(run.path(), "r1_zero", 12);
    let text = std::fs::read_to_string(&file).unwrap().replacen("\"row\":1", "\"row\":\"one\"", 1);
    std::fs::write(&file, text).unwrap();
    let error = show(&options(run.path()), PLAIN, io::sink()).unwrap_err();
    let message = error.to_string();
    assert!(!error.is_usage() && message.contains("step_000012.jsonl:2: malformed line: invalid type"), "{message}");
}

#[test]
fn a_closed_pipe_is_quiet_and_a_full_disk_is_not() {
    struct Failing(ErrorKind);
    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let run = run_with(&four());
    show(&options(run.path()), PLAIN, Failing(ErrorKind::BrokenPipe)).unwrap();
    let error = show(&options(run.path()), PLAIN, Failing(ErrorKind::StorageFull)).unwrap_err();
    assert!(matches!(error, ShowError::Output(_)));
}

#[test]
fn times_of_a_run_and_of_a_stage() {
    let run = tempfile::tempdir().unwrap();
    let times = |stage: Option<&str>| {
        let mut out = Vec::new();
        show_times(run.path(), stage, &mut out).map(|()| String::from_utf8(out).unwrap())
    };
    let error = times(None).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("no times in this folder"), "{error}");
    let row = |stage: &str, step| {
        format!("{{\"stage\":\"{stage}\",\"step\":{step},\"step_time\":2.0,\"timing/forward\":1.0}}\n")
    };
    std::fs::write(run.path().join("metrics.jsonl"), row("first", 1) + &row("second", 1)).unwrap();
    let all = times(None).unwrap();
    assert!(all.contains("stage first\n") && all.contains("stage second\n"), "{all}");
    assert!(all.contains("update: forward       1.000   50.0 %"), "{all}");
    let one = times(Some("second")).unwrap();
    assert!(!one.contains("first") && one.contains("stage second\n"), "{one}");
    let error = times(Some("third")).unwrap_err();
    assert!(error.is_usage() && error.to_string().ends_with("no times of stage `third`; there are: first, second"));
    let said = |stage: &str| {
        format!(
            "{{\"stage\":\"{stage}\",\"step\":4,\"symptom\":\"no_answers\",\"kind\":\"warning\",\"since\":2,\"message\":\"of {stage}\",\
             \"numbers\":{{}},\"advice\":[\"this\"]}}\n"
        )
    };
    std::fs::write(run.path().join("doctor.jsonl"), said("first") + &said("second")).unwrap();
    let one = times(Some("second")).unwrap();
    assert!(
        one.ends_with("\nthe doctor, stage second, step 4: of second\n  try: this\n") && !one.contains("of first"),
        "{one}"
    );
    assert!(show_times(&run.path().join("none"), None, Vec::new()).unwrap_err().to_string().contains("no such run"));
}
