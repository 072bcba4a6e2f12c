"""The one home of side effects: processes, files, namespaces, SSH and the clock."""
