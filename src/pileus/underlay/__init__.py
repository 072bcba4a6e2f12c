"""The cloud below, through its own API. AWS so far; a simulated region is AWS at another URL."""
