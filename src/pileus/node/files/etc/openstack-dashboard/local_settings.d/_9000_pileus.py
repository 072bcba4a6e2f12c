"""Horizon's settings on this machine, read after its own and Debian's.

Where this fails, no name is allowed and nobody is let in. The key that signs is made at the first
start, in the unit's StateDirectory.
"""

import json

with open("/etc/pileus/node.json") as _file:
    _node = json.load(_file)

ALLOWED_HOSTS = [_node["management_address"], _node["public_address"]]
OPENSTACK_KEYSTONE_URL = "http://127.0.0.1:5000/v3"
# The public addresses let in users; this machine is none of them.
OPENSTACK_ENDPOINT_TYPE = "internalURL"
DEFAULT_SERVICE_REGIONS = {"*": _node["region"]}
# Sessions stay when the dashboard is restarted.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
        "LOCATION": "127.0.0.1:11211",
    }
}
MIDDLEWARE = ("django.middleware.security.SecurityMiddleware", *globals()["MIDDLEWARE"])
# Servers have no graphical console here.
CONSOLE_TYPE = None
