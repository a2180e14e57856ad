//! Judging beside sampling against judging afterwards.

use rollout::Prompt;
use tch::Device;

use super::*;
use crate::config::{RunFile, Stage};

const RUN: &str = r#"[model]
path = "."
[[stage]]
kind = "grpo"
steps = 10
problems.countdown = {}
optimizer.learning_rate = 1e-3
rewards.countdown = {}
rewards.length_limits.max_tokens = 2
rewards.length_limits.weight_from_step = [[3, 2.0]]
"#;

fn judges(more: &str) -> Judges {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    std::fs::write(&path, format!("{RUN}{more}")).unwrap();
    let file = RunFile::load(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
    let Stage::Grpo(stage) = &file.resolved.stages[0] else { panic!("the stage is of kind grpo") };
    Judges::new(&stage.rewards).unwrap()
}

fn tokenizer() -> Tokenizer {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/models/qwen2_tied");
    let config = policy::ModelConfig::load(&folder).unwrap();
    Tokenizer::load(&folder, config.vocab_size).unwrap()
}

fn problems() -> Vec<Problem> {
    let gold = |n: i64| rewards::Gold::countdown(vec![2, 3], n);
    (0..6).map(|n| Problem { id: format!("p{n}"), question: String::new(), gold: gold(4 + n % 2) }).collect()
}

/// Right, wrong and no answers, of lengths that differ by group.
fn groups() -> Vec<Group> {
    let group = |number: usize| {
        let texts = ["<answer>2+3</answer>", "<answer>2*3</answer>", "none"];
        let completion = |row: usize| Completion {
            ids: vec![5; 1 + (number + row) % 4],
            forced: rollout::Forced::default(),
            logprobs: vec![-1.0; 1 + (number + row) % 4],
            untempered_logprobs: vec![-1.0; 1 + (number + row) % 4],
            text: format!("{}{}", " ".repeat(number), texts[(number + row) % 3]),
            stop_reason: StopReason::EndToken,
        };
        let prompt = Prompt { ids: vec![1], text: String::new() };
        Group { prompt, completions: (0..4).map(completion).collect() }
    };
    (0..6).map(group).collect()
}

/// Hands over `groups` in `order`; `Err` if there is none.
fn judged(judges: &Judges, step: u64, groups: &[Group], order: &[usize]) -> Result<Vec<Judged>, &'static str> {
    let (tokenizer, problems) = (tokenizer(), problems());
    let panel = Panel { judges, tokenizer: &tokenizer, problems: &problems, step };
    let sample = |hand_over: &mut dyn FnMut(usize, Group)| {
        order.iter().for_each(|&number| hand_over(number, groups[number].clone()));
        if order.is_empty() { Err("nothing was sampled") } else { Ok(Device::Cpu) }
    };
    panel.judge_while(sample).map(|(device, judged, times)| {
        assert!(device == Device::Cpu && times.sampling >= 0.0 && times.waited >= 0.0 && times.beside >= 0.0);
        judged
    })
}

/// In whatever order groups end: the judgements of one batch, in the order of numbers. Also for a reward that compares the
/// groups with each other, and for weights by step.
#[test]
fn beside_is_as_afterwards() {
    let kimi = "rewards.kimi_length = { of = \"countdown\", as = \"open_r1\" }\n";
    let thinking = "rewards.expression.expression = \"countdown + thinking_tokens / 8\"\n";
    let groups = groups();
    for (more, compares) in [("", false), (kimi, true), (thinking, false)] {
        let judges = judges(more);
        assert_eq!(judges.rubric().compares_groups(), compares, "{more}");
        for step in [1, 3] {
            let (tokenizer, problems) = (tokenizer(), problems());
            let panel = Panel { judges: &judges, tokenizer: &tokenizer, problems: &problems, step };
            let afterwards = panel.judge(groups.clone().into_iter().enumerate().collect());
            let check = |got: &[Judged], what: &str| {
                assert_eq!(got.len(), afterwards.len());
                for ((number, expected), got) in afterwards.iter().zip(got) {
                    assert_eq!(got.group, groups[*number]);
                    assert_eq!(got.judgements, expected.judgements, "{more}{what}, group {number}");
                    assert_eq!(got.thinking_tokens, expected.thinking_tokens);
                    assert_eq!(got.judgements.len(), 4);
                }
            };
            for order in [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 0, 4, 1, 5, 2]] {
                check(&judged(&judges, step, &groups, &order).unwrap(), "while it samples");
                for is_sampling in [true, false] {
                    check(&all_at_hand(&panel, &groups, &order, is_sampling), "all at hand");
                }
            }
        }
    }
}

/// Judged as if sampling went on until after the last, or had ended before the first.
fn all_at_hand(panel: &Panel<'_>, groups: &[Group], order: &[usize], is_sampling: bool) -> Vec<Judged> {
    let (sender, receiver) = mpsc::channel();
    order.iter().for_each(|&number| sender.send((number, groups[number].clone())).unwrap());
    drop(sender);
    let (mut judged, seconds) = panel.judge_each(&receiver, &AtomicBool::new(is_sampling));
    assert!(seconds > 0.0);
    judged.sort_by_key(|(number, _)| *number);
    judged.into_iter().map(|(_, judged)| judged).collect()
}

/// Ends in the text become ends in tokens, for each completion and component; without steps nothing is made.
#[test]
fn steps_end_at_tokens() {
    let tokenizer = tokenizer();
    let mut groups = groups();
    for (row, text) in ["see 2 + 2 = 4, 2 + 3 = 6\n", "see", "4 = 8 / 2"].into_iter().enumerate() {
        let completion = &mut groups[1].completions[row];
        completion.ids = tokenizer.encode(text).unwrap();
        completion.text = tokenizer.decode(&completion.ids);
        completion.logprobs = vec![-1.0; completion.ids.len()];
    }
    let judged = judged(&judges("rewards.step_sums = {}\n"), 1, &groups, &[0, 1, 2, 3, 4, 5]).unwrap();
    let names: Vec<&str> = judged[1].judgements[0].components.iter().map(|c| c.name.as_str()).collect();
    let place = names.iter().position(|name| *name == "step_sums").unwrap();
    assert!(judged.iter().enumerate().all(|(number, judged)| judged.steps.is_empty() == (number != 1)));
    for (row, expected) in [
        (0, &[("see 2 + 2 = 4", 1.0), ("see 2 + 2 = 4, 2 + 3 = 6", 0.0)][..]),
        (1, &[]),
        (2, &[("4 = 8 / 2", 1.0)]),
        (3, &[]),
    ] {
        let steps = &judged[1].steps[row];
        assert_eq!(steps.len(), names.len());
        assert!(steps.iter().enumerate().all(|(idx, steps)| idx == place || steps.is_empty()));
        let ids = &judged[1].group.completions[row].ids;
        let found: Vec<(String, f32)> =
            steps[place].iter().map(|step| (tokenizer.decode(&ids[..step.end_token]), step.score)).collect();
        let found: Vec<(&str, f32)> = found.iter().map(|(text, score)| (text.as_str(), *score)).collect();
        assert_eq!(found, expected);
    }
}

/// A group whose numbers are none is not shown to the judges; the others are.
#[test]
fn what_is_not_finite_is_not_judged() {
    let mut groups = groups();
    groups[2].completions[1].logprobs[0] = f32::NAN;
    let judged = judged(&judges(""), 1, &groups, &[2, 5, 0, 1, 4, 3]).unwrap();
    let n_judgements: Vec<usize> = judged.iter().map(|judged| judged.judgements.len()).collect();
    assert_eq!(n_judgements, [4, 4, 0, 4, 4, 4]);
    let rewards = |judged: &Judged| judged.judgements.iter().map(|j| j.reward).collect::<Vec<_>>();
    assert_ne!(rewards(&judged[3]), rewards(&judged[4]), "each against its own problem");
}

#[test]
fn an_error_of_sampling_comes_through() {
    assert_eq!(judged(&judges(""), 1, &groups(), &[]).unwrap_err(), "nothing was sampled");
}
