#!/usr/bin/env bash
# A Slurm cluster on this machine, for tests: one CPU node and four GPU nodes (their GPUs are links to
# /dev/null), from Debian's packages. It lives in a network namespace that only this machine reaches, and
# that reaches only this machine: compute nodes without network. Needs root or sudo. Never touches a
# Slurm that is set up already.
#
#   tests/slurm/cluster.sh start [CPUS of a node, 4] | stop | node NAME (starts a node that was lost)
set -euo pipefail
mark="# made by tests/slurm/cluster.sh"
state=/var/lib/jz3-slurm
conf=/etc/slurm/slurm.conf
nodes="cpu1 gpu1 gpu2 gpu3 gpu4"
net=jz3-nodes # the namespace
head=10.213.0.1
inside=10.213.0.2
[[ $EUID -eq 0 ]] || exec sudo -- "$0" "$@"

alive() { [[ -r /proc/$1/status ]] && ! grep -q '^State:.Z' "/proc/$1/status"; }

stop_daemon() { # by its pid file
  [[ -f $1 ]] || return 0
  local pid
  pid=$(<"$1")
  kill "$pid" 2>/dev/null || true
  for _ in $(seq 50); do alive "$pid" || break; sleep 0.1; done
  if alive "$pid"; then kill -9 "$pid"; fi
  rm -f "$1"
}

stop() {
  [[ -f $conf ]] && grep -qF "$mark" "$conf" || return 0
  scancel --user root 2>/dev/null || true
  scancel --state PENDING,RUNNING,SUSPENDED 2>/dev/null || true
  for node in $nodes; do stop_daemon "$state/slurmd-$node.pid"; done
  stop_daemon "$state/slurmctld.pid"
  if [[ -f $state/munged.ours ]]; then stop_daemon /run/munge/munged.pid; fi
  ip netns del "$net" 2>/dev/null || true # and the link with it
  rm -rf "$state" "$conf" /etc/slurm/gres.conf
}

within() { nsenter --net="/run/netns/$net" "$@"; } # `ip netns exec` would hide the cgroups

node() { within slurmd -N "$1"; }

start() {
  if [[ -f $conf ]] && ! grep -qF "$mark" "$conf"; then
    echo "cluster.sh: $conf belongs to another Slurm; not touched." >&2
    exit 1
  fi
  stop
  if ! command -v slurmctld >/dev/null || ! command -v slurmd >/dev/null || ! command -v ip >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o DPkg::Lock::Timeout=600 \
      --no-install-recommends slurmctld slurmd slurm-client munge iproute2 >/dev/null
  fi
  mkdir -p "$state/spool" "$state/state" "$state/dev" /etc/slurm
  for number in $(seq 0 7); do ln -sf /dev/null "$state/dev/nvidia$number"; done
  cat >"$conf" <<EOF
$mark
ClusterName=jz3
SlurmctldHost=$(hostname -s)($inside)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
AccountingStorageType=accounting_storage/none
MinJobAge=600
SlurmdTimeout=15
KillWait=30
ReturnToService=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
GresTypes=gpu
StateSaveLocation=$state/state
SlurmdSpoolDir=$state/spool/%n
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/slurmd-%n.pid
SlurmctldLogFile=$state/slurmctld.log
SlurmdLogFile=$state/slurmd-%n.log
NodeName=cpu1 NodeAddr=$inside NodeHostname=$(hostname -s) Port=17001 CPUs=$1 RealMemory=100000
NodeName=gpu[1-4] NodeAddr=$inside NodeHostname=$(hostname -s) Port=[17002-17005] CPUs=$1 RealMemory=100000 Gres=gpu:a100:8
PartitionName=batch Nodes=cpu1 Default=YES MaxTime=1-00:00:00 State=UP PriorityTier=1
PartitionName=a100 Nodes=gpu[1-4] MaxTime=1-00:00:00 State=UP PriorityTier=1
PartitionName=urgent Nodes=cpu1,gpu[1-4] MaxTime=1-00:00:00 State=UP PriorityTier=9
EOF
  echo "NodeName=gpu[1-4] Name=gpu Type=a100 File=$state/dev/nvidia[0-7]" >/etc/slurm/gres.conf
  if ! munge --no-input >/dev/null 2>&1; then
    install -d -o munge -g munge -m 0755 /run/munge
    runuser -u munge -- munged
    touch "$state/munged.ours"
  fi
  ip netns add "$net"
  ip link add jz3-head type veth peer name jz3-inside netns "$net"
  ip address add "$head/24" dev jz3-head
  ip link set jz3-head up
  ip -n "$net" address add "$inside/24" dev jz3-inside
  ip -n "$net" link set jz3-inside up
  ip -n "$net" link set lo up
  within slurmctld
  for node in $nodes; do node "$node"; done
  for _ in $(seq 100); do
    [[ $(sinfo --noheader --Node --states=idle --format %N 2>/dev/null | sort -u | wc -l) -eq 5 ]] && break
    sleep 0.2
  done
  sinfo --Node
}

case "${1:-}" in
  start) start "${2:-4}" ;;
  stop) stop ;;
  node) node "$2" ;;
  *) echo "usage: $0 start [CPUS] | stop | node NAME" >&2; exit 2 ;;
esac
