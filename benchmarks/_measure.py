"""Threads, clocks, memory and tables of the benchmarks. Import it before numpy or torch."""

import argparse
import os
import platform
import resource
import statistics
import time

THREADS = os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OPENBLAS_NUM_THREADS", THREADS)
os.environ.setdefault("MKL_NUM_THREADS", THREADS)


def arguments(description, **options):
    """Parse the command line: ``--quick`` and the options named, each with its default."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a smaller version")
    for name, default in options.items():
        flag = f"--{name.replace('_', '-')}"
        if default is False:
            parser.add_argument(flag, action="store_true")
        else:
            parser.add_argument(flag, type=type(default), default=default)
    return parser.parse_args()


def machine():
    """Print the machine, the versions and the number of threads."""
    processor = platform.processor() or platform.machine()
    print(f"{processor}, {os.cpu_count()} cores, {THREADS} threads")


def seconds(function, repeat=5, warm_up=1):
    """Return the median time of calls of `function`, after a warm-up."""
    for _ in range(warm_up):
        function()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def in_turns(ways, repeat=5):
    """Return the times of functions called in turns, a list for each name of `ways`.

    Use it for ratios, since other programs on the machine then affect all functions alike.
    """
    times = {name: [] for name in ways}
    for turn in range(repeat + 1):
        for name, function in ways.items():
            start = time.perf_counter()
            function()
            if turn:  # the first turn is a warm-up
                times[name].append(time.perf_counter() - start)
    return times


def ratio(times, others):
    """Return the median of the ratios of times taken in turns."""
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


def peak_megabytes():
    """Return the peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def added_megabytes(function):
    """Return the peak memory that a call of a function adds to this process.

    On Linux only, where the peak can be reset; NaN elsewhere.
    """
    try:
        import ctypes

        ctypes.CDLL("libc.so.6").malloc_trim(0)  # freed memory that is kept would hide some
        before = _status("VmRSS")
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return float("nan")
    function()
    return _status("VmHWM") - before


def _status(name):
    with open("/proc/self/status") as file:
        (line,) = (line for line in file if line.startswith(name))
    return int(line.split()[1]) / 1024


def shared_megabytes(pid):
    """Return the memory of a process and its children, shared pages counted once (PSS)."""
    import psutil

    total = 0
    try:
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            total += one.memory_full_info().pss
    except psutil.Error:
        pass  # one has ended meanwhile
    return total / 2**20


def processor_seconds():
    """Return the processor time of this process and of its running children."""
    import psutil

    process = psutil.Process()
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(time.user + time.system for time in times)


def table(headers, rows):
    """Print rows under headers, aligned."""
    cells = [headers, *[[_text(value) for value in row] for row in rows]]
    widths = [max(len(row[k]) for row in cells) for k in range(len(headers))]
    for row in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def _text(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
