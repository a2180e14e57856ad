"""Runs a program's assert tests, and keeps the tests out of the program's reach.

Two processes. The worker runs the program. The judge runs the tests; in place of the program's functions it has
stand-ins that ask the worker to call them. What comes back is data, and the judge compares it itself: the expected
values, the comparison and the channel of the results never exist in the process that runs the program. So a program
cannot pass by leaving early, by printing, by changing `assert`, `==` or `exit`, or by returning an object that equals
everything.

Standard input: {"setup": str, "tests": [str]}. Descriptor 3, in lines of JSON: {"loaded"} or {"failed"}, then for each
test {"test", "passed", "why", "gone"} or {"test", "unreadable"}, up to the test in which the program ended.
"""
import ast
import builtins
import cmath
import collections
import collections.abc
import datetime
import decimal
import fractions
import importlib
import json
import operator
import os
import sys
import types

sys.path.remove("/scratch")
sys.setrecursionlimit(3000)
if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(0)

# Modules that a test may use because the program has imported them, under any name: the judge takes its own copy.
PURE = set(
    "bisect cmath collections copy datetime decimal fractions functools heapq itertools json math numbers operator "
    "random re statistics string typing".split()
)
# What counts as data, and what classes derived from it are reduced to.
BASE = (list, tuple, dict, set, frozenset, str, int, float, bytes, bytearray, complex)


class Gone(BaseException):
    """The other process has ended. Not an Exception, so that no test can catch it by accident."""


class RemoteError(Exception):
    """An error of a class that the other process does not know."""


def plain(value):
    """`value` as exact built-in data, if it is that at heart: a named tuple, a Counter, a dict view, an array."""
    for base in BASE:
        if isinstance(value, base):
            if base is dict:
                return dict(dict.items(value))
            # Through the base's own methods, whatever the subclass makes of them.
            if hasattr(base, "__iter__") and base is not str:
                return base(base.__iter__(value))
            return base.__new__(base, value)
    if isinstance(value, (collections.abc.KeysView, collections.abc.ItemsView)):
        return set(value)
    if isinstance(value, collections.abc.ValuesView) or type(value) is collections.deque:
        return list(value)
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__!r} is not plain data")


class Peer:
    """One end of the line between judge and worker: both may ask, and answer while they wait."""

    def __init__(self, reading, writing, is_judge):
        self.reader = os.fdopen(reading, "r", encoding="ascii", newline="\n")
        self.writer = os.fdopen(writing, "w", encoding="ascii", newline="\n")
        self.is_judge = is_judge
        self.gone = False
        self.own = {}
        self.n_own = 0

    # Values on the line: JSON, with a tagged list for everything JSON has not.

    def encode(self, value):
        kind = type(value)
        if value is None or kind is bool or kind is str or kind is float:
            return value
        if kind is int:
            return value if -(2**53) < value < 2**53 else ["i", hex(value)]
        if kind in (list, tuple, set, frozenset):
            return [kind.__name__, [self.encode(item) for item in value]]
        if kind is dict:
            return ["dict", [[self.encode(key), self.encode(item)] for key, item in value.items()]]
        if kind is bytes or kind is bytearray:
            return [kind.__name__, value.hex()]
        if kind is complex:
            return ["complex", value.real, value.imag]
        if kind is fractions.Fraction or kind is decimal.Decimal:
            return [kind.__name__, str(value)]
        if kind is datetime.date or kind is datetime.datetime:
            return [kind.__name__, value.isoformat()]
        if kind is datetime.timedelta:
            return ["timedelta", value.days, value.seconds, value.microseconds]
        if kind is Remote:
            return ["yours", value._id]
        if kind is type and value.__module__ == "builtins":
            return ["builtin", value.__name__]
        # The worker may have any function of the library by name; the judge takes none from it, or `exec` could come.
        is_builtin = kind is types.BuiltinFunctionType and isinstance(value.__self__, (types.ModuleType, type(None)))
        if self.is_judge and is_builtin:
            return ["function", value.__module__, value.__name__]
        self.n_own += 1
        self.own[self.n_own] = value
        return ["mine", self.n_own]

    def decode(self, value):
        if type(value) is not list:
            return value
        tag, *rest = value
        if tag == "i":
            return int(rest[0], 16)
        if tag in ("list", "tuple", "set", "frozenset"):
            return getattr(builtins, tag)([self.decode(item) for item in rest[0]])
        if tag == "dict":
            return {self.decode(key): self.decode(item) for key, item in rest[0]}
        if tag in ("bytes", "bytearray"):
            return getattr(builtins, tag).fromhex(rest[0])
        if tag == "complex":
            return complex(*rest)
        if tag == "Fraction":
            return fractions.Fraction(rest[0])
        if tag == "Decimal":
            return decimal.Decimal(rest[0])
        if tag == "date" or tag == "datetime":
            return getattr(datetime, tag).fromisoformat(rest[0])
        if tag == "timedelta":
            return datetime.timedelta(*rest)
        if tag == "builtin":
            found = getattr(builtins, rest[0])
            if type(found) is type:
                return found
        if tag == "function" and not self.is_judge:
            return getattr(importlib.import_module(rest[0]), rest[1])
        if tag == "yours":
            return self.own[rest[0]]
        if tag == "mine":
            return Remote(self, rest[0])
        raise ValueError(f"a value of an unknown kind: {tag!r}")

    def send(self, *message):
        try:
            self.writer.write(json.dumps(message) + "\n")
            self.writer.flush()
        except OSError:
            self.leave()

    def receive(self):
        try:
            line = self.reader.readline()
            if line.endswith("\n"):
                return json.loads(line)
        except (OSError, ValueError):
            pass
        self.leave()

    def leave(self):
        self.gone = True
        raise Gone("the program ended before the test did")

    def ask(self, what, *arguments):
        """Has the other process do `what`; returns or raises what it answers."""
        if self.gone:
            self.leave()
        self.send("ask", what, *map(self.encode, arguments))
        while True:
            message = self.receive()
            if message[0] == "ask":
                self.answer(message[1:])
                continue
            if message[0] == "value":
                # Lists and the like that the call has changed, changed here too.
                for argument, after in zip(arguments[1] if what == "call" else (), message[2]):
                    adopt(argument, self.decode(after))
                return self.decode(message[1])
            kind = getattr(builtins, message[1], None)
            known = isinstance(kind, type) and issubclass(kind, Exception)
            raise (kind if known else RemoteError)(message[2] if known else f"{message[1]}: {message[2]}")

    def answer(self, message):
        try:
            what, *arguments = message[0], *map(self.decode, message[1:])
            if self.is_judge:
                permit(what, arguments)
            value = SERVICES[what](*arguments)
            changed = []
            if what == "call":
                changed = [self.encode(item) if type(item) in (list, dict, set) else None for item in arguments[1]]
            reply = ("value", self.encode(value), changed)
        except Exception as error:
            reply = ("error", type(error).__name__, str(error)[:300])
        except SystemExit as error:
            reply = ("error", "SystemExit", str(error)[:300])
        self.send(*reply)


def adopt(argument, after):
    if type(argument) is list and type(after) is list and argument != after:
        argument[:] = after
    elif type(argument) in (dict, set) and type(after) is type(argument) and argument != after:
        argument.clear()
        argument.update(after)


def permit(what, arguments):
    """What a program may do to what a test hands it: call it, and use the public side of the test's own classes."""
    if what in ("getattr", "setattr"):
        target, name = arguments[:2]
        if type(target).__module__ != "tests" or str(name).startswith("_"):
            raise AttributeError(f"{name} is not for the program")
    elif what not in ("call", "iter", "next", "len", "getitem", "str", "repr", "bool"):
        raise TypeError(f"{what} is not for the program")


SERVICES = {
    "call": lambda target, arguments, named: target(*arguments, **named),
    "iter": iter,
    "next": next,
    "len": len,
    "getitem": operator.getitem,
    "setitem": operator.setitem,
    "delitem": operator.delitem,
    "getattr": getattr,
    "setattr": setattr,
    "str": str,
    "repr": repr,
    "bool": bool,
    "isinstance": isinstance,
    "hash": hash,
    "plain": plain,
    "enter": lambda target: type(target).__enter__(target),
    "leave": lambda target: type(target).__exit__(target, None, None, None),
    "binary": lambda name, left, right: getattr(operator, name)(left, right),
}


class Remote:
    """Stands for an object in the other process."""

    __slots__ = ("_peer", "_id")

    def __init__(self, peer, number):
        object.__setattr__(self, "_peer", peer)
        object.__setattr__(self, "_id", number)

    def _ask(self, what, *arguments):
        return self._peer.ask(what, self, *arguments)

    def _data(self):
        value = self._ask("plain")
        if type(value) is Remote:
            raise TypeError("an object that is not plain data cannot be compared with data")
        return value

    def __call__(self, *arguments, **named):
        return self._ask("call", arguments, named)

    def __getattr__(self, name):
        return self._ask("getattr", name)

    def __setattr__(self, name, value):
        self._ask("setattr", name, value)

    def __iter__(self):
        return self._ask("iter")

    def __next__(self):
        return self._ask("next")

    def __len__(self):
        return self._ask("len")

    def __getitem__(self, key):
        return self._ask("getitem", key)

    def __setitem__(self, key, value):
        self._ask("setitem", key, value)

    def __delitem__(self, key):
        self._ask("delitem", key)

    def __str__(self):
        return self._ask("str")

    def __repr__(self):
        return self._ask("repr")

    def __bool__(self):
        return self._ask("bool")

    def __hash__(self):
        return self._ask("hash")

    def __enter__(self):
        return self._ask("enter")

    def __exit__(self, *_):
        self._ask("leave")

    def __instancecheck__(self, value):
        return type(value) is Remote and self._peer.ask("isinstance", value, self)

    def __float__(self):
        return float(self._data())

    def __index__(self):
        return operator.index(self._data())

    def __abs__(self):
        return abs(self._data())

    def __round__(self, digits=None):
        return round(self._data(), digits)


def binary(name):
    """An operator. Against data, the object itself must be data, and the operator is the judge's own: what the data is,
    the program never learns. Between two objects of the program, the program's own operator counts."""
    perform = getattr(operator, name)

    def forward(self, other):
        if type(other) is not Remote:
            try:
                return perform(self._data(), other)
            except TypeError:
                return NotImplemented
        return self._peer.ask("binary", name, self, other)

    def backward(self, other):
        try:
            return perform(other, self._data())
        except TypeError:
            return NotImplemented

    return forward, backward


for _name in "eq ne lt le gt ge".split():
    setattr(Remote, f"__{_name}__", binary(_name)[0])
for _name in "add sub mul truediv floordiv mod pow matmul and_ or_ xor".split():
    _forward, _backward = binary(_name)
    setattr(Remote, f"__{_name.strip('_')}__", _forward)
    setattr(Remote, f"__r{_name.strip('_')}__", _backward)


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


def names_for(test, peer, names):
    """What `test` may refer to.

    A program's own `abs`, `math` or `isclose` could bend the comparison, so those names mean what they always mean.
    Only where such a name is the single thing that the test asks of the program, it tests a function so called."""
    used = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)} & names.keys()
    found = {"__name__": "tests", "__builtins__": builtins}
    for name in used:
        value = names[name]
        if type(value) is list and value[0] == "module":
            # Under another name too; that of an unknown module stays undefined.
            if value[1].split(".")[0] in PURE and name not in PURE:
                found[name] = importlib.import_module(value[1])
        elif len(used) == 1 or not (hasattr(builtins, name) or name in PURE or name == "isclose"):
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
    module.__all__ = list(names)
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
            exec(code, names_for(tree, peer, message[1]))
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
