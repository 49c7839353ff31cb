"""Intervals of counts and areas from few pictures contain new totals; each fit has its own set."""

from _measure import arguments, machine, table

import numpy as np

from sk_ednn.datasets import make_pictures
from sk_ednn.images import CountRegressor

# Name, pictures of the fit, objects per 128 by 128 pixels, what is learned.
_SETS = (
    ("counts, sparse and crowded", 36, (2, 150), "count"),
    ("counts", 36, (10, 60), "count"),
    ("areas", 24, (10, 60), "area"),
)
_NEW = 100


def main():
    options = arguments(__doc__, seeds=20)
    machine()
    rows = []
    for name, n, n_objects, target in _SETS:
        shares, held = [], 0
        for seed in range(1 if options.quick else options.seeds):
            data = make_pictures(
                n + _NEW, (64, 64), n_objects=n_objects, target=target, random_state=seed
            )
            totals = data.totals / (1000 if target == "area" else 1)
            model = CountRegressor(random_state=seed, max_epochs=2 if options.quick else "auto")
            model.fit(data.pictures[:n], totals[:n])
            low, high = model.predict_interval(data.pictures[n:])
            shares.append(np.mean((low <= totals[n:]) & (totals[n:] <= high)))
            held = len(model.held_back_["index"])
        shares = 100 * np.array(shares)
        rows.append(
            [name, n, held, shares.mean(), shares.min(), shares.max(), 100 * np.mean(shares < 80)]
        )
    table(
        ["learned", "pictures", "held back", "inside %", "least", "most", "fits below 80 %"], rows
    )


if __name__ == "__main__":
    main()
