"""Many boards, one model: every board trains on its share, the host averages exactly.

fleetfile   reads FLEET.toml
shares      which board has which samples, and its run in a round
average     NUMERICS section 11
member      one board's round, on a port or on a worker
driver      rounds, deadlines, what is kept
"""
