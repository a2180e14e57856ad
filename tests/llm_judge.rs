//! An LLM as judge through the real binary, against a server of the tests' own: what it says is learned from, and nothing
//! else.

#[path = "../rewards/llm_judge/tests/support/mod.rs"]
mod server;
mod support;

use std::collections::BTreeMap;

use serde_json::Value;
use server::{Answer, Received, Server, nobody, verdict};
use support::{Dir, Ended, Running};

/// Two steps, judged by the server; with a tiny model nothing is ever right by a rule.
fn dir(url: &str, more: &str) -> Dir {
    let dir = Dir::new();
    let problem =
        |n: u32| serde_json::json!({"question": format!("make 5 of 2 and 3 case {n}"), "gold": "2+3"}).to_string();
    dir.write("problems.jsonl", (0..7).map(|n| problem(n) + "\n").collect::<String>());
    let judge = format!(
        "[stage.rewards.said]\nkind = \"llm_judge\"\n\n[stage.rewards.said.server]\nbase_url = \"{url}\"\nmodel = \"judge-1\"\n\
         backoff_seconds = 0.001\nbackoff_limit_seconds = 0.01\ncache = \"kept\"\n{more}"
    );
    let text = dir.text("run.toml").replace("[stage.rewards.countdown]\n", &(judge + "\n"));
    dir.write("run.toml", text.replace("steps = 4", "steps = 3"));
    dir
}

/// By the letters of what it is shown alone, as if it had read them.
fn opinion(received: &Received) -> Answer {
    let n: u32 = received.user().bytes().map(u32::from).sum();
    verdict(if n.is_multiple_of(2) { "correct" } else { "incorrect" })
}

/// The scores of the judge in a step's completions, with the rule that each came by.
fn said(dir: &Dir, step: u32) -> Vec<(Option<f64>, String)> {
    let one = |row: Value| {
        let said = &row["components"]["said"];
        (said["score"].as_f64(), said["rule"].as_str().unwrap().to_owned())
    };
    dir.rows(&format!("run/completions/grpo/step_{step:06}.jsonl")).into_iter().map(one).collect()
}

/// What was learned, without what depends on the clock.
fn weights(dir: &Dir) -> Vec<u8> {
    dir.bytes("run/final/model.safetensors")
}

fn train(dir: &Dir, code: i32) -> Ended {
    dir.run(["--config", "run.toml", "--no-progress"]).expect_code(code)
}

#[test]
fn what_it_says_is_learned_from_and_kept() {
    let server = Server::start(opinion);
    let dir = dir(&server.url(), "");
    let check = dir.run(["--config", "run.toml", "--check"]).expect_code(0);
    assert!(check.stdout.contains("said (llm_judge)"), "{}", check.stdout);
    assert!(server.received().is_empty() && !dir.path("kept").exists(), "a check asks nothing and writes nothing");
    train(&dir, 0);
    let mut by_rule: BTreeMap<String, usize> = BTreeMap::new();
    for step in 1..=3 {
        for (score, rule) in said(&dir, step) {
            let expected = if rule == "correct" { 1.0 } else { 0.0 };
            assert_eq!(score, Some(expected), "{rule}");
            *by_rule.entry(rule).or_default() += 1;
        }
    }
    assert!(by_rule["correct"] > 3 && by_rule["incorrect"] > 3, "{by_rule:?}");
    let metrics = dir.rows("run/metrics.jsonl");
    let right = said(&dir, 1).iter().filter(|(score, _)| *score == Some(1.0)).count() as f64 / 12.0;
    assert!((metrics[0]["rewards/said/mean"].as_f64().unwrap() - right).abs() < 1e-6);
    assert!((metrics[0]["accuracy"].as_f64().unwrap() - right).abs() < 1e-6, "it says what is right");
    let n_asked = server.received().len() as f64;
    assert_eq!(metrics[2]["judge/said/requests"].as_f64(), Some(n_asked));

    // Where a server is gone that has answered everything, the same run is the same.
    let again = self::dir(&nobody(), "on_outage = \"stop\"\n");
    let text = again.text("run.toml").replace("cache = \"kept\"", &format!("cache = {:?}", dir.path("kept")));
    again.write("run.toml", text);
    train(&again, 0);
    assert_eq!(weights(&again), weights(&dir));
}

#[test]
fn an_outage_is_waited_out_and_changes_nothing() {
    let good = Server::start(opinion);
    let undisturbed = dir(&good.url(), "");
    train(&undisturbed, 0);
    let bad = Server::start(|received: &Received| match received.n_before % 5 {
        0 => Answer::Status(503, "Retry-After: 0\r\n", "busy".to_owned()),
        1 => Answer::Close,
        2 => Answer::Body("<html>gateway</html>".to_owned()),
        3 => Answer::Torn,
        _ => opinion(received),
    });
    // A response that is no reply is of one text and not of the server: it has to be tried again often enough.
    let disturbed = dir(&bad.url(), "retries = 1000\n");
    train(&disturbed, 0);
    assert_eq!(weights(&disturbed), weights(&undisturbed));
    assert!(bad.received().len() > 2 * good.received().len());
}

#[test]
fn a_server_that_is_not_there_is_skipped_or_ends_the_run() {
    let skipping = dir(&nobody(), "on_outage = \"skip\"\nretries = 1\n");
    train(&skipping, 0);
    let verdicts = said(&skipping, 3);
    assert!(
        verdicts.iter().all(|(score, rule)| (*score, &**rule) == (None, "outage") || rule == "no_answer"),
        "{verdicts:?}"
    );
    let stopping = dir(&nobody(), "on_outage = \"stop\"\nretries = 1\n");
    let ended = train(&stopping, 1);
    for part in ["step 1", "`said`", "does not answer", "replies so far are kept in", "nothing was learned from it"] {
        assert!(ended.stderr.contains(part), "no `{part}` in\n{}", ended.stderr);
    }
}

#[test]
fn a_run_that_ended_over_its_budget_goes_on_from_what_it_paid_for() {
    let server = Server::start(opinion);
    let whole = dir(&server.url(), "");
    train(&whole, 0);
    let before = server.received().len();
    let n_paid = before / 2;
    let capped = dir(&server.url(), &format!("max_requests = {n_paid}\n"));
    let ended = train(&capped, 1);
    assert!(
        ended.stderr.contains(&format!("`max_requests` is {n_paid}")) && ended.stderr.contains("Raise the cap"),
        "{}",
        ended.stderr
    );
    assert_eq!(server.received().len(), before + n_paid);
    let raised = ["--config", "run.toml", "--resume", "--set", "stage.rewards.said.server.max_requests=0"];
    capped.run(raised).expect_code(0);
    assert_eq!(weights(&capped), weights(&whole));
    assert_eq!(server.received().len(), 2 * before, "nothing is asked twice");
}

#[test]
fn a_pause_ends_with_the_run() {
    let dir = dir(&nobody(), "retries = 0\n");
    let mut running = Running::start(dir.command(["--config", "run.toml", "--no-progress"]));
    // The folder of replies is made before the first request.
    assert!(running.wait_until(|| dir.path("kept").exists()), "it ended");
    running.signal(libc::SIGINT);
    let ended = running.end().expect_code(1);
    assert!(ended.stderr.contains("the run was to stop while the server was out"), "{}", ended.stderr);
}

#[test]
fn what_cannot_be_judged_is_refused_before_anything_is_asked() {
    let server = Server::start(opinion);
    let check = |more: &str, problems: Option<&str>, code: i32, parts: &[&str]| {
        let dir = dir(&server.url(), more);
        if let Some(problems) = problems {
            dir.write("problems.jsonl", problems);
        }
        let ended = train(&dir, code);
        for part in parts {
            assert!(ended.stderr.contains(part), "no `{part}` in\n{}", ended.stderr);
        }
        assert!(!dir.path("run").exists());
    };
    let without_gold = "{\"question\": \"q\", \"gold\": \"1\"}\n{\"question\": \"q\"}\n";
    check("", Some(without_gold), 2, &["problems.jsonl:2", "`gold`"]);
    check("key_variable = \"GRPO_NO_SUCH_KEY\"\n", None, 2, &["GRPO_NO_SUCH_KEY", "not set"]);
    check("temperature = 3.0\n", None, 2, &["run.toml:", "`server.temperature` is 3"]);
    check("max_cost = 1.0\n", None, 2, &["run.toml:", "`price_in`"]);
    check("tempreature = 0.5\n", None, 2, &["run.toml:", "tempreature"]);
    assert!(server.received().is_empty());
}
