"""What users would pick instead, put together from its own packages and given the same work by `bench peers`.

Each peer is three servers on this machine, source > hub > target, and a client that lays out its messages before the clock
starts: the load is not what is measured. What is not installed says so.
"""
