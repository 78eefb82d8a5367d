#!/usr/bin/env bash
# Two workers under Slurm, one task on each node:  sbatch deploy/slurm.sh classify_images --data cifar10
#SBATCH --job-name=tfdl
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=08:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@120
#SBATCH --output=tfdl-%j.log
set -euo pipefail

: "${1:?name a recipe: sbatch deploy/slurm.sh classify_images --data cifar10}"

# The workers find each other through Slurm's own variables; a requeued job goes on with what it has, by its number.
export TFDL_CLUSTER=slurm
export TFDL_LAUNCH="slurm-${SLURM_JOB_ID}"
export TFDL_DATA_DIR="${TFDL_DATA_DIR:-$HOME/tensorflow_datasets}"

for attempt in 1 2 3 4; do
  code=0
  srun --kill-on-bad-exit=1 --label tfdl run "$@" --run.out "runs/slurm-${SLURM_JOB_ID}" || code=$?
  case "$code" in
    0 | 2 | 3) exit "$code" ;; # done, a mistake in the command, the loss is not a number
  esac
  echo "attempt $attempt ended with $code; going on from the newest checkpoint" >&2
done
exit "$code"
