"""`python -m web` is `ingate`."""

from web.cli import main

main()
