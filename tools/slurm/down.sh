#!/usr/bin/env bash
# Stops the Slurm that up.sh started, by the process ids that it wrote down.
set -uo pipefail
dir=$(dirname "${SLURM_CONF:?eval what up.sh printed}")
for name in slurmd slurmctld munged; do
    if [ -f "$dir/$name.pid" ]; then
        pid=$(cat "$dir/$name.pid")
        kill "$pid" 2> /dev/null
        for _ in $(seq 40); do
            kill -0 "$pid" 2> /dev/null || break
            sleep 0.25
        done
    fi
done
exit 0
