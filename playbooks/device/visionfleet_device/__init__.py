"""The program on a device: fetches a release, switches to it, judges it, and goes back by itself.

Standard library only, for Python 3.8 and newer: a device need not install anything for it.
"""

VERSION = "1"
