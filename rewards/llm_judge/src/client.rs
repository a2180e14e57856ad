//! Asks a model: from the cache, or the server with retries, within the budget, and through outages.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fmt, io, thread};

use rewards::InvalidOption;

use crate::backoff;
use crate::budget::Budget;
use crate::cache::Cache;
use crate::counts::{Counters, Counts};
use crate::http::{Key, Outcome, Reply, Server};
use crate::options::{ClientOptions, OnOutage};
use crate::request::Request;
use crate::slots::{self, Slots};

/// So many texts in a row that the server cannot answer, with no reply between them, mean that it can answer none.
const MAX_IN_A_ROW: usize = 10;
/// How long a wait goes on at most after it has become pointless.
const LOOK_AROUND: Duration = Duration::from_millis(50);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A setting.
    #[error(transparent)]
    Option(#[from] InvalidOption),
    /// The key is not there.
    #[error("the environment variable {0}, which `key_variable` names, is not set to a key: set it")]
    NoKey(String),
}

/// Why nothing more is asked, and the run is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What was asked.
    pub url: String,
    /// What happened, and what to do.
    pub reason: String,
    /// What is kept of the replies so far.
    pub saved: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reward `llm_judge`: {}: {}; {}", self.url, self.reason, self.saved)
    }
}

impl std::error::Error for Failure {}

/// Why one question has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoReply {
    /// Nothing more is asked: [`ChatClient::failure`] is there.
    #[error("nothing more is asked")]
    Stopped,
    /// The server is out, and [`OnOutage::Skip`] is set.
    #[error("the server is out: {0}")]
    Outage(String),
    /// The server refuses this very text.
    #[error("the server cannot answer this text: {0}")]
    Unfit(String),
    /// The server's responses to this text are no replies.
    #[error("{0}")]
    Garbled(String),
}

impl NoReply {
    /// A short name to count by.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stopped => "judge_stopped",
            Self::Outage(_) => "outage",
            Self::Unfit(_) => "rejected",
            Self::Garbled(_) => "garbled",
        }
    }
}

/// A model behind an OpenAI-compatible server.
///
/// Many threads may ask at once; [`ClientOptions::concurrency`] of them are heard. Clones share everything.
#[derive(Debug, Clone)]
pub struct ChatClient(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: ClientOptions,
    server: Server,
    cache: Option<Cache>,
    /// Whether the folder of the cache has been made.
    is_prepared: OnceLock<()>,
    budget: Arc<Budget>,
    slots: Slots,
    counters: Counters,
    failure: OnceLock<Failure>,
    /// Set by whoever wants to end the run.
    interrupt: Mutex<Option<Arc<AtomicBool>>>,
    /// Whether the last that is known of the server is an outage.
    is_out: AtomicBool,
    /// Texts that could not be answered since the last reply.
    n_in_a_row: AtomicUsize,
}

impl ChatClient {
    /// A client by `options`. Reads the key; asks nothing and writes nothing.
    ///
    /// # Errors
    ///
    /// [`ClientError`] for a setting out of range, or a key that is not there.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        options.check()?;
        let key = match &*options.key_variable {
            "" => None,
            variable => {
                let key = env::var(variable).map(|key| key.trim().to_owned()).unwrap_or_default();
                // A header is one line of visible characters.
                if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(ClientError::NoKey(variable.to_owned()));
                }
                Some(Key::new(key))
            }
        };
        Ok(Self(Arc::new(Shared {
            server: Server::new(&options, key),
            cache: (!options.cache.is_empty()).then(|| Cache::new(Path::new(&options.cache))),
            is_prepared: OnceLock::new(),
            budget: Budget::of(&options),
            slots: Slots::new(options.concurrency),
            counters: Counters::default(),
            failure: OnceLock::new(),
            interrupt: Mutex::new(None),
            is_out: AtomicBool::new(false),
            n_in_a_row: AtomicUsize::new(0),
            options,
        })))
    }

    /// Its settings.
    pub fn options(&self) -> &ClientOptions {
        &self.0.options
    }

    /// What was asked so far, and what it cost.
    pub fn counts(&self) -> Counts {
        self.0.counters.so_far()
    }

    /// Why nothing more is asked; once there, it stays. To be asked after judging: verdicts cannot stop a run.
    pub fn failure(&self) -> Option<Failure> {
        self.0.failure.get().cloned()
    }

    /// Ends pauses once `flag` is true: an outage then stops the run. As long as the server answers, the flag changes nothing.
    pub fn stop_when(&self, flag: Arc<AtomicBool>) {
        *self.0.interrupt.lock().unwrap_or_else(PoisonError::into_inner) = Some(flag);
    }

    /// The reply to `request`.
    ///
    /// # Errors
    ///
    /// [`NoReply`] says why there is none. Only [`NoReply::Stopped`] concerns other requests.
    pub fn ask(&self, request: &Request) -> Result<Reply, NoReply> {
        self.0.ask(request)
    }

    /// The replies to `requests`, in their order, asked at once as far as [`ClientOptions::concurrency`] allows. The same
    /// request twice is asked once.
    pub fn ask_all(&self, requests: &[Request]) -> Vec<Result<Reply, NoReply>> {
        let mut different: Vec<&Request> = Vec::new();
        let mut places = std::collections::HashMap::new();
        let mut place = |request| {
            let next = different.len();
            let place = *places.entry(self.0.address(request)).or_insert(next);
            if place == next {
                different.push(request);
            }
            place
        };
        let places: Vec<usize> = requests.iter().map(&mut place).collect();
        let replies = slots::map(&different, self.0.options.concurrency, |request| self.0.ask(request));
        places.into_iter().map(|place| replies[place].clone()).collect()
    }

    /// Notes that a question has no verdict.
    pub(crate) fn count_no_verdict(&self, name: &'static str) {
        self.0.counters.add(|counts| *counts.no_verdict.entry(name).or_default() += 1);
    }
}

/// What to do after a request that brought no reply.
enum Next {
    /// Send it again after a while.
    Wait(Duration),
    /// The server is out; send it again after a while, unless the user does not want to wait.
    Pause(Duration),
    End(NoReply),
}

impl Shared {
    fn address(&self, request: &Request) -> String {
        request.address(&self.options)
    }

    fn ask(&self, request: &Request) -> Result<Reply, NoReply> {
        let address = self.address(request);
        if let Some(reply) = self.cache.as_ref().and_then(|cache| cache.get(&address)) {
            self.counters.add(|counts| counts.n_cached += 1);
            return Ok(reply);
        }
        if !self.can_keep() {
            return Err(NoReply::Stopped);
        }
        let _slot = self.slots.take();
        let body = request.body(&self.options).to_string();
        let began = Instant::now();
        for attempt in 1.. {
            if self.failure.get().is_some() {
                break;
            }
            match self.send(&body, attempt)? {
                Outcome::Reply(reply) => {
                    self.is_out.store(false, Ordering::Relaxed);
                    self.n_in_a_row.store(0, Ordering::Relaxed);
                    if let Some(Err(error)) = self.cache.as_ref().map(|cache| cache.put(&address, &reply)) {
                        self.stop_without_cache(&error);
                    }
                    return Ok(reply);
                }
                outcome => match self.next(outcome, &address, attempt, began) {
                    Next::Wait(wait) => self.sleep(wait, || false),
                    Next::Pause(wait) => {
                        self.sleep(wait, || self.is_interrupted());
                        if self.is_interrupted() {
                            self.stop("the run was to stop while the server was out".to_owned());
                        }
                    }
                    Next::End(why) => return Err(why),
                },
            }
        }
        Err(NoReply::Stopped)
    }

    /// Sends the request once, if the budget allows it, and settles what it cost.
    fn send(&self, body: &str, attempt: u32) -> Result<Outcome, NoReply> {
        let hold = self.budget.reserve(body.len()).map_err(|reason| {
            self.stop(format!("the budget is spent: {reason}. Raise the cap to go on"));
            NoReply::Stopped
        })?;
        self.counters.add(|counts| {
            counts.n_requests += 1;
            counts.n_retries += u64::from(attempt > 1);
        });
        let outcome = self.server.post(body.as_bytes());
        let (tokens, is_unmetered) = match &outcome {
            Outcome::Reply(Reply { tokens, .. }) => (*tokens, tokens.is_none()),
            Outcome::Later { may_be_billed, .. } => (None, *may_be_billed),
            Outcome::Garbled { .. } => (None, true),
            Outcome::Unfit { .. } | Outcome::Refused { .. } => (None, false),
        };
        let (tokens_in, tokens_out) = tokens.unwrap_or_default();
        let cost = if is_unmetered { hold.most } else { self.budget.cost(tokens_in, tokens_out) };
        hold.settle(cost);
        self.counters.add(|counts| {
            counts.n_replies += u64::from(matches!(outcome, Outcome::Reply(_)));
            counts.tokens_in += tokens_in;
            counts.tokens_out += tokens_out;
            counts.n_unmetered += u64::from(is_unmetered);
            counts.cost += cost;
        });
        Ok(outcome)
    }

    fn next(&self, outcome: Outcome, address: &str, attempt: u32, began: Instant) -> Next {
        let options = &self.options;
        let wait = backoff::wait(address, attempt, options.backoff_seconds, options.backoff_limit_seconds);
        // While the server is out, what may be skipped is tried once.
        let skips = options.on_outage == OnOutage::Skip && self.is_out.load(Ordering::Relaxed);
        let may_retry = attempt <= options.retries && !skips;
        match outcome {
            Outcome::Reply(_) => unreachable!("a reply is no reason to ask again"),
            Outcome::Refused { reason } => self.stopped(format!("the server refuses to answer: {reason}")),
            Outcome::Unfit { reason } => {
                if self.is_one_too_many() {
                    return self.stopped(format!("{MAX_IN_A_ROW} requests in a row were refused, the last: {reason}"));
                }
                Next::End(NoReply::Unfit(reason))
            }
            Outcome::Garbled { .. } if may_retry => Next::Wait(wait),
            Outcome::Garbled { reason } => {
                if self.is_one_too_many() {
                    return self.outage(reason, wait, began);
                }
                Next::End(NoReply::Garbled(reason))
            }
            Outcome::Later { reason, retry_after, .. } => {
                let asked_for = retry_after.unwrap_or_default();
                let wait = wait.max(asked_for);
                if may_retry && asked_for.as_secs_f64() <= options.backoff_limit_seconds {
                    return Next::Wait(wait);
                }
                self.outage(reason, wait, began)
            }
        }
    }

    /// What an outage leads to.
    fn outage(&self, reason: String, wait: Duration, began: Instant) -> Next {
        self.is_out.store(true, Ordering::Relaxed);
        let limit = self.options.pause_limit_seconds;
        match self.options.on_outage {
            OnOutage::Pause if (began.elapsed() + wait).as_secs_f64() <= limit => Next::Pause(wait),
            OnOutage::Pause => self.stopped(format!(
                "the server has not answered for {:.0} s, and `pause_limit_seconds` is {limit}: {reason}",
                began.elapsed().as_secs_f64()
            )),
            OnOutage::Skip => Next::End(NoReply::Outage(reason)),
            OnOutage::Stop => self.stopped(format!("the server does not answer: {reason}")),
        }
    }

    fn is_one_too_many(&self) -> bool {
        self.n_in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_IN_A_ROW
    }

    fn stopped(&self, reason: String) -> Next {
        self.stop(reason);
        Next::End(NoReply::Stopped)
    }

    fn stop(&self, reason: String) {
        let saved = match &self.cache {
            Some(cache) => format!(
                "replies so far are kept in {}: the same run asks only for what is missing there",
                cache.folder().display()
            ),
            None => "no replies are kept: name a folder with `cache` to keep them".to_owned(),
        };
        // The first reason is the one to be told.
        let _ = self.failure.set(Failure { url: self.server.url().to_owned(), reason, saved });
    }

    fn is_interrupted(&self) -> bool {
        let interrupt = self.interrupt.lock().unwrap_or_else(PoisonError::into_inner);
        interrupt.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// Whether replies can be kept, if they are to be; looked at before the first is paid for.
    fn can_keep(&self) -> bool {
        let Some(cache) = &self.cache else { return true };
        if self.is_prepared.get().is_none() {
            if let Err(error) = cache.prepare() {
                self.stop_without_cache(&error);
                return false;
            }
            let _ = self.is_prepared.set(());
        }
        true
    }

    fn stop_without_cache(&self, error: &io::Error) {
        self.stop(format!("a reply cannot be kept: {error}. Free space, or name another folder with `cache`"));
    }

    /// Waits, but not for what will not be sent, nor once `is_pointless`.
    fn sleep(&self, wait: Duration, is_pointless: impl Fn() -> bool) {
        let until = Instant::now() + wait;
        while self.failure.get().is_none() && !is_pointless() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(LOOK_AROUND));
        }
    }
}
