//! What was asked once is not asked again, by whomever; and the key is nowhere.

mod support;

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use llm_judge::{ChatClient, ClientOptions, LlmJudge, LlmJudgeOptions, PairJudge, PairOptions, Preference};
use rewards::{CompletionView, Gold, Problem, RewardFn};
use support::{Answer, Received, Server, label, verdict};

const KEY_VARIABLE: &str = "LLM_JUDGE_TEST_KEY";
const KEY: &str = "sk-very-secret-0123456789";

fn scores(judge: &LlmJudge, answers: &[&str]) -> Vec<Option<f32>> {
    let problem = Problem { id: String::new(), question: "What is 2 + 2?".to_owned(), gold: Gold::text("4") };
    let views: Vec<CompletionView<'_>> = answers.iter().map(|text| CompletionView::new(text, 1, false)).collect();
    judge.judge_group(&problem, &views).iter().map(|verdict| verdict.score).collect()
}

fn judge(server: &Server, cache: &Path) -> LlmJudge {
    let cache = cache.display().to_string();
    LlmJudge::new(LlmJudgeOptions::new(ClientOptions { cache, ..server.options() })).unwrap()
}

fn honest(received: &Received) -> Answer {
    match received.part("ANSWER") {
        "4" => verdict("correct"),
        "?" => Answer::Chat("I do not know.".to_owned()),
        _ => verdict("incorrect"),
    }
}

#[test]
fn a_second_run_asks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(honest);
    let expected = [Some(1.0), Some(0.0), None];
    assert_eq!(scores(&judge(&server, folder.path()), &["4", "5", "?"]), expected);
    assert_eq!(server.received().len(), 3);
    // On another server, which knows nothing.
    let other = Server::start(|_: &Received| Answer::Close);
    let again = judge(&other, folder.path());
    assert_eq!(scores(&again, &["4", "5", "?"]), expected);
    assert_eq!((other.received().len(), again.counts().n_cached, again.counts().cost), (0, 3, 0.0));
}

#[test]
fn a_run_that_was_stopped_asks_for_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(honest);
    let cache = folder.path().display().to_string();
    let few = ClientOptions { cache, max_requests: 2, concurrency: 1, ..server.options() };
    let stopped = LlmJudge::new(LlmJudgeOptions::new(few)).unwrap();
    assert_eq!(scores(&stopped, &["4", "5", "6", "7"]), [Some(1.0), Some(0.0), None, None]);
    let failure = stopped.failure().unwrap().to_string();
    assert!(failure.contains("replies so far are kept in"), "{failure}");
    assert_eq!(
        scores(&judge(&server, folder.path()), &["4", "5", "6", "7"]),
        [Some(1.0), Some(0.0), Some(0.0), Some(0.0)]
    );
    assert_eq!(server.received().len(), 4);
}

#[test]
fn two_runs_may_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(honest);
    let answers: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let expected: Vec<Option<f32>> = (0..100).map(|n| Some(if n == 4 { 1.0 } else { 0.0 })).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(scores(&judge(&server, folder.path()), &answers), expected));
        }
    });
    let asked = server.received().len();
    assert_eq!(scores(&judge(&server, folder.path()), &answers), expected);
    assert_eq!(server.received().len(), asked);
}

#[test]
fn votes_are_kept_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    // Likes the longer answer, wherever it stands.
    let server = Server::start(|received: &Received| {
        let is_a = received.part("ANSWER A").len() > received.part("ANSWER B").len();
        label(if is_a { "A>>B" } else { "B>A" })
    });
    let cache = folder.path().display().to_string();
    let compare = |question: &str, first: &str, second: &str| {
        let client = ChatClient::new(ClientOptions { cache: cache.clone(), ..server.options() }).unwrap();
        let judge = PairJudge::new(client, PairOptions::default()).unwrap();
        judge.compare_all(&[(question, first, second)]).pop().unwrap()
    };
    let comparison = compare("q", "a long one", "short");
    let mut votes = comparison.votes.clone();
    votes.sort_unstable();
    assert_eq!(votes, [Some(1), Some(1), Some(2), Some(2)]);
    assert_eq!((comparison.difference, comparison.preference(1.0)), (Some(1.5), Some(Preference::First)));
    assert_eq!(server.received().len(), 4);
    assert_eq!(compare("q", "a long one", "short"), comparison);
    assert_eq!(server.received().len(), 4, "each vote is in the cache");
    let turned = compare("q", "short", "a long one");
    assert_eq!((turned.difference, turned.preference(1.0)), (Some(-1.5), Some(Preference::Second)));
    assert_eq!(compare("q", "same", "same").difference, Some(0.0));
}

#[test]
fn a_judge_that_likes_the_first_prefers_none() {
    let server = Server::start(|_: &Received| label("A>>B"));
    let judge = PairJudge::new(ChatClient::new(server.options()).unwrap(), PairOptions::default()).unwrap();
    let pairs: Vec<(String, String)> = (0..20).map(|n| (format!("a{n}"), format!("b{n}"))).collect();
    let pairs: Vec<(&str, &str, &str)> = pairs.iter().map(|(a, b)| ("q", a.as_str(), b.as_str())).collect();
    for comparison in judge.compare_all(&pairs) {
        assert_eq!((comparison.difference, comparison.preference(1.0)), (Some(0.0), None));
    }
    assert_eq!(server.received().len(), 80);
}

#[test]
fn the_key_is_sent_and_nowhere_else() {
    if env::var(KEY_VARIABLE).is_err() {
        // A variable can be set safely only for a process that is about to be started: this test, once more.
        let this = env::current_exe().unwrap();
        let test = "the_key_is_sent_and_nowhere_else";
        let output = Command::new(this).args(["--exact", test]).env(KEY_VARIABLE, KEY).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|received: &Received| match received.part("ANSWER") {
        "4" => verdict("correct"),
        "5" => Answer::Status(400, "", format!("bad request with {KEY}")),
        "6" => Answer::Body(format!("garbage with {KEY}")),
        _ => Answer::Status(401, "", format!("Incorrect API key provided: {KEY}")),
    });
    let cache = folder.path().display().to_string();
    let key_variable = KEY_VARIABLE.to_owned();
    let options = ClientOptions { cache, key_variable, retries: 0, ..server.options() };
    let judge = LlmJudge::new(LlmJudgeOptions::new(options)).unwrap();
    let problem = Problem { id: String::new(), question: "What is 2 + 2?".to_owned(), gold: Gold::text("4") };
    let mut seen = String::new();
    for (answer, rule) in [("4", "correct"), ("5", "rejected"), ("6", "garbled"), ("7", "judge_stopped")] {
        let verdict = judge.judge(&problem, &CompletionView::new(answer, 1, false));
        assert_eq!(verdict.rule, rule);
        seen += &format!("{verdict:?}");
    }
    let failure = judge.failure().unwrap();
    seen += &format!("{failure} {failure:?} {judge:?}");
    for folder in fs::read_dir(folder.path()).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            seen += &fs::read_to_string(file.unwrap().path()).unwrap();
        }
    }
    assert!(!seen.contains(KEY) && !seen.contains("0123456789"), "{seen}");
    assert!(seen.contains("[key]"), "{seen}");
    assert!(server.received().iter().all(|received| received.head.contains(&format!("Bearer {KEY}\r\n"))));
}

#[test]
fn a_key_that_is_not_there_is_said() {
    let server = Server::start(honest);
    let options = ClientOptions { key_variable: "LLM_JUDGE_NO_SUCH_KEY".to_owned(), ..server.options() };
    let error = ChatClient::new(options).unwrap_err().to_string();
    assert!(error.contains("LLM_JUDGE_NO_SUCH_KEY") && error.contains("not set"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_written_is_said_before_anything_is_paid_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let server = Server::start(honest);
    let judge = judge(&server, &file);
    assert_eq!(scores(&judge, &["4"]), [None]);
    let failure = judge.failure().unwrap().to_string();
    assert!(failure.contains("cannot be kept") && failure.contains("`cache`"), "{failure}");
    assert_eq!(server.received().len(), 0);
}
