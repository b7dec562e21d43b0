#!/usr/bin/env bash
# Submits a small experiment to a Slurm of its own (up.sh), lets happen to it what
# happens on clusters, and checks that each trial ends up done, exactly once:
# a trial's process is killed, a task is cancelled, a task is requeued, and the node
# is drained half-way. Where no Slurm can be started it says so and ends with 0.
#
#   tools/slurm/test.sh [PROGRAM]      # target/release/decouple if left out
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$(realpath "${1:-$here/../../target/release/decouple}")

code=0
line=$("$here/up.sh") || code=$?
if [ "$code" -ne 0 ]; then
    echo "SKIPPED: the test of submissions to Slurm (apt-get install slurmctld slurmd slurm-client munge; as root)"
    exit 0
fi
eval "$line"
work=$(mktemp -d)
finish() {
    code=$?
    [ "$code" -eq 0 ] || { echo "FAILED; logs in $work and $(dirname "$SLURM_CONF")" >&2; squeue >&2 || true; }
    scancel --user=root 2> /dev/null || true
    "$here/down.sh"
    [ "$code" -ne 0 ] || rm -rf "$work" "$(dirname "$SLURM_CONF")"
    exit "$code"
}
trap finish EXIT
cd "$work"
node=$(hostname -s)

cat > sweep.toml <<'TOML'
# Does a cluster lose anything?
[experiment]
name = "sweep"
budget = "none"
[axes]
segments = [1, 2, 4, "per-channel"]
seed = [0, 1]
[trial.network]
stem = 8
entry = [8, 8]
middle = 1
modules = 1
exit = 8
[trial.data]
set = "planted"
images = 2000
[trial.training]
epochs = 20
[launcher]
cpus = 1
at-once = 2
task-time = "1s"
TOML

said() { echo "slurm: $*"; }
field() { "$program" status sweep.toml --format json | grep -o "\"$1\":[0-9]*" | head -1 | cut -d: -f2; }
# Waits until a command succeeds, four minutes at most.
until_true() {
    for _ in $(seq 960); do
        if "$@"; then return 0; fi
        sleep 0.25
    done
    said "waited in vain for: $*"
    return 1
}
running() { squeue --noheader --array --states=RUNNING --format=%i; }
someone_trains() { [ -n "$(running)" ] && [ "$(field trials)" = 8 ] && "$program" status sweep.toml --format json | grep -q '"running":\[{'; }
nobody_runs() { [ -z "$(running)" ]; }
queue_is_empty() { [ -z "$(squeue --noheader)" ]; }

"$program" submit sweep.toml --dry-run > script.txt 2> /dev/null
grep -q -- '--array=0-7%2' script.txt
for option in --requeue --signal=TERM@120 --open-mode=append; do grep -q -- "#SBATCH $option" script.txt; done
[ "$(field left)" = 8 ] || { said "a dry run must train nothing"; exit 1; }

job=$("$program" submit sweep.toml)
said "array job $job, one trial a task, two at a time"
until_true someone_trains

# A process that is killed, as by a machine without memory left.
victim=$(pgrep -f -- "run $work/results/sweep/submissions" | tail -1)
kill -KILL "$victim"
said "killed a trial's process"
until_true someone_trains

task=$(running | tail -1)
scontrol requeue "$task"
said "requeued task $task"
until_true someone_trains

task=$(running | tail -1)
scancel "$task"
said "cancelled task $task"
until_true someone_trains

scontrol update nodename="$node" state=drain reason=test
said "drained the node with $(running | wc -l) tasks on it"
until_true nobody_runs
[ -n "$(squeue --noheader)" ] || { said "no task waits for the drained node"; exit 1; }
before=$(field finished)
scontrol update nodename="$node" state=resume
said "resumed the node with $before of 8 trials done"
until_true queue_is_empty

# What was killed and cancelled is left, and nothing else is submitted again.
left=$(field left)
said "$left trials left, $(field finished) done"
[ "$left" -ge 1 ] && [ "$left" -le 2 ]
"$program" submit sweep.toml --task-time 1h > second.txt 2> second.log
until_true queue_is_empty
grep -q "submitted $left trial" second.log
[ "$(field finished)" = 8 ] || { said "not all trials are done"; exit 1; }
"$program" submit sweep.toml 2>&1 | grep -q "nothing to submit"

# Exactly once: a folder a run, and a line a trained trial in all logs together.
[ "$(ls results/sweep/runs | wc -l)" -eq 8 ]
trained=$(cat results/sweep/submissions/*/task-*.log | grep -c "test accuracy [0-9]")
[ "$trained" -eq 8 ] || { said "$trained trials were trained to the end, expected 8"; exit 1; }
[ -f results/sweep/report.html ] || { said "the last task has made no report"; exit 1; }

# A task that stops after a checkpoint (75) goes back into the queue, so many times.
sed -i 's/^srun .*/srun --ntasks=1 bash -c "echo stopped; exit 75"/; s/^#SBATCH --array.*/#SBATCH --array=0-0/' script.txt
sed -i "s/-lt 20 \]/-lt 2 ]/; s|^#SBATCH --output=.*|#SBATCH --output=$work/requeued.log|" script.txt
sbatch --parsable script.txt > /dev/null
stopped_three_times() { [ "$(grep -c stopped requeued.log 2> /dev/null)" = 3 ] && queue_is_empty; }
until_true stopped_three_times
said "a task that stops after a checkpoint was requeued twice, as its limit says"
said "8 of 8 trials done, each exactly once"
