"""What a plugin implements and what it is handed: the lowest room, imported by every other one."""
