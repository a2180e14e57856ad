//! A reward model through the real binary: it learns a preference, it judges a later stage, and it survives `kill -9`.

mod support;

use std::fs;

use serde_json::{Value, json};
use support::{Dir, Running, train_args, untimed};

/// 20 steps of 8 pairs, in which what has an `a` is better; then a policy that is rewarded for it, beside a rule for other
/// problems.
const RUN_FILE: &str = r#"[run]
dir = "run"
threads = 1
device = "cpu"

[model]
path = "model"

[[stage]]
kind = "reward_model"
name = "taste"
data = "pairs.jsonl"
epochs = 4
batch_size = 8
max_tokens = 200
micro_batch_tokens = 64

[stage.prompt]
template = "none"

[stage.optimizer]
learning_rate = 3e-3
schedule = "cosine"
warmup_steps = 2

[stage.held_out]
data = "held_out.jsonl"
every_steps = 7

[stage.checkpoint]
every_steps = 6

[[stage]]
kind = "grpo"
name = "rl"
init = "base"
steps = 3

[stage.prompt]
template = "none"

[stage.problems.jsonl]
path = "problems.jsonl"

[stage.rollout]
prompts_per_step = 4
group_size = 4
max_tokens = 12

[stage.rewards.countdown]
domains = ["math"]

[stage.rewards.liked]
kind = "reward_model"
model = "taste"
domains = ["helpful"]
squash = "sigmoid"

[stage.optimizer]
learning_rate = 1e-3
"#;

/// The same reward model picks samples and says who wins, in place of the policy.
const CHOOSING: &str = r#"[[stage]]
kind = "sample"
name = "best"
init = "base"
samples_per_problem = 6
[stage.prompt]
template = "none"
[stage.problems.jsonl]
path = "say.jsonl"
[stage.sampling]
max_tokens = 12
[stage.rewards.liked]
kind = "reward_model"
model = "taste"
[stage.filters]
correct = "ignored"
truncated = true
[stage.keep]
choice = "best_of_k"
per_problem = 1

[[stage]]
kind = "eval"
name = "table"
models = ["base"]
prompt.template = "none"
[[stage.set]]
name = "say"
problems = "say.jsonl"
samples_per_problem = 8
temperature = 1.0
top_p = 1.0
max_tokens = 12
win_by = "liked"
[stage.set.rewards.liked]
kind = "reward_model"
model = "taste"
"#;

const LAST: &str = "checkpoints/taste/step_000020";

/// Words without the letter, and the same with it in some place.
fn pairs(from: usize, n: usize) -> String {
    let word = |i: usize| -> String { (0..3 + i % 3).map(|j| b"bcdefghi"[(i * 5 + j * 3) % 8] as char).collect() };
    let pair = |i: usize| {
        let mut chosen = word(i);
        chosen.insert((i * 7) % chosen.len(), 'a');
        json!({"question": format!("say {}", i % 9), "chosen": chosen, "rejected": word(i + 1), "domain": "helpful"})
    };
    (from..from + n).map(|i| format!("{}\n", pair(i))).collect()
}

fn dir() -> Dir {
    let dir = Dir::new();
    dir.write("run.toml", RUN_FILE);
    dir.write("pairs.jsonl", pairs(0, 40));
    dir.write("held_out.jsonl", pairs(100, 30));
    let problem = |n: usize| match n % 2 {
        0 => json!({"question": format!("make 5 case {n}"), "numbers": [2, 3], "target": 5, "domain": "math"}),
        _ => json!({"question": format!("say {n}"), "domain": "helpful"}),
    };
    dir.write("problems.jsonl", (0..8).map(|n| format!("{}\n", problem(n))).collect::<String>());
    dir
}

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_else(|| panic!("no `{key}` in {row}"))
}

#[test]
fn it_learns_a_preference_and_judges_a_policy_by_it() {
    let dir = dir();
    dir.train(&[]);
    let looks = dir.rows("run/stages/taste/held_out.jsonl");
    let steps: Vec<f64> = looks.iter().map(|row| number(row, "step")).collect();
    assert_eq!(steps, [0.0, 7.0, 14.0, 20.0]);
    let (before, after) = (&looks[0], &looks[3]);
    assert!(number(before, "accuracy") < 0.8 && number(after, "accuracy") > 0.9, "{before}\n{after}");
    assert!(number(after, "loss") < 0.5 * number(before, "loss"));

    let metrics = dir.rows("run/metrics.jsonl");
    let of_taste: Vec<&Value> = metrics.iter().filter(|row| row["stage"] == "taste").collect();
    assert_eq!((of_taste.len(), metrics.len()), (20, 23));
    assert_eq!((number(of_taste[4], "epoch"), number(of_taste[19], "epoch")), (1.0, 4.0));
    for row in of_taste {
        for key in ["loss", "accuracy", "margin", "mean_reward", "grad_norm", "learning_rate", "epoch"] {
            number(row, key);
        }
    }
    let about = dir.json(&format!("run/{LAST}/reward_model.json"));
    assert_eq!(about, json!({"objective": "pairwise", "prompt": {"template": "none"}, "over": "response"}));
    let config = dir.json(&format!("run/{LAST}/config.json"));
    assert_eq!(config["architectures"], json!(["Qwen2ForSequenceClassification"]));

    // Each rule judges its own problems, and the policy that comes out is a policy.
    let mut n_judged = [0, 0];
    for step in 1..=3 {
        for row in dir.rows(&format!("run/completions/rl/step_{step:06}.jsonl")) {
            let score = |name: &str| row["components"][name]["score"].as_f64();
            let (rule, liked) = (score("countdown"), score("liked"));
            assert!(rule.is_some() != liked.is_some(), "{row}");
            assert!(liked.is_none_or(|liked| liked > 0.0 && liked < 1.0), "{row}");
            n_judged[usize::from(liked.is_some())] += 1;
        }
    }
    // About half of the questions come from either source.
    assert_eq!(n_judged[0] + n_judged[1], 48);
    assert!(n_judged.iter().all(|n| (16..=32).contains(n)), "{n_judged:?}");
    assert_eq!(dir.json("run/final/config.json")["architectures"], json!(["Qwen2ForCausalLM"]));
}

#[test]
fn kill_9_inside_of_the_stage_ends_in_the_same_bits() {
    let (whole, killed) = (dir(), dir());
    whole.train(&["stage.rl.steps=1"]);
    for n_steps in [3, 9, 16] {
        let mut running = Running::start(killed.command(train_args(&["stage.rl.steps=1"])));
        let metrics = killed.path("run/metrics.jsonl");
        let n_done = || fs::read_to_string(&metrics).map_or(0, |text| text.matches('\n').count());
        assert!(running.wait_until(|| n_done() >= n_steps), "it ended before it could be killed");
        running.signal(libc::SIGKILL);
        assert_eq!(running.end().code, None);
    }
    killed.train(&["stage.rl.steps=1"]);
    for file in ["model.safetensors", "optimizer.safetensors", "config.json", "reward_model.json"] {
        let bytes = |dir: &Dir| dir.bytes(&format!("run/{LAST}/{file}"));
        assert!(bytes(&whole) == bytes(&killed), "{file} is not the same");
    }
    assert_eq!(whole.bytes("run/final/model.safetensors"), killed.bytes("run/final/model.safetensors"));
    for log in ["metrics.jsonl", "stages/taste/held_out.jsonl"] {
        let rows = |dir: &Dir| untimed(dir.rows(&format!("run/{log}")));
        assert_eq!(rows(&whole), rows(&killed), "{log}");
    }
}

/// Labels in place of pairs; and a folder of a reward model as `init` and as a judge.
#[test]
fn labels_are_learned_and_a_folder_will_do() {
    let dir = dir();
    let rows: String = pairs(0, 30)
        .lines()
        .flat_map(|line| {
            let pair: Value = serde_json::from_str(line).expect("a pair");
            [("chosen", true), ("rejected", false)]
                .map(|(key, label)| json!({"prompt": pair["question"], "completion": pair[key], "label": label}))
        })
        .map(|row| format!("{row}\n"))
        .collect();
    dir.write("labels.jsonl", &rows);
    let pointwise = ["stage.taste.objective=\"pointwise\"", "stage.taste.data=\"labels.jsonl\"", "stage.rl.steps=1"];
    let first = [&pointwise[..], &["stage.taste.held_out.data=\"labels.jsonl\""]].concat();
    let late = dir.train(&[&first[..], &["run.dir=\"late\"", "stage.taste.optimizer.warmup_steps=31"]].concat());
    assert!(late.stderr.contains("warmup_steps is 31, but the data give 30 steps"), "{}", late.stderr);
    dir.train(&first);
    let looks = dir.rows("run/stages/taste/held_out.jsonl");
    let after = looks.last().expect("a look");
    assert!(number(after, "accuracy") > 0.9 && number(after, "n_rows") == 60.0, "{after}");

    fs::rename(dir.path("run/checkpoints/taste").join("step_000030"), dir.path("judge")).expect("a checkpoint");
    let folder = [
        &first[..],
        &[
            "run.dir=\"again\"",
            "stage.taste.init=\"judge\"",
            "stage.rl.rewards.liked.model=\"judge\"",
            "stage.taste.steps=2",
        ],
    ]
    .concat();
    dir.write("run.toml", RUN_FILE.replace("epochs = 4\n", ""));
    dir.train(&folder);
    let looks = dir.rows("again/stages/taste/held_out.jsonl");
    assert_eq!(number(&looks[0], "accuracy"), number(after, "accuracy"));
}

#[test]
fn what_cannot_be_used_is_refused_before_anything_is_run() {
    let dir = dir();
    let check = |words: &[&str], parts: &[&str]| {
        let ended = dir.run(train_args(words)).expect_code(2);
        for part in parts {
            assert!(ended.stderr.contains(part), "no `{part}` in\n{}", ended.stderr);
        }
        assert!(!dir.path("run").exists(), "{words:?}");
    };
    check(&["stage.rl.rewards.liked.model=\"model\""], &["has no `score.weight`", "kind \"reward_model\""]);
    check(&["stage.rl.rewards.liked.model=\"rl\""], &["stage `rl` needs itself"]);
    check(&["stage.rl.rewards.liked.model=\"tast\""], &["there is no stage `tast`", "taste"]);
    check(&["stage.taste.data=\"problems.jsonl\""], &["problems.jsonl", "line 1", "`chosen` is missing"]);
    check(&["stage.taste.max_tokens=300"], &["`max_tokens` is 300", "256 tokens"]);
    check(&["stage.taste.steps=3"], &["`steps` and `epochs` are both given"]);
    check(&["stage.rl.rewards.liked.scale=0.0"], &["`scale` is 0"]);
    check(&["stage.rl.rewards.liked.domains=[\"\"]"], &["a domain is empty"]);
    let plan = dir.run(["--config", "run.toml", "--check"]).expect_code(0);
    for part in ["kind reward_model", "Bradley-Terry", "1 x liked (reward_model) of helpful", "what stage taste makes"]
    {
        let said = plan.stdout.contains(part) || plan.stderr.contains(part);
        assert!(said, "no `{part}` in\n{}", plan.stdout);
    }
}

#[test]
fn it_picks_the_best_sample_and_says_who_wins() {
    let dir = dir();
    let (taste, _) = RUN_FILE.split_once("[[stage]]\nkind = \"grpo\"").expect("two stages");
    dir.write("run.toml", [taste, CHOOSING].concat());
    // Every question twice: against what the model dislikes, and against what it likes.
    let problem = |n: usize| {
        let reference = if n.is_multiple_of(2) { "bcdeb" } else { "abaca" };
        json!({"id": format!("say-{n}"), "question": format!("say {}", n / 2), "reference": reference})
    };
    dir.write("say.jsonl", (0..12).map(|n| format!("{}\n", problem(n))).collect::<String>());
    dir.train(&[]);

    let samples = dir.rows("run/stages/best/samples.jsonl");
    let kept = dir.rows("run/stages/best/data.jsonl");
    assert_eq!((samples.len(), kept.len()), (12 * 6, 12));
    for row in &kept {
        let of_problem = samples.iter().filter(|sample| sample["id"] == row["id"]);
        let best = of_problem.map(|sample| number(sample, "reward")).fold(f64::MIN, f64::max);
        assert!(number(row, "reward") == best, "{best} is better than {row}");
    }

    let rows = dir.rows("run/stages/table/completions/base/say/sampled/batch_000001.jsonl");
    let score = |row: &Value, name: &str| {
        let scores = row["scores"].as_array().expect("scores");
        number(scores.iter().find(|score| score["name"] == name).unwrap_or_else(|| panic!("no {name}: {row}")), "value")
    };
    let mut wins = [0.0, 0.0];
    for (n, group) in rows.chunks(8).enumerate() {
        // Wins and losses lie on the two sides of one score, that of the reference.
        let of =
            |win: f64| group.iter().filter(move |row| score(row, "win rate") == win).map(|row| score(row, "liked"));
        assert!(of(0.0).fold(f64::MIN, f64::max) < of(1.0).fold(f64::MAX, f64::min), "problem {n}");
        wins[n % 2] += of(1.0).count() as f64 + 0.5 * of(0.5).count() as f64;
    }
    assert!(wins[0] > wins[1] + 8.0, "wins against what it dislikes and against what it likes, of 48: {wins:?}");
    let table = dir.json("run/stages/table/results.json");
    let metrics = table["results"][0]["metrics"].as_array().expect("metrics");
    let rate = metrics.iter().find(|metric| metric["metric"] == "win rate").expect("a win rate");
    assert!((number(rate, "mean") - (wins[0] + wins[1]) / 96.0).abs() < 1e-9, "{rate} {wins:?}");
}
