"""`pairhub chaos`: real daemons under load, made to fail in every way a machine and a network can, and what is left after."""
