"""`python -m orion_registry`: the same command line as `orion-registry`."""

from orion_registry.cli.main import main

if __name__ == "__main__":
    main()
