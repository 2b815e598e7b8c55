"""`python -m kura.single_pod` is the command line."""

from kura.single_pod.main import run

run()
