"""The programs that are compared: how each is installed and started.

All that is installed or built lies in target/bench.
"""
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import venv

import plan

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILT = ROOT / "target/bench"

# Paths of what was built, by the arguments of Cargo.
BUILDS = {}

# glibc neither maps large blocks one by one nor gives memory back: its fairest
# setting for programs that allocate every map anew.
KEEPING_ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "67108864",
    "MALLOC_ARENA_MAX": "1",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """One line of a table."""

    name: str
    # Tables and figures show the best of a family.
    family: str
    threads: int
    # Makes the command of its worker, without the number of threads.
    command: callable
    environment: dict = dataclasses.field(default_factory=dict)
    # Whether its worker spends minutes compiling each network.
    compiled: bool = False


class CannotInstall(Exception):
    """The program cannot be installed; the message says why."""


def all_programs(threads):
    """Every program, this one first."""
    pytorch = {"family": "PyTorch", "threads": threads, "environment": KEEPING_ALLOCATOR}
    keras = {"family": "Keras", "threads": threads, "environment": KEEPING_ALLOCATOR}
    return [
        Program("decouple", "decouple", threads, decouple),
        Program("decouple, 1 thread", "decouple, 1 thread", 1, decouple),
        Program("PyTorch NCHW", command=python("pytorch", "nchw"), **pytorch),
        Program("PyTorch channels-last", command=python("pytorch", "nhwc"), **pytorch),
        Program("PyTorch compiled", command=python("pytorch", "compiled"), compiled=True, **pytorch),
        Program("Keras", command=python("keras", "graph"), **keras),
        Program("Keras XLA", command=python("keras", "xla"), compiled=True, **keras),
        Program("candle", "candle", threads, rust_peer("candle")),
        Program("burn", "burn", threads, rust_peer("burn")),
    ]


def in_trials(compiled):
    """Those that train what experiments train: for each program as many of it as are
    asked at once, with one thread each."""
    families = ("decouple", "PyTorch")
    chosen = [program for program in all_programs(1) if program.name in families or program.family == "PyTorch"]
    chosen = [program for program in chosen if compiled or not program.compiled]
    copies = range(plan.TRIAL_PROCESSES)
    return [[dataclasses.replace(program) for _ in copies] for program in chosen]


def trial_network(segments, side):
    """Sizes of the network that an experiment's budget makes of mini-xception."""
    channels = plan.TRIAL_CHANNELS[side]
    binary = cargo("--package", "decouple", "--bin", "decouple")
    count = str(segments) if segments else "per-channel"
    arguments = ["--input", f"{side}x{side}x{channels}", "--classes", "10", "--format", "json"]
    described = install([binary, "describe", "mini-xception", "--segments", count, "--budget", "parameters", *arguments])
    outputs = {layer["name"]: layer["output"][2] for layer in json.loads(described)["layers"]}
    spatial = [name.split(".") for name in outputs if name.endswith(".spatial")]
    middle = {tuple(name[1:3]) for name in spatial if name[0] == "middle"}
    blocks = {block for block, _ in middle}
    return {
        "image": channels,
        "stem": outputs["stem.conv"],
        "entry": [outputs[".".join(name)] for name in spatial if name[0] == "entry" and name[2] == "module1"],
        "middle": len(blocks),
        "modules": len(middle) // len(blocks),
        "exit": outputs["exit.module1.spatial"],
        "classes": 10,
    }


def earlier(commit, threads):
    """This program as it was at `commit`, built in a checkout of its own."""

    def command():
        home = BUILT / commit
        home.mkdir(parents=True, exist_ok=True)
        install(["sh", "-c", f"git archive {commit} | tar --extract --directory {home}"])
        manifest = ["--manifest-path", str(home / "Cargo.toml")]
        target = {"CARGO_TARGET_DIR": str(BUILT / "earlier")}
        return [cargo(*manifest, "--package", "decouple-training", "--example", "bench", environment=target)]

    name = f"decouple@{commit}"
    return Program(name, name, threads, command)


def machine(threads):
    """Not a peer: a worker of this program that only measures the machine."""
    return Program("machine", "machine", threads, decouple)


def decouple():
    return [cargo("--package", "decouple-training", "--example", "bench")]


def rust_peer(name):
    """A binary of tools/bench, built for this very processor: the peers choose
    part of their instructions when they are compiled."""

    def command():
        manifest = str(HERE / "Cargo.toml")
        flags = {"RUSTFLAGS": "-C target-cpu=native", "CARGO_TARGET_DIR": str(BUILT / "rust")}
        return [cargo("--manifest-path", manifest, "--features", name, "--bin", name, environment=flags)]

    return command


def python(peer, variant):
    """A script of tools/bench, in an environment of its own."""

    def command():
        return [str(environment_for(peer)), str(HERE / f"{peer}_worker.py"), variant]

    return command


def environment_for(peer):
    """Python with what requirements/PEER.txt asks for."""
    home = BUILT / peer
    interpreter = home / "bin/python"
    requirements = HERE / f"requirements/{peer}.txt"
    stamp = home / "installed.txt"
    if stamp.exists() and stamp.read_text() == requirements.read_text():
        return interpreter
    venv.create(home, with_pip=True, clear=True)
    install([str(interpreter), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)])
    stamp.write_text(requirements.read_text())
    return interpreter


def cargo(*arguments, environment=None):
    """Builds and returns the path of the executable; asked again, the path of the same build, although sources
    may have changed meanwhile."""
    if arguments not in BUILDS:
        BUILDS[arguments] = built(arguments, environment)
    return BUILDS[arguments]


def built(arguments, environment):
    command = ["cargo", "build", "--release", "--locked", "--message-format", "json", *arguments]
    messages = install(command, environment).splitlines()
    paths = [json.loads(line).get("executable") for line in messages if line.startswith("{")]
    return next(path for path in reversed(paths) if path)


def install(command, environment=None):
    print(f"$ {' '.join(command)}", file=sys.stderr)
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **(environment or {})}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reasons = [line for line in lines if line.lower().startswith(("error", "fatal"))] or lines[-1:] or [f"exit status {done.returncode}"]
        raise CannotInstall(reasons[0][:150])
    return done.stdout
