//! Chat templates against transformers, and what of a conversation the assistant writes.
//!
//! Golden file: scripts/golden/chat.py (transformers 5.23, Jinja2): sixteen templates, six conversations, with and without
//! the generation prompt. Equal texts, and errors where it has errors.

use std::collections::BTreeMap;
use std::path::Path;

use rollout::{ChatTemplate, Error, Message, Template, Tokenizer};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    special_tokens: BTreeMap<String, String>,
    templates: BTreeMap<String, String>,
    conversations: Vec<Vec<Message>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    conversation: usize,
    add_generation_prompt: bool,
    text: Option<String>,
    replies: Option<Vec<String>>,
}

fn golden() -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/chat.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn template(text: &str) -> ChatTemplate {
    let special_tokens = [("eos_token".to_owned(), "</s>".to_owned())].into();
    ChatTemplate::new(Path::new("chat_template.jinja"), text, special_tokens).unwrap()
}

#[test]
fn texts_are_those_of_transformers() {
    let golden = golden();
    let templates: BTreeMap<_, _> = golden
        .templates
        .iter()
        .map(|(name, text)| (name, ChatTemplate::new(Path::new(name), text, golden.special_tokens.clone()).unwrap()))
        .collect();
    let (mut faults, mut refused) = (Vec::new(), 0);
    for case in &golden.cases {
        let messages = &golden.conversations[case.conversation];
        let rendered = templates[&case.template].render(messages, case.add_generation_prompt);
        refused += usize::from(case.text.is_none());
        if rendered.as_ref().ok() != case.text.as_ref() {
            let Case { template, conversation, add_generation_prompt, text, .. } = case;
            faults.push(format!("{template}, {conversation}, {add_generation_prompt}:\n{text:?}\n{rendered:?}"));
        }
        if let Some(expected) = &case.replies {
            let conversation = templates[&case.template].conversation(messages).unwrap();
            let replies: Vec<_> = conversation.replies.iter().map(|reply| &conversation.text[reply.clone()]).collect();
            assert_eq!(
                (&replies, &Some(conversation.text.clone())),
                (&expected.iter().map(String::as_str).collect(), &case.text)
            );
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), golden.cases.len(), faults.join("\n"));
    assert!(refused >= 5 && golden.templates.len() >= 12, "the golden file is all there");
}

const CHATML: &str = "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}</s>\n{% endfor %}\
{% if add_generation_prompt %}<|assistant|>{% endif %}";

fn dialogue() -> Vec<Message> {
    [("system", "S"), ("user", "1 + 1?"), ("assistant", "2"), ("user", "And 3?"), ("assistant", "5")]
        .map(|(role, content)| Message::new(role, content))
        .to_vec()
}

#[test]
fn replies_are_what_a_turn_adds_to_its_prompt() {
    let conversation = template(CHATML).conversation(&dialogue()).unwrap();
    assert_eq!(
        conversation.text,
        "<|system|>S</s>\n<|user|>1 + 1?</s>\n<|assistant|>2</s>\n<|user|>And 3?</s>\n<|assistant|>5</s>\n"
    );
    let replies: Vec<_> = conversation.replies.iter().map(|reply| &conversation.text[reply.clone()]).collect();
    assert_eq!(replies, ["2</s>\n", "5</s>\n"]);
    assert!(template(CHATML).conversation(&dialogue()[..2]).unwrap().replies.is_empty());
}

#[test]
fn a_template_that_rewrites_earlier_turns_says_so() {
    let forgets = CHATML.replace("{{ message.content }}", "{% if loop.last %}{{ message.content }}{% endif %}");
    let error = template(&forgets).conversation(&dialogue()).unwrap_err();
    assert!(matches!(error, Error::UnstableChatTemplate { message: 2, .. }), "{error}");
    assert!(error.to_string().contains("{% generation %} and {% endgeneration %}"), "{error}");
    // The same template with marks has a mask.
    let marked =
        forgets.replace("{{ message.content }}</s>", "{{ message.content }}{% generation %}</s>{% endgeneration %}");
    let marked = marked.replace("{% endif %}</s>", "{% endif %}{% generation %}</s>{% endgeneration %}");
    assert_eq!(template(&marked).conversation(&dialogue()).unwrap().replies.len(), 5);
}

#[test]
fn templates_are_not_trusted() {
    let check = |text: &str, expected: &str| {
        let error = template(text).render(&dialogue(), false).unwrap_err().to_string();
        assert!(error.starts_with("chat_template.jinja: the chat template: line 1: "), "{error}");
        assert!(error.contains(expected), "{error}");
    };
    check("{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}", "ran out of fuel");
    check("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recursion limit exceeded");
    check("{{ raise_exception('roles must alternate') }}", "roles must alternate");
    check("{{ strftime_now('%d') }}", "write a date in its place");
    check("{% include '/etc/passwd' %}", "non-existing template");
    let error = ChatTemplate::new(Path::new("t.jinja"), "a\n{% if %}", BTreeMap::new()).unwrap_err().to_string();
    assert!(error.starts_with("t.jinja: the chat template: line 2: "), "{error}");
    let forged = [Message::new("assistant", "\u{10fff1}")];
    let error =
        template("{% generation %}{{ messages[0].content }}{% endgeneration %}").conversation(&forged).unwrap_err();
    assert!(error.to_string().contains("U+10FFF1 at byte 0"), "{error}");
    // A template that cuts a mark away is refused and does not end the program.
    let cuts = "{% set x %}{% generation %}a{% endgeneration %}{% endset %}{{ x[1:] }}";
    let error = template(cuts).conversation(&dialogue()).unwrap_err().to_string();
    assert!(error.contains("{% endgeneration %}"), "{error}");
}

/// A model folder with the files given beside its tokenizer.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/models/qwen2_tied");
    std::fs::copy(model.join("tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

#[test]
fn the_template_is_found_where_transformers_finds_it() {
    let file = ("chat_template.jinja", "file{{ bos_token }}");
    let of_config = r#"{"chat_template": "config{{ bos_token }}", "bos_token": {"content": "<b>"}}"#;
    let list = r#"{"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "list{{ eos_token }}"}]}"#;
    let map = ("special_tokens_map.json", r#"{"bos_token": "<old>", "eos_token": "<e>"}"#);
    for (files, expected) in [
        (vec![file, ("tokenizer_config.json", of_config)], "file<b>"),
        (vec![("tokenizer_config.json", of_config), map], "config<b>"),
        (vec![("tokenizer_config.json", list), map], "list<e>"),
    ] {
        let folder = folder(&files);
        let loaded = ChatTemplate::load(folder.path()).unwrap();
        // What the tokenizer keeps serves when the folder is gone.
        let kept = Tokenizer::load(folder.path(), 128).unwrap();
        drop(folder);
        for template in [loaded, kept.chat_template().unwrap()] {
            assert_eq!(template.render(&dialogue(), false).unwrap(), expected);
        }
    }
    let error = ChatTemplate::load(folder(&[("tokenizer_config.json", "{}")]).path()).unwrap_err();
    assert!(error.to_string().contains("has no chat template"), "{error}");
    let error = ChatTemplate::load(folder(&[("tokenizer_config.json", "{")]).path()).unwrap_err();
    assert!(error.to_string().contains("tokenizer_config.json"), "{error}");
}

#[test]
fn a_question_is_a_users_message_behind_the_systems() {
    let folder = folder(&[("chat_template.jinja", CHATML)]);
    let tokenizer = Tokenizer::load(folder.path(), 128).unwrap();
    let chat = |system: Option<&str>| Template::chat(tokenizer.chat_template().unwrap(), system.map(str::to_owned));
    let prompt = chat(Some("Be brief.")).prompt("1 + 1?", &tokenizer).unwrap();
    assert_eq!(prompt.text, "<|system|>Be brief.</s>\n<|user|>1 + 1?</s>\n<|assistant|>");
    assert_eq!(prompt.ids, tokenizer.encode_within(&prompt.text).unwrap());
    assert_eq!(chat(None).render("1 + 1?").unwrap(), "<|user|>1 + 1?</s>\n<|assistant|>");
}
