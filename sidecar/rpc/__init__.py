"""The edge: the gRPC server, its servicers, and the client; protobuf is read and written in `convert` alone."""
