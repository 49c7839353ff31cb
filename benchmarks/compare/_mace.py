"""Train MACE by its own command; see peers.py."""

import subprocess
import sys
from pathlib import Path

from _common import arguments, measure, processor_seconds

folder, work = sys.argv[1:]
args = arguments(work)
start = processor_seconds()
options = {
    "name": "peer", "train_file": f"{folder}/train.extxyz", "valid_fraction": 0.05,
    "E0s": "average", "model": "MACE", "r_max": args["cutoff"],
    "num_interactions": 2, "num_channels": 16, "max_L": 0,
    "correlation": 2, "batch_size": 8, "valid_batch_size": 8, "lr": 0.01,
    "max_num_epochs": args["mace_epochs"], "eval_interval": args["mace_epochs"],
    "scaling": "rms_forces_scaling", "forces_weight": 100, "energy_weight": 10,
    "default_dtype": "float32", "device": "cpu", "seed": 0, "work_dir": work,
    "energy_key": "REF_energy", "forces_key": "REF_forces", "error_table": "PerAtomMAE",
}  # fmt: skip
# MACE reads labels by names that ASE does not take for its own.
text = Path(f"{folder}/train.extxyz").read_text(encoding="utf-8")
text = text.replace(" energy=", " REF_energy=").replace(":forces:", ":REF_forces:")
options["train_file"] = f"{work}/train.extxyz"
Path(options["train_file"]).write_text(text, encoding="utf-8")
command = [str(Path(sys.executable).parent / "mace_run_train")]
command += [f"--{name}={value}" for name, value in options.items()]
done = subprocess.run(command, capture_output=True, text=True, cwd=work, check=False)
if done.returncode:
    raise SystemExit(done.stdout[-1000:] + done.stderr[-2000:])
seconds = processor_seconds() - start

from mace.calculators import MACECalculator  # noqa: E402

(model,) = Path(work).rglob("peer.model")
calculator = MACECalculator(model_paths=str(model), device="cpu", default_dtype="float32")
parameters = sum(p.numel() for p in calculator.models[0].parameters())
measure(calculator, folder, work, seconds, epochs=args["mace_epochs"], parameters=parameters)
