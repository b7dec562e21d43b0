#!/usr/bin/env bash
# Starts a Slurm of one node on loopback, in a folder of its own, and prints what to
# eval for the commands to find it:
#
#   eval "$(tools/slurm/up.sh)"; sinfo; ...; tools/slurm/down.sh
#
# Needs slurmctld, slurmd, the client commands and munge (Debian: slurmctld slurmd
# slurm-client munge), and root. Exits with 77 where they are missing.
set -euo pipefail

for program in munged slurmctld slurmd sinfo; do
    if ! command -v "$program" > /dev/null; then
        echo "slurm: $program is not installed" >&2
        exit 77
    fi
done
[ "$(id -u)" -eq 0 ] || { echo "slurm: the daemons need root" >&2; exit 77; }

dir=$(mktemp -d "${TMPDIR:-/tmp}/decouple-slurm.XXXXXX")
host=$(hostname -s)
port=${SLURM_TEST_PORT:-$((20000 + RANDOM % 20000))}
mkdir "$dir/state" "$dir/spool"
head -c 1024 /dev/urandom > "$dir/key"
chmod 400 "$dir/key"
echo "CgroupPlugin=cgroup/v1" > "$dir/cgroup.conf"
cat > "$dir/slurm.conf" <<CONF
ClusterName=decouple-test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
AuthType=auth/munge
# Without it a requeued job waits two minutes, until its old credentials have expired.
AuthInfo=socket=$dir/munge.sock,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2
ReturnToService=2
KillWait=5
MinJobAge=600
MailProg=/bin/true
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024)) State=UNKNOWN
PartitionName=test Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF

export SLURM_CONF=$dir/slurm.conf
# Their talk goes to standard error: standard output is for eval.
munged --force --socket "$dir/munge.sock" --key-file "$dir/key" --pid-file "$dir/munged.pid" \
    --log-file "$dir/munged.log" --seed-file "$dir/munged.seed" >&2
slurmctld >&2
slurmd >&2
for _ in $(seq 120); do
    if [ "$(sinfo --noheader --format=%t 2> /dev/null || true)" = idle ]; then
        echo "export SLURM_CONF=$SLURM_CONF"
        exit 0
    fi
    sleep 0.5
done
echo "slurm: the node did not become idle; the logs are in $dir" >&2
SLURM_CONF=$SLURM_CONF "$(dirname "$0")/down.sh" || true
exit 1
