"""What a recording sees: classes that tell, put in the place of the plain ones while somebody records.

The runtime contains no line for recorders. `services.py` exchanges the tables and `resume`
of a scheduler, `server.py` the classes of server and socket server, always between
two messages, when no code holds one of them. `record.py` stands between a node and its outside.
"""
