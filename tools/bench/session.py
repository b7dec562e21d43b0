"""Running workers and asking them in turn."""
import concurrent.futures
import json
import os
import select
import statistics
import subprocess
import time

import quiet

# Longer than any network takes to compile.
PATIENCE_SECS = 900.0
# A program whose work takes longer than this is timed once, not in every round.
SLOW_SECS = 10.0


class NoAnswer(Exception):
    """A worker ended or hangs; the message says which."""


class Worker:
    """A running worker of `program`."""

    def __init__(self, program, command, log):
        self.program = program
        self.process = subprocess.Popen(
            [*command, str(program.threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, **program.environment},
        )
        self.begun = b""
        self.identity = self.read()

    def ask(self, request):
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise NoAnswer(f"its worker has ended (status {self.process.wait()})") from None
        return self.read()

    def read(self):
        """The next line of the worker's output, as JSON."""
        deadline = time.monotonic() + PATIENCE_SECS
        output = self.process.stdout.fileno()
        while b"\n" not in self.begun:
            ready, _, _ = select.select([output], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                self.stop()
                raise NoAnswer(f"no answer within {PATIENCE_SECS:.0f} s")
            block = os.read(output, 1 << 16)
            if not block:
                raise NoAnswer(f"its worker has ended (status {self.process.wait()})")
            self.begun += block
        line, self.begun = self.begun.split(b"\n", 1)
        return json.loads(line)

    def memory_bytes(self, key):
        """A memory figure of the process, such as VmHWM, its peak. Linux only."""
        with open(f"/proc/{self.process.pid}/status") as status:
            fields = dict(line.split(":", 1) for line in status)
        return 1024 * int(fields[key].split()[0])

    def stop(self):
        self.process.kill()
        self.process.wait()


class Session:
    """The workers of one run of the benchmark, started when first asked."""

    def __init__(self, commands, log):
        # The commands by program; a string instead says why there is none.
        self.commands = commands
        self.log = log
        self.workers = {}
        # What the programs said they are, by family.
        self.versions = {}

    def worker(self, program):
        command = self.commands[program]
        if isinstance(command, str):
            raise NoAnswer(command)
        if program not in self.workers:
            worker = self.workers[program] = Worker(program, command, self.log)
            self.versions[worker.identity["program"]] = worker.identity["version"]
        return self.workers[program]

    def ask(self, program, request):
        """The answer, which may be that the program cannot do it."""
        try:
            return self.worker(program).ask(request)
        except NoAnswer as reason:
            self.forget(program)
            return {"missing": str(reason)}

    def ask_undisturbed(self, program, request, mode):
        """As `ask`, at quiet moments, a few times where others use the machine
        meanwhile: the answer that they disturbed least, with their share."""
        least = None
        for _ in range(mode.tries):
            quiet.wait(mode.patience_secs)
            watch = quiet.Watch(self.pid(program))
            answer = self.ask(program, request)
            others = watch.others()
            if "missing" in answer:
                return answer
            if least is None or others < least["others"]:
                least = {**answer, "others": others}
            if others <= quiet.TOLERATED:
                break
        return least

    def pid(self, program):
        return self.workers[program].process.pid if program in self.workers else None

    def forget(self, program):
        worker = self.workers.pop(program, None)
        if worker:
            worker.stop()

    def stop(self):
        for program in list(self.workers):
            self.forget(program)


def measure(session, item, programs, machine, mode):
    """Asks every program for `item` in turn, several rounds, so that a change
    of the machine's speed meets all alike. Gives rows of results.csv.
    `machine` measures the machine in each round."""
    rows, able = [], []
    for program in programs:
        # Builds the network and runs once.
        answer = session.ask(program, item.request(0.0))
        if "missing" not in answer and not is_slow(answer):
            able.append(program)
            continue
        if "missing" not in answer:
            # Once more: the first time also cleared its memory.
            answer = session.ask(program, item.request(0.0))
        rows += rows_of(item, program.name, 0, answer)
    for round_ in range(mode.rounds):
        limits = session.ask_undisturbed(machine, {**item.request(0.05), "work": "machine"}, mode)
        rows += rows_of(item, "machine", round_, limits)
        for program in able:
            answer = session.ask_undisturbed(program, item.request(mode.seconds), mode)
            rows += rows_of(item, program.name, round_, answer)
    return rows


def is_slow(answer):
    return sum(map(sum, answer["measured"]["milliseconds"].values())) > 1e3 * SLOW_SECS


def measure_memory(session, item, programs):
    """Peaks of each program's process for a few steps of `item`, in a process
    that has done nothing else, and what it held before."""
    rows = []
    for program in programs:
        session.forget(program)
        try:
            worker = session.worker(program)
            idle = worker.memory_bytes("VmHWM")
            answer = worker.ask(item.request(1.0))
            if "measured" in answer:
                peak = worker.memory_bytes("VmHWM")
                answer["measured"]["facts"].update(idle_bytes=idle, peak_bytes=peak)
        except NoAnswer as reason:
            answer = {"missing": str(reason)}
        session.forget(program)
        rows += rows_of(item, program.name, 0, answer)
    return rows


def measure_in_turn(session, item, programs, sizes, mode):
    """Asks for `item` with `sizes`: all processes of each program at once, the programs
    in turn. Nothing waits for a quiet moment: what is compared is the processor's time
    that a run takes, which does not count when others have the processor, and ratios
    are taken round by round."""
    rows, able = [], []
    with concurrent.futures.ThreadPoolExecutor(max(map(len, programs))) as pool:

        def ask(copies, seconds):
            request = {**item.request(seconds), **sizes}
            answers = list(pool.map(lambda copy: ask_for_cpu(session, copy, request), copies))
            return next((answer for answer in answers if "missing" in answer), None) or together(answers)

        for copies in programs:
            answer = ask(copies, 0.0)
            if "missing" in answer:
                rows += rows_of(item, copies[0].name, 0, answer)
            else:
                able.append(copies)
        for round_ in range(mode.turns):
            for copies in able:
                rows += rows_of(item, copies[0].name, round_, ask(copies, mode.seconds))
    for copy in (copy for copies in programs for copy in copies):
        session.forget(copy)
    return rows


def ask_for_cpu(session, program, request):
    """The answer to a request of one part, with the processor's milliseconds of a run
    in place of the clock's."""
    before = quiet.process_nanosecs(session.pid(program))
    answer = session.ask(program, request)
    if "missing" in answer:
        return answer
    used = quiet.process_nanosecs(session.pid(program)) - before
    [(part, runs)] = answer["measured"]["milliseconds"].items()
    # Where it repeats a run, one more warms up before.
    warming = len(runs) > 1 or runs[0] <= 2e3 * request["seconds"]
    answer["measured"]["milliseconds"] = {part: [used / 1e6 / (len(runs) + warming)]}
    return answer


def together(answers):
    """One answer of several processes that worked at once."""
    parts = [answer["measured"]["milliseconds"] for answer in answers]
    times = {name: [time for part in parts for time in part[name]] for name in parts[0]}
    return {"measured": {"milliseconds": times, "facts": answers[0]["measured"]["facts"]}}


def rows_of(item, program, round_, answer):
    """An answer as rows: times in milliseconds, facts in their own units."""
    base = {**vars(item), "program": program, "round": round_}
    if "others" in answer:
        base["others"] = round(answer["others"], 3)
    if "missing" in answer:
        return [{**base, "quantity": "missing", "note": answer["missing"]}]
    measured = answer["measured"]
    times = [
        {**base, "quantity": part, "runs": len(ms), "median": statistics.median(ms), "least": min(ms)}
        for part, ms in measured["milliseconds"].items()
    ]
    facts = [
        {**base, "quantity": fact, "runs": 1, "median": value, "least": value}
        for fact, value in measured["facts"].items()
    ]
    return times + facts
