"""The real core in a fake world: two sites on real SQLite, the hub's real relay, and everything that can go wrong.

One `random.Random(seed)` decides all; there is no real time, no thread, no event loop. `world.py` is the world,
`site.py` and `hub.py` are its shells, `network.py` its links, `faults.py` what goes wrong, `demands.py` what must hold,
`run.py` one seed from start to verdict.
"""
