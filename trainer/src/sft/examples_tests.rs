//! Rows to tokens: the boundary of sampling, the end token, what is learned, and rows that are too long.

use std::path::{Path, PathBuf};

use super::*;

const CHATML: &str = "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|endoftext|>\n{% endfor %}\
{% if add_generation_prompt %}<|assistant|>{% endif %}";

/// A folder with a tokenizer of printable ASCII whose end token is 0, and a chat template.
struct Fixture {
    folder: tempfile::TempDir,
    tokenizer: Tokenizer,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/models/qwen2_tied");
        for name in ["tokenizer.json", "tokenizer_config.json"] {
            std::fs::copy(model.join(name), folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("chat_template.jinja"), CHATML).unwrap();
        let tokenizer = Tokenizer::load(folder.path(), 128).unwrap();
        Self { folder, tokenizer }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn reading(&self, max_tokens: usize, on_long: OnLong) -> Reading<'_> {
        Reading { tokenizer: &self.tokenizer, template: &Template::None, end: 0, max_tokens, on_long }
    }

    fn read(&self, text: &str) -> Data {
        self.reading(1000, OnLong::Drop).read(&self.file("rows.jsonl", text)).unwrap()
    }

    /// The text of what is learned, with special tokens left out, and how many tokens that is.
    fn learned(&self, example: &Example) -> (String, usize) {
        let ids: Vec<i64> =
            example.ids.iter().zip(&example.is_target).filter(|(_, learned)| **learned).map(|(id, _)| *id).collect();
        (self.tokenizer.decode(&ids), ids.len())
    }
}

#[test]
fn a_completion_begins_where_sampling_would_and_ends_in_the_end_token() {
    let fixture = Fixture::new();
    // "e" and "r" are one token in one text; sampling never makes that token behind a prompt that ends in "e".
    let data = fixture.read(r#"{"prompt": "whe", "completion": "re"}"#);
    let [example] = &data.examples[..] else { panic!("one example") };
    let (prompt, completion) = (fixture.tokenizer.encode("whe").unwrap(), fixture.tokenizer.encode("re").unwrap());
    assert_ne!(fixture.tokenizer.encode("where").unwrap(), [prompt.clone(), completion.clone()].concat());
    assert_eq!(example.ids, [prompt.clone(), completion.clone(), vec![0]].concat());
    let expected: Vec<bool> = (0..example.ids.len()).map(|place| place >= prompt.len()).collect();
    assert_eq!(example.is_target, expected);
    assert_eq!((example.n_targets(), example.n_inputs()), (completion.len() + 1, example.ids.len() - 1));
    // An end token that is there already is not put there again.
    let ended = fixture.read(r#"{"prompt": "whe", "completion": "re<|endoftext|>"}"#);
    assert_eq!(&ended.examples[0], example);
}

#[test]
fn a_question_is_put_into_the_template_and_a_prompt_is_not() {
    let fixture = Fixture::new();
    let path = fixture.file(
        "rows.jsonl",
        "{\"question\": \"1 + 1?\", \"completion\": \"2\"}\n\n{\"prompt\": \"1 + 1?\", \"question\": \"x\", \"completion\": \"2\"}\n",
    );
    let r1_zero = Reading { template: &Template::R1Zero, ..fixture.reading(1000, OnLong::Drop) };
    let data = r1_zero.read(&path).unwrap();
    let texts: Vec<String> = data.examples.iter().map(|example| fixture.tokenizer.decode(&example.ids)).collect();
    assert_eq!(texts, [rollout::r1_zero("1 + 1?") + "2", "1 + 1?2".to_owned()]);
    assert_eq!(data.counts, Counts { n_rows: 2, n_dropped: 0, n_cut: 0 });
}

#[test]
fn of_a_conversation_the_assistants_turns_are_learned_to_their_end_token() {
    let fixture = Fixture::new();
    let row = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "bc"},
        {"role": "user", "content": "d"}, {"role": "assistant", "content": "e"}]}"#;
    let data = fixture.read(&row.replace('\n', " "));
    let [example] = &data.examples[..] else { panic!("one example") };
    let whole = "<|user|>a\n<|assistant|>bc\n<|user|>d\n<|assistant|>e\n";
    assert_eq!(fixture.tokenizer.decode(&example.ids), whole);
    let learned = fixture.tokenizer.encode("bc").unwrap().len() + 1 + fixture.tokenizer.encode("e").unwrap().len() + 1;
    assert_eq!(fixture.learned(example), ("bce".to_owned(), learned));
    // The new line behind the last end token is not learned, and so it is not computed either.
    assert_eq!(example.n_inputs(), example.ids.len() - 2);
}

#[test]
fn all_of_a_text_is_learned_but_its_first_token() {
    let fixture = Fixture::new();
    let data = fixture.read(r#"{"text": "once upon a time"}"#);
    let ids = fixture.tokenizer.encode("once upon a time").unwrap();
    assert_eq!(data.examples[0].ids, [ids.clone(), vec![0]].concat());
    assert_eq!(data.examples[0].n_targets(), ids.len());
    // A text file is one document in stretches: every token but the first is learned once.
    let path = fixture.file("book.txt", "once upon a time");
    for max_tokens in [2, 3, 7, 1000] {
        let data = fixture.reading(max_tokens, OnLong::Refuse).read(&path).unwrap();
        assert!(data.examples.iter().all(|example| example.ids.len() <= max_tokens));
        let learned: Vec<i64> = data.examples.iter().flat_map(|example| example.ids[1..].to_vec()).collect();
        assert_eq!(learned, [&ids[1..], &[0]].concat(), "{max_tokens}");
    }
}

#[test]
fn long_rows_are_dropped_cut_or_refused_and_counted() {
    let fixture = Fixture::new();
    let path = fixture.file(
        "rows.jsonl",
        "{\"prompt\": \"12\", \"completion\": \"3\"}\n{\"prompt\": \"12\", \"completion\": \"#$%&!\"}\n\
         {\"prompt\": \"#$%&!\", \"completion\": \"4\"}\n",
    );
    let read = |on_long| fixture.reading(5, on_long).read(&path);
    let dropped = read(OnLong::Drop).unwrap();
    assert_eq!((dropped.examples.len(), dropped.counts), (1, Counts { n_rows: 3, n_dropped: 2, n_cut: 0 }));
    let cut = read(OnLong::Cut).unwrap();
    // Of the third nothing is left that could be learned.
    assert_eq!((cut.examples.len(), cut.counts), (2, Counts { n_rows: 3, n_dropped: 1, n_cut: 1 }));
    assert_eq!(cut.examples[1].ids.len(), 5);
    assert_ne!(cut.examples[1].ids.last(), Some(&0), "a row that is cut does not end");
    let error = read(OnLong::Refuse).unwrap_err().to_string();
    assert!(error.contains("rows.jsonl:2: the row has ") && error.contains("max_tokens = 5"), "{error}");
    let error = fixture.reading(2, OnLong::Drop).read(&path).unwrap_err().to_string();
    assert!(error.contains("every one of the 3 rows is longer"), "{error}");
}

#[test]
fn errors_name_the_file_and_the_line() {
    let fixture = Fixture::new();
    let fails = |text: &str, expected: &str| {
        let error = fixture.reading(100, OnLong::Drop).read(&fixture.file("rows.jsonl", text)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    fails("{\"text\": \"a b\"}\n{\"completion\": \"b\"}\n", "rows.jsonl:2: the row has a `completion`, but neither");
    fails("{\"prompt\": \"\", \"completion\": \"b\"}\n", "rows.jsonl:1: the prompt has no tokens");
    fails("{}\n{\"text\": 3}\n", "2 lines cannot be used");
    fails("", "the file is empty");
    std::fs::remove_file(fixture.folder.path().join("chat_template.jinja")).unwrap();
    let tokenizer = Tokenizer::load(fixture.folder.path(), 128).unwrap();
    let path = fixture.file("rows.jsonl", "{\"messages\": [{\"role\": \"assistant\", \"content\": \"a\"}]}\n");
    let reading = Reading { tokenizer: &tokenizer, ..fixture.reading(100, OnLong::Drop) };
    let error = reading.read(&path).unwrap_err().to_string();
    assert!(error.contains("rows.jsonl:1: ") && error.contains("has no chat template"), "{error}");
}
