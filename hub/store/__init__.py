"""What the hub keeps: an interface, its implementations, and nothing of the rules that use it.

Losing all of it loses no reading (DESIGN section 7): sites come back with certificates and send again what was held.
"""
