"""The degree to which a total is learned, by its error relative to that of the mean as a guess."""

# Errors relative to those of the mean as a prediction, which are the spread of the totals: above
# the first a total is learned roughly, above the second badly, above the third it is not learned.
# Squared, they are about the shares of the variance that are missed: 9, 25 and 80 %.
ROUGH, POOR, NO_BETTER = 0.3, 0.5, 0.9


def degree_of(error, error_of_mean) -> str:
    """Return how well a total is learned.

    Parameters
    ----------
    error : float
        Mean error of systems that were not seen.
    error_of_mean : float
        That of the mean total as a prediction for each of them.

    Returns
    -------
    {"well", "roughly", "badly", "no better"}

    Examples
    --------
    >>> from sk_ednn._utils.learned import degree_of
    >>> [degree_of(error, 10.0) for error in (2.9, 4.9, 8.9, 9.1)]
    ['well', 'roughly', 'badly', 'no better']
    """
    if error <= ROUGH * error_of_mean:
        return "well"
    if error <= POOR * error_of_mean:
        return "roughly"
    return "no better" if error > NO_BETTER * error_of_mean else "badly"
