"""``python -m skal.cli`` is the command ``skal``."""

from skal.cli.arguments import main

if __name__ == "__main__":
    raise SystemExit(main())
