"""`python -m bench`, and what `accelerate launch -m bench` starts."""

from bench.cli.app import main

if __name__ == "__main__":  # a worker process imports this file again
    main()
