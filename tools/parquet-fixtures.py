"""Makes the tables in crates/datasets/tests/fixtures/parquet, by pandas and pyarrow.

    python3 -m venv target/parquet && target/parquet/bin/pip install pandas==3.1.1 pyarrow==26.0.1
    target/parquet/bin/python tools/parquet-fixtures.py
"""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = Path(__file__).parent.parent / "crates/datasets/tests/fixtures/parquet"
FOLDER.mkdir(parents=True, exist_ok=True)
PATHS = [f"images/{number}.png" for number in range(5)]
SPLITS = ["train", "train", "test", "train", "test"]


def write(name, table, **how):
    pq.write_table(table, FOLDER / f"{name}.parquet", **how)


# As pandas does it: Snappy, dictionaries, columns that may have gaps.
names = pd.Categorical(["owl", "red kite", "wren", "owl", "wren"])
pd.DataFrame({"path": PATHS, "label": names, "split": SPLITS}).to_parquet(FOLDER / "names.parquet")
pd.DataFrame({"path": PATHS, "label": [0, 2, 1, 0, 1], "split": SPLITS}).to_parquet(
    FOLDER / "numbers.parquet", compression="gzip"
)
pd.DataFrame({"path": PATHS, "labels": [[2, 0], [], [1], None, [0, 1, 2]], "split": SPLITS}).to_parquet(
    FOLDER / "lists.parquet"
)
# Lists of texts in groups of two rows, pages of version 2, no dictionary, plain; other columns beside.
rows = {
    "extra": [[1.5], [], [2.5], [], []],
    "path": PATHS,
    "labels": [["red kite", "owl tawny"], [], ["wren"], None, ["0", "wren", "2"]],
    "split": SPLITS,
}
write("groups", pa.table(rows), row_group_size=2, data_page_version="2.0", use_dictionary=False, compression="none")
# No gaps by the schema, four bytes a number, many small pages.
schema = pa.schema([pa.field("path", pa.string(), False), pa.field("label", pa.uint8(), False)])
rows = {"path": PATHS, "label": [0, 2, 1, 0, 1]}
write("required", pa.table(rows, schema), data_page_size=1, write_batch_size=1)
# What is refused.
write("zstd", pa.table(rows), compression="zstd")
write("floats", pa.table({"path": PATHS, "label": [0.0, 2.0, 1.0, 0.0, 1.0]}))
write("structure", pa.table({"path": PATHS, "label": [{"a": 1, "b": 2}] * 5}))
write("twice", pa.table({"path": PATHS, "label": [[[0]], [[2]], [[1]], [[0]], [[1]]]}))
write("gap", pa.table({"path": PATHS, "label": [0, 2, None, 0, 1]}))
write("high", pa.table({"path": PATHS, "label": [0, 2, 1, 3, 1]}))
decimals = pa.array([0, 2, 1, 0, 1]).cast(pa.decimal128(9, 2))
write("decimals", pa.table({"path": PATHS, "label": decimals}), store_decimal_as_integer=True)
write("dates", pa.table({"path": PATHS, "label": pa.array([0, 2, 1, 0, 1], pa.int32()).cast(pa.date32())}))
write("doubled", pa.Table.from_arrays([pa.array(PATHS), pa.array([0] * 5), pa.array([1] * 5)], ["path", "label", "label"]))
write("numbered", pa.table({"path": range(5), "label": [0, 2, 1, 0, 1]}))
write("unnamed", pa.table({"x": PATHS, "y": range(5)}))
