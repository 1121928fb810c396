"""Searching for the right run: a space over a run file, trials on many processes, a Pareto front.

sweepfile   reads SWEEP.toml
trial       trains one set of values, on a worker
driver      lets Optuna choose and Dask execute; keeps every finished trial
records     the finished trials: table, front, the best for a board
page        the front as a page
"""
