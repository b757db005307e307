"""Repairs kept over a restart, and people outside told of them: what a notice says, its two ways out, and what waits.

Here belongs what hub and site do alike. What is wrong is judged by `shared.core.health`, from facts that each gathers.
"""
