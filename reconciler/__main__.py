"""``python -m reconciler``, and the command `reconciler`."""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from reconciler.cli.main import run  # noqa: PLC0415 - `import reconciler` stays free of it

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
