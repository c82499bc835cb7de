"""Our own rules."""
def select(con): pass
