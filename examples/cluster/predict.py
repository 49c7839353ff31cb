"""Predict the total of a field in a zarr store on any cluster.

Run ``python predict.py model.ednn field.zarr --journal FOLDER`` with one of these options:

* none: worker processes on this machine;
* ``--scheduler tcp://HOST:8786``: a running scheduler (`compose.yaml`);
* ``--scheduler-file scheduler.json``: a running scheduler, by its file (`slurm.sh`);
* ``--slurm N`` or ``--pbs N``: N jobs of workers, submitted by dask-jobqueue.

Model and store must be at the same paths on every worker. With ``--journal`` a stopped run resumes.
The model is a fitted EDNNRegressor, written by `sk_ednn.files.save`.
"""

import argparse

import zarr
from dask.distributed import Client, LocalCluster, performance_report

from sk_ednn.evaluation import DaskBlocks
from sk_ednn.fields import ArraySource
from sk_ednn.files import load


def connect(options):
    """Return a client of the cluster that the options name."""
    if options.scheduler:
        return Client(options.scheduler)
    if options.scheduler_file:
        return Client(scheduler_file=options.scheduler_file)
    if options.slurm or options.pbs:
        import dask_jobqueue as queues

        kind = queues.SLURMCluster if options.slurm else queues.PBSCluster
        cluster = kind(
            cores=options.cores,
            processes=options.cores,  # one process per core, with one thread
            memory=options.memory,
            walltime=options.walltime,
            queue=options.queue,
            job_script_prologue=["export OMP_NUM_THREADS=1"],
        )
        print(cluster.job_script())
        cluster.scale(jobs=options.slurm or options.pbs)
        return Client(cluster)
    # Dask's connections are not authenticated: this address keeps others from connecting.
    return Client(LocalCluster(n_workers=options.cores, threads_per_worker=1, host="127.0.0.1"))


def main():
    """Predict, and print one total per line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("field")
    parser.add_argument("--journal")
    parser.add_argument("--report", default="report.html", help="performance report of the workers")
    parser.add_argument("--scheduler")
    parser.add_argument("--scheduler-file")
    parser.add_argument("--slurm", type=int, metavar="JOBS")
    parser.add_argument("--pbs", type=int, metavar="JOBS")
    parser.add_argument("--cores", type=int, default=2, help="cores of this machine, or of a job")
    parser.add_argument("--memory", default="32GB", help="memory of a job")
    parser.add_argument("--walltime", default="01:00:00", help="walltime of a job")
    parser.add_argument("--queue", help="queue or partition of a job")
    options = parser.parse_args()

    model = load(options.model)
    model.evaluation_ = DaskBlocks(model.evaluation_, journal=options.journal, verbose=1)
    source = ArraySource(zarr.open_array(options.field, mode="r"))
    with connect(options), performance_report(options.report):
        for total in model.predict(source).compute():
            print(total)


if __name__ == "__main__":
    main()
