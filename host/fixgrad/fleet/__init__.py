"""Many boards, one model: every board trains on its share, the host averages exactly.

fleetfile   reads FLEET.toml
shares      which board has which samples, and its run in a round
average     NUMERICS section 11
member      one board's round, on a port or on a worker
driver      rounds and deadlines
rounds      what is kept of them

or, where boards share every batch (`mode = "data-parallel"`):

parts       a board's part of a step
crew        which board does which part, whoever is away
parallel    steps from the boards' sums, each compared with the reference's own
"""
