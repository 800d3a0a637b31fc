"""How one kernel call is executed: by the native core (C through cffi) or by the reference (NumPy)."""
