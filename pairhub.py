"""The command line; composes the rest, holds no rules."""

from cyclopts import App

main = App(name="pairhub", help="Pair two sites through a hub and stream their readings.", version="0.1.0")

if __name__ == "__main__":
    main()
