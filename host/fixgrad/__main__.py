"""`python -m fixgrad` is the command `fixgrad`."""

from fixgrad.cli import main

main()
