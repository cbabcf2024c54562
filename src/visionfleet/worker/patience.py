"""How long the worker goes on trying."""

from collections.abc import AsyncIterable
from dataclasses import dataclass

import stamina


@dataclass(frozen=True)
class Patience:
    """Exponential backoff with jitter, in seconds: `total` over all tries, waits from `first` to `longest`."""

    total: float
    first: float = 0.5
    longest: float = 10.0

    def attempts(self, on: type[Exception]) -> AsyncIterable[stamina.Attempt]:
        """Tries for `async for attempt in …: with attempt:`; each retry is logged.

        Always as a block: stamina's callers log their arguments, and ours carry keys and signed URLs.
        """
        return stamina.retry_context(
            on=on,
            attempts=None,
            timeout=self.total,
            wait_initial=self.first,
            wait_max=self.longest,
            wait_jitter=self.first,
        )


HUB_PATIENCE = Patience(total=120)  # a hub that is restarted, or moved to another node, is back by then
INFERENCE_PATIENCE = Patience(total=120)  # a server that is restarted loads its models again
