//! A machine that fails is told from a program that fails: the one stops the run, the other scores 0.

mod support;

use rewards::{CompletionView, Problem, RewardFn};
use sandbox::{Code, CodeOptions, Limits};
use serde_json::{Value, json};

fn options() -> CodeOptions {
    let limits = Limits { cpu_seconds: 1, wall_seconds: 2.0, memory_mb: 256, scratch_mb: 4, ..Limits::default() };
    CodeOptions { limits, ..CodeOptions::default() }
}

fn problem(tests: &Value) -> Problem {
    serde_json::from_value(json!({"id": "p7", "question": "q", "tests": tests})).unwrap()
}

#[test]
fn a_machine_that_fails_in_the_middle_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let made = Code::new(CodeOptions { read_only: vec![folder.path().to_owned()], ..options() });
    let Some(code) = support::unless_refused(made) else { return };
    let asked = code.clone();
    let judge = |program: &str| {
        let text = format!("```python\n{program}\n```");
        code.judge(&problem(&json!([{"stdout": "1"}])), &CompletionView::new(&text, 1, false))
    };
    assert_eq!((judge("print(1)").score, asked.failure()), (Some(1.0), None));
    drop(folder);
    let verdict = judge("print(2)");
    assert_eq!((verdict.score, &*verdict.rule), (None, "sandbox"), "{}", verdict.reason);
    let failure = asked.failure().expect("a clone knows of it");
    let message = failure.to_string();
    assert!(failure.completion.contains("print(2)"), "{message}");
    for words in ["problem `p7`", "the sandbox failed at `reading the interpreter's files`", "No such file"] {
        assert!(message.contains(words), "{message}");
    }
    let verdict = judge("print(3)");
    assert_eq!((verdict.score, &*verdict.rule), (None, "sandbox"), "nothing is judged after it");
    assert_eq!(asked.failure(), Some(failure), "the first failure stays");
}

/// Whatever a program does to its own sandbox, it has failed and the machine has not.
#[test]
fn no_program_makes_the_machine_fail() {
    let Some(code) = support::unless_refused(Code::new(options())) else { return };
    let orphans = "\nwhile True:\n    try:\n        if os.fork() == 0:\n            os.fork()\n            os._exit(0)\n        os.wait()\n    \
        except OSError: pass";
    let low = format!(
        "import os, resource\nfor what in range(16):\n    for pid in (1, os.getppid()):\n        \
         try: resource.prlimit(pid, what, (0, 0))\n        except Exception: pass{orphans}"
    );
    let own = "import resource\nfor what in range(16):\n    try: resource.setrlimit(what, (0, 0))\n    except Exception: pass\n\
        open('/scratch/x', 'w').write('x' * 9999)";
    let programs = [
        low.as_str(),
        own,
        "import os\nos.kill(1, 9)",
        "import os, signal\nfor number in range(1, 65):\n    for pid in (1, 0, -1):\n        try: os.kill(pid, number)\n        except OSError: pass",
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        "import mmap, os\nos.fork(); os.fork()\nkept = []\nwhile True: kept.append(bytearray(1 << 20))",
        "import os\nwhile True: open(os.urandom(8).hex(), 'w').write('x' * 999999)",
        "import os\nos.closerange(0, 64)\nos._exit(0)",
        "import os\nos.chmod('/scratch', 0)\nos.unlink('/scratch/solution.py')\nos.abort()",
        "import threading\nwhile True: threading.Thread(target=threading.Event().wait).start()",
        "import os, sys\nwhile True: os.write(2, b'x' * 65536)",
    ];
    let texts = programs.map(|program| format!("```python\n{program}\n```"));
    let views: Vec<CompletionView<'_>> = texts.iter().map(|text| CompletionView::new(text, 1, false)).collect();
    for tests in [json!([{"stdout": "1"}]), json!(["assert f(1) == 1"])] {
        for (program, verdict) in programs.iter().zip(code.judge_group(&problem(&tests), &views)) {
            assert_eq!(verdict.score, Some(0.0), "{program}\n{tests}\n{}: {}", verdict.rule, verdict.reason);
        }
        assert_eq!(code.failure(), None);
    }
}
