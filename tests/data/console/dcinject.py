# Runs inside dcsvc: _ARGS, _P and _U are given by inject.
print("injected", *_ARGS)
print("commands" in globals(), _U.name == "dcsvc")
print("lua dispatch upvalues", "lua" in _P)
