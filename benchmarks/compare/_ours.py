"""Train a potential of ours; see peers.py."""

import sys

from _common import arguments, measure, processor_seconds

from sk_ednn.atoms import EDNNPotential, PotentialTrainer

folder, work = sys.argv[1:]
args = arguments(work)
start = processor_seconds()
potential = EDNNPotential(
    cutoff=args["cutoff"], context=args["context"], max_seconds=args["seconds"], random_state=0,
    trainer=PotentialTrainer(clock="processor"),
)  # fmt: skip
potential.fit(f"{folder}/train.extxyz", stress=False)
seconds = processor_seconds() - start
calculator = potential.calculator(novel_above=None)
measure(calculator, folder, work, seconds, epochs=potential.history_[-1]["epoch"])
