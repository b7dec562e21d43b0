#!/usr/bin/env python3
"""Makes the fixture of the event files, and reads event files as TensorBoard does.

    pip install tensorboard
    tools/tensorboard-check.py fixture > crates/reporting/tests/fixtures/events.tfevents
    tools/tensorboard-check.py read results/quickstart

`read` prints every scalar of every event file below a folder, and fails where there is none.
"""
import pathlib
import struct
import sys

from tensorboard.backend.event_processing import event_accumulator
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter


def fixture():
    """The three events that crates/reporting/src/tensorboard.rs writes in its test."""

    def event(wall_time, step, scalars):
        values = [summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in scalars]
        return event_pb2.Event(wall_time=wall_time, step=step, summary=summary_pb2.Summary(value=values))

    # The proto writer leaves out a wall time of zero, which the first event spells out.
    version = struct.pack("<Bd", 1 << 3 | 1, 0.0) + event_pb2.Event(file_version="brain.Event:2").SerializeToString()
    records = [
        version,
        event(1.5, 140, [("train/loss", 0.25), ("train/accuracy", 0.875)]).SerializeToString(),
        event(1e9, 1 << 40, [("test/accuracy", 0.1)]).SerializeToString(),
    ]
    writer = RecordWriter(sys.stdout.buffer)
    for record in records:
        writer.write(record)
    writer.flush()


def read(folder):
    files = sorted(pathlib.Path(folder).rglob("*tfevents*"))
    if not files:
        sys.exit(f"no event file below {folder}")
    for path in files:
        events = event_accumulator.EventAccumulator(str(path))
        events.Reload()
        tags = events.Tags()["scalars"]
        if not tags:
            sys.exit(f"{path}: no scalar")
        print(path)
        for tag in tags:
            scalars = events.Scalars(tag)
            print(f"  {tag:30} {len(scalars):4} values, last {scalars[-1].value:.6g} at step {scalars[-1].step}")


if sys.argv[1:] == ["fixture"]:
    fixture()
elif len(sys.argv) == 3 and sys.argv[1] == "read":
    read(sys.argv[2])
else:
    sys.exit(__doc__)
