"""Load files that were damaged or edited, one after the other, and print each outcome.

Run as a program with a folder: for each file a line with its name, what came of it and by how many
MiB it was beyond what reading may take.
"""

import importlib.util
import sys
import warnings
from pathlib import Path

from sk_ednn.exceptions import EDNNError, ModelFileError
from sk_ednn.files import describe, load

GOLDEN = Path(__file__).parent / "golden"
BESIDES_FILE = 64 << 20
# What a model may say of fields that are not those that it is for now: of another width, say.
CLEAR = (EDNNError, ValueError)


def golden_module():
    spec = importlib.util.spec_from_file_location("made_golden", GOLDEN / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def memory(name):
    """Return what this process takes ("VmRSS") or took at most ("VmHWM"), in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) << 10


def forget_the_most():
    Path("/proc/self/clear_refs").write_text("5")


def beyond(path, read, *args, **kwargs):
    """Return what a reading returned or raised, and its memory beyond what it may take."""
    forget_the_most()
    before = memory("VmRSS")
    try:
        result = read(path, *args, **kwargs)
    except ModelFileError as error:
        result = error
    return result, memory("VmHWM") - before - 2 * path.stat().st_size - BESIDES_FILE


def main(folder):
    warnings.simplefilter("ignore")
    made = golden_module()
    kinds = {}
    for path in sorted(GOLDEN.glob("*.ednn")):  # and so all that is imported is imported
        kinds[path.stem.partition(", ")[2]] = type(load(path, modules=[made.Golden]))
    for path in sorted(Path(folder).glob("*.ednn")):
        print(path.name, end="\t", flush=True)
        name = path.name.split(",")[1]
        model, more = beyond(path, load, modules=[made.Golden])
        _, still_more = beyond(path, describe)
        more = max(more, still_more)
        if isinstance(model, ModelFileError):
            named = str(model).startswith(str(path))
            print("refused" if named else f"unnamed {model}", more, sep="\t", flush=True)
            continue
        if type(model) is not kinds[name]:
            print(f"became a {type(model).__name__}", more, sep="\t", flush=True)
            continue
        if len(getattr(model, "steps", ())) != (2 if name in made.ATOMS else 0):
            print("works", more, sep="\t", flush=True)  # for fields, and not for structures
            continue
        try:
            model.predict(made.data(name)[0])
            what = "works"
        except CLEAR as error:
            what = "works" if str(error).strip() else "fails without a word"
        except TypeError as error:  # a tile model that is for whole structures, say
            what = "works" if str(error).startswith("Expected ") else f"fails with {error!r:.200}"
        except Exception as error:
            what = f"fails with {error!r:.200}".replace("\n", " ")
        print(what, more, sep="\t", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
