"""``python -m reconciler``, and the command `reconciler`."""

import gc
import sys


def main() -> None:
    """Run the command line and exit with its code."""
    gc.disable()  # what starting up makes is no garbage; looking for some takes a tenth of it
    from reconciler.cli.main import run  # noqa: PLC0415 - `import reconciler` stays free of it

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
