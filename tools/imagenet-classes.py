#!/usr/bin/env python3
"""Writes crates/decouple/assets/imagenet-classes.txt: a line for each of
ImageNet's 1,000 classes in the order of the logits, its WordNet id and its name.

    pip install torchvision==0.29.2 timm==1.0.31
    python3 tools/imagenet-classes.py

The names are those that torchvision gives with its weights (BSD licence), the ids
timm's (Apache licence); both go back to WordNet 3.0.
"""
import pathlib

from timm.data import ImageNetInfo
from torchvision.models._meta import _IMAGENET_CATEGORIES as NAMES

PATH = pathlib.Path(__file__).resolve().parent.parent / "crates/decouple/assets/imagenet-classes.txt"

ids = ImageNetInfo().label_names()
assert len(ids) == len(NAMES) == 1000
PATH.parent.mkdir(parents=True, exist_ok=True)
PATH.write_text("".join(f"{wordnet} {name}\n" for wordnet, name in zip(ids, NAMES)))
