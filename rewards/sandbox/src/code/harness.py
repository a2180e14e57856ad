"""Runs a program's assert tests, and keeps the tests out of the program's reach.

Two processes. The worker runs the program. The judge runs the tests; in place of the program's functions it has
stand-ins that ask the worker to call them. What comes back is data, an object of the tests' own that the program was
handed, or a stand-in, and the judge compares it itself: the expected values, the comparison and the channel of the
results never exist in the process that runs the program. So a program cannot pass by leaving early, by printing, by
changing `assert`, `==` or `exit`, or by returning an object that equals everything.

`harness_line.py` is the line between the two.

Standard input: {"setup": str, "tests": [str]}. Descriptor 3, in lines of JSON: {"loaded"} or {"failed"}, then for each
test {"test", "passed", "why", "gone"} or {"test", "unreadable"}, up to the test in which the program ended.
"""
import ast
import builtins
import cmath
import importlib
import json
import os
import sys
import types

from harness_line import Gone, Peer

sys.path.remove("/scratch")
sys.setrecursionlimit(3000)
if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(0)

# Modules that a test may use because the program has imported them, under any name: the judge takes its own copy.
PURE = set(
    "bisect cmath collections copy datetime decimal fractions functools heapq itertools json math numbers operator "
    "random re statistics string typing".split()
)
# Libraries that compare: a program's own object of such a name must not take their place.
FOREIGN = set("np numpy pd pandas scipy sympy torch pytest unittest os sys".split())


def work(peer):
    """The worker: runs the program, says what it has defined, then does what it is asked for."""
    with open("/scratch/solution.py", encoding="utf-8") as file:
        source = file.read()
    module = types.ModuleType("solution")
    module.__file__ = "/scratch/solution.py"
    sys.modules["solution"] = module
    sys.path.insert(0, "/scratch")
    sys.setrecursionlimit(10000)
    try:
        exec(compile(source, "solution.py", "exec"), module.__dict__)
    except BaseException as error:
        peer.send("failed", f"{type(error).__name__}: {error}"[:300])
        return
    names = {}
    for name, value in list(module.__dict__.items()):
        if not name.startswith("__"):
            if type(value) is types.ModuleType:
                names[name] = ["module", value.__name__]
            else:
                names[name] = peer.encode(value)
    peer.send("ready", names)
    while True:
        message = peer.receive()
        peer.answer(message[1:])


def is_spoken_for(name):
    return hasattr(builtins, name) or name in PURE or name in FOREIGN or name == "isclose"


def names_for(test, imports, peer, names):
    """What `test` may refer to.

    A program's own `abs`, `math` or `isclose` could bend the comparison, so those names mean what they always mean.
    Only where such a name is the single thing that the test asks of the program, it tests a function so called. A test
    that imports the program asks for more than its names show."""
    used = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)} & names.keys()
    is_single = len(used) == 1 and not imports
    found = {"__name__": "tests", "__builtins__": builtins}
    for name in used:
        value = names[name]
        if type(value) is list and value[0] == "module":
            # Under another name too; that of an unknown module stays undefined.
            if value[1].split(".")[0] in PURE and name not in PURE:
                found[name] = importlib.import_module(value[1])
        elif is_single or not is_spoken_for(name):
            found[name] = peer.decode(value)
            continue
        if name in PURE:
            found[name] = importlib.import_module(name)
        elif name == "isclose":
            found[name] = cmath.isclose
    return found


def stand_in(peer, names):
    """The module `solution`, for a test that says `from solution import f`."""

    def find(name):
        if name not in names:
            raise AttributeError(f"the program defines no {name!r}")
        return peer.decode(names[name])

    module = types.ModuleType("solution")
    # `import *` must not replace what the test compares with.
    is_module = {name for name, value in names.items() if type(value) is list and value[0] == "module"}
    module.__all__ = [name for name in names if name not in is_module and not is_spoken_for(name)]
    module.__getattr__ = find
    return module


def judge(peer, setup, tests, results):
    def tell(**fields):
        os.write(results, (json.dumps(fields) + "\n").encode("ascii"))

    try:
        message = peer.receive()
    except Gone:
        message = ["failed", "the program ended while it was loaded"]
    if message[0] != "ready":
        tell(failed=str(message[1])[:300])
        return
    tell(loaded=True)
    for number, source in enumerate(tests):
        try:
            tree = ast.parse(setup + "\n" + source, "tests.py")
            code = compile(tree, "tests.py", "exec")
        except (SyntaxError, ValueError) as error:
            tell(test=number, unreadable=str(error)[:300])
            continue
        why = None
        try:
            sys.modules["solution"] = stand_in(peer, message[1])
            imports = "solution" in setup + source
            exec(code, names_for(tree, imports, peer, message[1]))
        except AssertionError as error:
            why = f"assertion failed {error}".strip()
        except BaseException as error:
            why = f"{type(error).__name__}: {error}"
        tell(test=number, passed=why is None and not peer.gone, why=(why or "")[:300], gone=peer.gone)
        if peer.gone:
            return


def main():
    to_worker, from_worker = os.pipe(), os.pipe()
    if os.fork() == 0:
        # Closed before the first line of the program runs: the tests and the results are out of its reach.
        nothing = os.open("/dev/null", os.O_RDONLY)
        os.dup2(nothing, 0)
        for descriptor in (3, nothing, to_worker[1], from_worker[0]):
            os.close(descriptor)
        try:
            work(Peer(to_worker[0], from_worker[1], is_judge=False))
        except Gone:
            pass
        finally:
            os._exit(0)
    os.close(to_worker[0])
    os.close(from_worker[1])
    sys.modules["tests"] = types.ModuleType("tests")
    wanted = json.loads(sys.stdin.buffer.read())
    try:
        judge(Peer(from_worker[0], to_worker[1], is_judge=True), wanted["setup"], wanted["tests"], 3)
    finally:
        os._exit(0)


main()
