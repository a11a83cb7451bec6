"""`python -m bench`, and what `accelerate launch -m bench` starts."""

from bench.cli import main

main()
