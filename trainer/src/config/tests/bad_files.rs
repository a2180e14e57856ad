//! Run files that are refused: for each, where the caret stands and what is said.

use super::{LEAST, LEAST_PRETRAIN, accepted, message};

/// Puts `tables` behind the least run file of kind `grpo`, without the line that begins with `less`.
fn grpo(less: &str, tables: &str) -> String {
    let kept = LEAST.lines().filter(|line| less.is_empty() || !line.starts_with(less)).map(|line| format!("{line}\n"));
    kept.collect::<String>() + tables
}

/// As [`grpo`], of kind `pretrain`.
fn pretrain(less: &str, tables: &str) -> String {
    let kept = LEAST_PRETRAIN.lines().filter(|line| less.is_empty() || !line.starts_with(less));
    kept.map(|line| format!("{line}\n")).collect::<String>() + tables
}

fn check(text: &str, parts: &[&str]) {
    let message = message(text, &[]);
    for part in parts {
        assert!(message.contains(part), "no `{part}` in\n{message}\n\nabout\n{text}");
    }
    assert!(message.contains(" --> configs/a.toml:") && message.contains('^'), "no place in\n{message}");
}

#[test]
fn broken_toml_is_refused() {
    check("", &["the run file has no stage", "add a [[stage]]"]);
    check("[run", &["a.toml:1:4", "invalid TOML: unclosed table"]);
    check("[run]\nseed = one", &["a.toml:2:8", "invalid TOML: not a value", "a value is a number"]);
    check("[run]\nseed = 1\nseed = 2", &["a.toml:3:1", "invalid TOML: written twice", "may be written once"]);
    check("[run]\n[run]\n", &["a.toml:2:2", "invalid TOML: written twice"]);
    check("[run]\nseed =", &["a.toml:2:6", "invalid TOML"]);
    check("[run]\ndir = \"x", &["a.toml:2:8", "invalid basic string"]);
}

#[test]
fn unknown_keys_name_the_nearest() {
    check(&grpo("", "rollout.grop_size = 4"), &[":9:9", "unknown key `grop_size`", "did you mean `group_size`?"]);
    check(&grpo("", "[stage.rolout]"), &["unknown key `rolout`", "did you mean `rollout`?"]);
    check(&grpo("", "group_size = 4"), &["unknown key `group_size`", "`group_size` is a key of [stage.rollout]"]);
    check(&grpo("", "grpo.beta = 0.1"), &["unknown key `beta`", "it is called `kl_beta` here, in [stage.grpo]"]);
    check(&grpo("", "grpo.delta = 4.0"), &["unknown key `delta`", "it is called `clip_delta` here, in [stage.grpo]"]);
    check(&grpo("", "grpo.target = 0.2"), &["`target` is a key of [stage.grpo.adaptive_entropy]"]);
    check(&grpo("", "rollout.num_generations = 8"), &["it is called `group_size` here, in [stage.rollout]"]);
    check(&grpo("", "optimizer.lr = 8"), &["it is called `learning_rate` here, in [stage.optimizer]"]);
    check(&grpo("", "eval = {}"), &["missing key `problems`", "this table needs a `problems`"]);
    check(&grpo("", "rewards.countdwn = {}"), &["did you mean `countdown`?"]);
    check(
        &format!("sed = 1\n{LEAST}"),
        &[":1:1", "unknown key `sed`", "expected [run], [model], [doctor] or [[stage]]"],
    );
    check(&format!("seed = 1\n{LEAST}"), &["`seed` is a key of [run]"]);
    check(&format!("[runn]\n{LEAST}"), &[":1:2", "did you mean `run`?"]);
    check(&grpo("path", ""), &[":1:1", "missing key `path`"]);
    check(&format!("[run]\ndevise = 'cpu'\n{LEAST}"), &[":2:1", "did you mean `device`?"]);
    check(&pretrain("", "head_dims = 2"), &[":16:1", "did you mean `head_dim`?"]);
    check(&pretrain("", "[stage.rollout]"), &["unknown key `rollout`"]);
}

#[test]
fn a_doctor_who_does_not_look_stops_nothing() {
    check(&format!("doctor.on_dead = 'stopp'\n{LEAST}"), &[":1:18", "did you mean `stop`?"]);
    check(&format!("doctor.dead_steps = 0\n{LEAST}"), &["`dead_steps` is 0", "expected 1 or more"]);
    check(
        &format!("doctor = {{ enabled = false, on_dead = 'stop' }}\n{LEAST}"),
        &["nobody looks", "write `enabled = true`"],
    );
}

#[test]
fn wrong_types_and_names_are_refused() {
    check(
        &format!("[run]\nseed = \"1\"\n{LEAST}"),
        &[":2:8", "is the text \"1\"", "expected a whole number, 0 or more"],
    );
    check(&format!("[run]\nseed = -1\n{LEAST}"), &[":2:8", "is the number -1", "expected a whole number, 0 or more"]);
    check(&format!("[run]\nseed = 1.5\n{LEAST}"), &[":2:8", "is the number 1.5"]);
    check(&format!("[run]\nseed = true\n{LEAST}"), &["`seed` is true"]);
    check(&format!("[run]\nseed = 99999999999999999999\n{LEAST}"), &["is the number 99999999999999999999"]);
    check(
        &format!("[run]\ndevice = \"gpu\"\n{LEAST}"),
        &[":2:10", "unknown device `gpu`", "`cpu`, `cuda` or `cuda:N`"],
    );
    check(&format!("[run]\ndtype = \"float16\"\n{LEAST}"), &["unknown value `float16`", "did you mean `bfloat16`?"]);
    check(&format!("[run]\ndir = 3\n{LEAST}"), &[":2:7", "is the number 3", "expected a text in quotes"]);
    check(&grpo("", "grpo.aggregation = 'per_tokens'"), &[":9:20", "did you mean `per_token`?"]);
    check(&grpo("", "grpo.aggregation = 3"), &[":9:20", "expected a name in quotes"]);
    check(&grpo("", "rollout = 3"), &[":9:11", "is the number 3", "expected a table"]);
    check(&grpo("", "rollout.stop_strings = 'x'"), &["is the text \"x\"", "expected a list"]);
    check(&grpo("", "optimizer.betas = [0.9]"), &[":9:19", "is a list of length 1", "a list of two values"]);
    check(&grpo("kind", ""), &[":3:1", "missing key `kind`"]);
    check(&grpo("kind", "kind = 'gpro'"), &[":8:8", "unknown kind of stage `gpro`", "did you mean `grpo`?"]);
    check(&grpo("kind", "kind = 3"), &[":8:8", "expected `pretrain`, `sft`, `grpo`"]);
    check("[stage]\nkind = 'grpo'", &[":1:1", "expected [[stage]]", "two brackets"]);
    check(&grpo("steps", ""), &[":3:1", "missing key `steps`"]);
    check(&grpo("optimizer", ""), &["missing table `optimizer`", "add [stage.optimizer]"]);
    check(&pretrain("tokenizer", ""), &["missing table `tokenizer`", "add [stage.tokenizer]"]);
}

/// Each row is a ninth line, and a part of what is said about it.
fn check_rows(rows: &[(&str, &str)]) {
    for (row, expected) in rows {
        check(&grpo("", row), &[":9:", expected]);
    }
}

#[test]
fn values_that_mean_nothing_are_refused() {
    let rows = [
        ("rollout.group_size = 1", "a group of one has none"),
        ("rollout.prompts_per_step = 0", "expected 1 or more"),
        ("rollout.temperature = -0.5", "`temperature` is -0.5"),
        ("rollout.temperature = 0", "all completions of a group are the same"),
        ("rollout.temperature = nan", "expected a finite number above 0"),
        ("rollout.top_p = 0", "`top_p` is 0"),
        ("rollout.top_p = 1.01", "expected more than 0, and 1 at most"),
        ("rollout.min_p = 1", "expected 0 (off) or more, and less than 1"),
        ("rollout.max_tokens = 0", "a completion needs a token"),
        ("rollout.min_tokens = 2000", "more than `max_tokens`"),
        ("rollout = { min_tokens = 9, max_tokens_from_step = [[2, 8]] }", "more than `max_tokens_from_step` allows"),
        ("rollout.max_tokens_from_step = [[2, 8], [4, 0]]", "`max_tokens_from_step` holds 0"),
        ("rollout.max_tokens_from_step = [[1, 8]]", "step 1 does not come after step 1"),
        ("rollout.temperature_from_step = [[5, 0.7], [5, 0.6]]", "step 5 does not come after step 5"),
        ("rollout.temperature_from_step = [[5, 0.0]]", "nothing can be learned from them"),
        ("rollout.stop_strings = [\"\"]", "would end every completion at once"),
        ("rollout.max_batch = 0", "`max_batch` is 0"),
        ("rollout.dynamic_sampling = { max_rounds = 0 }", "1 samples once, and replaces nothing"),
        ("rollout.dynamic_sampling = { keep = 'mixed_rewards' }", "did you mean `mixed_reward`?"),
        ("rollout.dynamic_sampling = { keep = 'mixed_accuracy' }", "no reward of `stage.rewards` judges answers"),
        ("grpo.clip_epsilon = 0", "a ratio clipped to exactly 1 has no gradient"),
        ("grpo.clip_epsilon_high = -1.0", "`clip_epsilon_high` is -1"),
        ("grpo.kl_beta = -0.1", "reward leaving the reference policy"),
        ("grpo.kl_beta = inf", "`kl_beta` is inf"),
        ("grpo.minibatches = 0", "1 keeps a rollout whole"),
        ("grpo.minibatches = 7", "32 * 16 = 512 completions"),
        ("grpo.updates_per_batch = 0", "0 would learn nothing"),
        ("grpo.micro_batch_tokens = 0", "`micro_batch_tokens` is 0"),
        ("grpo = { old_logprobs = 'recompute', importance_cap = 0.5 }", "expected a finite number, 1 or more"),
        ("grpo = { old_logprobs = 'recompute', importance_cap = inf }", "`importance_cap` is inf"),
        ("grpo.old_logprobs = 'samplr'", "did you mean `sampler`?"),
        ("grpo.checkpointing = 'block'", "did you mean `blocks`?"),
        ("grpo.logits_chunk_tokens = 0", "`logits_chunk_tokens` is 0"),
    ];
    check_rows(&rows);
}

#[test]
fn values_of_other_tables_that_mean_nothing_are_refused() {
    let rows = [
        ("optimizer.learning_rate_from_step = [[3, 1e-4], [2, 1e-5]]", "step 2 does not come after step 3"),
        ("optimizer.learning_rate_from_step = [[3, -1.0]]", "`learning_rate_from_step` holds -1"),
        ("grpo.std_epsilon = 0", "keeps the division by the deviation finite"),
        ("grpo = { entropy_coefficient = 2, adaptive_entropy = {} }", "the bounds of `adaptive_entropy`"),
        ("grpo.supervision = 'process'", "no reward of `stage.rewards` scores steps"),
        ("optimizer.warmup_steps = 11", "but the stage has 10 steps"),
        ("optimizer.final_lr_fraction = 2", "expected 0 to 1"),
        ("optimizer.betas = [0.9, 1.0]", "`betas` holds 1"),
        ("optimizer.eps = 0", "`eps` is 0"),
        ("optimizer.weight_decay = -1", "`weight_decay` is -1"),
        ("optimizer.max_grad_norm = -1", "0 never clips"),
        ("rewards.countdown = { partial = 2 }", "`partial` is 2"),
        ("rewards.countdown = { weight = nan }", "`weight` is NaN"),
        ("eval = { problems = 'x', samples_per_problem = 0 }", "pass@1 is the mean of the samples"),
        ("eval = { problems = 'x', temperature = -1 }", "`temperature` is -1"),
        ("eval = { problems = 'x', top_p = 0 }", "`top_p` is 0"),
        ("eval = { problems = '' }", "`problems` is empty"),
        ("checkpoint.keep = 0", "--resume need one"),
        ("name = 'a/b'", "expected letters, digits, _ or -"),
    ];
    check_rows(&rows);
    check(&grpo("steps", "steps = 0"), &[":8:9", "`steps` is 0"]);
    check(&grpo("optimizer", "optimizer.learning_rate = -1e-3"), &[":8:27", "`learning_rate` is -0.001"]);
    check(&format!("[run]\nthreads = 5000\n{LEAST}"), &["expected 0 (all cores) to 4096"]);
}

#[test]
fn data_and_rewards_have_to_be_said() {
    let countdown = |keys: &str| grpo("problems", &format!("problems.countdown = {{ {keys} }}"));
    check(&grpo("problems", ""), &[":3:1", "the stage has no problems", "[stage.problems.jsonl]"]);
    check(&grpo("", "problems.jsonl = { path = 'x' }"), &[":9:18", "two tables of problems"]);
    check(&grpo("rewards", ""), &[":3:1", "the stage has no rewards", "[stage.rewards.format]"]);
    check(&grpo("rewards", "rewards.format.weight = 0"), &["every reward has weight 0"]);
    check(&countdown("n_numbers = [1, 3]"), &["`n_numbers` is [1, 3]", "expected 2 to 6"]);
    check(&countdown("n_numbers = [3, 7]"), &["expected 2 to 6"]);
    check(&countdown("numbers = [9, 3]"), &["runs from 9 down to 3", "write `numbers = [3, 9]`"]);
    check(&countdown("targets = [1, 120]"), &["expected 1 to 99"]);
    check(&countdown("max_intermediate = 0"), &["expected 1 to 1000000"]);
    check(&countdown("numbers = [1]"), &["is a list of length 1"]);
    check(&countdown("languages = []"), &["`languages` is empty", "expected \"en\", \"zh\" or both"]);
    check(&countdown("languages = ['en', 'en']"), &["names a language twice"]);
    check(&countdown("languages = ['en', 'de']"), &["`de`", "`zh`"]);
    let corpus = |keys: &str| pretrain("", "").replace("countdown = {}", &format!("countdown = {{ {keys} }}"));
    check(&corpus("languages = { mixed = -1 }"), &["`languages`: weights are finite"]);
    check(&corpus("languages = { own = 0 }"), &["at least one is above 0"]);
    check(&corpus("instructions = { share = 2 }"), &["`share` = 2: a probability"]);
    check(&corpus("instructions = { rude = -1 }"), &["`instructions`: weights are finite"]);
}

#[test]
fn what_chooses_completions_has_to_fit_the_rest() {
    let rewards = "rewards.countdown = {}\nrewards.kimi_length = { of = 'countdown', as = 'open_r1' }";
    let text = grpo("rewards", &format!("{rewards}\nrollout.dynamic_sampling = {{}}"));
    check(&text, &["`dynamic_sampling` and `rewards.kimi_length`", "set `as` to \"corrected\""]);
    accepted(&text.replace("open_r1", "corrected"), &[]);
    for (row, key) in [("drop_pass_rate = 0.9", "drop_pass_rate"), ("curriculum = 'pass_rate'", "curriculum")] {
        let countdown = grpo("", &format!("problems.{row}"));
        check(&countdown, &[&format!("`{key}` and `countdown` exclude each other"), "[stage.problems.jsonl]"]);
        let file = grpo("problems", &format!("problems = {{ jsonl.path = 'x', {row} }}"));
        check(&file, &[&format!("`{key}` is set, but no reward"), "add a reward such as"]);
        let file = accepted(&file.replace("rewards.format = {}", "rewards.accuracy = {}"), &[]).to_toml();
        assert!(file.contains("[stage.problems]\n") && file.contains(&row.replace('\'', "\"")), "{file}");
        accepted(&file, &[]);
    }
    let file = grpo("problems", "problems = { jsonl.path = 'x', drop_pass_rate = 1.5 }");
    check(&file, &["`drop_pass_rate` is 1.5", "expected more than 0, and 1 at most"]);
}

#[test]
fn a_forced_end_has_to_fit() {
    let rollout = |keys: &str, more: &str| {
        grpo("", &format!("rollout.forced_end = {{ text = 'Time is up. </think>', {keys} }}\n{more}"))
    };
    let fits = "after_tokens = [400, 500], answer_tokens = 500";
    accepted(&rollout(fits, ""), &[]);
    let both = "`after_tokens` and `answer_tokens` come to 1024, `max_tokens` is 1024";
    check(&rollout("after_tokens = [400, 500], answer_tokens = 524", ""), &[both, "have to fit into `max_tokens`"]);
    let later = "rollout.max_tokens_from_step = [[5, 900]]";
    check(&rollout(fits, later), &["come to 1000, `max_tokens` is 900"]);
    let stops = "rollout.stop_strings = ['</think>']";
    check(&rollout(fits, stops), &["holds \"</think>\"", "one of `stop_strings`"]);
    check(&rollout("after_tokens = [5, 4], answer_tokens = 5", ""), &["runs from 5 down to 4"]);
    check(&rollout("after_tokens = [0, 4], answer_tokens = 5", ""), &["`after_tokens` is [0, 4]"]);
    check(&rollout("after_tokens = [4, 4], answer_tokens = 0", ""), &["for the sake of the answer"]);
    check(&rollout(&format!("{fits}, unless = ''"), ""), &["no thoughts would ever be ended"]);
    check(&rollout("answer_tokens = 5", ""), &["missing key `after_tokens`"]);
}

#[test]
fn stages_have_to_fit_together() {
    let stage = &LEAST[LEAST.find("[[").unwrap()..];
    let base = LEAST_PRETRAIN;
    check(stage, &[":1:1", "missing table `model`", "add [model]"]);
    assert_eq!(super::accepted(&format!("{LEAST}{base}"), &[]).stages.len(), 2);
    check(&format!("[model]\npath = 'x'\n{base}"), &[":1:1", "the model is not used"]);
    check(&format!("{LEAST}{stage}"), &[":9:1", "two stages are called `grpo`", "stage[0] has this name already"]);
}

#[test]
fn networks_have_to_be_possible() {
    check(&pretrain("n_heads", "n_heads = 3"), &["cannot be shared among 3 heads", "or give `head_dim`"]);
    check(&pretrain("n_kv_heads", "n_kv_heads = 3"), &["expected a divisor of 4"]);
    check(&pretrain("hidden_size", "hidden_size = 4"), &["the width of a head is 1", "expected an even number"]);
    check(&pretrain("", "head_dim = 7"), &[":16:12", "the width of a head is 7"]);
    check(&pretrain("n_layers", "n_layers = 0"), &["`n_layers` is 0"]);
    check(&pretrain("", "rope_theta = 0"), &["`rope_theta` is 0"]);
    check(&pretrain("max_pos", "max_position_embeddings = 32"), &[":4:11", "`seq_len` is 64"]);
    check(&LEAST_PRETRAIN.replace("128", "100"), &[":5:16", "expected a multiple of `seq_len`, 64"]);
    check(&LEAST_PRETRAIN.replace("300", "256"), &["256 bytes and the end token"]);
    check(&LEAST_PRETRAIN.replace("corpus.countdown = {}", ""), &["the stage has no corpus"]);
    check(&LEAST_PRETRAIN.replace("countdown = {}", "countdown.styles.careless = 2.0"), &["`careless` = 2"]);
    check(&LEAST_PRETRAIN.replace("countdown = {}", "countdown.styles.tags.ful = 2.0"), &["did you mean `full`?"]);
    let four = LEAST_PRETRAIN.replace("countdown = {}", "countdown.problems.n_numbers = [3, 4]");
    check(&four, &["transcripts are written for three numbers", "expected [3, 3]"]);
}

/// Whatever is cut off a run file or set in it, there is an answer, and it can be printed.
#[test]
fn no_text_is_too_broken_for_a_message() {
    let text = include_str!("../../../../configs/reference.toml");
    let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).step_by(97).collect();
    for &end in &ends {
        if let Err(error) = super::parse(&text[..end], &[]) {
            assert!(error.render(false).starts_with("error: "));
        }
    }
    for argument in [
        "",
        "=",
        "a=",
        "=1",
        ".=1",
        "a.b",
        "stage=",
        "stage.=1",
        "stage[=1",
        "stage[9]=1",
        "é.ü=ö",
        "a=\"",
        "\n=\n",
        "x=[\n",
    ] {
        let message = message(LEAST, &[argument]);
        assert!(message.starts_with("error: ") && message.contains("--set"), "{argument:?}: {message}");
    }
}
