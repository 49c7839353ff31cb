"""Predict the total of a field that lies in a zarr store, on whatever cluster is there.

``python predict.py model.ednn field.zarr --journal FOLDER`` and, for where the workers are, one of

* nothing: worker processes on this machine;
* ``--scheduler tcp://HOST:8786``: a scheduler that runs (`compose.yaml`);
* ``--scheduler-file scheduler.json``: the same, by the file that it wrote (`slurm.sh`);
* ``--slurm N`` or ``--pbs N``: N jobs of workers that dask-jobqueue hands in.

Model and store must be at the same paths on every worker. With ``--journal`` a run that was stopped
goes on where it was. The model is a fitted EDNNRegressor, written by `sk_ednn.files.save`.
"""

import argparse

import zarr
from dask.distributed import Client, LocalCluster, performance_report

from sk_ednn.evaluation import DaskBlocks
from sk_ednn.fields import ArraySource
from sk_ednn.files import load


def connect(options):
    """Return a client of the cluster that was asked for."""
    if options.scheduler:
        return Client(options.scheduler)
    if options.scheduler_file:
        return Client(scheduler_file=options.scheduler_file)
    if options.slurm or options.pbs:
        import dask_jobqueue as queues

        kind = queues.SLURMCluster if options.slurm else queues.PBSCluster
        cluster = kind(
            cores=options.cores,
            processes=options.cores,  # a process for each core, one thread in each
            memory=options.memory,
            walltime=options.walltime,
            queue=options.queue,
            job_script_prologue=["export OMP_NUM_THREADS=1"],
        )
        print(cluster.job_script())
        cluster.scale(jobs=options.slurm or options.pbs)
        return Client(cluster)
    # Without the address others could connect: Dask's connections are not authenticated.
    return Client(LocalCluster(n_workers=options.cores, threads_per_worker=1, host="127.0.0.1"))


def main():
    """Predict, and print a total a line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("field")
    parser.add_argument("--journal")
    parser.add_argument("--report", default="report.html", help="what the workers were doing")
    parser.add_argument("--scheduler")
    parser.add_argument("--scheduler-file")
    parser.add_argument("--slurm", type=int, metavar="JOBS")
    parser.add_argument("--pbs", type=int, metavar="JOBS")
    parser.add_argument("--cores", type=int, default=2, help="of this machine, or of a job")
    parser.add_argument("--memory", default="32GB", help="of a job")
    parser.add_argument("--walltime", default="01:00:00", help="of a job")
    parser.add_argument("--queue", help="or partition, of a job")
    options = parser.parse_args()

    model = load(options.model)
    model.evaluation_ = DaskBlocks(model.evaluation_, journal=options.journal, verbose=1)
    source = ArraySource(zarr.open_array(options.field, mode="r"))
    with connect(options), performance_report(options.report):
        for total in model.predict(source).compute():
            print(total)


if __name__ == "__main__":
    main()
