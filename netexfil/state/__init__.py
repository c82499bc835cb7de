"""State and cron: the same flow, incrementally, with every line counted once. One DuckDB file."""

from netexfil.state.run import Outcome, delivered, run
from netexfil.state.views import diff, export, findings, forget, metrics, show, vacuum

__all__ = ["Outcome", "delivered", "diff", "export", "findings", "forget", "metrics", "run", "show", "vacuum"]
