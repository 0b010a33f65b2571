"""Starting and stopping real servers on this machine."""
