"""Decoding and augmenting photographs: this program against torchvision.

    tools/bench/run data FOLDER [--processes N] [--images N] [--rounds N] [--python PROGRAM]

FOLDER holds a folder a class of JPEG files of ImageNet's size. Every program decodes
the same files, cuts random parts out and scales them to 299x299, as bytes. torchvision runs
once with Pillow and once with its own `decode_jpeg` (libjpeg-turbo), each in as many
processes as this program has workers. The programs take turns, since a machine's speed
changes; the medians over the rounds are printed, and the ratio of each to this program's.
Processor time is that of all processes and threads: other work on the machine lengthens it
less than it lowers the images a second.
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


def main(words):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python", type=pathlib.Path, help="one that has torchvision (else target/bench-data is made)")
    arguments = parser.parse_args(words)
    if arguments.images < 256:
        parser.error(f"--images {arguments.images}: torchvision's first two batches of 64 warm up, so at least 256 are needed")
    arguments.python = arguments.python or python()
    programs = {"decouple": ours} | {f"torchvision, {peer}": theirs(peer) for peer in PEERS}
    measured = {name: [] for name in programs}
    for _ in range(arguments.rounds):
        for name, measure in programs.items():
            measured[name].append(measure(arguments))
    print("| program | images a second | | ms of processor time an image | |\n|---|---:|---:|---:|---:|")
    medians = {name: [statistics.median(column) for column in zip(*rounds)] for name, rounds in measured.items()}
    rate_of_ours, cpu_of_ours = medians["decouple"]
    for name, (rate, cpu) in medians.items():
        print(f"| {name} | {rate:.0f} | {rate_of_ours / rate:.2f} | {cpu:.2f} | {cpu / cpu_of_ours:.2f} |")


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
    # The last line is of all images.
    return [float(out.rsplit(before, 1)[0].split()[-1]) for before in (" a second", " ms of processor time")]


def repeat(source, target, images):
    files = sorted(path.resolve() for path in source.glob("*/*") if path.is_file())
    for index in range(images):
        file = files[index % len(files)]
        place = target / file.parent.name / f"{index:07}{file.suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(file)


def theirs(peer):
    def measure(arguments):
        command = [arguments.python, HERE / "data_worker.py", peer, arguments.folder, str(arguments.processes), str(arguments.images)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return [float(word) for word in out.split()[-2:]]

    return measure


def python():
    folder = ROOT / "target" / "bench-data"
    program = folder / "bin" / "python"
    if not program.exists():
        venv.create(folder, with_pip=True)
        packages = ["torch==2.15.0", "torchvision==0.29.2", "pillow==12.0.0", "numpy==2.4.6"]
        subprocess.run([program, "-m", "pip", "install", "--quiet", *packages], check=True, stdout=sys.stderr)
    return program
