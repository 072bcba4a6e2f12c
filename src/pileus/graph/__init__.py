"""A picture of both clouds: what there is, in layers from the internet down to the servers.

Pure: `picture` says what is in it, `contents` reads it out of a scene, `marks` lays a trace over
it, `layout` finds places for it on a grid of characters, and `text` and `svg` draw that.
"""
