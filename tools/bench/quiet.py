"""How busy the machine is with other things. Linux only.

Times on a shared machine are worth as much as the machine is quiet. So each
request waits for a quiet moment, notes how much of the machine others used
while it ran, and is asked again where that was much.
"""
import os
import pathlib
import time

# Of all cores; a moment with less is quiet, an answer with more is asked again.
TOLERATED = 0.04
LOOK_SECS = 0.2
TICKS_PER_SEC = os.sysconf("SC_CLK_TCK")


def wait(patience_secs):
    """Returns when others leave the machine alone, or when patience ends."""
    begin = time.monotonic()
    while time.monotonic() - begin < patience_secs:
        look = Watch()
        time.sleep(LOOK_SECS)
        if look.others() <= TOLERATED:
            return


class Watch:
    """Measures what others use from now on; `pid` is not another."""

    def __init__(self, pid=None):
        self.pid = pid
        self.begin = time.monotonic(), busy_secs(), process_secs(pid)

    def others(self):
        """Their share of all cores' time since the beginning."""
        then, busy, own = self.begin
        elapsed = (time.monotonic() - then) * os.cpu_count()
        used = busy_secs() - busy - (process_secs(self.pid) - own)
        return max(0.0, used / elapsed)


def busy_secs():
    """Seconds that all cores together were not idle, or were taken away."""
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _wait, irq, softirq, steal, *_ = map(int, stat.readline().split()[1:])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SEC


def process_nanosecs(pid):
    """Nanoseconds that all threads of a process have had a processor; those of threads
    that have ended are not in it."""
    if pid is None:
        return 0
    tasks = pathlib.Path(f"/proc/{pid}/task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir())


def process_secs(pid):
    """Seconds that the threads of a process have run."""
    if pid is None:
        return 0.0
    try:
        with open(f"/proc/{pid}/stat") as stat:
            # The name before may hold spaces.
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SEC
