"""The pages, one module each; `register` gives them their addresses."""


def register(site) -> None:
    """Add all pages to NiceGUI.

    Parameters
    ----------
    site : Site
    """
    from . import cluster, compare, count, predict, run, runs, search, start

    for module in (start, runs, run, compare, count, predict, search, cluster):
        module.register(site)
