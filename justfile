# Everyday commands. `just` alone lists them.

decouple := "cargo run --release --locked --package decouple --"

# Recipes get their arguments as "$@", so that `--filter 'segments>=8 & seed=0'`
# reaches the program as one word.
set positional-arguments := true

# List the commands.
default:
    @just --list

# Train experiments/NAME.toml (what is done stays done) and draw its figures.
run-ablation name="quickstart" *flags:
    @shift; {{decouple}} run experiments/{{name}}.toml "$@"

# List every trial of experiments/NAME.toml: cost, estimated time, whether done.
plan name="quickstart" *flags:
    @shift; {{decouple}} plan experiments/{{name}}.toml "$@"

# Rebuild tables and figures of experiments/NAME.toml from its runs.
report name="quickstart" *flags:
    @shift; {{decouple}} report experiments/{{name}}.toml "$@"

# All tests, with kernels optimised as in a release.
test *flags:
    cargo test --workspace --locked "$@"

# Formatting, clippy and rustdoc, warnings as errors.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# Licences, sources and duplicates of the dependencies (cargo install --locked cargo-deny).
deny:
    cargo deny check bans licenses sources

# Measure this program against PyTorch, Keras, candle and burn: results/bench (`--quick`: a few minutes).
bench *flags:
    tools/bench/run "$@"

# Measure the kernels alone (criterion).
bench-kernels *flags:
    cargo bench --package decouple-kernels --locked --bench kernels "$@"
