"""The daemon's command line, with a limit of open files that it cannot raise: `... FILES serve ...`."""

import resource
import sys

from orion_registry.cli.main import main

if __name__ == "__main__":
    files = int(sys.argv.pop(1))
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    main()
