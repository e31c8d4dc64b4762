"""A real gRPC server that prints its port: `chancery.test.Backend/Name` returns the name in the argument."""

import sys
import threading
from concurrent import futures

import grpc


def main() -> None:
    name = sys.argv[1].encode()
    # google.protobuf.StringValue: field 1, length-delimited.
    answer = bytes([0x0A, len(name)]) + name
    handler = grpc.unary_unary_rpc_method_handler(lambda _request, _context: answer)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("chancery.test.Backend", {"Name": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
