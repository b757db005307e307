"""The pure core: state machines and the rules both ends must agree on.

No asyncio, sockets, files, clock, randomness or logging in here. Time (`now_ms`), chance (`random_bytes`) and storage
come in as arguments, effects go out. Interfaces that the core calls are declared here and implemented above.
"""
