//! `[stage.rewrite]` and `[stage.preferences]` through the real binary, against a server of the tests' own: what it says becomes
//! data, and nothing else; nothing is asked twice.

#[path = "../rewards/llm_judge/tests/support/mod.rs"]
mod server;
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use server::{Answer, Received, Server, label, nobody};
use support::{Dir, Ended, Running, train_args};

/// Samples of the seven problems of the folder, which a model is then asked about.
const SAMPLE: &str = r#"[[stage]]
kind = "sample"
name = "data"
init = "base"
samples_per_problem = 8
batch_problems = 4

[stage.prompt]
template = "none"

[stage.problems.jsonl]
path = "problems.jsonl"

[stage.sampling]
max_tokens = 16
stop_strings = ["</answer>"]

[stage.rewards.countdown]

[stage.filters]
correct = "ignored"
truncated = true

[stage.keep]
choice = "best_of_k"
per_problem = 8
"#;

/// Learns from the pairs.
const REWARD_MODEL: &str = r#"
[[stage]]
kind = "reward_model"
name = "taste"
init = "base"
data = "data"
batch_size = 4
max_tokens = 64

[stage.prompt]
template = "none"

[stage.optimizer]
learning_rate = 1e-3
"#;

const PAIRS: &str = "[stage.preferences]\npairs_per_problem = 3\nbalance_lengths = false\n";

/// A folder whose sample stage has `table` with a server at `url`, and `after` behind it.
fn dir(table: &str, url: &str, after: &str) -> Dir {
    let name = table.lines().next().expect("a table").trim_matches(['[', ']']);
    let server = format!(
        "[{name}.server]\nbase_url = \"{url}\"\nmodel = \"judge-1\"\nbackoff_seconds = 0.001\nbackoff_limit_seconds = 0.01\n\
         concurrency = 1\nretries = 1\ncache = \"kept\"\nprice_in = 1.0\nprice_out = 10.0\n"
    );
    Dir::with_stages(&[SAMPLE, "\n", table, "\n", &server, after].concat())
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("{key} of {row}"))
}

/// How much an answer is liked.
fn worth(answer: &str) -> u32 {
    answer.bytes().map(u32::from).sum::<u32>() % 101
}

/// Prefers by [`worth`], whatever comes first.
fn taste(received: &Received) -> Answer {
    let [a, b] = ["ANSWER A", "ANSWER B"].map(|title| worth(received.part(title)));
    label(match a.cmp(&b) {
        std::cmp::Ordering::Greater => "A>>B",
        std::cmp::Ordering::Equal => "A=B",
        std::cmp::Ordering::Less => "B>>A",
    })
}

fn asked(received: &[Received]) -> BTreeSet<String> {
    received.iter().map(|received| received.body.to_string()).collect()
}

fn reasons(dir: &Dir) -> Vec<String> {
    let rows = dir.rows("run/stages/data/samples.jsonl");
    rows.iter().map(|row| row["dropped"]["reason"].as_str().unwrap_or("stays").to_owned()).collect()
}

fn has(ended: &Ended, parts: &[&str]) {
    for part in parts {
        assert!(ended.stderr.contains(part), "no `{part}` in\n{}", ended.stderr);
    }
}

#[test]
fn pairs_of_samples_are_what_a_reward_model_learns_from() {
    let server = Server::start(taste);
    let dir = dir(PAIRS, &server.url(), REWARD_MODEL);
    let check = dir.train(&["--check"]);
    for line in ["by 4 votes of judge-1 at http://127.0.0.1", "difference above 1; 3 of a problem are compared at most"]
    {
        assert!(check.stdout.contains(line), "{line}\n{}", check.stdout);
    }
    assert!(server.received().is_empty() && !dir.path("kept").exists(), "a check asks nothing and writes nothing");
    let ended = dir.train(&[]);
    let pairs = dir.rows("run/stages/data/data.jsonl");
    let samples = dir.rows("run/stages/data/samples.jsonl");
    let statistics = dir.json("run/stages/data/statistics.json");
    let counts = &statistics["preferences"];
    let n = |key: &str| counts[key].as_u64().unwrap_or_else(|| panic!("{key} of {counts}"));
    assert!(n("n_compared") > 7 && pairs.len() > 5, "{counts}");
    assert_eq!(n("n_pairs"), pairs.len() as u64);
    assert_eq!(n("n_compared"), n("n_pairs") + n("n_close") + n("n_no_verdict"));
    for pair in &pairs {
        let [chosen, rejected] = ["chosen", "rejected"].map(|key| {
            let is_it = |row: &&Value| row["question"] == pair["question"] && row["completion"] == pair[key];
            let sample = samples.iter().find(is_it).unwrap_or_else(|| panic!("a sample: {pair}"));
            assert!(sample["dropped"].is_null(), "{sample}");
            let completion = text(sample, "completion");
            let shown = completion.rsplit("</think>").next().unwrap().trim();
            // The tags of an answer are taken off.
            let bare = shown.strip_prefix("<answer>").and_then(|answer| answer.strip_suffix("</answer>"));
            bare.unwrap_or(shown).trim().to_owned()
        });
        assert!(worth(&chosen) > worth(&rejected), "{pair}");
        assert_eq!((&pair["difference"], text(pair, "prompt")), (&json!(2.0), text(pair, "question")));
    }
    assert!(reasons(&dir).contains(&"not_paired".to_owned()));
    let total = &statistics["domains"]["none"];
    let stays = reasons(&dir).iter().filter(|reason| *reason == "stays").count();
    assert_eq!((&total["n_rows"], &total["n_accepted"]), (&json!(pairs.len()), &json!(stays)));
    let asked = &counts["asked"];
    let n_requests = server.received().len();
    assert_eq!((&asked["model"], &asked["n_requests"]), (&json!("judge-1"), &json!(n_requests)));
    // 1000 tokens in and 100 out of each.
    assert!((asked["cost"].as_f64().unwrap() - n_requests as f64 * 0.002).abs() < 1e-9, "{asked}");
    has(&ended, &[&format!("preferences: {} pairs of", pairs.len()), "asked judge-1: "]);
    assert!(dir.text("run/stages/data/table.md").contains("left out for the balance of lengths"));
    assert!(dir.path("run/stages/taste/stage.json").exists(), "a reward model has learned from them");
}

#[test]
fn a_stage_killed_while_it_asks_asks_for_the_rest() {
    let whole_server = Server::start(taste);
    let whole = dir(PAIRS, &whole_server.url(), "");
    whole.train(&[]);
    // Holds the ninth reply back until the stage has been killed.
    let is_free = Arc::new(AtomicBool::new(false));
    let free = is_free.clone();
    let server = Server::start(move |received: &Received| {
        while received.n_before == 8 && !free.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        taste(received)
    });
    let killed = dir(PAIRS, &server.url(), "");
    let mut running = Running::start(killed.command(train_args(&[])));
    assert!(running.wait_until(|| server.received().len() == 9), "it ended before it could be killed");
    running.signal(libc::SIGKILL);
    assert_eq!(running.end().code, None);
    assert!(!killed.path("run/stages/data/data.jsonl").exists(), "nothing is made of a part of the votes");
    is_free.store(true, Ordering::Relaxed);
    killed.train(&[]);
    for file in ["data.jsonl", "samples.jsonl"] {
        let file = format!("run/stages/data/{file}");
        assert_eq!(whole.text(&file), killed.text(&file), "{file}");
    }
    assert_eq!(asked(&server.received()), asked(&whole_server.received()));
    let n_whole = whole_server.received().len();
    assert_eq!(server.received().len(), n_whole + 1, "only what it was killed over is asked again");
}

/// Puts a word before the reasoning and leaves the summary; says nothing of use about some.
fn rewriter(received: &Received) -> Answer {
    let reasoning = received.part("REASONING");
    if worth(reasoning).is_multiple_of(4) {
        return Answer::Chat("Here you are.".to_owned());
    }
    let reply = json!({"reasoning": format!("word3 {reasoning}"), "summary": received.part("SUMMARY")});
    Answer::Chat(reply.to_string())
}

#[test]
fn what_is_kept_is_rewritten_judged_and_filtered_again() {
    let server = Server::start(rewriter);
    let dropping = dir("[stage.rewrite]\non_failure = \"drop\"\n", &server.url(), "");
    let check = dropping.train(&["--check"]);
    assert!(check.stdout.contains("or the sample is dropped") && server.received().is_empty(), "{}", check.stdout);
    let ended = dropping.train(&[]);
    let data = dropping.rows("run/stages/data/data.jsonl");
    let samples = dropping.rows("run/stages/data/samples.jsonl");
    assert!(!data.is_empty());
    for row in &data {
        let old = samples.iter().find(|old| {
            old["question"] == row["question"] && old["provenance"]["sample"] == row["provenance"]["sample"]
        });
        let old = old.unwrap_or_else(|| panic!("a sample: {row}"));
        assert!(text(row, "completion").starts_with("<think>word3 "), "{row}");
        assert!(!text(old, "completion").starts_with("<think>word3 ") && old["provenance"]["rewritten_by"].is_null());
        assert_eq!(row["provenance"]["rewritten_by"], "judge-1");
        assert_eq!(
            (&row["components"], &row["reward"]),
            (&old["components"], &old["reward"]),
            "the answer is the same"
        );
        assert!(row["n_tokens"].as_u64() > Some(1), "{row}");
    }
    let counts = &dropping.json("run/stages/data/statistics.json")["rewrite"];
    assert_eq!(counts["n_rewritten"], json!(data.len()));
    assert!(counts["failures"]["malformed"].as_u64() > Some(0) && counts["failures"]["no_layout"].as_u64() > Some(0));
    let n_not = reasons(&dropping).iter().filter(|reason| *reason == "not_rewritten").count();
    assert_eq!(json!(n_not + data.len()), counts["n_samples"]);
    has(&ended, &["rewritten: ", "asked judge-1: "]);

    // Those that fail stay as they were, and nothing is asked that another run has asked.
    let n_asked = server.received().len();
    let keeping = dir("[stage.rewrite]\n", &nobody(), "");
    let text = keeping.text("run.toml").replace("cache = \"kept\"", &format!("cache = {:?}", dropping.path("kept")));
    keeping.write("run.toml", text);
    keeping.train(&["stage.data.rewrite.server.on_outage=\"stop\""]);
    assert_eq!(server.received().len(), n_asked);
    let kept = keeping.rows("run/stages/data/data.jsonl");
    assert_eq!(json!(kept.len()), counts["n_samples"]);
    let new = kept.iter().filter(|row| row["provenance"]["rewritten_by"] == "judge-1").count();
    assert_eq!(new, data.len());
}

#[test]
fn an_outage_makes_no_pair_and_loses_no_sample() {
    let skipping = dir(PAIRS, &nobody(), "");
    let ended = skipping.train(&["stage.data.preferences.server.on_outage=\"skip\""]);
    assert_eq!(skipping.text("run/stages/data/data.jsonl"), "");
    let counts = &skipping.json("run/stages/data/statistics.json")["preferences"];
    assert_eq!(counts["n_no_verdict"], counts["n_compared"]);
    assert!(counts["asked"]["no_verdict"]["outage"].as_u64() > Some(0), "{counts}");
    has(&ended, &["0 pairs of", "outage"]);

    let server = Server::start(taste);
    let (whole, stopped) = (dir(PAIRS, &server.url(), ""), dir(PAIRS, &nobody(), ""));
    let stop = "stage.data.preferences.server.on_outage=\"stop\"";
    whole.train(&[stop]);
    let ended = stopped.run(train_args(&[stop])).expect_code(1);
    has(&ended, &["does not answer", "replies so far are kept in", "the samples are kept"]);
    let url = format!("stage.data.preferences.server.base_url=\"{}\"", server.url());
    let ended = stopped.train(&[stop, &url, "--resume"]);
    has(&ended, &["going on after problem 7 of 7"]);
    let data = "run/stages/data/data.jsonl";
    assert_eq!(stopped.text(data), whole.text(data));
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_asked() {
    let server = Server::start(taste);
    let both = format!("[stage.rewrite]\n[stage.rewrite.server]\nbase_url = \"{}\"\nmodel = \"m\"\n", server.url());
    let check = |words: &[&str], after: &str, parts: &[&str]| {
        let dir = dir(PAIRS, &server.url(), after);
        has(&dir.run(train_args(words)).expect_code(2), parts);
        assert!(!dir.path("run").exists());
    };
    check(&[], &both, &["there are [stage.rewrite] and [stage.preferences]", "a stage of its own"]);
    check(&["stage.data.samples_per_problem=1"], "", &["compares samples of one problem", "expected 2 or more"]);
    check(&["stage.data.keep.per_problem=1"], "", &["a pair takes two"]);
    check(&["stage.data.layout.written=\"special_token\""], "", &["which are not written anew"]);
    check(&["stage.data.mix=[{ data = \"problems.jsonl\", fraction = 0.2 }]"], "", &["nothing is mixed into"]);
    check(&["stage.data.preferences.votes=3"], "", &["`votes` is 3", "even number"]);
    check(&["stage.data.preferences.pairs_per_problem=0"], "", &["`pairs_per_problem` is 0"]);
    check(&["stage.data.preferences.server.temperature=3.0"], "", &["`server.temperature` is 3"]);
    check(&["stage.data.preferences.server.max_cots=3.0"], "", &["max_cots", "max_cost"]);
    check(&["stage.data.preferences.server.key_variable=\"GRPO_NO_SUCH_KEY\""], "", &["GRPO_NO_SUCH_KEY", "not set"]);
    assert!(server.received().is_empty());
}
