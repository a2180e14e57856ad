//! Good servers and bad ones: nothing is lost, nothing is scored by accident, nothing is asked twice.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use llm_judge::{ClientOptions, LlmJudge, LlmJudgeOptions, Mode, OnOutage};
use rewards::{CompletionView, Gold, Problem, RewardFn, Verdict};
use serde_json::json;
use support::{Answer, Received, Server, chat, nobody, verdict};

fn problem(question: &str) -> Problem {
    Problem { id: question.to_owned(), question: question.to_owned(), gold: Gold::text("4") }
}

fn judge(server: ClientOptions) -> LlmJudge {
    LlmJudge::new(LlmJudgeOptions::new(server)).unwrap()
}

/// The verdicts on `answers` to one question.
fn verdicts(judge: &LlmJudge, answers: &[&str]) -> Vec<Verdict> {
    let views: Vec<CompletionView<'_>> = answers.iter().map(|text| CompletionView::new(text, 1, false)).collect();
    judge.judge_group(&problem("What is 2 + 2?"), &views)
}

fn scores(judge: &LlmJudge, answers: &[&str]) -> Vec<Option<f32>> {
    verdicts(judge, answers).iter().map(|verdict| verdict.score).collect()
}

/// A judge that knows that 4 is right.
fn honest(received: &Received) -> Answer {
    verdict(if received.part("ANSWER") == "4" { "correct" } else { "incorrect" })
}

#[test]
fn every_completion_gets_its_own_verdict() {
    let server = Server::start(honest);
    let judge = judge(server.options());
    let answers: Vec<String> = (0..40).map(|n| format!("<think>{n}</think> {n}")).collect();
    let views: Vec<CompletionView<'_>> = answers.iter().map(|text| CompletionView::new(text, 1, false)).collect();
    let (one, other) = (problem("What is 2 + 2?"), problem("What is 1 + 3?"));
    let verdicts = judge.judge_batch(&[(&one, &views[..30]), (&other, &[]), (&other, &views)]);
    assert_eq!(verdicts.iter().map(Vec::len).collect::<Vec<_>>(), [30, 0, 40]);
    for group in [&verdicts[0], &verdicts[2]] {
        for (n, verdict) in group.iter().enumerate() {
            let expected = if n == 4 { (Some(1.0), "correct") } else { (Some(0.0), "incorrect") };
            assert_eq!((verdict.score, &*verdict.rule), expected, "{n}");
            assert_eq!((&*verdict.reason, verdict.extracted.clone()), ("looked at it", Some(n.to_string())));
        }
    }
    let counts = judge.counts();
    assert_eq!((counts.n_requests, counts.n_replies, counts.n_retries, counts.n_cached), (70, 70, 0, 0));
    assert_eq!((counts.tokens_in, counts.tokens_out, counts.no_verdict.len()), (70_000, 7000, 0));
    assert_eq!(judge.failure(), None);
}

#[test]
fn what_cannot_be_asked_is_not_asked() {
    let server = Server::start(honest);
    let judge = judge(server.options());
    for (text, rule, score) in
        [("<think>4", "no_answer", Some(0.0)), ("  ", "no_answer", Some(0.0)), ("</think>\n", "no_answer", Some(0.0))]
    {
        let verdict = &verdicts(&judge, &[text])[0];
        assert_eq!((&*verdict.rule, verdict.score), (rule, score), "{text:?}");
    }
    let without_gold = Problem { gold: Gold::default(), ..problem("q") };
    let verdict = judge.judge(&without_gold, &CompletionView::new("4", 1, false));
    assert_eq!((&*verdict.rule, verdict.score), ("gold", None));
    assert!(judge.check_gold(&without_gold).unwrap_err().to_string().contains("`gold`"));
    assert_eq!(server.received().len(), 0);
    // The same answer is asked for once.
    assert_eq!(scores(&judge, &["4", "5", "4", " 4"]), [Some(1.0), Some(0.0), Some(1.0), Some(1.0)]);
    assert_eq!(server.received().len(), 2);
}

#[test]
fn marks_are_scores_from_0_to_1() {
    let server = Server::start(|received: &Received| {
        let mark = received.part("ANSWER").parse::<u32>().unwrap();
        Answer::Chat(json!({"analysis": "", "score": mark}).to_string())
    });
    let options =
        LlmJudgeOptions { mode: Mode::Score, rubric: "Be high.".to_owned(), ..LlmJudgeOptions::new(server.options()) };
    let judge = LlmJudge::new(options).unwrap();
    let scores = scores(&judge, &["1", "10", "4", "0", "11"]);
    assert_eq!(scores, [Some(0.0), Some(1.0), Some(1.0 / 3.0), None, None]);
    assert_eq!(judge.counts().no_verdict["malformed"], 2);
    assert!(judge.check_gold(&Problem { gold: Gold::default(), ..problem("q") }).is_ok());
    let system = server.received()[0].body["messages"][0]["content"].to_string();
    assert!(system.contains("Be high."), "{system}");
}

#[test]
fn passing_troubles_are_waited_out() {
    let check = |name: &str, trouble: fn() -> Answer, n_troubles: usize| {
        let server =
            Server::start(move |r: &Received| if r.n_before < n_troubles { trouble() } else { verdict("correct") });
        let judge = judge(ClientOptions { timeout_seconds: 0.3, ..server.options() });
        assert_eq!(scores(&judge, &["4"]), [Some(1.0)], "{name}");
        let counts = judge.counts();
        assert_eq!((counts.n_requests, counts.n_retries), (n_troubles as u64 + 1, n_troubles as u64), "{name}");
    };
    check("too many requests", || Answer::Status(429, "Retry-After: 0\r\n", "slow down".to_owned()), 3);
    check("server error", || Answer::Status(500, "", String::new()), 5);
    check("starting", || Answer::Status(503, "", "<html>".to_owned()), 1);
    check("closed", || Answer::Close, 2);
    check("torn", || Answer::Torn, 2);
    check("no JSON", || Answer::Body("<html>welcome</html>".to_owned()), 2);
    check("no choices", || Answer::Body("{\"choices\": []}".to_owned()), 1);
    check("huge", || Answer::Body("x".repeat(3 << 20)), 1);
    check("slow", || Answer::Silence(Duration::from_millis(600)), 1);
}

#[test]
fn retry_after_is_honoured() {
    let server = Server::start(|r: &Received| match r.n_before {
        0 => Answer::Status(429, "Retry-After: 1\r\n", String::new()),
        _ => verdict("correct"),
    });
    let judge = judge(ClientOptions { backoff_limit_seconds: 2.0, ..server.options() });
    let began = Instant::now();
    assert_eq!(scores(&judge, &["4"]), [Some(1.0)]);
    assert!(began.elapsed() >= Duration::from_secs(1), "asked again too soon");
}

#[test]
fn what_is_no_verdict_is_no_score() {
    let check = |name: &str, answer: fn() -> Answer| {
        let server = Server::start(move |_: &Received| answer());
        let judge = judge(ClientOptions { retries: 1, ..server.options() });
        let verdict = &verdicts(&judge, &["4"])[0];
        assert_eq!((&*verdict.rule, verdict.score), (name, None));
        assert_eq!(judge.counts().no_verdict[name], 1);
        assert_eq!(judge.failure(), None, "{name}");
    };
    let whole = r#"{"analysis": "", "correctness": "correct"}"#;
    check("malformed", || Answer::Chat("The answer is correct.".to_owned()));
    check("malformed", || Answer::Chat(r#"{"analysis": "", "correctness": "mostly"}"#.to_owned()));
    check("malformed", || Answer::Chat(r#"{"analysis": "", "score": 10}"#.to_owned()));
    check("malformed", || Answer::Chat(String::new()));
    check("cut_off", || Answer::Body(chat(r#"{"analysis": "", "correctness": "correct"}"#, "length").to_string()));
    check("filtered", || Answer::Body(chat("", "content_filter").to_string()));
    check("refusal", || {
        let message = json!({"content": null, "refusal": "I cannot judge this."});
        Answer::Body(json!({"choices": [{"message": message, "finish_reason": "stop"}]}).to_string())
    });
    check("rejected", || Answer::Status(400, "", "too long".to_owned()));
    check("garbled", || Answer::Body("{}".to_owned()));
    check("garbled", || Answer::Body("x".repeat(3 << 20)));
    let server = Server::start(move |_: &Received| Answer::Chat(whole.to_owned()));
    assert_eq!(scores(&judge(server.options()), &["4"]), [Some(1.0)], "and this is one");
}

#[test]
fn outages_do_what_was_asked_for() {
    let out = |on_outage| ClientOptions {
        on_outage,
        retries: 2,
        pause_limit_seconds: 0.1,
        backoff_seconds: 0.001,
        backoff_limit_seconds: 0.01,
        ..ClientOptions::new(nobody(), "m")
    };
    let skipping = judge(out(OnOutage::Skip));
    assert_eq!(scores(&skipping, &["4", "5", "6"]), [None; 3]);
    assert_eq!((skipping.failure(), skipping.counts().no_verdict["outage"]), (None, 3));
    // What is asked while it is known to be out is asked once.
    let before = skipping.counts().n_requests;
    assert_eq!(scores(&skipping, &["7"]), [None]);
    assert_eq!(skipping.counts().n_requests, before + 1);
    for (on_outage, part) in [(OnOutage::Stop, "does not answer"), (OnOutage::Pause, "`pause_limit_seconds`")] {
        let judge = judge(out(on_outage));
        assert_eq!(scores(&judge, &["4", "5"]), [None; 2]);
        let failure = judge.failure().unwrap().to_string();
        assert!(failure.contains(part) && failure.contains("no replies are kept"), "{failure}");
        let n_requests = judge.counts().n_requests;
        assert_eq!(scores(&judge, &["6"]), [None], "after a failure nothing is asked");
        assert_eq!(judge.counts().n_requests, n_requests);
    }
}

#[test]
fn a_pause_lasts_until_the_server_is_back() {
    let server =
        Server::start(|r: &Received| if r.n_before < 12 { Answer::Status(503, "", String::new()) } else { honest(r) });
    let judge = judge(ClientOptions { retries: 0, ..server.options() });
    assert_eq!(scores(&judge, &["4", "5", "6"]), [Some(1.0), Some(0.0), Some(0.0)]);
    assert_eq!((judge.failure(), judge.counts().n_requests), (None, 15));
    // A server that asks for more patience than a retry has is out, and a pause has it.
    let server = Server::start(|r: &Received| match r.n_before {
        0 => Answer::Status(503, "Retry-After: 1\r\n", String::new()),
        _ => verdict("correct"),
    });
    let skipping = self::judge(ClientOptions { on_outage: OnOutage::Skip, ..server.options() });
    assert_eq!(scores(&skipping, &["4"]), [None]);
    assert_eq!(scores(&skipping, &["4"]), [Some(1.0)], "it is asked again, and is back");
}

#[test]
fn a_pause_can_be_ended() {
    let judge = judge(ClientOptions { retries: 0, backoff_seconds: 60.0, ..ClientOptions::new(nobody(), "m") });
    let flag = Arc::new(AtomicBool::new(false));
    judge.client().stop_when(flag.clone());
    let began = Instant::now();
    std::thread::scope(|scope| {
        let judging = scope.spawn(|| scores(&judge, &["4"]));
        while judge.counts().n_requests == 0 {
            std::thread::yield_now();
        }
        flag.store(true, Ordering::Relaxed);
        assert_eq!(judging.join().unwrap(), [None]);
    });
    assert!(began.elapsed() < Duration::from_secs(20), "it waited for a server");
    assert!(judge.failure().unwrap().to_string().contains("was to stop"));
    // Where the server answers, what was begun is finished.
    let server = Server::start(honest);
    let judge = self::judge(server.options());
    judge.client().stop_when(flag);
    assert_eq!(scores(&judge, &["4", "5"]), [Some(1.0), Some(0.0)]);
}

#[test]
fn a_wrong_key_or_address_stops_at_once() {
    for status in [301, 401, 403, 404, 405] {
        let server = Server::start(move |_: &Received| {
            Answer::Status(status, "Location: http://127.0.0.1:1/\r\n", "no".to_owned())
        });
        let judge = judge(ClientOptions { concurrency: 1, ..server.options() });
        assert_eq!(scores(&judge, &["4", "5", "6"]), [None; 3]);
        let failure = judge.failure().unwrap().to_string();
        assert!(failure.contains(&format!("status {status}: no")), "{failure}");
        assert_eq!(server.received().len(), 1, "{status}");
    }
    // A setting that the server refuses shows only in that it refuses everything.
    let server = Server::start(|_: &Received| Answer::Status(400, "", "unknown field response_format".to_owned()));
    let judge = judge(ClientOptions { concurrency: 1, ..server.options() });
    let answers: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    assert_eq!(scores(&judge, &answers), [None; 20]);
    let failure = judge.failure().unwrap().to_string();
    assert!(failure.contains("10 requests in a row") && failure.contains("response_format"), "{failure}");
    assert_eq!(server.received().len(), 10);
}

#[test]
fn the_budget_is_kept() {
    let server = Server::start(|_: &Received| verdict("correct"));
    // A reply costs 1000 x 2 + 100 x 10 millionths.
    let prices = ClientOptions { price_in: 2.0, price_out: 10.0, max_cost: 0.06, max_tokens: 200, ..server.options() };
    let judge = judge(prices);
    let answers: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let scores = scores(&judge, &answers);
    let n_scored = scores.iter().filter(|score| **score == Some(1.0)).count();
    assert!(scores.iter().all(|score| score.is_none_or(|score| score == 1.0)), "{scores:?}");
    let counts = judge.counts();
    assert_eq!(counts.n_replies as usize, n_scored);
    assert!((10..=20).contains(&n_scored), "{n_scored}");
    assert!((counts.cost - 0.003 * n_scored as f64).abs() < 1e-9 && counts.cost <= 0.06, "{}", counts.cost);
    assert!(judge.failure().unwrap().to_string().contains("`max_cost` is 0.06"));

    let few = self::judge(ClientOptions { max_requests: 3, ..server.options() });
    assert_eq!(self::scores(&few, &answers[..2]), [Some(1.0); 2]);
    // The evaluation of a stage has a client of its own, and no purse of its own.
    let beside = self::judge(ClientOptions { max_requests: 3, ..server.options() });
    assert_eq!(self::scores(&beside, &answers).iter().flatten().count(), 1);
    assert!(beside.failure().unwrap().to_string().contains("`max_requests` is 3"));
}

#[test]
fn requests_at_once_are_bounded() {
    let running = Arc::new((std::sync::Mutex::new((0, 0)), std::sync::Condvar::new()));
    let inside = running.clone();
    let server = Server::start(move |_: &Received| {
        let (counts, changed) = &*inside;
        let mut now = counts.lock().unwrap();
        now.0 += 1;
        now.1 = now.1.max(now.0);
        changed.notify_all();
        // Waits for company, as long as there may be some.
        let (mut now, _) = changed.wait_timeout_while(now, Duration::from_millis(200), |now| now.1 < 3).unwrap();
        now.0 -= 1;
        verdict("correct")
    });
    let judge = judge(ClientOptions { concurrency: 3, ..server.options() });
    assert_eq!(scores(&judge, &["1", "2", "3", "4", "5", "6", "7", "8", "9"]), [Some(1.0); 9]);
    assert_eq!(running.0.lock().unwrap().1, 3);
}
