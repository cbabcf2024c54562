"""Objects by key, and the URLs that open one of them for a while."""
