#!/usr/bin/env python3
"""Puts libtorch 2.11.0 into third_party/libtorch, out of the pinned wheels; called by scripts/setup.

The wheels carry the headers and libraries that the project needs and a good deal that it does not; unpacking only the
former leaves 0.5 GB for CPUs. A folder is unpacked beside its place and renamed into it when it has proved to load, so
an interrupted run leaves either the old state or the new one. Needs Python 3.8 and, to download, pip.
"""

import argparse
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSION = "2.11.0"
SCRIPTS = Path(__file__).resolve().parent
THIRD_PARTY = SCRIPTS.parent / "third_party"
DEST = THIRD_PARTY / "libtorch"

# On CPUs: libtorch_cpu needs libcudart and libcupti to load (its profiler), though it never calls them there.
CPU_LIBS = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13"}
# Bindings for Python and their helper; and libtorch.so, which is replaced (see `write_extras`).
NEVER = {"libtorch_python.so", "libshm.so", "libtorch.so"}
# (to download and unpack, unpacked) in bytes, rounded up: asked of the disk before anything is written.
DISK = {"cpu": (1_200_000_000, "1.2 GB"), "cuda": (7_500_000_000, "7.5 GB")}


class SetupError(Exception):
    """What stands in the way and what to do about it, for the person at the terminal."""


def say(text):
    print(f"setup: {text}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuda", action="store_true", help="also take what NVIDIA GPUs need")
    kind = "cuda" if parser.parse_args().cuda else "cpu"
    THIRD_PARTY.mkdir(exist_ok=True)
    with open(THIRD_PARTY / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of this checkout to finish")
            fcntl.flock(lock, fcntl.LOCK_EX)
        given = given_libtorch()
        if given:
            link(given, kind)
        elif is_done(kind):
            say(f"libtorch {version_of(DEST)} is in third_party/libtorch: nothing to do")
        else:
            install(kind)


# A libtorch of the user's own


def given_libtorch():
    """The folder that LIBTORCH names, unless it is our own (cargo sets the variable for what it starts)."""
    value = Path(os.environ.get("LIBTORCH", ""))
    if value == Path() or value.parent.resolve() / value.name == DEST:
        return None
    if not value.is_absolute():
        raise SetupError(f"LIBTORCH={value} is relative, and cargo builds from several folders; give the whole path")
    return value.resolve()


def link(given, kind):
    """Makes third_party/libtorch a link to `given`: built binaries look for their libraries in that one place."""
    for need in ("include/torch/csrc/api/include/torch/torch.h", "lib/libtorch_cpu.so", "lib/libtorch.so"):
        if not (given / need).exists():
            raise SetupError(f"LIBTORCH={given}: {need} is not there; point LIBTORCH at a libtorch {VERSION}, or unset it")
    version = version_of(given)
    if version is None:
        raise SetupError(f"LIBTORCH={given}: no build-version or version.py says which version it is; unset LIBTORCH")
    if version.split("+")[0] != VERSION:
        raise SetupError(f"LIBTORCH={given} is version {version}, the project needs {VERSION}: name another or unset it")
    if kind == "cuda" and not (given / "lib/libtorch_cuda.so").exists():
        raise SetupError(f"LIBTORCH={given} has no lib/libtorch_cuda.so; unset LIBTORCH and --cuda installs one")
    if DEST.is_symlink() and DEST.resolve() == given:
        say(f"third_party/libtorch points to LIBTORCH={given} ({version}): nothing to do")
        return
    say(f"LIBTORCH={given} ({version}): third_party/libtorch becomes a link to it")
    fresh = THIRD_PARTY / "libtorch.link"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(given)
    put_in_place(fresh)


def version_of(folder):
    """`2.11.0+cpu` from a libtorch's build-version, or from the version.py of an installed Python package."""
    try:
        return (folder / "build-version").read_text().strip()
    except OSError:
        pass
    try:
        found = re.search(r"__version__ = '([^']+)'", (folder / "version.py").read_text())
    except OSError:
        return None
    return found.group(1) if found else None


# Our own


def is_done(kind):
    """Whether a whole libtorch of this version is in place; one with CUDA serves the CPU too."""
    version = version_of(DEST)
    if version is None or version.split("+")[0] != VERSION or not (DEST / "include/torch").is_dir():
        return False
    needed = {"libtorch_cpu.so", "libc10.so", "libtorch.so"} | ({"libtorch_cuda.so"} if kind == "cuda" else set())
    return all((DEST / "lib" / name).exists() for name in needed)


def install(kind):
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise SetupError(
            f"no pinned libtorch for {platform.system()} {platform.machine()}: install libtorch {VERSION} "
            "(or the Python package torch) yourself and set LIBTORCH to its folder"
        )
    need, spelled = DISK[kind]
    free = shutil.disk_usage(THIRD_PARTY).free
    if free < need:
        raise SetupError(f"{THIRD_PARTY}: {free / 1e9:.1f} GB free, {spelled} needed (part of it only while unpacking)")
    lists = [SCRIPTS / "libtorch.txt"] + ([SCRIPTS / "libtorch-cuda.txt"] if kind == "cuda" else [])
    pins = [pin for path in lists for pin in read_pins(path)]
    part = THIRD_PARTY / "libtorch.part"
    downloads = THIRD_PARTY / "downloads"
    try:
        for leftover in (part, downloads, *THIRD_PARTY.glob("libtorch.old.*")):
            shutil.rmtree(leftover, ignore_errors=True)
        folder = os.environ.get("GRPO_WHEELS")
        if folder:
            say(f"libtorch {VERSION} ({kind}): taking {len(pins)} wheels from GRPO_WHEELS={folder}")
        else:
            say(f"libtorch {VERSION} ({kind}): downloading {len(pins)} wheels, {'2.5' if kind == 'cuda' else '0.5'} GB")
            download(lists, downloads)
        wheels = [find_wheel(pin, Path(folder) if folder else downloads) for pin in pins]
        say("unpacking into third_party/libtorch")
        for wheel in wheels:
            unpack(wheel, part, kind)
        write_extras(part, kind)
        prove(part, kind)
        put_in_place(part)
    finally:
        for leftover in (part, downloads):
            shutil.rmtree(leftover, ignore_errors=True)
    say(f"libtorch {version_of(DEST)} is in third_party/libtorch, {size_of(DEST) / 1e9:.1f} GB")


def read_pins(path):
    """[(name, version, sha256)] of a pip requirements file with one `name==version --hash=sha256:...` a line."""
    pins = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = re.fullmatch(r"([\w.-]+)==([\w.]+) --hash=sha256:([0-9a-f]{64})", line.strip())
        if not found:
            raise SetupError(f"{path}:{number}: expected `name==version --hash=sha256:<64 digits>`, found `{line}`")
        pins.append(found.groups())
    return pins


def download(lists, folder):
    """Lets pip fetch the wheels and check their hashes, whatever Python runs here: nothing of them is imported."""
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode != 0:
        raise SetupError(f"{sys.executable} has no pip, which downloads libtorch: `apt-get install python3-pip` (Debian)")
    folder.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-cache-dir", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "--python-version=3.12", "--implementation=cp"]
    command += [f"--platform=manylinux_2_{minor}_x86_64" for minor in (28, 27, 25, 18, 17, 12, 5)]
    command += [f"--platform=manylinux{year}_x86_64" for year in (2014, 2010, 1)]
    command += [f"--requirement={path}" for path in lists] + [f"--dest={folder}"]
    if not sys.stdout.isatty():
        command.append("--quiet")
    # pip unpacks nothing here but writes half a gigabyte to TMPDIR first, and /tmp is in memory on some machines.
    if subprocess.run(command, env={**os.environ, "TMPDIR": str(folder)}).returncode != 0:
        raise SetupError(
            "pip could not download libtorch (its message is above). Behind a mirror: configure pip for it. "
            "Without a network: put the wheels of scripts/libtorch*.txt into a folder and set GRPO_WHEELS to it"
        )


def find_wheel(pin, folder):
    name, version, sha256 = pin
    stem = f"{name.replace('-', '_')}-{version}-"
    candidates = sorted(path for path in folder.glob("*.whl") if path.name.lower().startswith(stem))
    for path in candidates:
        if sha256_of(path) == sha256:
            return path
    if candidates:
        raise SetupError(f"{candidates[0]}: its SHA-256 is not {sha256} as pinned in scripts/; fetch the file again")
    raise SetupError(f"{folder}: no wheel {stem}*.whl; scripts/libtorch*.txt lists what is needed")


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def unpack(wheel, part, kind):
    """Headers of torch, and libraries of all wheels in one folder: each of them looks in its own ($ORIGIN)."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                target = target_of(name, kind)
                if target:
                    out = part / target
                    out.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(name) as source, open(out, "wb") as sink:
                        shutil.copyfileobj(source, sink, 1 << 20)
    except zipfile.BadZipFile as error:
        raise SetupError(f"{wheel}: {error}; fetch the file again") from error


def target_of(name, kind):
    """Where a wheel's file goes below libtorch/, or None: it stays out."""
    if name.endswith("/"):
        return None
    if name.startswith("torch/include/"):
        return name[len("torch/") :]
    base = name.rsplit("/", 1)[-1]
    if not re.fullmatch(r"(torch|nvidia/\w+)/lib/[^/]+\.so[.\d]*", name) or base in NEVER:
        return None
    return f"lib/{base}" if kind == "cuda" or base in CPU_LIBS else None


def write_extras(part, kind):
    # torch-sys links -ltorch. In the wheel that is an empty library which pulls in all of CUDA; this script for the
    # linker pulls in what has the symbols, so that one binary serves both kinds and opens CUDA itself at run time.
    (part / "lib/libtorch.so").write_text("INPUT(libtorch_cpu.so)\n")
    # torch-sys links -lgomp too, and two OpenMP runtimes in one process would be two thread pools.
    (part / "lib/libgomp.so").symlink_to("libgomp.so.1")
    (part / "build-version").write_text(f"{VERSION}+{'cu130' if kind == 'cuda' else 'cpu'}\n")


def prove(part, kind):
    """Loads the libraries, in a process of their own, before the folder counts as libtorch."""
    for name in ["libtorch_cpu.so"] + (["libtorch_cuda.so", "libtorch_cuda_linalg.so"] if kind == "cuda" else []):
        program = f"import ctypes, os; ctypes.CDLL({str(part / 'lib' / name)!r}, os.RTLD_NOW | os.RTLD_GLOBAL)"
        environment = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
        result = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
        if result.returncode != 0:
            reason = (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1]
            raise SetupError(f"{name} does not load on this machine: {reason}; libtorch needs glibc 2.28 and libstdc++")


def put_in_place(fresh):
    """Renames `fresh` to third_party/libtorch; what was there before goes only after that place is free."""
    old = None
    if DEST.is_symlink():
        DEST.unlink()
    elif DEST.exists():
        old = Path(tempfile.mkdtemp(prefix="libtorch.old.", dir=THIRD_PARTY))
        DEST.rename(old / "libtorch")
    fresh.rename(DEST)
    if old:
        shutil.rmtree(old)


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if not path.is_symlink())


if __name__ == "__main__":
    try:
        main()
    except (SetupError, OSError) as error:
        sys.exit(f"setup: {error}")
    except KeyboardInterrupt:
        sys.exit("setup: interrupted; run it again to go on")
