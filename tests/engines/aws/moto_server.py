"""moto's server on a port of the loopback, one request after the other: `python tests/engines/aws/moto_server.py PORT`.

moto's own command answers in threads, and its backends walk over dictionaries that another thread may change meanwhile.
"""

import sys

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple

if __name__ == "__main__":
    application = DomainDispatcherApplication(create_backend_app)
    run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=False, request_handler=MotoRequestHandler)
