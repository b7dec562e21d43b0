#!/usr/bin/env bash
# The first hour of a new user, following the documentation: clone, the two commands, an
# own question, own images, and an exported network. Stops at the first step that fails.
#
#     tools/first-hour.sh
#
# Needs Rust and git, as the README says. With CARGO_TARGET_DIR set, builds are kept
# there; otherwise they are removed with the clone.
set -euo pipefail

source=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
step() { printf '\n== %s\n' "$*"; }

step "clone"
git clone --quiet "$source" "$place/decouple"
cd "$place/decouple"

step "the two commands"
command -v just >/dev/null || cargo install --locked just
just run-ablation
# A run writes to its own folder and changes nothing else.
git status --short
test "$(git status --porcelain)" = "?? results/quickstart/"

decouple="${CARGO_TARGET_DIR:-target}/release/decouple"

step "your own question"
"$decouple" init mine
sed -i 's/^segments = .*/segments = [4, "per-channel"]/; s/^seed = .*/seed = [0]/; s/^epochs = .*/epochs = 1/' \
    experiments/mine.toml
"$decouple" plan mine
"$decouple" run mine --no-progress
"$decouple" report mine --format json >"$place/mine.json"
"$decouple" compare mine quickstart >/dev/null

step "your own images"
# Contact sheets serve as photographs: two kinds, one folder per class.
for kind in fashion-mnist planted; do
    mkdir -p "$place/data/photographs/$kind"
    for seed in $(seq 1 12); do
        "$decouple" data show "$kind" --seed "$seed" --columns $((2 + seed % 4)) \
            --output "$place/data/photographs/$kind/$seed.png" >/dev/null
    done
done
cat >photographs.toml <<'TOML'
# Can a small network distinguish the two kinds of pictures?
[experiment]
name = "photographs"
budget = "none"

[axes]
segments = [4]
seed = [0]

[trial.network]
stem = 8
entry = [8, 16]
middle = 0
exit = 16

[trial.data]
set = "image-folder"
folder = "photographs"
classes = 2
size = [32, 32]

[trial.training]
epochs = 30
batch = 8
TOML
"$decouple" data info photographs.toml --data "$place/data"
"$decouple" run photographs.toml --no-progress --data "$place/data"
run=$(echo results/photographs/runs/*)
"$decouple" evaluate --run "$run" --data "$place/data"
"$decouple" predict --run "$run" "$place/data/photographs/planted/1.png"

step "your own network, exported"
"$decouple" export --run "$run" "$place/network.onnx"
"$decouple" export --run "$run" "$place/network.py"
test -s "$place/network.onnx" && test -s "$place/network.py" && test -s "$place/network.safetensors"

step "all steps worked"
