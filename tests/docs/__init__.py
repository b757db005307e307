"""Documents as tests: what can be drawn from the code is drawn from it, what is shown as a command is run."""
