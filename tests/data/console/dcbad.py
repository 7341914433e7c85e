print("before the error")
raise RuntimeError("inject failed")
