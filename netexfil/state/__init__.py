"""State and cron: the same flow, incrementally, with every line counted once. One DuckDB file."""
from netexfil.state.run import Outcome, delivered, run

__all__ = ["Outcome", "delivered", "run"]
