"""The worker's side of tools/bench/run, for peers in Python; its twin for Rust
is crates/training/examples/bench/worker.rs.

A worker says who it is, then reads requests from its standard input, one JSON
object a line (see plan.py), and answers each with one line: the milliseconds of
every run of each part of the work, and facts about it; or why it cannot do that
work.
"""
import json
import os
import sys
import time
import types


class Missing(Exception):
    """The peer cannot do the work; the message says why."""


def serve(program, version, prepare):
    """Answers requests with `prepare(request)`: functions by part, and facts.
    The same work asked for again is not prepared again."""
    # What a library prints must not stand between two answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(answer):
        print(json.dumps(answer), file=answers, flush=True)

    say({"program": program, "version": version})
    last, parts, facts = None, {}, {}
    for line in sys.stdin:
        request = json.loads(line)
        seconds = request.pop("seconds")
        try:
            if request != last:
                # Two networks at a time would not be what a user runs.
                last, parts = None, {}
                parts, facts = prepare(namespace(request))
                last = request
            milliseconds = {part: repeat(run, seconds) for part, run in parts.items()}
            say({"measured": {"milliseconds": milliseconds, "facts": facts}})
        except Missing as reason:
            say({"missing": str(reason)})
        except Exception as error:  # A peer's own failure is a result, not an end.
            lines = str(error).strip().splitlines() or [""]
            say({"missing": f"{type(error).__name__}: {lines[0][:150]}"})


def namespace(value):
    """Objects whose keys are read as attributes."""
    if isinstance(value, dict):
        return types.SimpleNamespace(**{key: namespace(inner) for key, inner in value.items()})
    return value


def repeat(run, seconds):
    """Times of a part in milliseconds. The first run only warms up, unless it
    takes so long that nothing in it can be cold."""
    first = timed(run)
    if first > 2e3 * seconds:
        return [first]
    times, begin = [], time.perf_counter()
    while not times or time.perf_counter() - begin < seconds:
        times.append(timed(run))
    return times


def timed(run):
    begin = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - begin)
