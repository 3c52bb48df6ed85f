"""Loaded first by the server that forks processes: while it loads the rest, Ctrl-C is the parent's to answer."""

import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)
