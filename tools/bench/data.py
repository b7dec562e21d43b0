"""Decoding and augmenting photographs: this program against torchvision.

    tools/bench/run data FOLDER [--processes N] [--images N]

FOLDER holds a folder a class of JPEG files of ImageNet's size. Every program decodes
the same files, cuts random parts out and scales them to 299x299, as bytes; the median of
three passes is printed, in images a second. torchvision runs once with Pillow and once
with its own `decode_jpeg` (libjpeg-turbo), each in as many processes as this program has
workers.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = ["pillow", "decode_jpeg"]
PASSES = 3


def main(words):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--images", type=int, default=2000)
    arguments = parser.parse_args(words)
    print("| program | images a second |\n|---|---:|")
    for name, measure in [("decouple", ours)] + [(f"torchvision, {peer}", theirs(peer)) for peer in PEERS]:
        rates = [measure(arguments) for _ in range(PASSES)]
        print(f"| {name} | {statistics.median(rates):.0f} |", flush=True)


def ours(arguments):
    classes = sum(entry.is_dir() for entry in arguments.folder.iterdir())
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder)
        # The same files again and again, until there are enough.
        repeat(arguments.folder, data / "train", arguments.images)
        (data / "test").symlink_to(arguments.folder.resolve())
        keys = data / "set.toml"
        keys.write_text(
            f'set = "image-folder"\nclasses = {classes}\nsize = [299, 299]\nstream = true\n'
            'augment = ["random-resized-crop", "flip"]\n'
        )
        command = ["cargo", "run", "--release", "--locked", "--quiet", "-p", "decouple-datasets", "--example", "throughput"]
        out = subprocess.run(
            [*command, "--", str(keys), folder, str(arguments.processes)],
            cwd=ROOT, check=True, capture_output=True, text=True,
        ).stdout
    return float(out.split(" a second")[0].split()[-1])


def repeat(source, target, images):
    files = sorted(path.resolve() for path in source.glob("*/*") if path.is_file())
    for index in range(images):
        file = files[index % len(files)]
        place = target / file.parent.name / f"{index:07}{file.suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(file)


def theirs(peer):
    def measure(arguments):
        command = [python(), HERE / "data_worker.py", peer, arguments.folder, str(arguments.processes), str(arguments.images)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])

    return measure


def python():
    folder = ROOT / "target" / "bench-data"
    program = folder / "bin" / "python"
    if not program.exists():
        venv.create(folder, with_pip=True)
        packages = ["torch==2.15.0", "torchvision==0.29.2", "pillow==12.0.0", "numpy==2.4.6"]
        subprocess.run([program, "-m", "pip", "install", "--quiet", *packages], check=True, stdout=sys.stderr)
    return program
