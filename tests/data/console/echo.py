from skynet_lite import skynet


@skynet.start
def main():
    skynet.dispatch("lua", lambda session, source, *values: skynet.retpack(*values))
