print("injected", *_ARGS)
print("commands" in globals(), _U.name == "dcsvc")
print("handler", _P["lua"])
