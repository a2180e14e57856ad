//! A chat server of the tests' own, on loopback: it speaks the protocol, and can be as bad as servers get.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use llm_judge::ClientOptions;
use serde_json::{Value, json};

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// How many arrived before it.
    pub n_before: usize,
    /// Request line and headers.
    pub head: String,
    pub body: Value,
}

impl Received {
    /// What the user says.
    pub fn user(&self) -> &str {
        self.body["messages"][1]["content"].as_str().expect("a question has two messages")
    }

    /// The text between the fences called `title`.
    pub fn part(&self, title: &str) -> &str {
        let user = self.user();
        let word = user.strip_prefix("The word of the fences is ").unwrap().split('.').next().unwrap();
        let (_, behind) = user.split_once(&format!("<<<BEGIN {title} {word}>>>\n")).unwrap();
        behind.split_once(&format!("\n<<<END {title} {word}>>>\n")).unwrap().0
    }
}

/// What the server does with a request.
pub enum Answer {
    /// A chat completion with this content.
    Chat(String),
    /// A body with status 200.
    Body(String),
    /// Another status, with headers (each with its line end).
    Status(u16, &'static str, String),
    /// Nothing, after this time.
    Silence(Duration),
    /// The connection is closed.
    Close,
    /// The connection is closed in the middle of the body.
    Torn,
}

/// A verdict of the judge's.
pub fn verdict(correctness: &str) -> Answer {
    Answer::Chat(json!({"analysis": "looked at it", "correctness": correctness}).to_string())
}

/// A comparison by the judge.
pub fn label(label: &str) -> Answer {
    Answer::Chat(json!({"own_answer": "4", "analysis": "compared them", "verdict": label}).to_string())
}

pub struct Server {
    address: String,
    received: Arc<Mutex<Vec<Received>>>,
    is_over: Arc<AtomicBool>,
}

impl Server {
    pub fn start(handler: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (received, is_over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (all, over, handler) = (received.clone(), is_over.clone(), Arc::new(handler));
        thread::spawn(move || {
            let n_received = Arc::new(AtomicUsize::new(0));
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (all, handler, n_received) = (all.clone(), handler.clone(), n_received.clone());
                // A client that has gone away is what some tests are about.
                thread::spawn(move || stream.and_then(|stream| serve(stream, &all, &n_received, &*handler)));
            }
        });
        Self { address, received, is_over }
    }

    /// Settings for it, with waits that are short.
    pub fn options(&self) -> ClientOptions {
        ClientOptions {
            backoff_seconds: 0.001,
            backoff_limit_seconds: 0.01,
            ..ClientOptions::new(self.url(), "judge-1")
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(&self.address);
    }
}

/// An address at which nobody listens.
pub fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/v1", listener.local_addr().unwrap())
}

fn serve(
    stream: TcpStream,
    all: &Mutex<Vec<Received>>,
    n_received: &AtomicUsize,
    handler: &(impl Fn(&Received) -> Answer + ?Sized),
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.expect("the client says how long its body is")];
    reader.read_exact(&mut body)?;
    let n_before = n_received.fetch_add(1, Ordering::SeqCst);
    let body = serde_json::from_slice(&body).expect("the client sends JSON");
    let received = Received { n_before, head, body };
    all.lock().unwrap().push(received.clone());
    answer(reader.into_inner(), handler(&received))
}

fn answer(mut stream: TcpStream, answer: Answer) -> std::io::Result<()> {
    let (status, headers, body) = match answer {
        Answer::Chat(content) => (200, "", chat(&content, "stop").to_string()),
        Answer::Body(body) => (200, "", body),
        Answer::Status(status, headers, body) => (status, headers, body),
        Answer::Silence(time) => {
            thread::sleep(time);
            return Ok(());
        }
        Answer::Close => return Ok(()),
        Answer::Torn => return write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{{\"choices\": [{{"),
    };
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// A chat completion of 100 tokens behind 1000.
pub fn chat(content: &str, finish_reason: &str) -> Value {
    json!({
        "id": "x", "object": "chat.completion", "model": "judge-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
    })
}
