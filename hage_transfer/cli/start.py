"""Where `hage` begins: Ctrl-C is one message from its first moment, while what the commands need is still loaded."""

import signal
import sys

from hage_transfer.cli.interrupted import EXIT_INTERRUPTED, how_to_go_on


def main() -> None:
    """Entry point of the `hage` script."""
    try:
        from hage_transfer.cli.main import main as begin

        begin()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not break into the leaving
        print(how_to_go_on(sys.argv[1:]), file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
