"""What the command ``backproof`` starts: nothing is loaded here, so that Ctrl-C while the rest loads is one line."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from backproof.cli import main as command

        command()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(130)
