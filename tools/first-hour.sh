#!/usr/bin/env bash
# The first hour of somebody new, typed as the documentation says it: clone, two
# commands, a question of their own, images of their own, a network of their own
# exported. Stops at the first step that fails.
#
#     tools/first-hour.sh
#
# Needs what the README asks for (Rust, git). With CARGO_TARGET_DIR set, builds are
# kept there; otherwise they go with the clone.
set -euo pipefail

source=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
step() { printf '\n== %s\n' "$*"; }

step "clone"
git clone --quiet "$source" "$place/decouple"
cd "$place/decouple"

step "two commands"
command -v just >/dev/null || cargo install --locked just
just run-ablation
# A run has a folder of its own and changes nothing else.
git status --short
test "$(git status --porcelain)" = "?? results/quickstart/"

decouple="${CARGO_TARGET_DIR:-target}/release/decouple"

step "a question of one's own"
"$decouple" init mine
sed -i 's/^segments = .*/segments = [4, "per-channel"]/; s/^seed = .*/seed = [0]/; s/^epochs = .*/epochs = 1/' \
    experiments/mine.toml
"$decouple" plan mine
"$decouple" run mine --no-progress
"$decouple" report mine --format json >"$place/mine.json"
"$decouple" compare mine quickstart >/dev/null

step "images of one's own"
# Contact sheets stand in for photographs: two kinds, a folder a class.
for kind in fashion-mnist planted; do
    mkdir -p "$place/data/photographs/$kind"
    for seed in $(seq 1 12); do
        "$decouple" data show "$kind" --seed "$seed" --columns $((2 + seed % 4)) \
            --output "$place/data/photographs/$kind/$seed.png" >/dev/null
    done
done
cat >photographs.toml <<'TOML'
# Can the two kinds of pictures be told from each other?
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

step "a network of one's own, exported"
"$decouple" export --run "$run" "$place/network.onnx"
"$decouple" export --run "$run" "$place/network.py"
test -s "$place/network.onnx" && test -s "$place/network.py" && test -s "$place/network.safetensors"

step "done without a stumble"
