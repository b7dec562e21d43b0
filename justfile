# Everyday commands. `just` alone lists them.

decouple := "cargo run --release --locked --package decouple --"

# Recipes get their arguments as "$@", so that `--filter 'segments>=8 & seed=0'`
# reaches the program as one word.
set positional-arguments := true

# List the commands.
default:
    @just --list

# Train experiments/NAME.toml (default: quickstart) and write its report; finished trials are kept.
run-ablation *arguments:
    @case "${1-}" in "" | -*) name=quickstart ;; *) name=$1; shift ;; esac; {{decouple}} run "experiments/$name.toml" "$@"

# List every trial of experiments/NAME.toml: cost, estimated time, whether done.
plan *arguments:
    @case "${1-}" in "" | -*) name=quickstart ;; *) name=$1; shift ;; esac; {{decouple}} plan "experiments/$name.toml" "$@"

# Rebuild tables and figures of experiments/NAME.toml from its runs.
report *arguments:
    @case "${1-}" in "" | -*) name=quickstart ;; *) name=$1; shift ;; esac; {{decouple}} report "experiments/$name.toml" "$@"

# All tests, in release mode like the program itself, so that its build is reused.
test *flags:
    cargo test --release --workspace --locked "$@"

# All tests again, with debug assertions and overflow checks: a quarter of an hour on two cores.
test-debug *flags:
    cargo test --profile checked --locked --workspace "$@"

# Of these, the tests of the crates behind memory safety, which every change must pass.
test-safety *flags:
    cargo test --profile checked --locked --package decouple-kernels --package decouple-core-ops --package decouple-spectrum "$@"

# Tests that take minutes: simulations of the statistics, and faults of the machine, with 50 kills of a sweep at
# random moments. They print their counts.
test-slow kills="50":
    cargo test --release --locked --package decouple-reporting --features decouple-reporting/slow
    DECOUPLE_KILLS={{kills}} cargo test --release --locked --package decouple --test reliability -- --nocapture --test-threads 1
    cargo test --release --locked --package decouple-disk --package decouple-experiment --lib
    cargo test --release --locked --package decouple-training --lib --test resume -- --nocapture

# The same with 500 kills: an hour on a quiet machine.
torture: (test-slow "500")

# Submissions to a Slurm of one node, which is started for the test (skipped where Slurm is not installed).
slurm:
    cargo build --release --locked --package decouple
    tools/slurm/test.sh

# Formatting, clippy and rustdoc with warnings as errors; also checks the fuzz targets (without building the fuzzer's C++).
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    CUSTOM_LIBFUZZER_PATH=./libfuzzer.a cargo check --manifest-path fuzz/Cargo.toml --target-dir target --locked
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# Licences, sources and duplicates of the dependencies (cargo install --locked cargo-deny).
deny:
    cargo deny check bans licenses sources

# Measure this program against PyTorch, Keras, candle and burn: results/bench (`--quick`: a few minutes).
bench *flags:
    tools/bench/run "$@"

# How much of the processor's peak the modules of the spectrum reach on one thread.
roofline *arguments:
    cargo run --release --locked --package decouple-kernels --example roofline -- "$@"

# Re-create the fixtures from PyTorch, timm and Keras (pinned, in target/parity) and compare with them.
parity:
    python3 -m venv target/parity
    target/parity/bin/pip install --quiet numpy==2.4.6 torch==2.15.0 torchvision==0.29.2 timm==1.0.31 keras==3.15.1 jax==0.10.2 safetensors==0.8.0
    target/parity/bin/python tools/network-fixtures.py --check
    target/parity/bin/python tools/training-parity.py
    target/parity/bin/python tools/check-keras-weights.py
    cargo test --release --locked --package decouple-training --test logits --test parity

# Compare exported networks with onnxruntime and PyTorch (pinned, in target/export-check).
check-export:
    python3 -m venv target/export-check
    target/export-check/bin/pip install --quiet numpy==2.4.6 onnxruntime==1.32.0 torch==2.15.0 safetensors==0.8.0
    cargo test --release --locked --package decouple-export --test frameworks -- --nocapture
