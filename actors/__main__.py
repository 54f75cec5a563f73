"""`python -m actors …`: Dramatiq's command line, with the domain loaded before it forks, so that memory is shared.

The actors themselves are loaded after it: a broker must not be made before the fork.
"""

import sys

import redis  # noqa: F401 - see above
from dramatiq.cli import main

from app import price_list, scoring  # noqa: F401 - see above
from app.store import logs  # noqa: F401 - see above

if __name__ == "__main__":
    sys.exit(main())  # type: ignore[no-untyped-call]  # Dramatiq's is untyped
