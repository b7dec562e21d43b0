"""results/bench: what was measured, appended item by item."""
import csv
import hashlib
import json
import os
import pathlib

from plan import Item

COLUMNS = [
    "table", "work", "segments", "batch", "side", "program", "round", "quantity", "runs", "median", "least", "others", "note",
]


class Mixed(Exception):
    """The folder holds results of another program or machine."""


class Results:
    """The folder of one measurement: `results.csv` and `environment.json`."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.path = self.folder / "results.csv"

    def rows(self):
        """All rows, numbers as numbers."""
        if not self.path.exists():
            return []
        with open(self.path, newline="") as file:
            return [parsed(row) for row in csv.DictReader(file)]

    def done(self):
        """Items that need not be measured again."""
        return {Item(*(row[field] for field in Item.__dataclass_fields__)) for row in self.rows()}

    def append(self, rows):
        """Adds the rows of one item in one write: all of them, or none."""
        begin = not self.path.exists()
        with open(self.path, "a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            if begin:
                writer.writeheader()
            writer.writerows(rows)
            file.flush()
            os.fsync(file.fileno())

    def environment(self):
        return json.loads((self.folder / "environment.json").read_text())

    def begin(self, environment, fresh):
        """Makes the folder ready. Results go on only where they began: numbers
        of two builds or machines do not belong in one table."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if fresh or not self.path.exists():
            self.path.unlink(missing_ok=True)
            self.describe(environment)
            return
        held = self.environment()
        changed = [key for key in ("mode", "cpu", "threads", "build") if held.get(key) != environment[key]]
        if changed:
            raise Mixed(
                f"{self.folder} holds results of another {' and '.join(changed)}; "
                "start over with --fresh, or write elsewhere with --out FOLDER"
            )

    def add_versions(self, versions):
        """Says of which versions the programs are, by family."""
        known = self.environment()
        self.describe({**known, "versions": {**known["versions"], **versions}})

    def describe(self, environment):
        (self.folder / "environment.json").write_text(json.dumps(environment, indent=2) + "\n")


def parsed(row):
    whole = ("segments", "batch", "side", "round", "runs")
    numbers = ("median", "least", "others")
    row = {key: int(value) if key in whole and value else value for key, value in row.items()}
    return {key: float(value) if key in numbers and value else value for key, value in row.items()}


def digest(path):
    """Names a build."""
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()[:16]


def cpu_model():
    """The processor as Linux names it."""
    with open("/proc/cpuinfo") as info:
        fields = [line.split(":", 1) for line in info if ":" in line]
    return next((value.strip() for key, value in fields if key.strip() == "model name"), "unknown")
