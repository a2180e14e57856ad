//! The process reward with commands that work, and with commands that fail in every way a command can.

use std::path::Path;
use std::time::{Duration, Instant};

use rewards::{CompletionView, Gold, Problem, RewardFn, Verdict};
use sandbox::{OnError, Process, ProcessError, ProcessOptions};

/// The ten-line reward of the documentation, with what each completion makes of it.
const LOOP: &str = r#"
import json, os, sys, time
def answer(row, **more): print(json.dumps({"id": row["id"], **more}))
for line in sys.stdin:
    row = json.loads(line)
    text = row["completion"]
    if text == "hang": time.sleep(1000)
    if text == "crash": print("about to crash", file=sys.stderr); os._exit(3)
    if text == "raise": raise ValueError("bad luck")
    if text == "garbage": print("hello?")
    if text == "silent": continue
    if text == "twice": answer(row, score=1)
    if text == "nan": answer(row, score=float("nan")); continue
    if text == "huge": print('{"id": %d, "score": 1e300}' % row["id"]); continue
    if text == "text": answer(row, score="1"); continue
    if text == "stranger": print('{"id": 0, "score": 1}'); continue
    if text == "none": answer(row, score=None, reason="not for me"); continue
    if text.startswith("steps"): answer(row, steps=[{"end": len(text) - 1, "score": 0}, {"end": len(text), "score": 1}]); continue
    if text == "far": answer(row, score=1, steps=[{"end": 4, "score": 1}]); continue
    if text == "long": print("x" * 3000000); continue
    if text == "cut": sys.stdout.write('{"id"'); sys.stdout.flush(); os._exit(0)
    answer(row, score=len(text) + 0.5, reason=row.get("gold", "no gold"))
"#;

/// Reads two questions, answers the second first.
const REVERSED: &str = r#"
import json, sys
while True:
    rows = [json.loads(line) for line in (sys.stdin.readline(), sys.stdin.readline()) if line]
    if not rows: break
    for row in reversed(rows): print(json.dumps({"id": row["id"], "score": float(row["completion"])}))
"#;

const SLOW_START: &str = r#"
import json, sys, time
time.sleep(0.6)
for line in sys.stdin:
    row = json.loads(line)
    print(json.dumps({"id": row["id"], "score": 1}))
"#;

/// In shell, for a command that is no Python.
const SHELL: &str =
    r#"while read -r line; do id=${line##*\"id\":}; id=${id%%[,\}]*}; echo "{\"id\": $id, \"score\": 2}"; done"#;

fn options(script: &str, on_error: OnError) -> ProcessOptions {
    let command = ["python3", "-c", script].map(str::to_owned).to_vec();
    ProcessOptions { on_error, batch_seconds: 0.5, start_seconds: 1.0, ..ProcessOptions::new(command) }
}

fn problem() -> Problem {
    Problem { id: "p7".to_owned(), question: "q".to_owned(), gold: Gold::text("the gold") }
}

fn judge(process: &Process, texts: &[&str]) -> Vec<Verdict> {
    let views: Vec<CompletionView<'_>> =
        texts.iter().map(|text| CompletionView::new(text, text.len(), false)).collect();
    process.judge_group(&problem(), &views)
}

fn scores(process: &Process, texts: &[&str]) -> Vec<Option<f32>> {
    judge(process, texts).into_iter().map(|verdict| verdict.score).collect()
}

#[test]
fn commands_that_work() {
    let process = Process::new(options(LOOP, OnError::Stop)).unwrap();
    let verdicts = judge(&process, &["a", "none", "", "line\nline \"quoted\" \u{1f600}"]);
    let found: Vec<(Option<f32>, &str, &str)> = verdicts.iter().map(|v| (v.score, &*v.reason, &*v.rule)).collect();
    let gold = "the gold";
    assert_eq!(
        found,
        [
            (Some(1.5), gold, "process"),
            (None, "not for me", "process"),
            (Some(0.5), gold, "process"),
            (Some(20.5), gold, "process")
        ]
    );
    assert_eq!(
        process.judge_batch(&[(&problem(), &[]), (&problem(), &[CompletionView::new("ab", 1, false)])])[1].len(),
        1
    );
    assert_eq!(scores(&process, &[]), []);
    let one = process.judge(&problem(), &CompletionView::new("abc", 1, false));
    assert_eq!((one.score, process.failure(), process.n_failures()), (Some(3.5), None, 0));
    assert!(process.check_gold(&problem()).is_ok());

    // Ends in characters, as Python counts them, become ends in bytes.
    let steps = process.judge(&problem(), &CompletionView::new("steps \u{1f600}\u{e4}", 1, false));
    let ends: Vec<(usize, f32)> = steps.steps.iter().map(|step| (step.end, step.score)).collect();
    assert_eq!((steps.score, ends), (Some(0.5), vec![(10, 0.0), (12, 1.0)]));

    let reversed = Process::new(options(REVERSED, OnError::Stop)).unwrap();
    assert_eq!(scores(&reversed, &["1", "2", "3", "4"]), [1.0, 2.0, 3.0, 4.0].map(Some));
    let shell =
        ProcessOptions { command: ["sh", "-c", SHELL].map(str::to_owned).to_vec(), ..options("", OnError::Stop) };
    assert_eq!(scores(&Process::new(shell).unwrap(), &["x", "y"]), [Some(2.0); 2]);
    let slow = Process::new(options(SLOW_START, OnError::Stop)).unwrap();
    assert_eq!(scores(&slow, &["x"]), [Some(1.0)], "a start may take longer than a batch");
}

/// A run that is only checked must not start what may load a model.
#[test]
fn a_command_is_started_when_there_is_something_to_judge() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("started");
    let script = format!("open({trace:?}, 'a').write('x'){LOOP}");
    let process = Process::new(options(&script, OnError::Stop)).unwrap();
    assert_eq!(scores(&process, &[]), []);
    assert!(!trace.exists());
    assert_eq!((scores(&process, &["a"]), scores(&process, &["b"])), (vec![Some(1.5)], vec![Some(1.5)]));
    assert_eq!(std::fs::read(&trace).unwrap(), b"x", "once");

    let broken = Process::new(options("import sys; sys.exit('no such model')", OnError::Stop)).unwrap();
    assert_eq!(scores(&broken, &["a"]), [None]);
    let message = broken.failure().unwrap().to_string();
    assert!(message.contains("it ended with exit status: 1") && message.contains("stderr: no such model"), "{message}");
}

#[test]
fn a_large_batch_is_written_while_answers_are_read() {
    let process = Process::new(ProcessOptions { batch_seconds: 30.0, ..options(LOOP, OnError::Stop) }).unwrap();
    let texts: Vec<String> = (0..3000).map(|length| "x".repeat(length)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let expected: Vec<Option<f32>> = (0..3000).map(|length| Some(length as f32 + 0.5)).collect();
    assert_eq!(scores(&process, &texts), expected);
}

/// Among completions that can be judged, `bad` alone cannot, for a reason with `words`; under each policy.
fn check(bad: &str, words: &str) {
    let texts = ["a", "bb", bad, "ccc"];
    let good = [Some(1.5), Some(2.5), Some(3.5)];
    let zero = Process::new(options(LOOP, OnError::Zero)).unwrap();
    assert_eq!(scores(&zero, &texts), [good[0], good[1], Some(0.0), good[2]], "{bad}");
    assert_eq!(zero.failure(), None, "{bad}");
    assert_eq!(scores(&zero, &["a"]), [Some(1.5)], "{bad}: it goes on");

    let stop = Process::new(options(LOOP, OnError::Stop)).unwrap();
    let verdicts = judge(&stop, &texts);
    assert_eq!(verdicts.iter().map(|v| v.score).collect::<Vec<_>>(), [good[0], good[1], None, good[2]], "{bad}");
    assert_eq!((&*verdicts[2].rule, stop.n_failures()), ("process_failed", 1), "{bad}");
    assert!(verdicts[2].reason.contains(words), "{bad}: {}", verdicts[2].reason);
    assert_eq!(stop.clone().failure(), stop.failure(), "a clone is the same reward");
    let failure = stop.failure().unwrap();
    let message = failure.to_string();
    assert!(message.contains(words) && message.contains("problem `p7`"), "{bad}: {message}");
    assert_eq!(failure.completion, bad);
    assert_eq!(scores(&stop, &["a"]), [None], "{bad}: nothing is judged after it");
    assert_eq!(stop.failure(), Some(failure), "the first failure stays");
}

#[test]
fn commands_that_crash() {
    check("crash", "exit status: 3");
    check("crash", "about to crash");
    check("raise", "ValueError: bad luck");
    check("cut", "exit status: 0");
}

#[test]
fn commands_that_hang() {
    check("hang", "did not answer within");
}

#[test]
fn commands_that_leave_a_question_out() {
    check("silent", "did not answer within");
}

#[test]
fn commands_that_answer_garbage() {
    check("garbage", "a line that is no answer: hello?");
    check("nan", "JSON has no NaN");
    check("huge", "no finite 32-bit number");
    check("text", "should be a number or null");
    check("far", "its step 1 ends at character 4 of 3");
    check("stranger", "an answer nobody asked for, with id 0");
    check("long", "a line of more than");
}

#[test]
fn two_answers_to_one_question_are_none() {
    let process = Process::new(options(LOOP, OnError::NotApplicable)).unwrap();
    let verdicts = judge(&process, &["twice", "a", "bb"]);
    assert_eq!(verdicts.iter().map(|v| v.score).collect::<Vec<_>>(), [None, Some(1.5), Some(2.5)]);
    assert!(verdicts[0].reason.contains("answered twice"), "{}", verdicts[0].reason);
}

#[test]
fn a_command_that_never_works_is_given_up_soon() {
    for (script, words) in [
        ("import sys; sys.exit('no such model')", "no such model"),
        ("import time; time.sleep(1000)", "did not answer"),
    ] {
        let limits =
            ProcessOptions { batch_seconds: 0.2, start_seconds: 0.1, ..options(script, OnError::NotApplicable) };
        let process = Process::new(limits).unwrap();
        let began = Instant::now();
        let verdicts = judge(&process, &["a"; 50]);
        assert!(verdicts.iter().all(|v| v.score.is_none() && v.reason.contains(words)), "{:?}", verdicts[49]);
        assert_eq!(process.n_failures(), 50);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}

#[test]
fn copies_work_in_parallel_and_callers_may_too() {
    let together = r#"
import json, os, sys, time
for line in sys.stdin:
    row = json.loads(line)
    time.sleep(0.01)
    print(json.dumps({"id": row["id"], "score": float(row["completion"]), "reason": str(os.getpid())}))
"#;
    let process =
        Process::new(ProcessOptions { workers: 3, batch_seconds: 20.0, ..options(together, OnError::Stop) }).unwrap();
    let texts: Vec<String> = (0..12).map(|number| number.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let expected: Vec<Option<f32>> = (0..12).map(|number| Some(number as f32)).collect();
    let pids = std::sync::Mutex::new(std::collections::BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..3 {
                    let verdicts = judge(&process, &texts);
                    assert_eq!(verdicts.iter().map(|v| v.score).collect::<Vec<_>>(), expected);
                    pids.lock().unwrap().extend(verdicts.into_iter().map(|v| v.reason.into_owned()));
                }
            });
        }
    });
    let pids = pids.into_inner().unwrap();
    assert_eq!(pids.len(), 3, "three copies, each started once: {pids:?}");
    assert!(pids.iter().all(|pid| Path::new(&format!("/proc/{pid}")).exists()));
    drop(process);
    assert!(pids.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()), "they end with the reward");
}

#[test]
fn what_a_command_has_started_ends_with_it() {
    let script = r#"
import json, subprocess, sys, time
child = subprocess.Popen(["sleep", "1000"])
for line in sys.stdin:
    row = json.loads(line)
    print(json.dumps({"id": row["id"], "score": 1, "reason": str(child.pid)}))
    if row["completion"] == "stay": time.sleep(1000)
"#;
    for text in ["go", "stay"] {
        let process = Process::new(options(script, OnError::Stop)).unwrap();
        let pid = judge(&process, &[text])[0].reason.to_string();
        drop(process);
        // Killed is not yet gone.
        let is_alive = || {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !state.is_empty() && !state.contains(") Z")
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_alive() {
            assert!(Instant::now() < deadline, "{text}: process {pid} goes on");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[test]
fn options_are_read_strictly() {
    let read = |json: &str| serde_json::from_str::<ProcessOptions>(json);
    let options = read(r#"{"command": ["a"], "on_error": "zero"}"#).unwrap();
    assert_eq!((options.workers, options.batch_seconds, options.on_error), (1, 60.0, OnError::Zero));
    for json in
        ["{}", r#"{"command": "a"}"#, r#"{"command": ["a"], "timeout": 3}"#, r#"{"command": ["a"], "on_error": "x"}"#]
    {
        assert!(read(json).is_err(), "{json}");
    }
    let check = |options: ProcessOptions, words: &str| {
        let message = Process::new(options).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    };
    let command = |words: &[&str]| ProcessOptions::new(words.iter().map(|&word| word.to_owned()).collect());
    assert!(matches!(Process::new(command(&[])), Err(ProcessError::Empty)));
    check(command(&["/no/such/program", "x"]), "`/no/such/program x` cannot be started");
    check(command(&["/etc/passwd"]), "/etc/passwd is not executable");
    check(command(&["no-such-program"]), "no folder of PATH has a program");
    check(ProcessOptions { workers: 0, ..command(&["cat"]) }, "workers is 0");
    check(ProcessOptions { batch_seconds: f64::NAN, ..command(&["cat"]) }, "batch_seconds is NaN");
}
