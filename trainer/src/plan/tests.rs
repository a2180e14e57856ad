//! Plans, and what only the shape of the network shows to be impossible.

use super::*;

const MODEL: ModelShape = ModelShape {
    hidden_size: 128,
    n_layers: 4,
    n_heads: 4,
    n_kv_heads: 2,
    head_dim: 32,
    intermediate_size: 352,
    vocab_size: 512,
    max_position_embeddings: 512,
    tie_word_embeddings: true,
    qkv_bias: true,
    qk_norm: false,
};

const RUN: &str = r#"[run]
dir = "/runs/a"
[model]
path = "."
[[stage]]
kind = "grpo"
steps = 10
problems.countdown = {}
rewards.countdown.weight = 1.0
rewards.format.weight = 0.2
optimizer.learning_rate = 1e-3
rollout = { prompts_per_step = 4, group_size = 8, max_tokens = 100 }
"#;

const BASE: &str = r#"[[stage]]
kind = "pretrain"
steps = 10
seq_len = 64
batch_tokens = 128
corpus.countdown = {}
tokenizer.vocab_size = 300
optimizer.learning_rate = 1e-3
[stage.architecture]
hidden_size = 16
n_layers = 2
n_heads = 4
n_kv_heads = 2
intermediate_size = 32
max_position_embeddings = 64
"#;

fn load(text: &str, overrides: &[&str]) -> RunFile {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    std::fs::write(&path, text).unwrap();
    let overrides: Vec<String> = overrides.iter().map(|&argument| argument.to_owned()).collect();
    RunFile::load(&path, &overrides).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_plan_says_what_will_be_done() {
    let recompute = ["stage.grpo.old_logprobs=recompute", "stage.grpo.importance_cap=2.5"];
    let dynamic = "stage.rollout.dynamic_sampling.max_rounds=7";
    let forced = "stage.rollout.forced_end={ text = \"So: </think>\", after_tokens = [40, 60], answer_tokens = 20 }";
    let file = load(RUN, &["stage.grpo.minibatches=4", recompute[0], recompute[1], dynamic, forced]);
    let plan = Plan::new(&file, Some(MODEL), 50).unwrap().to_string();
    for part in [
        "run folder   /runs/a",
        "stage 1 of 1: grpo (kind grpo)",
        "10; 320 completions and 40 updates in all",
        "4 prompts x 8 = 32 completions of 100 tokens at most (3200 tokens), 4 updates",
        "groups       whose rewards are all equal are replaced, in 7 rounds at most",
        "thoughts     ended after 40 to 60 tokens by \"So: </think>\", then 20 tokens at most",
        "3 numbers of 1 to 20, targets 1 to 99",
        "1 x countdown + 0.2 x format",
        "objective    ratio of each token, clip to [1 - 0.2, 1 + 0.2]",
        "divergence   KL weight 0.001, k3, in the loss, from the policy at the start",
        "AdamW, learning rate 0.001, constant",
        "every 20 steps and at the end, the newest 2 kept",
        "context 512 tokens",
        "estimate, prompts of 50 tokens",
        "old log-probabilities recomputed, importance weights of tokens up to 2.5, cut there",
    ] {
        assert!(plan.contains(part), "no `{part}` in\n{plan}");
    }
}

/// The sizes by hand: 803,456 weights; micro-batch = the whole step, 32 * 100 + 4 * 50 tokens.
#[test]
fn memory_follows_from_sizes() {
    let file = load(RUN, &[]);
    let of = |file: &RunFile| Memory::of(&file.resolved.stages[0], &MODEL, &file.resolved.run, 50);
    let memory = of(&file);
    let n = 512 * 128 + 4 * (2 * 128 * 128 + 2 * 128 * 64 + 128 + 2 * 64 + 3 * 128 * 352 + 2 * 128) + 128;
    assert_eq!(MODEL.n_parameters(), n);
    assert_eq!((memory.weights, memory.gradients, memory.optimizer, memory.reference), (12 * n, 4 * n, 8 * n, 8 * n));
    // 150 positions in steps of 64.
    assert_eq!(memory.kv_cache, 32 * 192 * 2 * 4 * 2 * 32 * 4);
    // A block keeps the stream twice, heads, what attention gave, gate and up; its gradients and both sides of products.
    let (heads, queries) = (32 * (4 + 2 * 2), 4 * 32);
    let block = 4 * (2 * 128 + heads + queries + 2 * 352);
    let backward = 4 * (128 + queries + heads) + 4 * (3 * 128 + 3 * 352 + queries) + 2 * 4 * 128;
    assert_eq!(memory.activations, 3400 * (4 * block + backward));
    assert_eq!(memory.logits, 2 * 4 * 512 * 3400);
    assert_eq!(memory.kept, memory.kv_cache + memory.activations + memory.logits);
    let later = of(&load(RUN, &["stage.rollout.max_tokens_from_step=[[3, 300], [7, 20]]"]));
    assert_eq!(later.kv_cache, 32 * 384 * 2 * 4 * 2 * 32 * 4, "the longest completion of any step");
    let blocks = of(&load(RUN, &["stage.grpo.checkpointing=blocks"]));
    assert_eq!(blocks.activations, 3400 * (4 * 4 * 128 + block + backward));
    let halved = of(&load(RUN, &["run.dtype=bfloat16"]));
    assert_eq!((halved.weights, halved.reference, halved.kv_cache), (8 * n, 6 * n, memory.kv_cache / 2));
}

/// libtorch's graph keeps more of a block, has one copy of the weights, and an allocator that is one pool.
#[test]
fn memory_on_a_gpu_follows_from_sizes() {
    let settings = ["run.dtype=bfloat16", "run.device=cuda", "stage.grpo.kl_beta=0", "stage.grpo.micro_batch_tokens=1"];
    let file = load(RUN, &settings);
    let memory = Memory::of(&file.resolved.stages[0], &MODEL, &file.resolved.run, 50);
    let n = MODEL.n_parameters();
    assert_eq!((memory.weights, memory.reference, memory.kv_cache), (6 * n, 0, 32 * 192 * 2 * 4 * 2 * 32 * 2));
    let block = 2 * (8 * 128 + 4 * 32 * (4 + 2 * 2) + 4 * 32 + 5 * 352);
    assert_eq!(memory.activations, 150 * (4 * block + block + 4 * 128 * 2));
    assert_eq!((memory.logits, memory.kept), (20 * 512 * 150, 0));
}

#[test]
fn a_stage_that_makes_a_network_gives_its_shape_to_the_next() {
    let grpo = &RUN[RUN.find("[[").unwrap()..];
    let file = load(&format!("{BASE}{grpo}"), &["stage.grpo.rollout.max_tokens=40"]);
    let plan = Plan::new(&file, None, 8).unwrap().to_string();
    assert!(plan.contains("stage 2 of 2") && plan.matches("context 64 tokens").count() == 2, "{plan}");
    let error = Plan::new(&load(&format!("{BASE}{grpo}"), &[]), None, 8).unwrap_err().render(false);
    assert!(error.contains("`max_tokens` is 100, but the context of the model is 64 tokens"), "{error}");
}

#[test]
fn what_the_model_cannot_do_is_refused_with_its_line() {
    let check = |overrides: &[&str], parts: &[&str]| {
        let error = Plan::new(&load(RUN, overrides), Some(MODEL), 50).unwrap_err().render(false);
        for part in parts {
            assert!(error.contains(part), "no `{part}` in\n{error}");
        }
    };
    check(&["stage.rollout.max_tokens=512"], &["--set:1:26", "expected less than 512"]);
    let later = "stage.rollout.max_tokens_from_step=[[5, 200], [9, 512]]";
    check(&[later], &["--set:1:36", "`max_tokens_from_step` comes to 512"]);
    check(&["stage.rollout.stop_token_ids=[3, 512]"], &["stop token 512 is not in the vocabulary", "ids below 512"]);
}

#[test]
fn no_number_is_too_large_for_a_plan() {
    let huge = i64::MAX;
    let steps = format!("stage.steps={huge}");
    let prompts = format!("stage.rollout.prompts_per_step={huge}");
    let group = format!("stage.rollout.group_size={huge}");
    Plan::new(&load(RUN, &[&steps, &prompts, &group]), Some(MODEL), u64::MAX).unwrap();
    let shape = ModelShape { hidden_size: u64::MAX, n_layers: u64::MAX, ..MODEL };
    assert_eq!(shape.n_parameters(), u64::MAX);
}
