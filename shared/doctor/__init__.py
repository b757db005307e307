"""What `pairhub doctor` looks at on any machine: directory, disk, database, clock, network, the running daemon.

Each check is a plain function that returns findings and raises nothing for what it was made to find. What is special to
hub or site stands in `hub/doctor.py` and `connector/doctor.py`.
"""
