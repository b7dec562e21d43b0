"""results.csv as tables for people: bench.md."""
import collections
import statistics

import plan

# Of which family the ratios are.
RIVAL = "PyTorch"
TITLES = {
    "conv": "One segmented 3x3 convolution: forward and both gradients",
    "module": "The module ReLU, 1x1, 3x3 over segments, batch norm: forward and backward",
    "step": "A training step of mini-xception",
}


class Measured:
    """The rows of one item, by program."""

    def __init__(self, item, rows):
        self.item = item
        self.rows = rows
        self.programs = list(dict.fromkeys(row["program"] for row in rows if row["program"] != "machine"))

    def fact(self, program, quantity):
        """The median over rounds of a fact; None where it is not known."""
        values = [row["median"] for row in self.rows if (row["program"], row["quantity"]) == (program, quantity)]
        return statistics.median(values) if values else None

    def missing(self, program):
        """Why `program` has no times; None if it has."""
        notes = [row["note"] for row in self.rows if (row["program"], row["quantity"]) == (program, "missing")]
        return notes[0] if notes else None

    def rounds(self, program, column="median"):
        """Milliseconds of each round: the sum over the parts, for a chain of
        modules that of one module."""
        if self.missing(program):
            return []
        parts = {"conv": ("forward", "input", "weights", "gradients", "passes"), "module": ("passes",), "step": ("step",), "trial": ("step",), "xception": ("step",), "forward": ("forward",)}[self.item.work]
        sums = collections.defaultdict(float)
        for row in self.rows:
            if row["program"] == program and row["quantity"] in parts:
                sums[row["round"]] += row[column]
        share = plan.SIZES["chain"] if self.item.work == "module" else 1
        return [sums[round_] / share for round_ in sorted(sums)]

    def median(self, program):
        rounds = self.rounds(program)
        return statistics.median(rounds) if rounds else None

    def least(self, program):
        return min(self.rounds(program, "least"), default=None)

    def best(self, family):
        """The program of `family` with the least median; None without times."""
        timed = [program for program in self.programs if family_of(program) == family and self.rounds(program)]
        return min(timed, key=self.median, default=None)

    def ratio(self, slow, fast):
        """How many times faster `fast` is, in the median of the rounds; the two
        were measured one after the other in each."""
        ratios = self.ratios(slow, fast)
        return statistics.median(ratios) if ratios else None

    def ratios(self, slow, fast):
        """The same round by round."""
        return [a / b for a, b in zip(self.rounds(slow), self.rounds(fast))]

    def macs(self):
        """Multiply-adds of what `median` times, as direct convolutions."""
        macs = self.fact("decouple", "macs")
        return macs / plan.SIZES["chain"] if self.item.work == "module" and macs else macs

    def peak_share(self, program):
        """Multiply-adds a second as a share of what the machine did in these rounds."""
        peak, time, macs = self.fact("machine", "macs_per_sec"), self.median(program), self.macs()
        return macs / (time / 1e3) / peak if peak and time and macs else None

    def floor_ms(self, roof):
        """The roofline: no program that computes the convolutions directly is
        faster than their multiply-adds at the machine's peak. A convolution
        also reads or writes two maps in each of its three passes."""
        macs = self.macs()
        if not macs or "macs_per_sec" not in roof:
            return None
        compute = 1e3 * macs / roof["macs_per_sec"]
        if self.item.work != "conv":
            return compute
        size = 4 * self.item.batch * self.item.side**2 * plan.SIZES["channels"]
        return max(compute, 3 * 1e3 * 2 * size / roof["map_copy_bytes_per_sec"])


def roof_of(rows):
    """The most that the machine ever did in the session, by fact."""
    roof = {}
    for row in rows:
        if row["program"] == "machine" and row["quantity"] != "missing":
            roof[row["quantity"]] = max(roof.get(row["quantity"], 0.0), row["median"])
    return roof


def family_of(program):
    """`PyTorch` of `PyTorch NCHW`; a program on one thread is none's best."""
    return program if "," in program else program.split()[0]


def measured(rows, table):
    """What `table` holds, in the order of measurement."""
    by_item = collections.defaultdict(list)
    for row in rows:
        if row["table"] == table:
            by_item[plan.Item(*(row[field] for field in plan.Item.__dataclass_fields__))].append(row)
    return [Measured(item, rows) for item, rows in by_item.items()]


def write(folder):
    rows, environment = folder.rows(), folder.environment()
    spectrum = measured(rows, "spectrum")
    sections = [introduction(environment, spectrum)]
    for work, title in TITLES.items():
        of_work = sorted((m for m in spectrum if m.item.work == work), key=lambda m: m.item.segments)
        if of_work:
            sections += [f"## {title}", sizes(of_work[0].item), times(of_work), against(of_work, roof_of(rows))]
            sections += [threads(of_work)]
    sections += [trials(measured(rows, "trial"))]
    forward, xception = measured(rows, "forward"), measured(rows, "xception")
    for title, of_xception in [
        (f"## Xception of 299x299 pixels, batch {plan.XCEPTION_BATCH}: a training step", xception),
        ("## Xception of 299x299 pixels, batch 1: one forward pass", forward),
    ]:
        if of_xception:
            sections += [title, times(of_xception), against(of_xception, roof_of(rows)), threads(of_xception)]
    sections += [scale(measured(rows, "scale")), memory(measured(rows, "memory")), missing(rows), unequal(spectrum + xception + forward)]
    text = "\n\n".join(section for section in sections if section)
    (folder.folder / "bench.md").write_text(text + "\n")


def introduction(environment, spectrum):
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    lines = [
        "# Benchmark",
        "",
        f"Written by `tools/bench/run` ({environment['mode']} mode). {environment['cpu']}, "
        f"{environment['threads']} thread{'s' if environment['threads'] > 1 else ''}, f32. {versions}.",
        "",
        "Programs are asked in turn, several rounds, so that a change of the machine's speed meets all "
        "alike. A time is the median of the rounds' medians, with the least of all runs in brackets; a "
        "ratio is the median of the rounds' ratios. "
        + (
            "The machine had other work: each program had one thread, and times are those that its process had a processor."
            if environment["mode"] == "shared"
            else "The peak is measured in the same rounds. " + disturbance(spectrum)
        ),
    ]
    machine = [
        (name, [m.fact("machine", quantity) for m in spectrum if m.fact("machine", quantity)], unit)
        for name, quantity, unit in [
            ("multiply-adds in registers", "macs_per_sec", "GMAC/s"),
            ("copying a map of the convolution's size, bytes read and written", "map_copy_bytes_per_sec", "GB/s"),
            ("copying 256 MiB, bytes read and written", "dram_copy_bytes_per_sec", "GB/s"),
            ("reading 256 MiB", "dram_read_bytes_per_sec", "GB/s"),
        ]
    ]
    body = [
        [name, f"{statistics.median(values) / 1e9:.0f} {unit}", f"{min(values) / 1e9:.0f} to {max(values) / 1e9:.0f}"]
        for name, values, unit in machine
        if values
    ]
    measured_machine = "\n\n" + table(["The machine", "median", "range"], body) if body else ""
    return "\n".join(lines) + measured_machine


def disturbance(spectrum):
    """How quiet the machine was."""
    others = [row["others"] for m in spectrum for row in m.rows if isinstance(row["others"], float)]
    if not others:
        return ""
    half, most = statistics.median(others), statistics.quantiles(others, n=20, method="inclusive")[-1]
    return (
        f"While a program ran, others used {100 * half:.0f} % of the machine in the median, and in 95 of 100 cases "
        f"at most {100 * most:.0f} %."
    )


def sizes(item):
    network = plan.SIZES["network"]
    return {
        "conv": f"(N, C, H, W) = ({item.batch}, {plan.SIZES['channels']}, {item.side}, {item.side}); "
        "milliseconds for the three passes together.",
        "module": f"(N, C, H, W) = ({item.batch}, {plan.SIZES['channels']}, {item.side}, {item.side}); a batch "
        f"norm, {plan.SIZES['chain']} modules and a loss, as milliseconds a module.",
        "step": f"Stem {network['stem']}, entry {', '.join(map(str, network['entry']))}, {network['middle']} middle "
        f"blocks of {network['modules']} module, exit {network['exit']}; batch {item.batch} of {item.side}x{item.side}"
        f"x{network['image']}, SGD with momentum; milliseconds a step.",
    }[item.work]


def times(of_work):
    """Milliseconds of every program."""
    programs = list(dict.fromkeys(program for m in of_work for program in m.programs))
    body = [[m.item.label, *(cell(m, program) for program in programs)] for m in of_work]
    return table(["segments", *programs], body)


def cell(m, program):
    if m.median(program) is None:
        return "missing"
    return f"{number(m.median(program))} ({number(m.least(program))})"


def against(of_work, roof):
    """This program against the best of PyTorch and against the machine."""
    body = []
    for m in of_work:
        rival = m.best(RIVAL)
        share = m.peak_share("decouple")
        body.append([
            m.item.label,
            number(m.median("decouple")),
            number(m.floor_ms(roof)),
            "" if share is None else f"{100 * share:.0f} %",
            number(m.median(rival)) if rival else "missing",
            rival or "",
            f"{m.ratio(rival, 'decouple'):.2f}" if rival and m.rounds("decouple") else "",
        ])
    head = ["segments", "decouple", "roofline", "of the FMA peak", f"best of {RIVAL}", "which", "ratio"]
    return table(head, body)


def threads(of_work):
    """One thread against all."""
    single = "decouple, 1 thread"
    pairs = [m for m in of_work if m.rounds(single) and m.rounds("decouple")]
    body = [
        [m.item.label, number(m.median(single)), number(m.median("decouple")), f"{m.ratio(single, 'decouple'):.2f}"]
        for m in pairs
    ]
    return table(["segments", "1 thread", "all threads", "times faster"], body) if body else ""


def trials(items):
    """Training images a second of the networks that experiments train."""
    if not items:
        return ""
    programs = list(dict.fromkeys(program for m in items for program in m.programs))
    body = []
    for m in items:
        rate = lambda program: 1e3 * plan.TRIAL_PROCESSES * m.item.batch / m.median(program)
        rates = [f"{rate(program):.0f}" if m.rounds(program) else "missing" for program in programs]
        rival = m.best(RIVAL)
        ratios = sorted(m.ratios(rival, "decouple")) if rival else []
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})" if ratios else ""
        images = f"{m.item.side}x{m.item.side}x{plan.TRIAL_CHANNELS[m.item.side]}"
        parameters = m.fact("decouple", "parameters")
        body.append([images, m.item.label, f"{parameters:.0f}" if parameters else "", *rates, spread])
    text = (
        "## Networks of the quickstart and of the CIFAR experiments\n\nTraining images a second of "
        f"{plan.TRIAL_PROCESSES} processes of one thread each, together: steps of SGD with momentum on a batch of "
        f"{plan.BATCH} that lies in memory, by the time that the processes had a processor (others on the machine "
        f"make the wall's clock tell little). The ratio is the median over rounds, to the best of {RIVAL}, with the "
        "least and the largest; programs take turns of half a second."
    )
    return text + "\n\n" + table(["images", "segments", "parameters", *programs, "ratio"], body)


def scale(items):
    """Picoseconds of a multiply-add by batch and image size, corrected by the
    peak of the moment: what 100 % of the peak takes is 1."""
    if not items:
        return ""
    body = []
    groups = collections.defaultdict(list)
    for m in items:
        if m.peak_share("decouple"):
            groups[m.item.work, m.item.segments].append(m)
    for (work, segments), group in groups.items():
        least = min(1 / m.peak_share("decouple") for m in group)
        for m in sorted(group, key=lambda m: (m.item.side, m.item.batch)):
            cost = 1 / m.peak_share("decouple")
            body.append([
                work, segments, m.item.batch, m.item.side, cell(m, "decouple"),
                number(1e9 * m.median("decouple") / m.macs()), f"{cost:.2f}", f"{100 * (cost / least - 1):.0f} %",
            ])
    head = [
        "work", "segments", "batch", "pixels", "ms", "ps a multiply-add", "of the time at peak", "above the least",
    ]
    return "## Batch and image size\n\n" + table(head, body)


def memory(items):
    """What a training step adds to a process."""
    if not items:
        return ""
    body = []
    for m in items:
        grown = {p: m.fact(p, "peak_bytes") - m.fact(p, "idle_bytes") for p in m.programs if not m.missing(p)}
        rivals = {program: bytes_ for program, bytes_ in grown.items() if family_of(program) == RIVAL}
        for program in m.programs:
            if program not in grown:
                body.append([m.item.work, m.item.label, program, "missing", "", ""])
                continue
            ratio = f"{grown[program] / min(rivals.values()):.2f}" if rivals else ""
            estimate = m.fact(program, "estimated_bytes")
            body.append([
                m.item.work, m.item.label, program, mebibytes(grown[program]), mebibytes(m.fact(program, "peak_bytes")), ratio,
                mebibytes(estimate) if estimate else "",
            ])
    head = [
        "work", "segments", "program", "MiB above idle", "MiB of the process", f"to the least of {RIVAL}", "MiB estimated",
    ]
    text = (
        "## Peak memory of a training step, and of a forward pass of Xception\n\nPeak resident memory (VmHWM) of a fresh process after a few steps, "
        "above that of the idle process with its libraries loaded."
    )
    return text + "\n\n" + table(head, body)


def missing(rows):
    """What could not be measured, and why."""
    found = collections.defaultdict(list)
    for row in rows:
        if row["quantity"] == "missing":
            found[row["program"], row["work"], row["note"]].append(row["segments"])
    body = [
        [program, work, ", ".join(map(str, sorted(set(segments)))), note]
        for (program, work, note), segments in found.items()
    ]
    return "## Missing\n\n" + table(["program", "work", "segments", "why"], body) if body else ""


def unequal(spectrum):
    """Networks that are not the same in every program, which no ratio survives."""
    body = []
    for m in spectrum:
        own = m.fact("decouple", "parameters")
        counts = {program: m.fact(program, "parameters") for program in m.programs}
        differing = {program: count for program, count in counts.items() if own and count and count != own}
        body += [[m.item.work, m.item.label, program, f"{count:.0f}", f"{own:.0f}"] for program, count in differing.items()]
    head = ["work", "segments", "program", "parameters", "of decouple"]
    return "## Networks that differ\n\n" + table(head, body) if body else ""


def mebibytes(bytes_):
    return f"{bytes_ / (1 << 20):.0f}"


def number(value):
    """Three digits, and whole numbers from 100 on."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def table(head, body):
    """A Markdown table; what looks like a number stands at the right."""
    cells = [[str(value).replace("|", "\\|") for value in row + [""] * (len(head) - len(row))] for row in body]
    widths = [max(map(len, column)) for column in zip(head, *cells)]
    right = [any(row[i][:1].isdigit() for row in cells) for i in range(len(head))]
    rule = ["-" * (width - 1) + (":" if right[i] else "-") for i, width in enumerate(widths)]

    def line(row):
        padded = [value.rjust(width) if right[i] else value.ljust(width) for i, (value, width) in enumerate(zip(row, widths))]
        return f"| {' | '.join(padded)} |"

    return "\n".join([line(head), line(rule), *map(line, cells)])
