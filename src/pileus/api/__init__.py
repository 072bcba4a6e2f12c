"""What Pileus can do, as functions: the command line is a thin face over these.

`environment` is the cloud below, `controller` the machine on it, `tenant` what is inside
OpenStack; `up` goes through them in that order, `down` removes everything. Commands import the
module that they need and no other: what they do not use they need not wait for.
"""
