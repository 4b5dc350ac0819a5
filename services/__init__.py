"""The four services. Whatever of them is imported, this comes first, before gRPC."""

import os

# Its core writes lines of its own among the log's, one for each handshake that fails; the variable brings them back.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
