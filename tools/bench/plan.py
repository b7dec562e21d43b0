"""What is measured: every size of the benchmark is said here, and sent to the
workers with each request."""
import dataclasses

SIZES = {
    # Channels of the single convolution and of the modules.
    "channels": 128,
    # Modules one after the other; the time of a chain is divided by this.
    "chain": 4,
    "network": {"image": 3, "stem": 32, "entry": [64, 128], "middle": 3, "modules": 1, "exit": 256, "classes": 10},
}
BATCH = 64
# Rows and columns of the maps, or of the network's images.
SIDE = {"conv": 16, "module": 16, "step": 32, "forward": 299, "xception": 299}
XCEPTION_BATCH = 16
SEGMENTS = {
    "conv": [1, 2, 4, 8, 16, 32, 64, 128],
    "module": [1, 2, 4, 8, 16, 32, 64, 128],
    "step": [1, 2, 4, 8, 16, 32, 64, 128, 256],
}
# How the time of a multiply-add changes with the batch and with the images.
SCALE_SEGMENTS = [1, 16, 128]
SCALE_BATCHES = [16, 32, 64, 128, 256]
SCALE_SIDES = [16, 32, 64]
MEMORY_SEGMENTS = [1, 8, 64, 256]
# The networks that experiments train here, by rows and columns of their images: those
# of the quickstart and of the CIFAR experiments, with as many parameters as at one
# segment a channel. Two processes of one thread each train at once.
TRIAL_CHANNELS = {28: 1, 32: 3}
TRIAL_SEGMENTS = [1, 3, 8, 32, 0]
TRIAL_PROCESSES = 2
# More segments than any network has channels are one a channel.
PER_CHANNEL = 1 << 16


@dataclasses.dataclass(frozen=True)
class Item:
    """One piece of work that programs do in turn. `table` says what for:
    `spectrum` (every program), `xception` and `forward` (every program that has Xception),
    `scale` (this program alone), `memory` or `trial` (this program and PyTorch)."""

    table: str
    work: str
    segments: int
    batch: int
    side: int

    @property
    def label(self):
        """How tables name its point of the spectrum."""
        return self.segments or "per-channel"

    def request(self, seconds):
        sizes = {"work": self.work, "segments": self.segments, "batch": self.batch, "side": self.side}
        return {**sizes, **SIZES, "seconds": seconds}

    def __str__(self):
        return f"{self.table} {self.work}, {self.label} segments, batch {self.batch}, {self.side} pixels"


@dataclasses.dataclass(frozen=True)
class Mode:
    """How much time is spent."""

    name: str
    # Every program is asked this often, in turn.
    rounds: int
    # For how long each part is repeated each time.
    seconds: float
    # How often it is asked again where others disturb it, and for how long a
    # quiet moment is waited for each time.
    tries: int
    patience_secs: float
    # The slow-to-compile variants are left out.
    compiled: bool
    # How often programs take turns where processor time is compared.
    turns: int = 9
    # The machine has other work: programs have one thread and are all compared by
    # processor time.
    shared: bool = False


QUICK = Mode("quick", rounds=2, seconds=0.15, tries=2, patience_secs=1.0, compiled=False)
FULL = Mode("full", rounds=3, seconds=0.4, tries=3, patience_secs=2.0, compiled=True)
SHARED = Mode("shared", rounds=0, seconds=0.4, tries=1, patience_secs=0.0, compiled=False, turns=7, shared=True)


def items(mode):
    """All that `mode` measures, in order."""
    for work, counts in SEGMENTS.items():
        if mode.shared and work == "conv":
            continue  # It has several parts, whose processor time is not told apart.
        if mode is not FULL:
            counts = [*counts[::2], *counts[-1:]] if len(counts) % 2 == 0 else counts[::2]
        for segments in counts:
            yield Item("spectrum", work, segments, BATCH, SIDE[work])
    for side in TRIAL_CHANNELS:
        for segments in TRIAL_SEGMENTS:
            yield Item("trial", "trial", segments, BATCH, side)
    # The published Xception, whose segments are no choice.
    yield Item("xception", "xception", 0, XCEPTION_BATCH, SIDE["xception"])
    yield Item("forward", "forward", 0, 1, SIDE["forward"])
    if mode is QUICK:
        return
    for work in () if mode.shared else ("module", "step"):
        for segments in SCALE_SEGMENTS:
            for batch in SCALE_BATCHES:
                yield Item("scale", work, segments, batch, SIDE[work])
            for side in SCALE_SIDES:
                if side != SIDE[work]:
                    yield Item("scale", work, segments, BATCH, side)
    for segments in MEMORY_SEGMENTS:
        yield Item("memory", "step", segments, BATCH, SIDE["step"])
    yield Item("memory", "xception", 0, XCEPTION_BATCH, SIDE["xception"])
    yield Item("memory", "forward", 0, 1, SIDE["forward"])
