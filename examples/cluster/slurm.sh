#!/bin/bash
# Predict on several nodes: sbatch slurm.sh model.ednn field.zarr
#SBATCH --job-name=sk-ednn
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=16
#SBATCH --cpus-per-task=1
#SBATCH --mem-per-cpu=2G
#SBATCH --time=01:00:00
set -euo pipefail

# One process per core, with one thread each.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
file="$PWD/scheduler-$SLURM_JOB_ID.json"
trap 'kill $(jobs -p) 2>/dev/null; rm -f "$file"' EXIT

# Others on the cluster's network can reach the scheduler: use Dask's TLS if that matters.
dask scheduler --host "$(hostname -i | cut -d' ' -f1)" --scheduler-file "$file" &
while [ ! -s "$file" ]; do sleep 1; done
srun dask worker --nthreads 1 --nworkers 1 --memory-limit 0 --scheduler-file "$file" &

# Submitted again after a stop, it computes only what the journal lacks.
python predict.py "$1" "$2" --scheduler-file "$file" --journal journal
